"""Self-distillation of outputs: a head with prototypes, a teacher's sharpened distribution, entropies across views.

DINO, https://arxiv.org/abs/2104.14294; iBOT, https://arxiv.org/abs/2111.07832.

    # B samples, D features, K outputs, G global views (the teacher's), V views (the student's; the global ones first)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.nn.distributed import all_reduce
from unlabeled.nn.heads import Norm, mlp, unit
from unlabeled.nn.precision import full, full_precision
from unlabeled.nn.prototypes import held


def teacher_probabilities(teacher_GBK: Tensor, center_K: Tensor, temperature: Tensor | float) -> Tensor:
    """The teacher's output, centered and sharpened: ``[G, B, K]``, each row summing to 1.

    >>> teacher_probabilities(torch.tensor([[[1.0, 3.0]]]), torch.tensor([1.0, 3.0]), 0.1)
    tensor([[[0.5000, 0.5000]]])
    """
    return F.softmax((teacher_GBK - center_K) / temperature, dim=-1)


def entropy(p: Tensor) -> Tensor:
    """Mean entropy of the distributions in the last dimension, in nats.

    >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
    tensor(0.3466)
    """
    return -torch.special.xlogy(p, p).sum(-1).mean()


def cross_view_entropy(student_VBK: Tensor, target_GBK: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy of every student view against the ``target_GBK`` of every other view.

    >>> cross_view_entropy(torch.zeros(2, 1, 4), torch.full((2, 1, 4), 0.25), 1.0)
    tensor(1.3863)
    """
    if len(student_VBK) < 2:
        raise ValueError(f"the student needs a view that the teacher's is not; found {len(student_VBK)}")
    logs = F.log_softmax(student_VBK / temperature, dim=-1)
    terms_GV = -torch.einsum("gbk,vbk->gv", target_GBK, logs) / student_VBK.shape[1]
    same = torch.eye(*terms_GV.shape, dtype=torch.bool, device=terms_GV.device)
    count = terms_GV.numel() - min(terms_GV.shape)
    return terms_GV.masked_fill(same, 0.0).sum() / count


class Head(nn.Module):
    """Three layers, a bottleneck of length 1, and cosines with the prototypes: ``[B, D] -> [B, K]``.

    >>> Head(8, 16, 4, 12)(torch.randn(2, 8), torch.ones(())).shape
    torch.Size([2, 12])
    """

    def __init__(self, dim: int, hidden: int, bottleneck: int, prototypes: int, norm: Norm = "none") -> None:
        super().__init__()
        self.layers = mlp((dim, hidden, hidden, bottleneck), norm=norm, activation="gelu")
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        self.prototypes = nn.Parameter(torch.randn(prototypes, bottleneck))

    def forward(self, x_BD: Tensor, learn: Tensor) -> Tensor:
        """``learn`` multiplies the gradient of the prototypes: 0 holds them still."""
        x = unit(self.layers(x_BD))
        with full_precision(x):
            return x @ unit(held(self.prototypes, learn)).T


class Center(nn.Module):
    """A running mean of outputs over all ranks, which starts at the first one; a buffer, moved by :meth:`step`.

    >>> center = Center(2, momentum=0.9)
    >>> center(torch.tensor([[1.0, 3.0], [3.0, 5.0]]))
    tensor([2., 4.])
    """

    value: Tensor
    seen: Tensor

    def __init__(self, outputs: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("value", torch.zeros(outputs))
        self.register_buffer("seen", torch.zeros((), dtype=torch.bool))
        self._means: list[Tensor] = []  # of each forward pass of this step

    @torch.no_grad()
    def forward(self, outputs_NK: Tensor) -> Tensor:
        """``[K]``: the center for these outputs of this rank, which are kept for the next."""
        x = full(outputs_NK)
        total = all_reduce(torch.cat((x.sum(0), x.new_full((1,), float(len(x))))))
        mean = total[:-1] / total[-1].clamp(min=1)
        if self.training:
            self._means.append(mean)
        return torch.where(self.seen, self.value.to(mean.dtype), mean)

    @torch.no_grad()
    def step(self) -> None:
        """Move to the means of the step that is done."""
        if self._means:
            mean = torch.stack(self._means).mean(0).to(self.value.dtype)
            self.value.copy_(torch.where(self.seen, self.value.lerp(mean, 1 - self.momentum), mean))
            self.seen.fill_(True)
            self._means.clear()
