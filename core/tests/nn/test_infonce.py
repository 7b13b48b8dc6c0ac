"""InfoNCE against info_nce, pytorch-metric-learning and lightly; chunks against the dense form."""

import pytest
import torch
import torch.nn.functional as F
from info_nce import InfoNCE
from lightly.loss import NTXentLoss
from pytorch_metric_learning.losses import NTXentLoss as MetricLearningNTXent
from pytorch_metric_learning.losses import SelfSupervisedLoss

from unlabeled.nn.infonce import info_nce, info_nce_queue, mean_logsumexp, nt_xent


@pytest.fixture
def data():
    """Unit vectors of two views, and a queue: from the shared conformance fixture, drawn in its order."""
    torch.manual_seed(0)
    z1, z2 = torch.randn(64, 32), torch.randn(64, 32)
    z2 = 0.5 * z1 + 0.5 * z2
    torch.randn(48, 32), torch.randn(2, 64, 48), torch.randn(4, 64, 48)
    queue = F.normalize(torch.randn(256, 32), dim=1)
    return F.normalize(z1, dim=1), F.normalize(z2, dim=1), queue


@pytest.mark.parametrize(("temperature", "golden"), [(0.5, 3.476437), (0.1, 0.393588)])
@pytest.mark.parametrize("chunk", [0, 1, 50, 128, 1000])
def test_nt_xent_equals_peers(data, temperature, golden, chunk):
    a, b, _ = data
    ours = nt_xent(a, b, temperature, chunk=chunk)
    assert ours.item() == pytest.approx(golden, rel=5e-6)
    lightly = NTXentLoss(temperature=temperature, memory_bank_size=0, gather_distributed=False)(a, b)
    metric = SelfSupervisedLoss(MetricLearningNTXent(temperature=temperature))(a, b)
    for peer in (lightly, metric):
        torch.testing.assert_close(ours, peer, rtol=1e-5, atol=0)


@pytest.mark.parametrize("chunk", [0, 1, 50])
def test_queue_equals_peer(data, chunk):
    a, b, queue = data
    ours = info_nce_queue(a, b, queue, 0.1, chunk=chunk)
    assert ours.item() == pytest.approx(0.660774, rel=2e-6)
    peer = InfoNCE(temperature=0.1, negative_mode="unpaired")(a, b, queue)
    torch.testing.assert_close(ours, peer, rtol=1e-5, atol=0)


@pytest.mark.parametrize("chunk", [0, 1, 50])
def test_in_batch_equals_peer(data, chunk):
    a, b, _ = data
    ours = info_nce(a, b, torch.arange(64), 0.1, chunk=chunk)
    assert ours.item() == pytest.approx(0.220260, rel=1e-5)
    torch.testing.assert_close(ours, InfoNCE(temperature=0.1)(a, b), rtol=1e-5, atol=0)


@pytest.mark.parametrize("chunk", [1, 7, 16, 100])
@pytest.mark.parametrize("with_extra", [False, True])
@pytest.mark.parametrize("with_exclude", [False, True])
def test_chunked_gradient_equals_dense(chunk, with_extra, with_exclude):
    """For every input, with logits up to 40, and with a factor from above."""
    torch.manual_seed(1)
    inputs = [torch.randn(16, 5), torch.randn(23, 5), torch.randn(16)]
    exclude = torch.randint(0, 23, (16,)) if with_exclude else None
    found = []
    for size in (0, chunk):
        query, keys, extra = (x.clone().requires_grad_() for x in inputs)
        value = mean_logsumexp(query, keys, 0.2, exclude_R=exclude, extra_R=extra if with_extra else None, chunk=size)
        (3.0 * value).backward()
        found.append([value, query.grad, keys.grad, *([extra.grad] if with_extra else [])])
    for dense, chunked in zip(*found, strict=True):
        torch.testing.assert_close(chunked, dense, rtol=1e-5, atol=1e-6)


def test_chunked_gradient_is_the_derivative():
    torch.manual_seed(2)
    query, keys = (torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (5, 7))
    extra = torch.randn(5, dtype=torch.float64, requires_grad=True)
    exclude = torch.tensor([0, 1, 6, 3, 3])

    def loss(q, k, e):
        return mean_logsumexp(q, k, 0.5, exclude_R=exclude, extra_R=e, chunk=2)

    assert torch.autograd.gradcheck(loss, (query, keys, extra))


def test_chunks_hold_no_more_than_a_chunk_of_the_matrix():
    """The largest tensor made is the chunk; the dense form makes the whole matrix."""

    class Largest(torch.utils._python_dispatch.TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.numel = max(self.numel, out.numel())
            return out

    a, b = torch.randn(2, 200, 4, requires_grad=True)
    sizes = {}
    for chunk in (0, 16):
        with Largest() as largest:
            nt_xent(a, b, 0.5, chunk=chunk).backward()
        sizes[chunk] = largest.numel
    assert sizes == {0: 400 * 400, 16: 16 * 400}


@pytest.mark.parametrize("chunk", [0, 3])
def test_large_logits_do_not_overflow(chunk):
    a = F.normalize(torch.randn(8, 4), dim=1).requires_grad_()
    loss = nt_xent(a, a, 1e-4, chunk=chunk)  # logits of 10,000
    loss.backward()
    assert loss.isfinite()
    assert a.grad.isfinite().all()


def test_only_what_asks_gets_a_gradient(data):
    a, _, queue = data
    query = a.clone().requires_grad_()
    mean_logsumexp(query, queue, 0.1, chunk=10).backward()
    assert query.grad is not None
    assert queue.grad is None
