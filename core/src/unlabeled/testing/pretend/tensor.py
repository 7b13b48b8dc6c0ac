"""A tensor on the pretended device, and an operation on it: checked as CUDA would, run on what the tensors hold."""

import functools
import itertools
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from unlabeled.testing.pretend.known import (
    ANY_ORDER,
    LENGTHS_OF_HOST,
    NO_INTEGERS,
    NO_LAUNCH,
    PRODUCTS,
    SCALARS_OF_HOST,
    UNORDERED,
    WAITS,
    has_cuda_kernel,
)
from unlabeled.testing.pretend.seen import BLOCKING, NAME, NON_BLOCKING, Seen, note_wait, refuse, site, stack


@functools.cache
def device() -> torch.device:
    """The device, whose name torch knows once it is installed."""
    return torch.device(NAME, 0)


class Pretend(Tensor):
    """A tensor on the pretended device; ``kept`` is what it holds."""

    kept: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, inner: Tensor) -> Self:
        assert not isinstance(inner, Pretend)
        if inner.layout == torch.strided:
            if inner.is_conj():
                inner = inner.resolve_conj()
            if inner.is_neg():
                inner = inner.resolve_neg()
            made = Tensor._make_wrapper_subclass(
                cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
                layout=inner.layout, device=device(), requires_grad=False,
            )  # fmt: skip
        else:
            options: Any = {"dtype": inner.dtype, "layout": inner.layout, "device": device()}
            made = Tensor._make_wrapper_subclass(cls, inner.shape, **options)
        made.kept = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return run(func, args, kwargs or {})

    def __tensor_flatten__(self) -> Any:
        return ["kept"], None  # so that module.to(device) swaps parameters in place

    @staticmethod
    def __tensor_unflatten__(parts: dict[str, Tensor], context: Any, size: Any, stride: Any) -> Any:
        return Pretend(parts["kept"])

    def tolist(self) -> Any:
        note_wait("tolist")
        return self.kept.tolist()

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            refuse("numpy() of a tensor on the device")
        note_wait("numpy")
        return self.kept.detach().numpy()

    def __array__(self, dtype: Any = None) -> Any:
        refuse("NumPy reads a tensor on the device")
        return self.kept.detach().numpy() if dtype is None else self.kept.detach().numpy().astype(dtype)

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"Pretend({self.kept!r})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.dim() == 0 else repr(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        note_wait("pickled")
        held = self.kept.detach().clone()
        return held.__reduce_ex__(protocol)

    def pin_memory(self, *_: Any) -> Any:
        refuse("pin_memory() of a tensor on the device")
        return self

    def cpu(self, *_: Any, **__: Any) -> Tensor:
        return self.to("cpu")


def held(x: Any) -> Any:
    """The tensor inside, of whatever is on the device; all else as it is."""
    kind = type(x)
    if kind is Pretend:
        return x.kept
    if kind in (list, tuple):
        return kind([held(y) for y in x])
    return {k: held(y) for k, y in x.items()} if kind is dict else x


def lifted(x: Any) -> Any:
    """What an operation gave, on the device."""
    if isinstance(x, Tensor):
        return x if type(x) is Pretend else Pretend(x)
    return type(x)([lifted(y) for y in x]) if isinstance(x, (list, tuple)) else x


def _leaves(x: Any, into: list[Tensor]) -> list[Tensor]:
    for y in x:
        if isinstance(y, Tensor):
            into.append(y)
        elif isinstance(y, (list, tuple)):
            _leaves(y, into)
    return into


def on_device(device: Any) -> bool:
    return device is not None and torch.device(device).type == NAME


# ---------------------------------------------------------------------------------------------- an operation


@functools.cache
def _shape_of(func: Any) -> tuple[str, bool, bool, tuple[int | None, ...], bool]:
    """Name, whether pointwise, whether it only views, which argument each result is, whether it writes."""
    schema = func._schema
    name = schema.name.split("::")[-1]
    writes: dict[str, int] = {}
    for number, argument in enumerate(schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            for mark in argument.alias_info.before_set:
                writes[mark] = number
    results: list[int | None] = []
    views = bool(schema.returns)
    for result in schema.returns:
        info = result.alias_info
        views = views and info is not None and not info.is_write
        written = info is not None and info.is_write
        results.append(next((writes[m] for m in info.before_set if m in writes), None) if written else None)
    return name, torch.Tag.pointwise in func.tags, views, tuple(results), bool(writes)


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation as CUDA would do it, on what the tensors hold."""
    seen = stack[-1] if stack else None
    leaves = _leaves(kwargs.values(), _leaves(args, [])) if kwargs else _leaves(args, [])
    mine = [x for x in leaves if isinstance(x, Pretend)]
    asked = kwargs.get("device")
    name, pointwise, views, results, writes = _shape_of(func)
    target = on_device(asked) if asked is not None else bool(mine)

    if name == "_pin_memory" and not mine:
        return args[0].clone()
    if name in ("_thnn_fused_lstm_cell", "_thnn_fused_gru_cell"):
        raise NotImplementedError(f"{name}: recurrent networks are not pretended")
    if not mine and not target:
        return func(*args, **kwargs)

    generator = kwargs.get("generator")
    if generator is not None and target and generator.device.type == "cpu" and seen is not None:
        seen.refuse(f"{name}: a generator of the host for a tensor on the device")

    if name == "_to_copy" or name == "copy_":
        return _copy(func, name, args, kwargs, seen)

    plain = [x for x in leaves if not isinstance(x, Pretend)]
    if plain and mine and asked is None and seen is not None:
        _check_devices(name, pointwise, args, kwargs, results, seen)
    if seen is not None:
        _count(func, name, views, args, kwargs, leaves, seen)

    if asked is not None and target:
        kwargs = {**kwargs, "device": "cpu"}
    out = func(*held(args), **held(kwargs))
    if seen is not None and name in PRODUCTS:
        seen.flops[seen.phase, str(leaves[0].dtype).removeprefix("torch.")] += _flops(name, args, out)
    if asked is not None and not target:
        return out  # made on the host, like something on the device
    if not func._schema.returns:
        return out
    if writes:
        return _written(func, args, kwargs, results, out)
    return lifted(out)


def _written(func: Any, args: Any, kwargs: dict[str, Any], results: tuple[int | None, ...], out: Any) -> Any:
    """The very tensors that were written to, where results are arguments."""
    single = len(results) == 1
    outs = [out] if single else list(out)
    given = []
    for number, value in zip(results, outs, strict=True):
        if number is None:
            given.append(lifted(value))
            continue
        argument = func._schema.arguments[number]
        original = args[number] if number < len(args) else kwargs[argument.name]
        if isinstance(original, Pretend) and original.shape != original.kept.shape:
            raise NotImplementedError(f"{func} changes the shape of its argument: the wrapper would not")
        given.append(original)
    return given[0] if single else tuple(given)


def _copy(func: Any, name: str, args: Any, kwargs: dict[str, Any], seen: Seen | None) -> Any:
    """Between host and device, and on the device."""
    if name == "copy_":
        to, source = args[0], args[1]
        later = bool(args[2]) if len(args) > 2 else bool(kwargs.get("non_blocking", False))
        here, there = isinstance(source, Pretend), isinstance(to, Pretend)
    else:
        to, source = None, args[0]
        later = bool(kwargs.get("non_blocking", False))
        here = isinstance(source, Pretend)
        there = on_device(kwargs["device"]) if kwargs.get("device") is not None else here
    if seen is not None:
        if here and not there:
            seen.wait("copy to the host")
            if later:
                seen.refuse("a non-blocking copy to the host: it is read before it is there")
        elif there and not here:
            seen.uploads[seen.phase] += source.numel() * source.element_size()
            seen.wait(NON_BLOCKING if later else BLOCKING)
        else:
            _count(func, name, False, args, kwargs, [source], seen)
    if name == "copy_":
        held(to).copy_(held(source))
        return to
    if there:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    out = func(held(source), **kwargs)
    if out is held(source):
        out = out.clone()
    return Pretend(out) if there else out


def _check_devices(name: str, pointwise: bool, args: Any, kwargs: dict[str, Any], results: Any, seen: Seen) -> None:
    """Refuse tensors of the host beside those of the device, but where CUDA takes them."""
    if name in ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"):
        base, indices = args[0], args[1]
        if not isinstance(base, Pretend):
            seen.refuse(f"{name}: the indices are on the device and the tensor is on the host")
            return
        for index in indices:
            if isinstance(index, Tensor) and not isinstance(index, Pretend):
                seen.wait("an index of the host is copied to the device")
        values = args[2] if len(args) > 2 else kwargs.get("values")
        if isinstance(values, Tensor) and not isinstance(values, Pretend) and values.dim():
            seen.refuse(f"{name}: values of the host")
        return
    if name in LENGTHS_OF_HOST:
        return
    scalar = pointwise or name in SCALARS_OF_HOST or name.startswith("_foreach")
    written = {n for n in results if n is not None}
    for number, value in itertools.chain(enumerate(args), kwargs.items()):
        for x in pytree.tree_leaves(value):
            if not isinstance(x, Tensor) or isinstance(x, Pretend):
                continue
            if x.dim() == 0 and scalar and number not in written:
                continue
            if name.startswith(("_fused_adam", "_fused_sgd")) and x.dim() == 0:
                continue
            shape = "a 0-dim tensor" if x.dim() == 0 else f"a tensor {list(x.shape)}"
            seen.refuse(f"{name}: {shape} of the host beside tensors on the device")
            return


def _count(
    func: Any, name: str, views: bool, args: Any, kwargs: dict[str, Any], leaves: list[Tensor], seen: Seen
) -> None:
    """Launches, waits, and what CUDA does in any order or not at all."""
    if not views and name not in NO_LAUNCH:
        seen.launches[seen.phase, site()] += 1
        if leaves and leaves[0].dtype == torch.float64:
            seen.doubles[seen.phase, site()] += max(x.numel() for x in leaves)
        seen.kernels[str(func), tuple(sorted({str(x.dtype).removeprefix("torch.") for x in leaves}))] += 1
    reason = "" if kwargs.get("unsafe") else WAITS.get(name, "")
    if reason:
        seen.wait(reason)
    elif name == "repeat_interleave":
        counts = kwargs.get("output_size") if kwargs else None
        if counts is None and isinstance(args[0], Tensor) and len(args) == 1:
            seen.wait("repeat_interleave without output_size")
    elif name in ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"):
        masks = [i for i in args[1] if isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8)]
        values = args[2] if len(args) > 2 else None
        accumulate = args[3] if len(args) > 3 else kwargs.get("accumulate", False)
        fills = isinstance(values, Tensor) and values.numel() == 1 and not accumulate and len(masks) == len(args[1])
        if masks and not fills:
            seen.wait("index by a boolean mask")
    if (name in ANY_ORDER or name in UNORDERED) and _adds_floats(name, args, kwargs, leaves):
        seen.unordered[seen.phase, name if name in ANY_ORDER else f"{name}!", site()] += 1
    if not has_cuda_kernel(func):
        seen.refuse(f"{name} has no CUDA kernel")
    if name in NO_INTEGERS and leaves and not (leaves[0].is_floating_point() or leaves[0].is_complex()):
        seen.refuse(f"{name} has no CUDA kernel for {leaves[0].dtype}")


def _flops(name: str, args: Any, out: Any) -> int:
    if name == "convolution_backward":
        grad, _, weight = args[:3]
        return 4 * grad.numel() * weight[0].numel()
    if name == "convolution":
        return int(2 * out.numel() * args[1][0].numel())
    left = args[1] if name in ("addmm", "baddbmm") else args[0]
    return int(2 * out.numel() * left.shape[-1])


def _adds_floats(name: str, args: Any, kwargs: dict[str, Any], leaves: list[Tensor]) -> bool:
    if not leaves[0].is_floating_point():
        return False
    if name.startswith("scatter_reduce"):
        return (args[4] if len(args) > 4 else kwargs.get("reduce")) in ("sum", "mean", "prod")
    return True
