"""AdamW, Adam, SGD, LARS and LAMB, and which parameters they decay and adapt.

AdamW, https://arxiv.org/abs/1711.05101, Adam, https://arxiv.org/abs/1412.6980, and SGD with momentum are torch's own.
LARS is https://arxiv.org/abs/1708.03888, LAMB is https://arxiv.org/abs/1904.00962 (Algorithm 2), both with foreach
operations. Departures: LARS applies the learning rate to the momentum buffer (as torch's SGD does), not inside it;
in both, parameters that are excluded from decay are also excluded from the layer-wise adaptation, as SimCLR, BYOL and
Barlow Twins train; LAMB's phi is the identity.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from unlabeled.errors import above, at_least, below_one

Groups = list[dict[str, Any]]
UNDECAYED = (  # how the last name ends of what never decays, however many dimensions it has
    "token", "tokens", "prefix", "pos_emb", "pos_embed", "pos_embeds", "pos_embedding", "pos_embeddings",
    "position_embedding", "position_embeddings", "embed_positions", "wpe", "rel_pos", "rel_pos_h", "rel_pos_w",
    "bias", "biases", "bias_table", "log_a", "a_log", "parametrizations.weight.original0",  # a weight norm's gain
)  # fmt: skip


def parameter_groups(*modules: nn.Module) -> Groups:
    """Trainable parameters, each once, in groups: those that decay, and those that do not.

    Not decayed: one-dimensional parameters (norm, bias, scales), class, mask and register tokens, position embeddings,
    relative positions and other biases, a state space's ``log_a``, and whatever a module lists in
    ``no_weight_decay()``, as timm's models do. What a module names in ``steady`` makes two groups more, whose learning
    rate follows no schedule.
    """
    steady = {id(p) for m in modules for name in getattr(m, "steady", ()) for p in getattr(m, name).parameters()}
    told = decays(*modules)
    groups: Groups = []
    for still in (False, True):
        for heavy, rest in ((True, {}), (False, {"weight_decay": 0.0, "adapt": False})):
            inside = [p for p, decayed in told if decayed == heavy and (id(p) in steady) == still]
            groups += [{"params": inside, **rest, **({"steady": True} if still else {})}] if inside else []
    return groups


def decays(*modules: nn.Module, undecayed: tuple[str, ...] = UNDECAYED) -> list[tuple[nn.Parameter, bool]]:
    """Trainable parameters, each once, and whether they decay."""
    found: dict[int, tuple[nn.Parameter, bool]] = {}
    for module in modules:
        listed = _listed(module)
        for name, parameter in module.named_parameters(remove_duplicate=True):
            kept = parameter.ndim < 2 or name in listed or name.removesuffix(".weight").lower().endswith(undecayed)
            if parameter.requires_grad:
                found.setdefault(id(parameter), (parameter, not kept))
    return list(found.values())


def set_rate(optimizer: Optimizer, factor: float, fraction: float) -> None:
    """Have the next step of ``optimizer``, which a run's parts made, at ``factor`` times its full learning rate (but
    for what is steady), and at the weight decay of the share ``fraction`` of the run that is done."""
    for group in optimizer.param_groups:
        group["lr"] = group["full_lr"] * (1.0 if group.get("steady") else factor)
        if "decay_ramp" in group:
            first, last = group["decay_ramp"]
            group["weight_decay"] = last + (first - last) * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))


def _listed(module: nn.Module) -> set[str]:
    """Full names of the parameters that submodules list in ``no_weight_decay()``."""
    found: set[str] = set()
    for prefix, sub in module.named_modules():
        names = getattr(sub, "no_weight_decay", None)
        if callable(names):
            found |= {f"{prefix}.{name}".lstrip(".") for name in names()}
    return found


def _check(lr: float, weight_decay: float, **rates: float) -> None:
    at_least(0, lr=lr, weight_decay=weight_decay)
    below_one(**rates)


def _tensors(groups: Groups) -> Iterable[Tensor]:
    return (parameter for group in groups for parameter in group["params"])


def _own(groups: Groups) -> Groups:
    """The groups without what torch's optimizers do not know."""
    return [{k: v for k, v in group.items() if k != "adapt"} for group in groups]


def _fused(groups: Groups) -> bool | None:
    """True on a CPU, where torch's default is a loop over single tensors, three times slower than its fused kernel."""
    return True if all(p.device.type == "cpu" for p in _tensors(groups)) else None


def _clippable(optimizer: Optimizer) -> Optimizer:
    """A fused optimizer on a CPU, where no loss is scaled, so that lightning need not refuse to clip under autocast."""
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    return optimizer


def adamw(
    groups: Groups,
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.05,
    final_weight_decay: float | None = None,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> Optimizer:
    """AdamW, https://arxiv.org/abs/1711.05101.

    Args:
        lr: learning rate at the schedule's factor 1 (alpha), at least 0.
        weight_decay: decoupled decay (lambda), times lr at each step, at least 0.
        final_weight_decay: what it goes to along a cosine by the end of the run, at least 0; None = it stays.
        beta1: decay of the mean of gradients, in [0, 1).
        beta2: decay of the mean of squared gradients, in [0, 1).
        eps: added to the denominator, above 0.
    """
    _check(lr, weight_decay, beta1=beta1, beta2=beta2)
    betas = (beta1, beta2)
    fused = _fused(groups)
    made = torch.optim.AdamW(_own(groups), lr=lr, weight_decay=weight_decay, betas=betas, eps=eps, fused=fused)
    if final_weight_decay is not None:
        at_least(0, final_weight_decay=final_weight_decay)
        for group, given in zip(made.param_groups, groups, strict=True):
            if "weight_decay" not in given:
                group["decay_ramp"] = (weight_decay, final_weight_decay)
    return _clippable(made) if fused else made


def adam(
    groups: Groups,
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    beta1: float = 0.9,
    beta2: float = 0.999,
) -> Optimizer:
    """Adam with L2 decay in the gradient, https://arxiv.org/abs/1412.6980, as graph papers train.

    An L2 term of 2e-4 in the gradient moves weights of small gradients, where AdamW's of the same size does next to
    nothing.

    Args:
        lr: learning rate at the schedule's factor 1, at least 0.
        weight_decay: L2 decay added to the gradient, at least 0.
        beta1: decay of the mean of gradients, in [0, 1).
        beta2: decay of the mean of squared gradients, in [0, 1).
    """
    _check(lr, weight_decay, beta1=beta1, beta2=beta2)
    betas = (beta1, beta2)
    fused = _fused(groups)
    made = torch.optim.Adam(_own(groups), lr=lr, weight_decay=weight_decay, betas=betas, fused=fused)
    return _clippable(made) if fused else made


def sgd(
    groups: Groups, *, lr: float = 0.1, weight_decay: float = 1e-4, momentum: float = 0.9, nesterov: bool = False
) -> Optimizer:
    """SGD with momentum.

    Args:
        lr: learning rate at the schedule's factor 1, at least 0.
        weight_decay: L2 decay added to the gradient, at least 0.
        momentum: in [0, 1).
        nesterov: look ahead along the momentum.
    """
    _check(lr, weight_decay, momentum=momentum)
    if nesterov and not momentum:
        raise ValueError("nesterov needs momentum above 0")
    return torch.optim.SGD(
        _own(groups), lr=lr, weight_decay=weight_decay, momentum=momentum, nesterov=nesterov, foreach=True
    )


# ---------------------------------------------------------------------------------------------- layer-wise rates


def trust_ratio(numerator: list[Tensor], denominator: list[Tensor]) -> list[Tensor]:
    """``numerator / denominator`` for each layer, and 1 where either is 0 (a new or a dead layer is not scaled)."""
    return [torch.where((n > 0) & (d > 0), n / d, 1.0) for n, d in zip(numerator, denominator, strict=True)]


class _Layerwise(Optimizer):
    """The paper's rule: ``update`` of all parameters of a group at once, or of ``one`` with fewer passes over memory.

    On a CPU a large layer is updated by itself, while it is in the cache; its norms are numbers, since none waits.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if "step" in group:
                group["step"] += 1
            parameters = [p for p in group["params"] if p.grad is not None]
            alone = [p for p in parameters if group["adapt"] and p.device.type == "cpu"]
            for p in alone:
                self.one(group, p, p.grad)
            together = parameters if not alone else [p for p in parameters if p.device.type != "cpu"]
            if together:
                self.update(group, together, [p.grad for p in together])
        return loss

    def update(self, group: dict[str, Any], p: list[Tensor], g: list[Tensor]) -> None:
        """Change ``p`` in place, given gradients ``g``."""
        raise AssertionError("each optimizer has its own rule")

    def one(self, group: dict[str, Any], p: Tensor, g: Tensor) -> None:
        """Change one layer in place that is adapted, given its gradient."""
        raise AssertionError("each optimizer has its own rule")

    def buffers(self, p: list[Tensor], name: str) -> list[Tensor]:
        """The state of that name for each parameter, zero at first."""
        for x in p:
            if name not in self.state[x]:
                self.state[x][name] = torch.zeros_like(x)
        return [self.state[x][name] for x in p]


class LARS(_Layerwise):
    """Layer-wise adaptive rates over SGD with momentum, https://arxiv.org/abs/1708.03888.

    Args:
        lr: global learning rate at the schedule's factor 1 (gamma), at least 0.
        weight_decay: L2 decay (beta), at least 0.
        momentum: (m), in [0, 1).
        trust: how much a layer may change its weights in one step (eta), above 0.
    """

    def __init__(
        self,
        groups: Groups,
        *,
        lr: float = 0.2,
        weight_decay: float = 1.5e-6,
        momentum: float = 0.9,
        trust: float = 0.001,
    ):
        _check(lr, weight_decay, momentum=momentum)
        above(0, trust=trust)
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "trust": trust, "adapt": True}
        super().__init__(groups, defaults)

    def update(self, group: dict[str, Any], p: list[Tensor], g: list[Tensor]) -> None:
        decay, velocity = group["weight_decay"], self.buffers(p, "momentum")
        if group["adapt"]:
            w_norm, g_norm = torch._foreach_norm(p), torch._foreach_norm(g)
            ratio = [group["trust"] * w / (a + decay * w) for w, a in zip(w_norm, g_norm, strict=True)]
            # a layer whose weights or gradient vanish takes the plain step
            alive = [torch.where((w > 0) & (a > 0), r, 1.0) for r, w, a in zip(ratio, w_norm, g_norm, strict=True)]
            g = list(torch._foreach_mul(torch._foreach_add(g, p, alpha=decay) if decay else g, alive))
        elif decay:
            g = list(torch._foreach_add(g, p, alpha=decay))
        torch._foreach_mul_(velocity, group["momentum"])
        torch._foreach_add_(velocity, g)
        torch._foreach_add_(p, velocity, alpha=-group["lr"])

    def one(self, group: dict[str, Any], p: Tensor, g: Tensor) -> None:
        decay, (velocity,) = group["weight_decay"], self.buffers([p], "momentum")
        w_norm, g_norm = p.norm().item(), g.norm().item()
        ratio = group["trust"] * w_norm / (g_norm + decay * w_norm) if w_norm and g_norm else 1.0
        velocity.mul_(group["momentum"]).add_(g, alpha=ratio)
        if decay:
            velocity.add_(p, alpha=ratio * decay)
        p.add_(velocity, alpha=-group["lr"])


class LAMB(_Layerwise):
    """Layer-wise adaptive rates over Adam, https://arxiv.org/abs/1904.00962, Algorithm 2.

    Args:
        lr: learning rate at the schedule's factor 1 (eta), at least 0.
        weight_decay: decoupled decay inside the layer's update (lambda), at least 0.
        beta1: decay of the mean of gradients, in [0, 1).
        beta2: decay of the mean of squared gradients, in [0, 1).
        eps: added to the denominator, above 0.
    """

    def __init__(
        self,
        groups: Groups,
        *,
        lr: float = 2e-3,
        weight_decay: float = 0.01,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-6,
    ):
        _check(lr, weight_decay, beta1=beta1, beta2=beta2)
        defaults = {"lr": lr, "weight_decay": weight_decay, "beta1": beta1, "beta2": beta2, "eps": eps, "adapt": True}
        super().__init__(groups, defaults | {"step": 0})

    def update(self, group: dict[str, Any], p: list[Tensor], g: list[Tensor]) -> None:
        beta1, beta2, t = group["beta1"], group["beta2"], group["step"]
        m, v = self.buffers(p, "mean"), self.buffers(p, "square")
        torch._foreach_lerp_(m, g, 1 - beta1)
        torch._foreach_mul_(v, beta2)
        torch._foreach_addcmul_(v, g, g, 1 - beta2)
        denominator = torch._foreach_div(v, 1 - beta2**t)
        torch._foreach_sqrt_(denominator)
        torch._foreach_add_(denominator, group["eps"])
        r = list(torch._foreach_div(torch._foreach_div(m, 1 - beta1**t), denominator))
        if group["weight_decay"]:
            torch._foreach_add_(r, p, alpha=group["weight_decay"])
        if group["adapt"]:
            torch._foreach_mul_(r, trust_ratio(list(torch._foreach_norm(p)), list(torch._foreach_norm(r))))
        torch._foreach_add_(p, r, alpha=-group["lr"])

    def one(self, group: dict[str, Any], p: Tensor, g: Tensor) -> None:
        beta1, beta2, t = group["beta1"], group["beta2"], group["step"]
        (m,), (v,) = self.buffers([p], "mean"), self.buffers([p], "square")
        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        root = math.sqrt(1 - beta2**t)  # both corrections of the bias in two numbers, so that no tensor is divided
        denominator = v.sqrt().add_(group["eps"] * root)
        r = p.mul(group["weight_decay"]).addcdiv_(m, denominator, value=root / (1 - beta1**t))
        ratio = trust_ratio([p.norm()], [r.norm()])[0].item()
        p.add_(r, alpha=-group["lr"] * ratio)
