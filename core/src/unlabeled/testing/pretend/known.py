"""What is known of CUDA: which operations wait, add in any order, have no kernel, or take tensors of the host."""

import functools
from typing import Any

import torch

# the host waits until the device has done all that was asked of it before
WAITS = {
    "_local_scalar_dense": "item",
    "nonzero": "nonzero",
    "masked_select": "masked_select",
    "_unique": "unique",
    "_unique2": "unique",
    "unique_dim": "unique",
    "unique_consecutive": "unique",
    "unique_dim_consecutive": "unique",
    "bincount": "bincount reads min and max",
    "multinomial": "multinomial checks its weights",
    "equal": "equal",
    "_linalg_eigh": "linalg checks its errors",
    "_linalg_svd": "linalg checks its errors",
    "_linalg_check_errors": "linalg checks its errors",
    "linalg_eig": "linalg checks its errors",
    "linalg_lstsq": "linalg checks its errors",
    "histc": "histc reads min and max",
    "_coalesce": "coalesce",
    "_ctc_loss": "ctc_loss copies lengths",
    "matrix_exp": "matrix_exp",
    "segment_reduce": "segment_reduce checks lengths",
}
# of torch.use_deterministic_algorithms' documentation: what CUDA adds up in any order, but has an ordered form of ...
ANY_ORDER = {
    "index_add", "index_add_", "scatter_add", "scatter_add_", "scatter_reduce", "scatter_reduce_", "index_reduce",
    "index_reduce_", "attention's backward",
}  # fmt: skip
# ... and what it has none of: an error in deterministic mode
UNORDERED = {
    "cumsum", "histc", "upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward",
    "upsample_trilinear3d_backward", "_upsample_bilinear2d_aa_backward", "_upsample_bicubic2d_aa_backward",
    "grid_sampler_2d_backward", "grid_sampler_3d_backward", "_adaptive_avg_pool2d_backward",
    "_adaptive_avg_pool3d_backward", "adaptive_max_pool2d_backward", "adaptive_max_pool3d_backward",
    "max_pool3d_with_indices_backward", "avg_pool3d_backward", "max_unpool2d", "max_unpool3d",
    "reflection_pad1d_backward", "reflection_pad2d_backward", "reflection_pad3d_backward",
    "replication_pad1d_backward", "replication_pad2d_backward", "replication_pad3d_backward", "_ctc_loss_backward",
    "nll_loss2d_forward", "fractional_max_pool2d_backward", "fractional_max_pool3d_backward",
}  # fmt: skip
PRODUCTS = {"mm", "bmm", "addmm", "baddbmm", "convolution", "convolution_backward"}
NO_INTEGERS = {"mm", "bmm", "addmm", "baddbmm", "addbmm", "mv", "addmv", "dot", "convolution", "_convolution", "addmm_"}
SCALARS_OF_HOST = {  # besides pointwise operations: where a 0-dim tensor of the host may stand beside the device's
    "where", "masked_fill", "masked_fill_", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index_put",
    "fill", "fill_", "copy_", "copy", "_to_copy", "lerp", "lerp_", "addcmul", "addcdiv", "addcmul_", "addcdiv_",
    "index_fill", "index_fill_", "clamp", "clamp_", "clamp_min", "clamp_max",
}  # fmt: skip
LENGTHS_OF_HOST = {"_ctc_loss", "_ctc_loss_backward", "_pack_padded_sequence"}  # take lengths from the host
NO_LAUNCH = {
    "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_local_scalar_dense", "detach",
    "is_same_size", "_has_compatible_shallow_copy_type", "lift_fresh", "alias", "_unsafe_view", "_reshape_alias",
}  # fmt: skip


@functools.cache
def has_cuda_kernel(func: Any) -> bool:
    """Whether this torch, where it was built for CUDA, has a kernel of ``func`` for it (of any dtype)."""
    if torch.version.cuda is None or func.namespace != "aten":
        return True
    known = torch._C._dispatch_has_computed_kernel_for_dispatch_key
    return any(known(func.name(), key) for key in ("CUDA", "SparseCUDA", "SparseCsrCUDA"))
