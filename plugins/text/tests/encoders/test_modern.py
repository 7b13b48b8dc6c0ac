"""The packed encoders: transformers' own outputs, no attention across samples, no trace of padding."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from unlabeled.contract import Layout, Rows, View
from unlabeled_text.batch import TextSpec
from unlabeled_text.encoders.modern import Causal, Modern
from unlabeled_text.ops import laws
from unlabeled_text.ops.attention import (
    ALIKE,
    SMALL,
    allowed,
    attend,
    bucketed,
    gather,
    rotary,
    rotate,
    shapes_of,
    spread,
)

SPEC = laws.spec_for_tests(200, 300)
LENGTHS = (3, 290, 40, 41, 1, 120, 60)


def made(cls, **settings):
    torch.manual_seed(0)
    return cls(SPEC, **{"width": 32, "depth": 4, "heads": 2, **settings}).eval()


def view(lengths=LENGTHS, first=0):
    return View(laws.batch_for_tests(SPEC, lengths, first=first), "clean")


@pytest.mark.parametrize(
    "settings", [{}, {"window": 8}, {"window": 0}, {"every": 2, "window": 16, "pool": "last"}], ids=str
)
@pytest.mark.parametrize("cls", [Modern, Causal])
@torch.no_grad()
def test_equal_to_transformers(cls, settings):
    encoder = made(cls, **settings)
    out = encoder(view())
    tokens, pooled = encoder.bare(view())
    assert type(encoder.library_model()).__name__ == ("ModernBertModel" if cls is Modern else "ModernBertDecoderModel")
    torch.testing.assert_close(out.tokens, tokens, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out.pooled, pooled, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cls", [Modern, Causal])
def test_no_sample_sees_another(cls):
    """The gradient of one sample's features with regard to all word vectors is zero outside the sample."""
    encoder = made(cls, window=8)
    it = view()
    layout = encoder.layout(it.batch)
    x = encoder.embed(it).detach().requires_grad_()
    encoder.from_embeddings(x, layout).tokens[layout.group == 5].square().sum().backward()
    touched = x.grad.abs().sum(1) > 0
    assert touched[layout.group == 5].all()
    assert not touched[layout.group != 5].any()


def test_a_causal_row_sees_no_later_one():
    encoder = made(Causal, window=8)
    it = view((20,))
    x = encoder.embed(it).detach().requires_grad_()
    encoder.from_embeddings(x, encoder.layout(it.batch)).tokens[10].square().sum().backward()
    assert (x.grad.abs().sum(1) > 0).tolist() == [True] * 11 + [False] * 11


def test_buckets_hold_like_lengths():
    lengths = tuple(torch.randint(5, 200, (256,), generator=torch.Generator().manual_seed(0)).tolist())
    order, shapes = shapes_of(lengths)
    assert sorted(order) == list(range(256))
    slots = sum(n * longest for n, longest in shapes)
    assert slots < 1.15 * sum(lengths)
    done = 0
    for n, longest in shapes:
        held = [lengths[g] for g in order[done : done + n]]
        assert max(held) == longest
        assert min(held) >= ALIKE * longest or (n - 1) * longest < SMALL
        done += n


def test_spread_and_gather_are_inverse():
    layout = Layout(LENGTHS, torch.zeros(sum(LENGTHS), 1))
    x = torch.randn(sum(LENGTHS), 3)
    buckets = bucketed(layout)
    assert torch.equal(gather(spread(x, buckets), buckets), x)


def test_attention_equals_a_block_diagonal_mask():
    layout = Layout(LENGTHS, torch.cat([torch.arange(n) for n in LENGTHS])[:, None])
    total = sum(LENGTHS)
    q, k, v = torch.randn(3, total, 2, 8).unbind(0)
    buckets = bucketed(layout)
    for causal in (False, True):
        for window in (0, 5):
            seen = allowed(buckets, layout.position[:, 0], causal=causal, window=window)
            out = attend(q, k, v, buckets, seen, causal=causal, dropout=0.0)
            row = torch.arange(total)
            apart = row[:, None] - row[None]
            mask = layout.group[:, None] == layout.group[None]
            mask &= (apart >= 0) if causal else torch.ones_like(mask)
            mask &= (apart.abs() <= window) if window else torch.ones_like(mask)
            full = F.scaled_dot_product_attention(*(x.transpose(0, 1)[None] for x in (q, k, v)), attn_mask=mask)
            torch.testing.assert_close(out, full[0].transpose(0, 1).flatten(1), rtol=1e-5, atol=1e-5)


def test_rows_are_those_of_the_flattening_collator():
    """DataCollatorWithFlattening packs the same tokens, with positions that begin anew and the same text ends."""
    from transformers import DataCollatorWithFlattening

    batch = laws.batch_for_tests(SPEC, (4, 3, 1))
    layout = made(Modern).layout(batch)
    texts = [{"input_ids": part.tolist()} for part in batch.tokens.split(list(batch.lengths))]
    theirs = DataCollatorWithFlattening(return_flash_attn_kwargs=True)(texts)
    assert theirs["input_ids"].flatten().tolist() == batch.tokens.tolist()
    assert theirs["position_ids"].flatten().tolist() == layout.position[:, 0].tolist()
    assert theirs["cu_seq_lens_q"].tolist() == list(layout.offsets)


def test_rotary_positions_are_relative():
    q, k = torch.randn(1, 1, 8), torch.randn(1, 1, 8)
    score = [
        (rotate(q, rotary(torch.tensor([p]), 8, 100.0)) * rotate(k, rotary(torch.tensor([p + 3]), 8, 100.0))).sum()
        for p in (0, 17)
    ]
    torch.testing.assert_close(score[0], score[1])


@torch.no_grad()
def test_hidden_rows_read_as_the_mask_token_and_dropped_rows_keep_their_places():
    encoder = made(Modern, window=0)
    it = view((10, 10))
    layout = encoder.layout(it.batch)
    index = torch.tensor([3, 4, 15])
    hidden = replace(it, layout=layout, hidden=Rows(index, (2, 1)))
    same = replace(it.batch, tokens=it.batch.tokens.index_fill(0, index, SPEC.mask))
    torch.testing.assert_close(encoder(hidden).tokens, encoder(View(same, "clean")).tokens)
    dropped = encoder(hidden, hide="drop")
    assert dropped.layout.lengths == (10, 11)
    assert dropped.layout.position[:4, 0].tolist() == [0, 1, 2, 5]


def test_without_a_mask_token_rows_are_not_hidden_by_one():
    encoder = Modern(TextSpec(50, 20), width=16, depth=1)
    assert "mask" not in encoder.can
    assert "the tokenizer has no mask token ([MASK], <mask>, [mask] are looked for)" in encoder.cannot["mask"]
    batch = laws.batch_for_tests(TextSpec(50, 20), (4,))
    with pytest.raises(ValueError, match="no mask token"):
        encoder(View(batch, "global", hidden=Rows(torch.tensor([1]), (1,))))


def test_gradients_are_finite_where_windows_leave_padding_alone():
    encoder = made(Modern, window=2)
    encoder(view((1, 50, 2, 49))).pooled.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters() if p.grad is not None)
