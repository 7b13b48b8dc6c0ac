"""BEATs: labels of hidden patches from visible ones alone; its tokenizer: codes from which a teacher is restored."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from unlabeled.contract import Progress
from unlabeled.testing.toys import ToyDecoder, ToyEncoder, toy_batch, toy_hide, toy_views
from unlabeled_audio.objectives.beats import BEATs, BEATsTokenizer


def views_of(encoder):
    pair = toy_views(toy_batch(range(4)), ("global",) * 2, encoder)
    return [replace(toy_hide(view, 6, n), ids=torch.randint(7, (64,))) for n, view in enumerate(pair)]


def test_hidden_patches_are_classified_from_visible_ones():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective, views = BEATs(encoder, ToyDecoder, 7), views_of(encoder)
    losses, right = [], []
    for view in views:
        out = encoder(view, hide="drop")
        whole = objective.token.repeat(64, 1).index_copy(0, out.kept.index, out.tokens)
        scores = objective.decoder(whole, view.layout)[view.hidden.index]
        losses.append(F.cross_entropy(scores, view.ids[view.hidden.index], reduction="none"))
        right.append((scores.argmax(1) == view.ids[view.hidden.index]).float())
    found = objective(encoder, views)
    torch.testing.assert_close(found.total, torch.cat(losses).mean())
    torch.testing.assert_close(found.parts["accuracy"], torch.cat(right).mean())
    with pytest.raises(ValueError, match="gives 2 labels a patch"):
        objective(encoder, [replace(views[0], ids=torch.zeros(64, 2, dtype=torch.int64))])


def started(**settings):
    torch.manual_seed(0)
    encoder, teacher = ToyEncoder(), ToyEncoder(depth=1)
    objective = BEATsTokenizer(encoder, ToyDecoder, teacher, entries=5, width=6, **settings)
    views = [view.clean() for view in views_of(encoder)]
    objective(encoder, views)  # entries start on the first batch
    objective._pending = []
    return encoder, teacher, objective, views


def test_the_teacher_is_restored_from_codes_near_the_encoders_output():
    encoder, teacher, objective, views = started(commitment=0.4)
    book = F.normalize(objective.codebook.sums)
    distances, commitments = [], []
    for view in views:
        z = F.normalize(objective.enter(encoder(view).tokens))
        code = book[torch.cdist(z, book).argmin(1)]
        restored = objective.decoder(code, view.layout)
        distances.append(1 - torch.cosine_similarity(restored, teacher(view).tokens))
        commitments.append((z - code).square().sum(1))
    found = objective(encoder, views)
    torch.testing.assert_close(found.total, torch.cat(distances).mean() + 0.4 * torch.cat(commitments).mean())
    found.total.backward()
    assert not any(p.grad is not None for p in teacher.parameters())


def test_what_is_restored_is_the_teachers_view_of_the_whole_clip():
    encoder, _, objective, views = started()
    seen = []
    objective.teacher.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].hidden))
    objective(encoder, [toy_hide(view, 6) for view in views])
    assert seen == [None, None]


def test_the_gradient_of_what_is_restored_goes_through_the_code_to_the_encoder():
    encoder, _, objective, views = started(commitment=0.0)
    objective(encoder, views).total.backward()
    assert objective.enter.weight.grad.abs().max() > 0
    assert encoder.embed.weight.grad.abs().max() > 0


def test_codes_move_to_the_rows_that_chose_them():
    encoder, _, objective, views = started(decay=0.5)
    objective(encoder, views)
    sums = objective.codebook.sums.clone()
    seen = sum(F.one_hot(ids, 5).float().T @ F.normalize(rows) for rows, ids, _ in objective._pending[:1])
    objective._pending = objective._pending[:1]
    objective.after_step(encoder, Progress(1, 10))
    torch.testing.assert_close(objective.codebook.sums, (sums + seen) / 2)
    objective.eval()(encoder, views)
    assert not objective._pending
