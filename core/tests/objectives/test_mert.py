"""MERT: at hidden frames alone, the codes of every book and the spectrogram of the clean sound."""

from dataclasses import replace

import torch
import torch.nn.functional as F

from unlabeled.objectives.mert import MERT
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_hide, toy_views


def test_hidden_frames_predict_codes_and_spectrogram():
    torch.manual_seed(0)
    encoder = ToyEncoder(local=5)
    objective = MERT(encoder, 4, 7, width=3, books=2, spectrum=0.5, penalty=2.0)
    views = [toy_hide(view, 5, n) for n, view in enumerate(toy_views(toy_batch(range(4)), ("global",) * 2, encoder))]
    views = [replace(view, ids=torch.randint(7, (64, 2))) for view in views]
    codes, errors, squares = [], [], []
    for view in views:
        out, index = encoder(view, hide="mask"), view.hidden.index
        parts = objective.head.project(out.tokens[index]).chunk(2, 1)
        scores = [F.normalize(x) @ F.normalize(u).T / 0.1 for x, u in zip(parts, objective.head.units, strict=True)]
        codes.append(sum(F.cross_entropy(s, view.ids[index, k], reduction="none") for k, s in enumerate(scores)) / 2)
        errors.append((objective.restore(out.tokens[index]) - view.content[index]).square().mean(1))
        squares.append(out.local.square().mean(1))
    expected = torch.cat(codes).mean() + 0.5 * torch.cat(errors).mean() + 2.0 * torch.cat(squares).mean()
    torch.testing.assert_close(objective(encoder, views).total, expected)
