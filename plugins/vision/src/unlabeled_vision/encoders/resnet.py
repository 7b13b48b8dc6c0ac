"""ResNet with a stem for small images.

https://arxiv.org/abs/1512.03385. From its section 4.2 on CIFAR-10, and SimCLR's appendix B.9
(https://arxiv.org/abs/2002.05709): where images are small, the first convolution is 3x3 at stride 1 and there is no
max-pool, so that the last map is 1/8 of the image and not 1/32.
"""

from typing import Any, Literal

import timm
from torch import nn

from unlabeled.errors import at_least
from unlabeled_vision.batch import ImageSpec
from unlabeled_vision.encoders.timm import Blueprint, TimmEncoder

SMALL = 64  # pixels; up to this side the small stem is taken


class ResNet(TimmEncoder):
    """ResNet of timm; its last map's cells are the rows.

    Args:
        depth: number of layers: 10 and 18 of basic blocks, 34 likewise, 50 of bottlenecks.
        width: channels of the first stage; each stage doubles them. 64 in the paper; the stem has 64 at any width.
        small_stem: 3x3 first convolution and no max-pool: yes, no, or auto, which says yes up to 64 px.
    """

    def __init__(
        self,
        spec: ImageSpec,
        *,
        depth: Literal[10, 18, 34, 50] = 18,
        width: int = 64,
        small_stem: Literal["auto", "yes", "no"] = "auto",
    ) -> None:
        at_least(1, width=width)
        kwargs: dict[str, Any] = {"in_chans": spec.channels, "num_classes": 0}
        if width != 64:
            kwargs["channels"] = tuple(width * 2**stage for stage in range(4))
        if depth == 10:
            kwargs["layers"] = (1, 1, 1, 1)
        name = f"resnet{18 if depth == 10 else depth}"
        model: Any = timm.create_model(name, **kwargs)
        edits: tuple[str, ...] = ()
        if small_stem == "yes" or (small_stem == "auto" and spec.size <= SMALL):
            model.conv1 = nn.Conv2d(spec.channels, 64, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
            model.maxpool = nn.Identity()
            edits = (
                f"model.conv1 = torch.nn.Conv2d({spec.channels}, 64, 3, padding=1, bias=False)",
                "model.maxpool = torch.nn.Identity()",
            )
        super().__init__(model, Blueprint(name, kwargs, edits), spec)
        self.resolved = {"small_stem": "yes" if edits else "no"}
