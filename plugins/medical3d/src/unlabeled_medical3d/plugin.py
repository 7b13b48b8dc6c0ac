"""CT and MR volumes for `unlabeled`: every component in one table. Rows are strings; nothing here imports torch.

Beside these, core brings the objectives, the probes, the random mask, optimizers and schedules; `recipes/` has the
named compositions.
"""

from __future__ import annotations

from unlabeled.plugins.words import Component, Domain, Kind, hookimpl


def _row(kind: Kind, name: str, target: str, summary: str, paper: str = "") -> Component:
    return Component(kind=kind, name=name, target=f"unlabeled_medical3d.{target}", summary=summary, paper=paper)


ROWS = (
    _row("data", "phantoms", "data.phantoms:Phantoms", "generated CT of labeled ellipsoid organs, no download"),
    _row("data", "volumes", "data.volumes:Volumes", "a folder, .zip, .npz or .csv of NIfTI volumes and DICOM series"),
    _row("views", "simclr", "views.standard:SimCLR", "two overlapping crops, intensity changes", "2002.05709"),
    _row("views", "multicrop", "views.standard:MultiCrop", "two global crops and several local ones", "2006.09882"),
    _row("views", "mae", "views.standard:MAE", "one crop, for masked objectives", "2111.06377"),
    _row("views", "genesis", "views.restoring:Genesis", "a crop distorted, and whole", "1908.06912"),
    _row("views", "swin_pretext", "views.restoring:SwinPretext", "two crops turned and cut out", "2111.14791"),
    _row("views", "clean", "views.standard:Clean", "the centered crop: what features are taken from"),
    _row("tokenizer", "cubes", "tokenizers:Cubes", "voxels of each row", "2111.06377"),
    _row("mask", "blocks", "masks.grid:Blocks", "overlapping cuboids of a size in mm", "2106.08254"),
    _row("mask", "cells", "masks.grid:Cells", "cells that are as long in mm in every direction"),
    _row("mask", "slabs", "masks.grid:Slabs", "whole slabs across one axis"),
    _row("encoder", "vit", "encoders.vit:ViT3D", "Vision Transformer of MONAI over cubes", "2010.11929"),
    _row("encoder", "swin_unetr", "encoders.swin:SwinUNETR", "windows of attention over a pyramid, of MONAI",
         "2201.01266"),
    _row("encoder", "unet", "encoders.cnn:UNet", "encoder of nnU-Net's U-Net, of MONAI", "1904.08128"),
    _row("encoder", "res_unet", "encoders.cnn:ResUNet", "encoder of nnU-Net's residual U-Net, of MONAI", "1904.08128"),
    _row("encoder", "segresnet", "encoders.cnn:SegResNet", "encoder of SegResNet, of MONAI", "1810.11654"),
    _row("encoder", "cswin_unet", "encoders.cswin:CSwinUNet", "cross-shaped windows over a pyramid", "2305.00385"),
    _row("encoder", "slices/*", "encoders.slices:Slices", "any model of timm on slices, such as slices/resnet18"),
    _row("encoder", "resnet", "encoders.cnn:ResNet3D", "ResNet-3D of MONAI", "1711.09577"),
    _row("decoder", "transformer", "decoders.rows:TransformerDecoder", "a narrow Transformer over all rows",
         "2111.06377"),
    _row("decoder", "linear", "decoders.rows:LinearDecoder", "one linear map of each row"),
    _row("mask", "multi_block", "masks.multi_block:MultiBlock", "several boxes to predict, the rest as context",
         "2301.08243"),
    _row("views", "voco", "views.pretext:VoCoViews", "base crops, random crops and their overlaps", "2402.17300"),
    _row("views", "fusion", "views.pretext:FusionViews", "a crop fused into another in blocks", "2306.16925"),
    _row("views", "places", "views.places:PlaceViews", "a crop turned, stretched and changed, and where it lies"),
    _row("objective", "regions", "objectives.regions:Regions", "segment regions found by k-means", "1807.05520"),
    _row("objective", "genesis", "objectives.restoration:ModelsGenesis", "restore a distorted volume", "1908.06912"),
    _row("objective", "swin_pretext", "objectives.swin_pretext:SwinPretext", "inpaint, turn, contrast", "2111.14791"),
    _row("objective", "spark", "objectives.spark:SparK", "masked modeling for sparse CNNs", "2301.03580"),
    _row("objective", "volume_fusion", "objectives.volume_fusion:VolumeFusion", "tell fused blocks", "2306.16925"),
    _row("objective", "global_local", "objectives.global_local:GlobalLocal", "slabs and regions", "2006.10511"),
    _row("objective", "uni4eye", "objectives.uni4eye:Uni4Eye", "masked intensities and gradients", "2203.04614"),
    _row("objective", "joint_image_volume", "objectives.joint_image_volume:JointImageVolume",
         "clusters of slices, agreement with volumes", "2212.01893"),
    _row("probe", "auc", "probes.auc:VolumeAUC", "area under the ROC curve of a linear probe"),
    _row("probe", "voxels", "probes.voxels:VoxelProbe", "voxel segmentation with a frozen encoder: Dice, HD95"),
    _row("export", "native", "export:native", "a MONAI bundle that MONAI alone loads"),
    _row("preview", "views", "preview:preview_views", "middle slices of a few samples' views"),
    _row("baseline", "intensity_histogram", "baselines:IntensityHistogram", "shares of voxels by intensity"),
    _row("baseline", "raw_patches", "baselines:RawPatches", "the voxels themselves, averaged to a small grid"),
    _row("select", "near_duplicates", "select:NearDuplicates", "slices that differ from those before", "2410.14524"),
    _row("command", "segment", "commands.segment:segment",
         "voxel labels of k volumes, pre-trained beside scratch"),
    _row("command", "select", "commands.select:select", "leave out near-duplicate slices", "2410.14524"),
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
            "tokenizer": "cubes",
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
