"""Squared error of reconstructed content, row by row: MAE, https://arxiv.org/abs/2111.06377.

# H rows, C numbers of content in a row
"""

from torch import Tensor

from unlabeled.nn.precision import full


def squared_error(predicted_HC: Tensor, content_HC: Tensor) -> Tensor:
    """Mean squared difference of each row: ``[H]``.

    >>> squared_error(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]]))
    tensor([2.])
    """
    return (full(predicted_HC) - full(content_HC)).square().mean(-1)


def normalize_rows(content_HC: Tensor, eps: float = 1e-6) -> Tensor:
    """Each row with mean 0 and (unbiased) variance 1: contrast within a patch, not its brightness.

    >>> normalize_rows(torch.tensor([[1.0, 2.0, 3.0]]))
    tensor([[-1.0000,  0.0000,  1.0000]])
    """
    centered = content_HC - content_HC.mean(-1, keepdim=True)
    # spelled out, since torch's var warns where no row is hidden
    variance = centered.square().sum(-1, keepdim=True) / (content_HC.shape[-1] - 1)
    return centered / (variance + eps).sqrt()


def mae_loss(predicted_HC: Tensor, content_HC: Tensor, *, norm_pix: bool = True) -> Tensor:
    """Squared error of each hidden row, against its content or its normalized content: ``[H]``.

    >>> mae_loss(torch.tensor([[-1.0, 0.0, 1.0]]), torch.tensor([[10.0, 20.0, 30.0]]))
    tensor([0.])
    """
    target = full(content_HC)
    return squared_error(predicted_HC, normalize_rows(target) if norm_pix else target)
