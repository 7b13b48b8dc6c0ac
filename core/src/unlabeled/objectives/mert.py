"""MERT, https://arxiv.org/abs/2306.00107: at hidden frames, predict the codes of an acoustic teacher and the pitch.

The acoustic teacher is a residual quantizer with K codebooks (the paper's is EnCodec's; here, the tokenizer's:
audio's ``encodec`` or ``rvq``), each
predicted as HuBERT does; the musical teacher is the constant-Q spectrogram of the frame, predicted by squared error.
Differs: the loss over codebooks is their mean, so that its scale does not grow with K.

    # T packed frames, H hidden frames, K codebooks, C bins of the spectrogram
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from unlabeled.contract import Capability, Loss, Needs, View
from unlabeled.errors import at_least
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.reconstruction import squared_error
from unlabeled.nn.rows import target_rows
from unlabeled.nn.spread import usage_perplexity
from unlabeled.nn.units import CAUSE, UnitHead, local_deviation, local_penalty


class MERT(nn.Module):
    """Masked prediction of acoustic codes and of a spectrogram.

    Args:
        width: of the projection that is compared with a code's embedding, for each codebook.
        temperature: divides the cosines, tau.
        books: codes that the tokenizer gives each frame, K; 8 in the paper.
        spectrum: weight of the squared error of the constant-Q spectrogram.
        penalty: weight of the mean square of the convolutional features, where the encoder has such.
    """

    cause = CAUSE

    def __init__(
        self,
        encoder: Any,
        content: int,
        vocabulary: int,
        *,
        width: int = 64,
        temperature: float = 0.1,
        books: int = 8,
        spectrum: float = 1.0,
        penalty: float = 10.0,
    ) -> None:
        super().__init__()
        at_least(0, spectrum=spectrum, penalty=penalty)
        can: frozenset[Capability] = frozenset({"tokens", "mask"})
        self.needs = Needs(views={"global": 1}, hidden=True, content=1, vocabulary=2, encoder=can)
        self.spectrum, self.penalty = spectrum, penalty
        self.head = UnitHead(encoder.dim, width, vocabulary, books, temperature, "cosine")
        self.restore = nn.Linear(encoder.dim, content)

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        losses, errors, squares, right, codes = [], [], [], [], []
        for view in views:
            assert view.ids is not None
            assert view.content is not None
            ids, index = self.head.books_of(view.ids), target_rows(view)
            features = encoder(view, hide="mask")
            loss, correct = self.head(features.tokens[index], ids[index])
            losses.append(loss / self.head.books)
            right.append(correct)
            codes.append(ids)
            errors.append(squared_error(self.restore(features.tokens[index]), view.content[index]))
            squares.append(local_penalty(features, loss))
        acoustic, spectrum, square = union_mean(torch.cat(losses)), union_mean(torch.cat(errors)), torch.cat(squares)
        total = acoustic + self.spectrum * spectrum
        parts = {"acoustic": acoustic.detach(), "spectrum": spectrum.detach(), "accuracy": union_mean(torch.cat(right))}
        parts |= local_deviation(features)
        parts["code_perplexity"] = usage_perplexity(torch.cat(codes), self.head.vocabulary)
        if len(square) and self.penalty:
            total = total + self.penalty * union_mean(square)
        return Loss(total, parts)
