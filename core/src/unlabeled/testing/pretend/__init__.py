"""A pretend accelerator: real numbers on the CPU that behave as if they lay on a device, so that device mistakes show.

``with pretending() as seen:`` gives a device ``pretend:0``. Tensors on it hold a CPU tensor inside; each operation is
checked as CUDA would check it, run on the inner tensors, and its results stand on the device again. So a tensor made
on the host and added to one on the device raises, and whatever makes a host wait (``.item()``, ``nonzero``, a boolean
index, ``torch.tensor(list, device=...)``) is counted, each with the line of the project that asked for it.

How: ``pretend`` is torch's PrivateUse1 device with a Python backend; tensors are wrapper subclasses, so autograd,
views, autocast and foreach run in torch's own C++ above them. A :class:`TorchDispatchMode` sees what has no wrapper
among its arguments: factories, copies between host and device. Autocast follows CUDA's lists (``AutocastPrivateUse1``
has none of its own). Why not ``device="cuda"``: the engine of torch 2.14 asks the CUDA driver for a context in
``backward``, also of a fake tensor.


What it cannot see:
- how exact a CUDA kernel is, and for which dtypes there is one (it checks that there is one, and products of integers):
  TF32, atomic additions in half precision, log and cos that differ in the last bit, cuDNN's choice of algorithm
- memory of the device, speed, streams, overlap of copies and compute, pinned memory
- code that asks `x.is_cuda`, `device.type == "cuda"` or `torch.cuda.*`: it takes the branch of another device
- several devices, collectives, DDP's hooks; forked workers that touch CUDA
- the generator of a CUDA device: dropout here draws from the host's
- torch.compile, CUDA graphs, custom kernels (flash attention, Triton), recurrent networks
- waits of the caching allocator, of cuDNN and cuBLAS set-up
- operations that change the shape of their argument in place (`x.t_()`): they raise NotImplementedError
"""

from unlabeled.testing.pretend.device import install as install
from unlabeled.testing.pretend.device import pretending as pretending
from unlabeled.testing.pretend.seen import NAME as NAME
from unlabeled.testing.pretend.seen import Seen as Seen
