"""Encoder time with 75 % of the tokens hidden, as a share of the time with none: forward and backward, 224 px."""

import time

from common import arguments, in_turn, median, save


def main() -> None:
    import torch

    from unlabeled.contract import View
    from unlabeled.draw import Draw
    from unlabeled.masks.random import RandomMask
    from unlabeled_vision.batch import ImageBatch, ImageSpec
    from unlabeled_vision.encoders.timm import Timm

    args = arguments(__doc__, rounds=7, batch=8, model="vit_small_patch16_224")
    torch.manual_seed(0)
    encoder = Timm(args.model, ImageSpec(3, 224)).train()
    batch = ImageBatch(torch.arange(args.batch), torch.randn(args.batch, 3, 224, 224))
    full = View(batch, "global", encoder.layout(batch))
    hidden = RandomMask(ratio=0.75)(full, Draw(0, 0, batch.ids))

    def step(view: View) -> float:
        start = time.perf_counter()
        encoder(view, hide="drop").tokens.square().mean().backward()
        return time.perf_counter() - start

    step(full), step(hidden)
    found = in_turn({"all": lambda: step(full), "hidden": lambda: step(hidden)}, args.rounds)
    row = {"model": args.model, "batch": args.batch, "all_s": median(found["all"]), "hidden_s": median(found["hidden"])}
    row["ratio"] = row["hidden_s"] / row["all_s"]
    print(row)
    save("drop", {"rows": [row]})


if __name__ == "__main__":
    main()
