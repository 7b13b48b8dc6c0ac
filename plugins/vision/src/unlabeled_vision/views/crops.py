"""Random resized crops of a whole batch, with antialiasing, equal to torchvision's one by one.

The law is that of Inception crops (https://arxiv.org/abs/1409.4842) as torchvision draws them: ten tries of an area
and a log-uniform aspect, the first that fits, else the largest centered box of an allowed aspect. The resize is
bilinear with antialias, in two forms that agree to 1e-5: two batched matrix products with triangle weights (small
images, accelerators), and one ``F.interpolate`` a sample (large images on a CPU, images of several sizes).

    # B samples, C channels, H height, W width, S side of the output; boxes[B, 4] are top, left, height, width
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.draw import Draw, Purpose
from unlabeled.transfer import send

TRIES = 10
PRODUCT_SIDE = 64  # measured on 2 CPU cores: products are faster up to here, five times slower at 224


def image_sizes(images: Tensor | list[Tensor]) -> Tensor:
    """``int64[B, 2]``: height and width of each image, on the host."""
    if isinstance(images, Tensor):
        return torch.tensor(images.shape[-2:]).expand(len(images), 2)
    return torch.tensor([x.shape[-2:] for x in images]).reshape(-1, 2)


def random_boxes(draw: Draw, sizes: Tensor, scale: tuple[float, float], ratio: tuple[float, float]) -> Tensor:
    """Boxes ``int64[B, 4]`` whose share of the area lies in ``scale`` and whose width / height in ``ratio``."""
    height, width = sizes[:, :1], sizes[:, 1:]
    area = (height * width).double() * draw.uniform(TRIES, Purpose.CROP).double().mul(scale[1] - scale[0]).add(scale[0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = draw.uniform(TRIES, Purpose.CROP_ASPECT).double().mul(high - low).add(low).exp()
    w = (area * aspect).sqrt().round().long()
    h = (area / aspect).sqrt().round().long()
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first = fits.to(torch.uint8).argmax(1, keepdim=True)
    shape = torch.cat((h.gather(1, first), w.gather(1, first)), 1)
    none = ~fits.any(1, keepdim=True)
    shape = torch.where(none, _largest(sizes, ratio), shape)
    room = sizes - shape
    place = draw.integers(2, Purpose.CROP_PLACE, room + 1)
    return torch.cat((torch.where(none, room // 2, place), shape), 1)


def _largest(sizes: Tensor, ratio: tuple[float, float]) -> Tensor:
    """Height and width of the largest box of an allowed aspect."""
    height, width = sizes.unbind(1)
    h = torch.minimum(height, (width / ratio[0]).round().long()).clamp(min=1)
    w = torch.minimum(width, (height * ratio[1]).round().long()).clamp(min=1)
    return torch.stack((h, w), 1)


def center_boxes(sizes: Tensor, enlarge: float = 1.0) -> Tensor:
    """The centered square of each image, its side the image's shorter side / ``enlarge``."""
    side = (sizes.amin(1, keepdim=True) / enlarge).round().long().clamp(min=1)
    return torch.cat(((sizes - side) // 2, side, side), 1)


def crop_resize(
    images: Tensor | list[Tensor],
    boxes: Tensor,
    side: int,
    flip: Tensor | None = None,
    sent: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """``float32[B, C, S, S]`` in [0, 1]: each box resized, and mirrored where ``flip[B]``.

    Both are on the host; ``sent`` are they on the images' device, where they have been sent there.
    """
    if isinstance(images, Tensor):
        if _whole(images, boxes, side) and (flip is None or not flip.any()):
            return _unit(images)
        if images.device.type != "cpu" or max(*images.shape[-2:], side) <= PRODUCT_SIDE:
            return by_products(images, *(sent or send_boxes(boxes, flip, images.device)), side)
    return one_by_one(images, boxes, flip, side)


def _whole(images: Tensor, boxes: Tensor, side: int) -> bool:
    return images.shape[-2:] == (side, side) and bool((boxes[:, 2:] == side).all())


def _unit(images: Tensor) -> Tensor:
    """A copy in [0, 1]."""
    return images.float().mul_(1 / 255) if images.dtype == torch.uint8 else images.clone()


def triangle_weights(start: Tensor, length: Tensor, size: int, side: int, flip: Tensor | None = None) -> Tensor:
    """``[B, S, size]``: row i averages pixels ``start`` to ``start + length`` of a line into output pixel i.

    Triangle of half width max(1, length / S) around the pixel's center, normalized over the pixels of the crop. Rows
    are in reverse where ``flip[B]``.
    """
    start, step = start[:, None].float(), length[:, None].float() / side
    index = torch.arange(side, device=start.device)
    if flip is not None:
        index = torch.where(flip[:, None], side - 1 - index, index)
    centers = start + (index + 0.5) * step
    pixels = torch.arange(size, device=start.device) + 0.5
    inside = ((pixels > start) & (pixels < start + step * side)).float()
    weights = (pixels - centers[..., None]).abs_().mul_(-1 / step.clamp(min=1)[..., None]).add_(1).clamp_(min=0)
    weights.mul_(inside[:, None])
    return weights.div_(weights.sum(-1, keepdim=True))


def send_boxes(boxes: Tensor, flip: Tensor | None, device: torch.device) -> tuple[Tensor, Tensor]:
    """Boxes and mirrors, none where ``flip`` is None, on a device by one copy."""
    flip = torch.zeros(len(boxes), dtype=torch.bool) if flip is None else flip
    there, mirrored = send([boxes, flip], device)
    return there, mirrored


def by_products(images: Tensor, boxes: Tensor, flip: Tensor, side: int) -> Tensor:
    """The resize as two batched matrix products; all is on one device."""
    top, left, height, width = boxes.unbind(1)
    rows = triangle_weights(top, height, images.shape[2], side)
    columns = triangle_weights(left, width, images.shape[3], side, flip)
    if images.dtype == torch.uint8:
        columns *= 1 / 255
    count, channels, high, wide = images.shape
    # lines first: all channels of an image then share a product, six times faster than one product for each
    lines = images.permute(0, 2, 1, 3).to(torch.float32, memory_format=torch.contiguous_format)
    lines = torch.bmm(rows, lines.reshape(count, high, channels * wide)).view(count, side * channels, wide)
    out = torch.bmm(lines, columns.mT).view(count, side, channels, side)
    return out.permute(0, 2, 1, 3).contiguous()


def one_by_one(images: Tensor | list[Tensor], boxes: Tensor, flip: Tensor | None, side: int) -> Tensor:
    """The resize as one library call a sample."""
    mirrored = [False] * len(boxes) if flip is None else flip.tolist()
    out = torch.empty(len(images), images[0].shape[0], side, side, device=images[0].device)
    for image, (top, left, height, width), mirror, target in zip(images, boxes.tolist(), mirrored, out):
        crop = image[:, top : top + height, left : left + width]
        if mirror:
            crop = crop.flip(-1)
        resized = F.interpolate(crop[None].float(), (side, side), mode="bilinear", antialias=True)[0]
        torch.mul(resized, 1 / 255 if image.dtype == torch.uint8 else 1.0, out=target)
    return out
