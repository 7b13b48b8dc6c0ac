"""Operations that torch takes apart for a device that it does not know, whole again: attention and STFT."""

from typing import Any

import torch
from torch import Tensor

from unlabeled.testing.pretend.seen import refuse, site, stack
from unlabeled.testing.pretend.tensor import Pretend


def stft(
    x: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Tensor | None = None,
    normalized: bool = False, onesided: bool | None = None, return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:  # fmt: skip
    """torch's changes a tensor's shape in place, which a wrapper cannot follow: ``[B, N] -> [B, F, T]`` once more."""
    win_length = win_length or n_fft
    window = torch.ones(win_length, device=x.device) if window is None else window
    left = (n_fft - win_length) // 2
    window = torch.nn.functional.pad(window, (left, n_fft - win_length - left))
    flat = x if x.dim() == 2 else x[None]
    frames = flat.unfold(-1, n_fft, hop_length or n_fft // 4) * window
    out = torch.fft.rfft(frames) if onesided is not False else torch.fft.fft(frames)
    out = (out * n_fft**-0.5 if normalized else out).transpose(1, 2)
    return out if x.dim() == 2 else out[0]


def stft_centered(
    x: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Tensor | None = None,
    center: bool = True, pad_mode: str = "reflect", *rest: Any, **more: Any,
) -> Tensor:  # fmt: skip
    flat = x if x.dim() == 2 else x[None]
    if center:
        flat = torch.nn.functional.pad(flat[:, None], (n_fft // 2, n_fft // 2), mode=pad_mode)[:, 0]
    out = stft(flat, n_fft, hop_length, win_length, window, *rest, **more)
    return out if x.dim() == 2 else out[0]


class _Attention(torch.autograd.Function):
    """One kernel each way, as on CUDA; torch's own would be taken apart for a device that it does not know."""

    @staticmethod
    def forward(ctx: Any, q: Any, k: Any, v: Any, mask: Any, rest: dict[str, Any]) -> Tensor:
        ctx.leaves = [x.kept.detach().requires_grad_() for x in (q, k, v)]
        bias = None if mask is None else mask.kept.detach().requires_grad_(mask.is_floating_point())
        with torch._C._DisableTorchDispatch(), torch.enable_grad():
            ctx.out = torch.nn.functional.scaled_dot_product_attention(
                ctx.leaves[0], ctx.leaves[1], ctx.leaves[2], attn_mask=bias, **rest
            )
        ctx.leaves += [] if bias is None or not bias.requires_grad else [bias]
        if stack:
            stack[-1].launches[stack[-1].phase, site()] += 1
            if torch.is_grad_enabled() or any(x.requires_grad for x in (q, k, v)):
                stack[-1].unordered[stack[-1].phase, "attention's backward", site()] += 1
        return Pretend(ctx.out.detach())

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        with torch._C._DisableTorchDispatch():
            found = torch.autograd.grad(ctx.out, ctx.leaves, grads[0].kept, retain_graph=True)
        if stack:
            stack[-1].launches[stack[-1].phase, site()] += 1
        q, k, v, *bias = (Pretend(x) for x in found)
        return q, k, v, (bias[0] if bias else None), None


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, dropout_p: float = 0.0, is_causal: bool = False,
    *, scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    tensors = [x for x in (q, k, v, mask) if x is not None]
    if not all(isinstance(x, Pretend) for x in tensors):
        refuse("scaled_dot_product_attention: a tensor of the host beside tensors on the device")
        q, k, v = (x if isinstance(x, Pretend) else Pretend(x) for x in (q, k, v))
        mask = Pretend(mask) if mask is not None and not isinstance(mask, Pretend) else mask
    rest = {"dropout_p": dropout_p, "is_causal": is_causal, "scale": scale, "enable_gqa": enable_gqa}
    return _Attention.apply(q, k, v, mask, rest)
