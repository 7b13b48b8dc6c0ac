"""DinoSR: hidden frames predict the entry that a teacher who sees them falls into; which weights are averages."""

from dataclasses import replace

import pytest
import torch

from unlabeled.contract import Progress
from unlabeled.nn.layers import last_layers
from unlabeled.objectives.dinosr import DinoSR, dinosr_loss, shared
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_hide, toy_views


def test_equals_the_formula_written_out():
    torch.manual_seed(0)
    logits, ids = [torch.randn(6, 5) for _ in range(3)], [torch.randint(5, (6,)) for _ in range(3)]
    expected = torch.stack([-s.log_softmax(1)[torch.arange(6), i] for s, i in zip(logits, ids, strict=True)]).mean(0)
    torch.testing.assert_close(dinosr_loss(logits, ids), expected)


def start(**settings):
    torch.manual_seed(0)
    encoder = ToyEncoder(depth=3)
    objective = DinoSR(encoder, layers=2, entries=5, **settings)
    with torch.no_grad():
        for p in objective.teacher.parameters():
            p.add_(0.3 * torch.randn_like(p))
    views = [toy_hide(view, 6) for view in toy_views(toy_batch(range(4)), ("global", "global"), encoder)]
    objective(encoder, views)  # entries start on rows of the first batch
    objective._pending = []
    return encoder, objective, views


def by_hand(encoder, objective, view):
    """Targets and losses of the hidden rows, layer by layer, sample by sample."""
    index, rows, entries, losses = view.hidden.index, [], [], []
    blocks = objective.teacher.encoder(view.clean(), layers=(1, 2)).layers
    student = encoder(view, hide="mask").tokens[index]
    for block, book, head in zip(blocks, objective.codebooks, objective.heads, strict=True):
        x = torch.stack([(s - s.mean(0)) / (s.var(0, correction=0) + 1e-5).sqrt() for s in block.feed.split(16)])
        rows.append(x.flatten(0, 1)[index])
        entries.append(torch.cdist(rows[-1], book.sums / book.counts[:, None]).argmin(1))
        losses.append(-head(student).log_softmax(1)[torch.arange(len(index)), entries[-1]])
    return rows, entries, torch.stack(losses).mean(0)


def test_hidden_frames_predict_the_entries_of_a_teacher_who_sees_all():
    encoder, objective, views = start()
    found = objective(encoder, views)
    hand = [by_hand(encoder, objective, view) for view in views]
    torch.testing.assert_close(found.total, torch.cat([losses for _, _, losses in hand]).mean())
    for layer, (rows, ids, _) in enumerate(objective._pending):
        torch.testing.assert_close(rows, torch.cat([r[layer] for r, _, _ in hand]))
        assert torch.equal(ids, torch.cat([e[layer] for _, e, _ in hand]))
    found.total.backward()
    assert not any(p.grad is not None for p in objective.teacher.parameters())


def test_each_codebook_moves_to_the_rows_of_its_layer():
    encoder, objective, views = start(decay=0.5)
    objective(encoder, views)
    (rows, ids, _), book = objective._pending[1], objective.codebooks[1]
    counts, sums = book.counts.clone(), book.sums.clone()
    chosen = torch.nn.functional.one_hot(ids, 5).float()
    objective.after_step(encoder, Progress(1, 10))
    torch.testing.assert_close(book.counts, (counts + chosen.sum(0)) / 2)
    torch.testing.assert_close(book.sums, (sums + chosen.T @ rows) / 2)
    assert not objective._pending
    objective.eval()(encoder, views)
    assert not objective._pending


def test_the_teacher_averages_its_blocks_and_shares_the_rest():
    encoder, objective, _ = start(momentum=0.5, final_momentum=0.9, ramp=0.2, freeze=0.5)
    teacher = objective.teacher.encoder
    for step, momentum in ((0, 0.5), (1, 0.7), (4, 0.9)):
        before = [p.clone() for p in teacher.blocks.parameters()]
        with torch.no_grad():
            for p in encoder.parameters():
                p.add_(torch.randn_like(p))
        objective.after_step(encoder, Progress(step, 10))
        for old, new, own in zip(before, teacher.blocks.parameters(), encoder.blocks.parameters(), strict=True):
            torch.testing.assert_close(new, momentum * old + (1 - momentum) * own)
        assert torch.equal(teacher.embed.weight, encoder.embed.weight)
        assert torch.equal(teacher.place.weight, encoder.place.weight)
    assert len(shared(encoder)) == 2 + 2 + 2  # embed, place, two tokens


@pytest.mark.parametrize("freeze", [0.5, 1.0])
def test_after_the_freeze_the_teacher_and_the_entrance_stand_still(freeze):
    encoder, objective, _ = start(freeze=freeze)
    objective.after_step(encoder, Progress(1, 10))
    held = {name: p.clone() for name, p in objective.teacher.encoder.named_parameters()}
    with torch.no_grad():
        for p in encoder.parameters():
            p.add_(1)
    objective.after_step(encoder, Progress(5, 10))
    still = freeze < 1
    for name, p in objective.teacher.encoder.named_parameters():
        assert torch.equal(p, held[name]) == still, name
    for name, p in encoder.named_parameters():
        assert torch.equal(p, held[name]) == (still and name.startswith("embed")), name


def test_an_encoder_that_names_no_parts_is_averaged_whole():
    encoder, target = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    encoder.dim = 2
    objective, start = DinoSR(encoder, layers=1, momentum=0.5, final_momentum=0.5), encoder.weight.clone()
    objective.after_step(target, Progress(1, 10))
    torch.testing.assert_close(objective.teacher.encoder.weight, (start + target.weight) / 2)
    objective.after_step(encoder, Progress(9, 10))
    torch.testing.assert_close(objective.teacher.encoder.weight, (start + target.weight) / 2)


def test_blocks_without_a_feed_forward_part_give_their_output():
    _, objective, views = start()

    class Bare:
        def __call__(self, view, layers=()):
            found = objective.teacher.encoder(view, layers=layers)
            return replace(found, layers=tuple(replace(f, feed=None) for f in found.layers))

    (found,) = last_layers(Bare(), views[0], 1, feed=True)
    assert torch.equal(found.tokens, objective.teacher.encoder(views[0].clean()).tokens)
