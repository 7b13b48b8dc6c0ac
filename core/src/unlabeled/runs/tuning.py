"""What of an encoder is tuned, and how fast: depths of its weights, freezing, rates that fall with depth, LoRA.

LoRA: https://arxiv.org/abs/2106.09685 by the library ``peft``, on all Linear layers, merged into them afterwards.

    # L layers; weights before the first have depth 0, those of layer l depth l, those after the last depth L
"""

import importlib.util
from typing import Any

from torch import Tensor, nn

from unlabeled.errors import PluginError, UsageError

DECAY = 0.05  # weight decay of matrices


def depths(encoder: nn.Module) -> dict[str, int]:
    """The depth of each weight by name: layers are what the outermost lists and sequences of modules hold."""
    found: dict[str, int] = {}
    _walk(encoder, "", 0, found)
    return found


def _walk(module: nn.Module, prefix: str, depth: int, found: dict[str, int]) -> int:
    """Give weights under ``module`` their depth, the first of which is ``depth``; the last depth."""
    for name, _ in module.named_parameters(recurse=False):
        found[prefix + name] = depth
    beside: dict[int, int] = {}  # lists of one length stand side by side (convolutions and their norms)
    for name, child in module.named_children():
        inner = f"{prefix}{name}."
        if isinstance(child, (nn.ModuleList, nn.Sequential)):
            layers = [(n, layer) for n, layer in child.named_children() if any(True for _ in layer.parameters())]
            start = beside.setdefault(len(layers), depth) if isinstance(child, nn.ModuleList) else depth
            for number, (n, layer) in enumerate(layers, start + 1):
                found |= {f"{inner}{n}.{weight}": number for weight, _ in layer.named_parameters()}
            depth = max(depth, start + len(layers))
        else:
            depth = _walk(child, inner, depth, found)
    return depth


def freeze(encoder: nn.Module, what: str) -> None:
    """Hold weights as they are: ``all`` of them, or those of the first layers and what lies before; "none"."""
    if what == "none":
        return
    depth = depths(encoder)
    most = max(depth.values(), default=0)
    if what != "all" and not (what.isdecimal() and 0 < int(what) <= most):
        raise UsageError(f"finetune: freeze is {what!r}; it must be none, all, or a number of layers up to {most}")
    for name, weight in encoder.named_parameters():
        if what == "all" or depth[name] <= int(what):
            weight.requires_grad_(False)


def train_mode(model: nn.Module) -> None:
    """Train mode, but for modules all of whose weights are held: their statistics and dropout rest too."""
    model.train()
    for module in model.modules():
        weights = list(module.parameters())
        if weights and not any(weight.requires_grad for weight in weights):
            module.eval()


def groups(encoder: nn.Module, head: nn.Module, *, layer_decay: float, head_scale: float) -> list[dict[str, Any]]:
    """Groups of an optimizer, each with its ``scale`` on the rate: ``layer_decay`` to the power of layers above."""
    depth = depths(encoder)
    top = max(depth.values(), default=0) + 1
    scaled = [(weight, layer_decay ** (top - depth[name])) for name, weight in encoder.named_parameters()]
    scaled += [(weight, head_scale) for weight in head.parameters()]
    found: dict[tuple[float, float], list[Tensor]] = {}
    for weight, scale in scaled:
        if weight.requires_grad:
            found.setdefault((scale, DECAY if weight.ndim > 1 else 0.0), []).append(weight)
    return [{"params": w, "scale": scale, "weight_decay": decay} for (scale, decay), w in found.items()]


def check_lora(rank: int) -> None:
    """Refuse LoRA where its library is missing, before any work."""
    if rank and importlib.util.find_spec("peft") is None:
        raise PluginError("--lora.rank needs peft: pip install 'unlabeled[lora]'")


def add_lora(encoder: nn.Module, rank: int) -> Any:
    """Put adapters of ``rank`` on all Linear layers of ``encoder``, in place, and hold all else; what merges them."""
    from peft import LoraConfig, LoraModel

    names = [name for name, module in encoder.named_modules() if type(module) is nn.Linear]
    if not names:
        raise UsageError(f"finetune: --lora.rank needs Linear layers, and {type(encoder).__name__} has none")
    settings = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names)
    return LoraModel(encoder, settings, "default")
