"""The device itself, made known to torch, and the context in which it is watched."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from unlabeled.testing.pretend.autocast import BANNED, LOWER, SINGLE, SINGLE_BY_DTYPE, WIDEST, autocast_kernel
from unlabeled.testing.pretend.composite import attention, stft, stft_centered
from unlabeled.testing.pretend.seen import NAME, Seen, stack
from unlabeled.testing.pretend.tensor import Pretend, device, run


class _Mode(TorchDispatchMode):
    """Sees what has no tensor on the device among its arguments: factories, and copies to it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class _Module:
    """``torch.pretend``: what torch asks of a device's module."""

    seeds: ClassVar[list[int]] = []

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def is_initialized() -> bool:
        return True

    @staticmethod
    def _is_in_bad_fork() -> bool:
        return False

    @staticmethod
    def current_device() -> int:
        return 0

    @staticmethod
    def device_count() -> int:
        return 1

    @staticmethod
    def manual_seed(seed: int) -> None:
        _Module.seeds.append(int(seed))

    manual_seed_all = manual_seed

    @staticmethod
    def get_amp_supported_dtype() -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    @staticmethod
    def get_rng_state(device: Any = None) -> Tensor:
        return torch.get_rng_state()

    @staticmethod
    def set_rng_state(state: Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)


class _Hook(torch._C._acc.PrivateUse1Hooks):
    def is_available(self) -> bool:
        return True

    def has_primary_context(self, index: int) -> bool:
        return True

    def is_built(self) -> bool:
        return True


@functools.cache
def install() -> torch.device:
    """The device, made known to torch; once a process."""
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend(NAME, backend_module=_Module(), hook=_Hook())
    install.rest = torch.library.Library("_", "IMPL", "AutocastPrivateUse1")  # type: ignore[attr-defined]
    install.rest.fallback(torch.library.fallthrough_kernel)  # type: ignore[attr-defined]
    install.composite = torch.library.Library("aten", "IMPL", "AutogradPrivateUse1")  # type: ignore[attr-defined]
    install.composite.impl("stft", stft)  # type: ignore[attr-defined]
    install.composite.impl("stft.center", stft_centered)  # type: ignore[attr-defined]
    install.composite.impl("scaled_dot_product_attention", attention)  # type: ignore[attr-defined]
    install.library = torch.library.Library("aten", "IMPL", "AutocastPrivateUse1")  # type: ignore[attr-defined]
    for rule, names in {"lower": LOWER, "single": SINGLE, "single by dtype": SINGLE_BY_DTYPE, "widest": WIDEST,
                        "banned": BANNED}.items():  # fmt: skip
        for name in names:
            try:
                install.library.impl(name, autocast_kernel(name, rule))  # type: ignore[attr-defined]
            except AttributeError:
                continue  # an operation that this torch lacks
    # optimizers choose foreach by the type of parameters and of the device, which a real accelerator's are of
    from torch.utils import _foreach_utils

    sys.modules[torch.optim.Optimizer.__module__]._foreach_supported_types.append(Pretend)
    _foreach_utils._foreach_supported_types.append(Pretend)  # type: ignore[arg-type]
    return device()


def _apply_in_place(apply: Callable[..., Any]) -> Callable[..., Any]:
    """``module.to(device)`` keeps the identity of parameters, as it does for a device of torch's own."""

    def wrapped(module: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        before = torch.__future__.get_swap_module_params_on_conversion()
        torch.__future__.set_swap_module_params_on_conversion(True)
        try:
            return apply(module, *args, **kwargs)
        finally:
            torch.__future__.set_swap_module_params_on_conversion(before)

    return wrapped


@contextlib.contextmanager
def pretending(*, lenient: bool = False) -> Iterator[Seen]:
    """The device, and what was seen on it."""
    install()
    seen = Seen(lenient)
    apply = torch.nn.Module._apply
    lift = torch._C._only_lift_cpu_tensors()
    threads = torch.autograd.is_multithreading_enabled()
    stack.append(seen)
    torch.nn.Module._apply = _apply_in_place(apply)  # type: ignore[method-assign]
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(list, device=...) copies from the host, and is seen
    torch.autograd.set_multithreading_enabled(False)  # the backward pass on this thread, with its Python stack
    try:
        with _Mode():
            yield seen
    finally:
        torch.nn.Module._apply = apply  # type: ignore[method-assign]
        torch._C._set_only_lift_cpu_tensors(lift)
        torch.autograd.set_multithreading_enabled(threads)
        stack.pop()
