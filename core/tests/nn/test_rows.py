"""Hidden rows: what was dropped is put back."""

import torch

from unlabeled.contract import Rows
from unlabeled.nn.rows import restore


def test_restore_puts_tokens_where_they_were():
    tokens = torch.arange(6.0).reshape(3, 2).requires_grad_()
    token = torch.tensor([-1.0, -2.0], requires_grad=True)
    whole = restore(tokens, Rows(torch.tensor([0, 3, 4]), (1, 2)), token, 5)
    assert whole.tolist() == [[0, 1], [-1, -2], [-1, -2], [2, 3], [4, 5]]
    whole.sum().backward()
    assert token.grad.tolist() == [2, 2]
    assert (tokens.grad == 1).all()
    assert restore(tokens, None, token, 3) is tokens
