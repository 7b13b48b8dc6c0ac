"""CT and MR volumes for `unlabeled`: every component in one table. Rows are strings; nothing here imports torch.

Beside these, core brings the objectives, the probes, the random mask, optimizers and schedules; `recipes/` has the
named compositions.
"""

from __future__ import annotations

from unlabeled.plugins import Component, Domain, Kind, hookimpl


def _row(kind: Kind, name: str, target: str, summary: str, paper: str = "") -> Component:
    return Component(kind=kind, name=name, target=f"unlabeled_medical3d.{target}", summary=summary, paper=paper)


ROWS = (
    _row("data", "phantoms", "data:Phantoms", "generated CT of labeled ellipsoid organs, no download"),
    _row("views", "clean", "views:Clean", "the centered crop: what features are taken from"),
    _row("encoder", "vit", "encoders:ViT3D", "Vision Transformer of MONAI over cubes", "2010.11929"),
)


@hookimpl
def unlabeled_domain() -> Domain:
    return Domain(
        name="medical3d",
        summary="CT and MR volumes",
        contract=1,
        sample="float volume [C, X, Y, Z], RAS axes, one spacing in mm, scaled by modality",
        spec="unlabeled_medical3d.data:VolumeSpec",
        components=ROWS,
        defaults={
            "data": "phantoms",
            "views": "clean",
            "clean": "clean",
            "mask": "random",
            "encoder": "vit",
            "objective": "simclr",
        },
    )
