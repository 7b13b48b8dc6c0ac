"""Images for `unlabeled`: every component in one table. Rows are strings; nothing here imports torch.

Beside these, core brings the objectives, the probes, the random mask, optimizers and schedules; `recipes/` has the
named compositions.
"""

from functools import partial

from unlabeled.plugins import words
from unlabeled.plugins.words import Component, Domain, hookimpl

row = partial(words.row, "unlabeled_vision")
FULL = ("tokens", "mask", "drop", "swap", "layers")  # of an encoder
# core's
DECODER = Component(
    kind="decoder",
    name="transformer",
    target="unlabeled.nn.decoders:TransformerDecoder",
    summary="a narrow Transformer over all rows",
    paper="2111.06377",
)
ROWS = (
    row("data", "digits", "digits:Digits", "1,797 handwritten digits that scikit-learn ships, no download"),
    row("data", "images", "images:Images", "a folder, .zip, .npz or text file of paths of images"),
    row("views", "simclr", "standard:SimCLR", "two crops, flips, color jitter, gray, blur", "2002.05709"),
    row("views", "byol", "standard:BYOL", "two crops, blur and solarize asymmetric", "2006.07733"),
    row("views", "multicrop", "standard:MultiCrop", "two global crops and several local ones", "2006.09882",
        gives=("local",)),
    row("views", "weak", "standard:Weak", "two crops with flips alone"),
    row("views", "plain", "standard:Plain", "one crop with flip, for masked objectives", "2111.06377",
        aliases=("mae",)),
    row("views", "clean", "standard:Clean", "resize and center crop: what features are taken from", gives=("clean",)),
    row("tokenizer", "patches", "Patches", "pixels of each patch", "2111.06377", gives=("content",)),
    row("mask", "block", "grid:BlockMask", "rectangles until an exact share is hidden", "2106.08254",
        gives=("hidden",)),
    row("mask", "multi_block", "multi_block:MultiBlockMask", "several target blocks, one context block", "2301.08243",
        gives=("hidden", "predict")),
    row("mask", "inverse_block", "grid:InverseBlockMask", "everything hidden but blocks", "2212.07525",
        gives=("hidden",)),
    row("mask", "grid", "grid:GridMask", "the same share of every small cell", "2205.10063", gives=("hidden",)),
    row("encoder", "vit", "timm:ViT", "Vision Transformer, sized to the image", "2010.11929", gives=FULL),
    row("encoder", "resnet", "resnet:ResNet", "ResNet, with a small stem for small images", "1512.03385",
        gives=("tokens", "mask", "layers")),
    row("encoder", "timm/*", "timm:Timm", "any model of timm by name, such as timm/convnext_tiny",
        gives=("tokens", "mask", "layers")),
    DECODER,
    row("baseline", "raw_pixels", "RawPixels", "the pixels of the clean view, flattened"),
    row("baseline", "hog_color", "HogColor", "histograms of oriented gradients and of colors, by scikit-image"),
    row("export", "native", "native:native", "weights that plain timm loads, without this project"),
    row("preview", "views", "preview_views", "the views of a few samples, side by side"),
)  # fmt: skip


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
