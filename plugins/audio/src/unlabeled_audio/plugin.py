"""Speech, music and sound for `unlabeled`: every component in one table. Rows are strings; nothing here imports torch.

Beside these, core brings objectives and probes for every modality, the random mask, optimizers and schedules;
`recipes/` has the named compositions.
"""

from __future__ import annotations

from unlabeled.plugins import Component, Domain, Kind, hookimpl


def _row(kind: Kind, name: str, target: str, summary: str, paper: str = "") -> Component:
    return Component(kind=kind, name=name, target=f"unlabeled_audio.{target}", summary=summary, paper=paper)


ROWS = (
    _row("data", "syllables", "data:Syllables", "generated syllables, 10 classes and 6 voices, no download"),
    _row("data", "clips", "data:Clips", "a folder, .zip or manifest .csv of WAV, FLAC, OGG, MP3"),
    _row("views", "wave", "views:Wave", "two crops: gain, noise, polarity, shift, pitch, reverb"),
    _row("views", "clean", "views:Clean", "the whole clip, standardized: what features are taken from"),
    _row("tokenizer", "logmel", "tokenizers:LogMel", "log-mel spectrogram of what each row sees"),
    _row("encoder", "vit", "vit:ViT", "Vision Transformer over patches of the log-mel spectrogram", "2104.01778"),
)


@hookimpl
def unlabeled_domain() -> Domain:
    return Domain(
        name="audio",
        summary="speech, music and environmental sound",
        contract=1,
        sample="mono waveform [samples] at one rate, of any length, standardized by the views",
        spec="unlabeled_audio.batch:AudioSpec",
        components=ROWS,
        defaults={
            "data": "syllables",
            "files": "clips",
            "views": "wave",
            "clean": "clean",
            "tokenizer": "logmel",
            "mask": "random",
            "encoder": "vit",
            "objective": "simclr",
        },
    )
