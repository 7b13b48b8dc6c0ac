"""wav2vec 2.0 against transformers 5.23: quantizer, distractors, both losses."""

import math

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2GumbelVectorQuantizer, _sample_negative_indices

from unlabeled.contract import Layout, Progress
from unlabeled.draw import Draw
from unlabeled.nn.chance import draw_at, draw_others
from unlabeled.nn.codebooks import GumbelProduct, gumbel_noise
from unlabeled.nn.spread import union_perplexity
from unlabeled.objectives.wav2vec2 import (
    Wav2Vec2,
    contrastive_loss,
    count_distractors,
    diversity_loss,
)
from unlabeled.testing.toys import ToyEncoder, toy_batch, toy_hide, toy_views

CONFIG = Wav2Vec2Config(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, conv_dim=(16, 16, 16),
    conv_kernel=(10, 3, 3), conv_stride=(5, 2, 2), num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    num_codevectors_per_group=4, codevector_dim=12, proj_codevector_dim=12, num_negatives=10, feat_extract_norm="layer",
)  # fmt: skip


def copied(theirs):
    groups, entries = theirs.num_groups, theirs.num_vars
    width = theirs.codevectors.shape[-1] * groups
    ours = GumbelProduct(theirs.weight_proj.in_features, width=width, groups=groups, entries=entries)
    ours.score.load_state_dict(theirs.weight_proj.state_dict())
    with torch.no_grad():
        ours.codebook.copy_(theirs.codevectors.view_as(ours.codebook))
    return ours


@pytest.fixture
def theirs():
    torch.manual_seed(0)
    model = Wav2Vec2ForPreTraining(CONFIG).eval()
    torch.nn.init.uniform_(model.quantizer.codevectors)
    torch.nn.init.normal_(model.quantizer.weight_proj.weight)
    return model


def test_both_losses_equal_transformers(theirs):
    x = torch.randn(2, 1600)
    frames = int(theirs._get_feat_extract_output_lengths(1600))
    mask = np.random.default_rng(0).random((2, frames)) < 0.5
    np.random.seed(0)
    negatives = torch.from_numpy(_sample_negative_indices((2, frames), CONFIG.num_negatives, mask)).long()
    mask = torch.from_numpy(mask)
    out = theirs(x, mask_time_indices=mask, sampled_negative_indices=negatives)
    ours = copied(theirs.quantizer)
    local = theirs.wav2vec2(x, mask_time_indices=mask).extract_features
    codes, numbers, p = ours(local[mask], None)
    lengths = tuple(mask.sum(1).tolist())
    place = torch.full((2, max(lengths), CONFIG.num_negatives), max(lengths))
    rank = mask.cumsum(1) - 1  # place of a masked frame among those of its clip
    for clip, count in enumerate(lengths):
        place[clip, :count] = rank[clip][negatives[clip][mask[clip]] - clip * frames]
    found = contrastive_loss(
        out.projected_states[mask],
        theirs.project_q(codes),
        numbers[:, 0] * 4 + numbers[:, 1],
        count_distractors(place, lengths),
        Layout(lengths, torch.zeros(sum(lengths), 1)),
        CONFIG.contrastive_logits_temperature,
    )
    torch.testing.assert_close(found.sum(), out.contrastive_loss, rtol=1e-5, atol=0)
    diverse = diversity_loss(union_perplexity(p), 2, 4) * mask.sum()
    torch.testing.assert_close(diverse, out.diversity_loss, rtol=1e-5, atol=0)


def test_the_gradient_equals_gathering_vectors():
    torch.manual_seed(0)
    lengths, count = (7, 5), 6
    layout = Layout(lengths, torch.zeros(12, 1))
    context, target = (torch.randn(12, 8, dtype=torch.float64, requires_grad=True) for _ in range(2))
    codes = torch.arange(12)
    place = draw_others(Draw(0, 0, torch.arange(2)), lengths, count)
    loss = contrastive_loss(context, target, codes, count_distractors(place, lengths).double(), layout).sum()
    expected = 0
    for clip, (c, t) in enumerate(zip(context.split(lengths), target.split(lengths), strict=True)):
        others = torch.cat([t[None], t[place[clip, : len(t)]].transpose(0, 1)])
        scores = torch.cosine_similarity(c[None], others, dim=-1) / 0.1
        expected = expected - scores.log_softmax(0)[0].sum()
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(
        torch.autograd.grad(loss, (context, target)), torch.autograd.grad(expected, (context, target)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_distractors_are_other_hidden_frames_of_the_clip_and_uniform():
    lengths = (6, 3, 1)
    place = draw_others(Draw(0, 0, torch.arange(3)), lengths, 2000)
    counts = count_distractors(place, lengths)
    assert counts.diagonal(dim1=1, dim2=2).sum() == 0
    assert counts[0].sum(1).tolist() == [2000.0] * 6
    assert counts[1, :3, :3].sum(1).tolist() == [2000.0] * 3
    assert counts[1, 3:].sum() == counts[1, :, 3:].sum() == counts[2].sum() == 0
    off = counts[0][~torch.eye(6, dtype=torch.bool)]
    assert ((off - 400).abs() < 5 * math.sqrt(2000 * 0.2 * 0.8)).all()


def test_a_clip_with_one_hidden_frame_has_no_loss():
    layout = Layout((1, 2), torch.zeros(3, 1))
    counts = count_distractors(draw_others(Draw(0, 0, torch.arange(2)), (1, 2), 5), (1, 2))
    loss = contrastive_loss(torch.randn(3, 4), torch.randn(3, 4), torch.arange(3), counts, layout)
    assert loss[0] == 0
    assert (loss[1:] > 0).all()


def test_equal_codes_are_no_distractors():
    layout = Layout((3,), torch.zeros(3, 1))
    counts = torch.ones(1, 3, 3) - torch.eye(3)
    loss = contrastive_loss(torch.randn(3, 4), torch.randn(3, 4), torch.tensor([7, 7, 7]), counts, layout)
    assert torch.equal(loss, torch.zeros(3))


def test_the_quantizer_equals_transformers_in_evaluation():
    torch.manual_seed(0)
    theirs = Wav2Vec2GumbelVectorQuantizer(CONFIG).eval()
    torch.nn.init.normal_(theirs.codevectors)
    torch.nn.init.normal_(theirs.weight_proj.weight)
    x = torch.randn(2, 9, 16)
    expected, perplexity = theirs(x)
    found, codes, p = copied(theirs)(x.flatten(0, 1), None)
    torch.testing.assert_close(found, expected.flatten(0, 1))
    torch.testing.assert_close(union_perplexity(p), perplexity)
    assert codes.shape == (18, 2)


def test_an_encoder_without_convolutions_is_told_by_its_needs():
    assert Wav2Vec2(ToyEncoder()).needs.encoder - ToyEncoder().can == {"local"}


@pytest.mark.parametrize("training", [True, False])
def test_hidden_frames_tell_the_code_of_their_own_local_features(training):
    torch.manual_seed(0)
    encoder = ToyEncoder(local=5)
    sizes = {"width": 8, "code_width": 6, "groups": 2, "entries": 3, "distractors": 4}
    objective = Wav2Vec2(encoder, diversity=0.3, penalty=2.0, temperature=0.2, **sizes).train(training)
    pair = toy_views(toy_batch(range(4)), ("global",) * 2, encoder)
    views = [toy_hide(view, 5, n) for n, view in enumerate(pair)]
    losses, choices, squares = [], [], []
    for number, view in enumerate(views):
        index, draw = view.hidden.index, draw_at(objective.clock.step, view.batch.ids, number)
        out = encoder(view, hide="mask")
        noise = gumbel_noise(draw, view.layout.group[index], view.layout.within[index], 6) if training else None
        codes, ids, p = objective.quantizer(out.normed[index], noise)
        context, code = objective.project_context(out.tokens[index]), objective.project_code(codes)
        for clip, place in enumerate(draw_others(draw, (5,) * 4, 4)):
            rows = slice(5 * clip, 5 * clip + 5)
            c, q, own = context[rows], code[rows], ids[rows]
            for t in range(5):
                others = [j for j in place[t].tolist() if not torch.equal(own[j], own[t])]
                scores = torch.cosine_similarity(c[t], q[[t, *others]], dim=-1) / 0.2
                losses.append(-scores.log_softmax(0)[0])
        choices.append(p)
        squares.append(out.local.square().mean(1))
    mean = torch.cat(choices).mean(0)
    perplexity = torch.exp(-(mean * (mean + 1e-30).log()).sum(1)).sum()
    expected = torch.stack(losses).mean() + 0.3 * (6 - perplexity) / 6 + 2.0 * torch.cat(squares).mean()
    found = objective(encoder, views)
    torch.testing.assert_close(found.total, expected)
    torch.testing.assert_close(found.parts["code_perplexity"], perplexity.detach() / 2)


def test_codes_are_chosen_ever_more_coldly():
    settings = {"gumbel_start": 2.0, "gumbel_end": 0.5, "gumbel_decay": 0.5}
    objective = Wav2Vec2(ToyEncoder(local=5), width=8, code_width=6, groups=2, entries=3, **settings)
    assert objective.quantizer.temperature == 2
    for step, wanted in ((1, 1.0), (5, 0.5)):
        objective.after_step(None, Progress(step, 10))
        assert objective.quantizer.temperature == wanted
