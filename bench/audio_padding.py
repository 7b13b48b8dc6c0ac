"""How much of an encoder's arithmetic goes to padding: one batch against its clips one by one, counted, not timed.

Every multiplication and addition of a forward pass on real speech (FSDD, 0.14 to 2.28 s), in batches of about the same
seconds as training forms them, 32 clips in the mean, three of an epoch; beside it, how much of padded batches is
padding, which an encoder that lays clips out by the longest would compute on.
"""

from typing import Any

from common import arguments, save

SIZE, BATCHES = 32, 3


def operations(encoder: Any, batch: Any) -> int:
    """Floating-point operations of a forward pass; attention as plain products, which are counted."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from unlabeled.contract import View

    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        encoder(View(batch, "clean"))
    return int(counter.get_total_flops())


def share(encoder: Any, data: Any, formed: Any) -> float:
    """Share of operations that padding costs; below 0 where a batch saves some that its clips alone would need."""
    from unlabeled.draw import Draw
    from unlabeled_audio.views.standard import Clean

    clean, together, alone = Clean(data.spec), 0, 0
    for ids in formed[:: len(formed) // BATCHES][:BATCHES]:
        batch = data.__getitems__(ids.tolist())
        batch = clean(batch, Draw(0, 0, batch.ids))[0].batch
        together += operations(encoder, batch)
        alone += sum(operations(encoder, batch[i : i + 1]) for i in range(len(ids)))
    return 1 - alone / together


def held(data: Any, formed: Any) -> float:
    """Share of all padded batches that is padding."""
    lengths = [data.seconds[ids] for ids in formed]
    return float(1 - sum(x.sum() for x in lengths) / sum(len(x) * x.max() for x in lengths))


def main() -> None:
    import torch

    from unlabeled.training.datamodule import order, trainable
    from unlabeled_audio.data.clips import Clips
    from unlabeled_audio.encoders.cnn import CNN
    from unlabeled_audio.encoders.conformer import Conformer
    from unlabeled_audio.encoders.mamba import Mamba
    from unlabeled_audio.encoders.vit import ViT
    from unlabeled_audio.encoders.wav2vec2 import Wav2Vec2

    args = arguments(__doc__)
    torch.set_num_threads(1)
    data = Clips(str(args.data / "audio" / "fsdd" / "meta.csv"), 0.01, label="digit")
    pool = trainable(data)
    random = pool[order(len(pool), 0, 0)]
    bucketed = data.batches(random, SIZE, 1)
    batches = {"bucketed": held(data, bucketed), "random": held(data, random.split(SIZE))}
    batches |= {"clips": sorted(len(ids) for ids in bucketed)[:: len(bucketed) - 1]}
    print(batches, flush=True)
    rows = []
    for kind in (Mamba, ViT, Wav2Vec2, Conformer, CNN):
        rows.append({"encoder": kind.__name__.lower(), "share": share(kind(data.spec).eval(), data, bucketed)})  # type: ignore[operator]
        print(rows[-1], flush=True)
    save("audio_padding", {"rows": rows, "batches": batches})


if __name__ == "__main__":
    main()
