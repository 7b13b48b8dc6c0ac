"""Every component of timeseries in one table. Rows are strings, imported on first use; nothing here imports torch."""

from unlabeled import Component, Domain, hookimpl

PACKAGE = "unlabeled_timeseries"
ROWS = (
    Component(kind="data", name="waves", target=f"{PACKAGE}.data:Waves", summary="generated waves of four shapes"),
    Component(kind="data", name="files", target=f"{PACKAGE}.data:Files", summary="an .npz file: x[N, L], lengths, y"),
    Component(kind="views", name="crops", target=f"{PACKAGE}.views:Crops", summary="crops, scaled and jittered"),
    Component(kind="views", name="clean", target=f"{PACKAGE}.views:Clean", summary="the whole waveform as it is"),
    Component(kind="tokenizer", name="patches", target=f"{PACKAGE}.tokenizers:Patches", summary="values of each patch"),
    Component(kind="encoder", name="transformer", target=f"{PACKAGE}.encoders:Transformer", summary="over patches"),
    Component(kind="decoder", name="block", target=f"{PACKAGE}.decoders:BlockDecoder", summary="one block over rows"),
    Component(kind="baseline", name="spectrum", target=f"{PACKAGE}.baselines:Spectrum", summary="power in 16 bands"),
)


@hookimpl
def unlabeled_domain() -> Domain:
    return Domain(
        name="timeseries",
        summary="waveforms of different lengths",
        contract=1,
        sample="float waveform [L], 48 values or more, zero mean and unit variance",
        spec=f"{PACKAGE}.data:Spec",
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
