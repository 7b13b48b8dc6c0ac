"""CT and MR volumes for `unlabeled`: every component in one table. Rows are strings; nothing here imports torch.

Beside these, core brings the objectives, the probes, the random mask, optimizers and schedules; `recipes/` has the
named compositions.
"""

from functools import partial

from unlabeled.plugins import words
from unlabeled.plugins.words import Domain, hookimpl

row = partial(words.row, "unlabeled_medical3d")
FULL = ("tokens", "mask", "drop", "swap", "layers")  # of an encoder
ROWS = (
    row("data", "phantoms", "phantoms:Phantoms", "generated CT of labeled ellipsoid organs, no download"),
    row("data", "volumes", "volumes:Volumes", "a folder, .zip, .npz or manifest of NIfTI and DICOM series"),
    row("views", "simclr", "standard:SimCLR", "two overlapping crops, intensity changes", "2002.05709",
        gives=("overlap",)),
    row("views", "multicrop", "standard:MultiCrop", "two global crops and several local ones", "2006.09882",
        gives=("local",)),
    row("views", "plain", "standard:Plain", "one crop, for masked objectives", "2111.06377", aliases=("mae",)),
    row("views", "genesis", "restoring:Genesis", "a crop distorted, and whole", "1908.06912",
        gives=("source", "target")),
    row("views", "swin_pretext", "restoring:SwinPretext", "two crops turned and cut out", "2111.14791",
        gives=("source", "target")),
    row("views", "clean", "standard:Clean", "the centered crop: what features are taken from", gives=("clean",)),
    row("views", "voco", "pretext:VoCoViews", "base crops, random crops and their overlaps", "2402.17300",
        gives=("base", "overlap")),
    row("views", "fusion", "pretext:FusionViews", "a crop fused into another in blocks", "2306.16925",
        gives=("source", "target")),
    row("views", "places", "places:PlaceViews", "a crop turned, stretched and changed, and where it lies",
        gives=("source", "target")),
    row("tokenizer", "patches", "Patches", "voxels of each row", "2111.06377", aliases=("cubes",), gives=("content",)),
    row("mask", "block", "grid:Blocks", "overlapping cuboids of a size in mm", "2106.08254", aliases=("blocks",),
        gives=("hidden",)),
    row("mask", "cells", "grid:Cells", "cells that are as long in mm in every direction", gives=("hidden",)),
    row("mask", "slabs", "grid:Slabs", "whole slabs across one axis", gives=("hidden",)),
    row("mask", "multi_block", "multi_block:MultiBlock", "several boxes to predict, the rest as context", "2301.08243",
        gives=("hidden", "predict")),
    row("encoder", "vit", "vit:ViT3D", "Vision Transformer of MONAI over cubes", "2010.11929", gives=FULL),
    row("encoder", "swin_unetr", "swin:SwinUNETR", "windows of attention over a pyramid, of MONAI", "2201.01266",
        gives=("tokens", "mask", "layers")),
    row("encoder", "unet", "cnn:UNet", "encoder of nnU-Net's U-Net, of MONAI", "1904.08128",
        gives=("tokens", "mask", "drop", "layers")),
    row("encoder", "res_unet", "cnn:ResUNet", "encoder of nnU-Net's residual U-Net, of MONAI", "1904.08128",
        gives=("tokens", "mask", "drop", "layers")),
    row("encoder", "segresnet", "cnn:SegResNet", "encoder of SegResNet, of MONAI", "1810.11654",
        gives=("tokens", "mask", "drop", "layers")),
    row("encoder", "cswin_unet", "cswin:CSwinUNet", "cross-shaped windows over a pyramid", "2305.00385",
        gives=("tokens", "mask", "layers")),
    row("encoder", "slices/*", "slices:Slices", "any model of timm on slices, such as slices/resnet18",
        gives=("tokens", "mask", "layers")),
    row("encoder", "resnet", "cnn:ResNet3D", "ResNet-3D of MONAI", "1711.09577",
        gives=("tokens", "mask", "drop", "layers")),
    row("decoder", "transformer", "rows:TransformerDecoder", "a narrow Transformer over all rows", "2111.06377"),
    row("decoder", "linear", "rows:LinearDecoder", "one linear map of each row"),
    row("objective", "regions", "regions:Regions", "segment regions found by k-means", "1807.05520"),
    row("objective", "genesis", "genesis:ModelsGenesis", "restore a distorted volume", "1908.06912"),
    row("objective", "swin_pretext", "swin_pretext:SwinPretext", "inpaint, turn, contrast", "2111.14791"),
    row("objective", "spark", "spark:SparK", "masked modeling for sparse CNNs", "2301.03580"),
    row("objective", "volume_fusion", "volume_fusion:VolumeFusion", "tell fused blocks", "2306.16925"),
    row("objective", "global_local", "global_local:GlobalLocal", "slabs and regions", "2006.10511"),
    row("objective", "uni4eye", "uni4eye:Uni4Eye", "masked intensities and gradients", "2203.04614"),
    row("objective", "joint_image_volume", "joint_image_volume:JointImageVolume",
        "clusters of slices, agreement with volumes", "2212.01893"),
    row("probe", "auc", "auc:VolumeAUC", "area under the ROC curve of a linear probe"),
    row("probe", "voxels", "voxels:VoxelProbe", "voxel segmentation with a frozen encoder: Dice, HD95"),
    row("baseline", "intensity_histogram", "IntensityHistogram", "shares of voxels by intensity"),
    row("baseline", "moments", "Moments", "moments of intensities, gradients and the body's extent, as in radiomics"),
    row("baseline", "raw_patches", "RawPatches", "the voxels themselves, averaged to a small grid"),
    row("export", "native", "native:native", "a MONAI bundle that MONAI alone loads"),
    row("preview", "views", "preview_views", "middle slices of a few samples' views"),
    row("select", "near_duplicates", "NearDuplicates", "slices that differ from those before", "2410.14524"),
    row("command", "segment", "segment:segment", "voxel labels of k volumes, pre-trained beside scratch"),
    row("command", "predict", "predict:predict", "voxel labels as NIfTI by a run of segment --out; classes of others"),
    row("command", "select", "select:select", "leave out near-duplicate slices", "2410.14524"),
)  # fmt: skip


@hookimpl
def unlabeled_domain() -> Domain:
    return Domain(
        name="medical3d",
        summary="CT and MR volumes",
        contract=1,
        sample="float volume [C, X, Y, Z], RAS axes, one spacing in mm, scaled by modality",
        spec="unlabeled_medical3d.batch:VolumeSpec",
        components=ROWS,
        defaults={
            "data": "phantoms",
            "files": "volumes",
            "views": "simclr",
            "clean": "clean",
            "tokenizer": "patches",
            "mask": "random",
            "encoder": "vit",
            "decoder": "transformer",
            "objective": "simclr",
            "baseline": "intensity_histogram",
            "export": "native",
            "preview": "views",
        },
        training={"batch_size": 16},
    )
