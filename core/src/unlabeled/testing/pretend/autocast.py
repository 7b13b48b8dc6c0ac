"""Autocast by CUDA's lists, which torch does not have for a device that it does not know."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from unlabeled.testing.pretend.seen import NAME, refuse
from unlabeled.testing.pretend.tensor import Pretend

# ATen/autocast_mode.h of torch 2.x: what CUDA casts
LOWER = (
    "conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d.input", "conv_transpose3d.input",
    "convolution", "prelu", "addmm", "addmv", "addr", "matmul", "einsum", "mm", "mv", "linalg_vecdot", "linear",
    "addbmm", "baddbmm", "bmm", "chain_matmul", "linalg_multi_dot", "lstm_cell", "gru_cell", "rnn_tanh_cell",
    "rnn_relu_cell", "scaled_dot_product_attention",
)  # fmt: skip
SINGLE = (
    "acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal", "rsqrt", "sinh",
    "tan", "pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar", "softplus", "layer_norm", "native_layer_norm",
    "group_norm", "frobenius_norm.dim", "nuclear_norm", "nuclear_norm.dim", "cosine_similarity", "poisson_nll_loss",
    "cosine_embedding_loss", "nll_loss", "nll_loss2d", "hinge_embedding_loss", "kl_div", "l1_loss", "smooth_l1_loss",
    "huber_loss", "mse_loss", "margin_ranking_loss", "multilabel_margin_loss", "soft_margin_loss",
    "triplet_margin_loss", "multi_margin_loss", "binary_cross_entropy_with_logits", "dist", "pdist", "cdist", "renorm",
    "logsumexp", "upsample_nearest1d", "_upsample_nearest_exact1d", "upsample_nearest2d", "_upsample_nearest_exact2d",
    "upsample_nearest3d", "_upsample_nearest_exact3d", "upsample_linear1d", "upsample_bilinear2d",
    "_upsample_bilinear2d_aa", "upsample_trilinear3d", "upsample_bicubic2d", "_upsample_bicubic2d_aa",
    "norm.Scalar", "norm.ScalarOpt_dim", "norm.names_ScalarOpt_dim",
)  # fmt: skip
SINGLE_BY_DTYPE = ("prod", "prod.dim_int", "softmax.int", "log_softmax.int", "cumprod", "cumsum", "linalg_vector_norm",
                   "sum", "sum.dim_IntList")  # fmt: skip
WIDEST = ("addcdiv", "addcmul", "atan2", "bilinear", "cross", "dot", "vdot", "grid_sampler", "index_put", "tensordot",
          "scatter_add", "cat", "stack")  # fmt: skip
BANNED = ("binary_cross_entropy",)


def _eligible(x: Any) -> bool:
    return isinstance(x, Pretend) and x.is_floating_point() and x.dtype != torch.float64


def _cast(x: Any, dtype: torch.dtype) -> Any:
    return pytree.tree_map_only(Tensor, lambda t: t.to(dtype) if _eligible(t) and t.dtype != dtype else t, x)


def autocast_kernel(name: str, rule: str) -> Callable[..., Any]:
    packet, _, overload = name.partition(".")
    operation = getattr(getattr(torch.ops.aten, packet), overload or "default")
    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)  # type: ignore[attr-defined]

    def kernel(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(keys):
            found = [x for x in pytree.arg_tree_leaves(*args, **kwargs) if _eligible(x)]
            if rule == "lower":
                dtype: Any = torch.get_autocast_dtype(NAME)
            elif rule == "single":
                dtype = torch.float32
            elif rule == "single by dtype":
                given = any(isinstance(x, torch.dtype) for x in (*args, *kwargs.values()))
                dtype = None if given else torch.float32
            elif rule == "widest":
                dtype = torch.float32 if any(x.dtype == torch.float32 for x in found) else None
            else:
                refuse(f"{name} is unsafe to autocast")
                dtype = None
            if dtype is not None:
                args, kwargs = _cast(args, dtype), _cast(kwargs, dtype)
            return operation(*args, **kwargs)

    return kernel
