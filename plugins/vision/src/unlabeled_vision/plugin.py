"""Images for `unlabeled`: every component in one table. Rows are strings; nothing here imports torch.

Beside these, core brings the objectives, the probes, the random mask, optimizers and schedules; `recipes/` has the
named compositions.
"""

from __future__ import annotations

from unlabeled.plugins.words import Component, Domain, Kind, hookimpl


def _row(kind: Kind, name: str, target: str, summary: str, paper: str = "") -> Component:
    return Component(kind=kind, name=name, target=f"unlabeled_vision.{target}", summary=summary, paper=paper)


# core's
DECODER = Component(
    kind="decoder",
    name="transformer",
    target="unlabeled.nn.decoders:TransformerDecoder",
    summary="a narrow Transformer over all rows",
    paper="2111.06377",
)
ROWS = (
    _row("data", "digits", "data.digits:Digits", "1,797 handwritten digits that scikit-learn ships, no download"),
    _row("data", "images", "data.images:Images", "a folder, .zip, .npz or text file of paths of images"),
    _row("views", "simclr", "views.standard:SimCLR", "two crops, flips, color jitter, gray, blur", "2002.05709"),
    _row("views", "byol", "views.standard:BYOL", "two crops, blur and solarize asymmetric", "2006.07733"),
    _row("views", "multicrop", "views.standard:MultiCrop", "two global crops and several local ones", "2006.09882"),
    _row("views", "weak", "views.standard:Weak", "two crops with flips alone"),
    _row("views", "mae", "views.standard:MAE", "one crop with flip, for masked objectives", "2111.06377"),
    _row("views", "clean", "views.standard:Clean", "resize and center crop: what features are taken from"),
    _row("tokenizer", "patches", "tokenizers:Patches", "pixels of each patch", "2111.06377"),
    _row("mask", "block", "masks.grid:BlockMask", "rectangles until an exact share is hidden", "2106.08254"),
    _row(
        "mask",
        "multi_block",
        "masks.multi_block:MultiBlockMask",
        "several target blocks, one context block",
        "2301.08243",
    ),
    _row("mask", "inverse_block", "masks.grid:InverseBlockMask", "everything hidden but blocks", "2212.07525"),
    _row("mask", "grid", "masks.grid:GridMask", "the same share of every small cell", "2205.10063"),
    _row("encoder", "vit", "encoders.timm:ViT", "Vision Transformer, sized to the image", "2010.11929"),
    _row("encoder", "resnet", "encoders.resnet:ResNet", "ResNet, with a small stem for small images", "1512.03385"),
    _row("encoder", "timm/*", "encoders.timm:Timm", "any model of timm by name, such as timm/convnext_tiny"),
    DECODER,
    _row("baseline", "raw_pixels", "baselines:RawPixels", "the pixels of the clean view, flattened"),
    _row("export", "native", "export:native", "weights that plain timm loads, without this project"),
    _row("preview", "views", "preview:preview_views", "the views of a few samples, side by side"),
)


@hookimpl
def unlabeled_domain() -> Domain:
    return Domain(
        name="vision",
        summary="images",
        contract=1,
        sample="float image [C, H, W], 1 to 4 channels, normalized by the views",
        spec="unlabeled_vision.batch:ImageSpec",
        components=ROWS,
        defaults={
            "data": "digits",
            "files": "images",
            "views": "simclr",
            "clean": "clean",
            "tokenizer": "patches",
            "mask": "random",
            "encoder": "vit",
            "decoder": "transformer",
            "objective": "simclr",
            "baseline": "raw_pixels",
            "export": "native",
            "preview": "views",
        },
    )
