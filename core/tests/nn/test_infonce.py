"""InfoNCE against info_nce, pytorch-metric-learning and lightly; chunks against the dense form."""

import pytest
import torch
import torch.nn.functional as F
from info_nce import InfoNCE
from lightly.loss import NTXentLoss
from pytorch_metric_learning.losses import NTXentLoss as MetricLearningNTXent
from pytorch_metric_learning.losses import SelfSupervisedLoss

from unlabeled.nn.infonce import against, contrast, info_nce, info_nce_queue, nt_xent


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
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("excluded", [0, 1, 2])
def test_chunked_gradient_equals_dense(chunk, decoupled, excluded):
    """For every input, with logits up to 40, and with a factor from above."""
    torch.manual_seed(1)
    inputs = [torch.randn(16, 5), torch.randn(23, 5), torch.randn(16)]
    exclude = torch.randint(0, 23, (16, excluded)) if excluded else None
    found = []
    for size in (0, chunk):
        made = [x.clone().requires_grad_() for x in inputs]
        value = contrast(*made, 0.2, exclude_RE=exclude, chunk=size, decoupled=decoupled)
        (3.0 * value).backward()
        found.append([value, *(x.grad for x in made)])
    for dense, chunked in zip(*found, strict=True):
        torch.testing.assert_close(chunked, dense, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("decoupled", [False, True])
def test_chunked_gradient_is_the_derivative(decoupled):
    torch.manual_seed(2)
    query, keys = (torch.randn(n, 3, dtype=torch.float64, requires_grad=True) for n in (5, 7))
    positive = torch.randn(5, dtype=torch.float64, requires_grad=True)
    exclude = torch.tensor([[0], [1], [6], [3], [3]])

    def loss(q, k, p):
        return contrast(q, k, p, 0.5, exclude_RE=exclude, chunk=2, decoupled=decoupled)

    assert torch.autograd.gradcheck(loss, (query, keys, positive))


@pytest.mark.parametrize("chunk", [0, 2])
def test_a_query_without_negatives_costs_nothing(chunk):
    query = torch.randn(3, 4, requires_grad=True)
    loss = info_nce(query, query.detach()[:1], torch.zeros(3, dtype=torch.int64), 0.1, chunk=chunk)
    loss.backward()
    assert loss == 0
    assert not query.grad.any()


def near(count=16, dim=64):
    """Two views that agree almost, among samples that have little in common: the loss is near 1e-6."""
    torch.manual_seed(0)
    a = F.normalize(torch.randn(count, dim).double(), dim=1)
    a = torch.linalg.qr(a.T)[0].T + 0.1 * a
    return F.normalize(a, dim=1), F.normalize(a + 0.02 * torch.randn(count, dim).double(), dim=1)


@pytest.mark.parametrize("chunk", [0, 5])
@pytest.mark.parametrize(
    "loss",
    [
        nt_xent,
        lambda a, b, t, **more: info_nce(a, b, torch.arange(len(a)), t, **more),
        lambda a, b, t, **more: info_nce_queue(a, b, -b.flip(0), t, **more),
    ],
    ids=["nt_xent", "in_batch", "queue"],
)
def test_a_small_loss_keeps_its_digits(loss, chunk):
    """In single precision, against the textbook's form in double: -log of the positive's share."""
    found = []
    for dtype, size in ((torch.float32, chunk), (torch.float64, 0)):
        a, b = (x.to(dtype).requires_grad_() for x in near())
        value = loss(a, b, 0.05, chunk=size)
        value.backward()
        found.append((value.detach().double(), a.grad.double(), b.grad.double()))
    (value, *gradients), (true, *slopes) = found
    assert true < 1e-4
    assert value.item() == pytest.approx(true.item(), rel=1e-4)
    for gradient, slope in zip(gradients, slopes, strict=True):
        assert (gradient - slope).norm() < 1e-4 * slope.norm()


def test_against_is_the_cross_entropy():
    logits = torch.randn(6, 9).double() * 5
    theirs = F.cross_entropy(logits, torch.zeros(6, dtype=torch.int64), reduction="none")
    torch.testing.assert_close(against(logits[:, 1:].logsumexp(1), logits[:, 0]), theirs)


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
    contrast(query, queue, torch.zeros(64), 0.1, chunk=10).backward()
    assert query.grad is not None
    assert queue.grad is None
