"""Every component of timeseries in one table. Rows are strings, imported on first use; nothing here imports torch."""

from functools import partial

from unlabeled.plugins import words
from unlabeled.plugins.words import Domain, hookimpl

row = partial(words.row, "unlabeled_timeseries")
ROWS = (
    row("data", "waves", "Waves", "generated waves of four shapes"),
    row("data", "files", "Files", "an .npz file: x[N, L], lengths, y"),
    row("views", "crops", "Crops", "crops, scaled and jittered"),
    row("views", "clean", "Clean", "the whole waveform as it is"),
    row("tokenizer", "patches", "Patches", "values of each patch"),
    row("encoder", "transformer", "Transformer", "over patches"),
    row("decoder", "block", "BlockDecoder", "one block over rows"),
    row("baseline", "spectrum", "Spectrum", "power in 16 bands"),
)


@hookimpl
def unlabeled_domain() -> Domain:
    return Domain(
        name="timeseries",
        summary="waveforms of different lengths",
        contract=1,
        sample="float waveform [L], 48 values or more, zero mean and unit variance",
        spec="unlabeled_timeseries.batch:Spec",
        components=ROWS,
        defaults={
            "data": "waves",
            "files": "files",
            "views": "crops",
            "clean": "clean",
            "tokenizer": "patches",
            "mask": "random",
            "encoder": "transformer",
            "decoder": "block",
            "objective": "simclr",
            "baseline": "spectrum",
        },
    )
