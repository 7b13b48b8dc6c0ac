"""Losses against transformers 5.23, sentence-transformers 6.2 and torch, or transcribed from the paper."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch import nn
from transformers import BertConfig, BertForMaskedLM, ElectraConfig, ElectraForPreTraining

from unlabeled.contract import Layout, Progress, Rows, View
from unlabeled.draw import Draw
from unlabeled.errors import UsageError
from unlabeled.nn.clock import after_step
from unlabeled.nn.infonce import nt_xent
from unlabeled.testing.subject import still
from unlabeled_text.batch import TextBatch, TextSpec
from unlabeled_text.decoders.transformer import Transformer, heads_for, shifted
from unlabeled_text.encoders.bag import Bag
from unlabeled_text.encoders.modern import Causal, Modern
from unlabeled_text.encoders.transformers import Seq2Seq as Two
from unlabeled_text.objectives import rtd, sent2vec, urlbert
from unlabeled_text.objectives.clm import CLM
from unlabeled_text.objectives.contrast_mlm import ContrastMLM
from unlabeled_text.objectives.denosent import DenoSent
from unlabeled_text.objectives.e2s2 import E2S2
from unlabeled_text.objectives.mlm import MLM
from unlabeled_text.objectives.rts import RTS
from unlabeled_text.objectives.salt import SALT, taught_loss
from unlabeled_text.objectives.same_span import SameSpan
from unlabeled_text.objectives.scincl import SciNCL, triplet_loss
from unlabeled_text.objectives.seq2seq import Seq2Seq
from unlabeled_text.objectives.simcse import SimCSE
from unlabeled_text.objectives.tsdae import TSDAE
from unlabeled_text.objectives.vega import Vega
from unlabeled_text.ops.contrast import greatest_dropout, sentence_nce
from unlabeled_text.ops.replaced import ReplacedHead, detect, fill, replaced_loss
from unlabeled_text.ops.vocabulary import VocabularyHead, next_rows, sample_words, word_loss

SPEC = TextSpec(vocabulary=40, length=16, prefix=(1,), suffix=(2,), pad=0, mask=3)


def batch_of(*texts):
    tokens = torch.tensor([token for text in texts for token in (1, *text, 2)])
    return TextBatch(torch.arange(len(texts)), tokens, tuple(len(t) + 2 for t in texts), torch.ones_like(tokens) > 0)


def view_of(encoder, *texts, role="global"):
    batch = batch_of(*texts)
    return View(batch, role, encoder.layout(batch), ids=batch.tokens)


def modern(**settings):
    torch.manual_seed(0)
    return Modern(SPEC, width=16, depth=2, heads=2, **settings)


def close(found, wanted, tolerance=1e-5):
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------------------------------------- words


def test_head_and_loss_equal_transformers_bert():
    torch.manual_seed(0)
    config = BertConfig(vocab_size=40, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    bert = BertForMaskedLM(config).eval()
    table = bert.bert.embeddings.word_embeddings.weight
    head = VocabularyHead(16, table)
    theirs = bert.cls.predictions
    with torch.no_grad():
        theirs.bias.normal_()
        head.transform[0].load_state_dict(theirs.transform.dense.state_dict())
        head.transform[2].load_state_dict(theirs.transform.LayerNorm.state_dict())
        head.bias.copy_(theirs.bias)
    head.transform[2].eps = config.layer_norm_eps
    ids = torch.randint(5, 40, (3, 7))
    labels = torch.where(torch.rand(3, 7) < 0.4, ids, -100)
    out = bert(ids, labels=labels)
    states = bert.bert(ids).last_hidden_state[labels >= 0]
    logits = head(states, table)
    close(logits, out.logits[labels >= 0])
    close(word_loss(logits, ids[labels >= 0]).mean(), out.loss)


def test_a_head_is_tied_to_the_encoders_table():
    encoder = modern()
    objective = MLM(encoder)
    assert not any(p.shape == (40, 16) for p in objective.parameters())
    view = view_of(encoder, (9, 8, 7), (5, 6))
    view = replace(view, hidden=Rows(torch.tensor([1, 6]), (1, 1)))
    objective(encoder, [view]).total.backward()
    assert encoder.word_embeddings().grad[30].abs().sum() > 0  # a word that no text holds: from the softmax alone


def test_mlm_averages_over_rows_of_all_views():
    encoder = still(modern()) or modern()
    encoder.eval()
    objective = MLM(encoder)
    one = replace(view_of(encoder, (9, 8, 7)), predict=(Rows(torch.tensor([1, 2, 3]), (3,)),))
    two = replace(view_of(encoder, (5, 6)), predict=(Rows(torch.tensor([1]), (1,)),))
    parts = [objective(encoder, [v]).total for v in (one, two)]
    close(objective(encoder, [one, two]).total, (3 * parts[0] + parts[1]) / 4)


def test_replaced_head_and_loss_equal_transformers_electra():
    torch.manual_seed(0)
    config = ElectraConfig(
        vocab_size=40, hidden_size=16, embedding_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16,
    )  # fmt: skip
    electra = ElectraForPreTraining(config).eval()
    head = ReplacedHead(16)
    theirs = electra.discriminator_predictions
    head.hidden.load_state_dict(theirs.dense.state_dict())
    head.out.load_state_dict(theirs.dense_prediction.state_dict())
    ids, labels = torch.randint(5, 40, (3, 7)), torch.rand(3, 7) < 0.3
    out = electra(ids, labels=labels.long())
    logits = head(electra.electra(ids).last_hidden_state)
    close(logits, out.logits)
    close(replaced_loss(logits.flatten(), labels.flatten()).mean(), out.loss)


def test_rts_labels_a_draw_that_equals_the_original_as_original():
    encoder = modern().eval()
    objective = RTS(encoder)
    view = view_of(encoder, (9, 8, 7))
    rows = Rows(torch.tensor([1, 2, 3]), (3,))
    shown = view.ids.clone()
    shown[2] = 20  # row 1 was drawn too, and the draw was the original
    loss = objective(encoder, [replace(view, shown=shown, predict=(rows,))])
    logits = objective.head(encoder(replace(view, shown=shown)).tokens[1:4])
    close(loss.total, F.binary_cross_entropy_with_logits(logits, torch.tensor([0.0, 1.0, 0.0])))
    with pytest.raises(ValueError, match="--mask rts"):
        objective(encoder, [replace(view, hidden=rows)])


# ---------------------------------------------------------------------------------------------- ELECTRA


def test_draws_follow_the_softmax():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0, -20.0]]).log_softmax(-1)
    words = torch.randint(-(2**63), 2**63 - 1, (40000,), generator=torch.Generator().manual_seed(0))
    drawn = torch.bincount(sample_words(logits.expand(40000, -1), words), minlength=5)
    expected = 40000 * logits.exp()[0]
    chi = ((drawn - expected)[:4] ** 2 / expected[:4]).sum()
    assert chi < 16.3, chi  # chance exceeds it once in a thousand
    assert drawn[4] == 0


def test_rtd_fills_chosen_rows_alone_and_labels_all():
    encoder = modern().eval()
    objective = rtd.RTD(encoder, share=0.5, depth=1).eval()
    view = view_of(encoder, (9, 8, 7, 6), (5, 6, 9))
    rows = Rows(torch.tensor([2, 3, 7]), (2, 1))
    view = replace(view, hidden=rows)
    logits = objective.generator(view, encoder.word_embeddings(), rows.index)
    filled = fill(logits, view, rows.index, objective.clock.step)
    others = torch.tensor([i for i in range(len(view.ids)) if i not in (2, 3, 7)])
    assert torch.equal(filled.shown[others], view.ids[others])
    assert filled.hidden is None
    loss = objective(encoder, [view])
    expected = F.cross_entropy(logits, view.ids[rows.index])
    found = objective.head(encoder(filled).tokens)
    detector = F.binary_cross_entropy_with_logits(found, (filled.shown != view.ids).float())
    close(loss.parts["generator"], expected.detach())
    close(loss.total, expected + 50 * detector)


def test_rtd_draws_anew_each_step_and_no_gradient_passes_the_draw():
    encoder = modern().eval()
    objective = rtd.RTD(encoder, share=0.5, depth=1).eval()
    view = view_of(encoder, *[(9, 8, 7, 6)] * 8)
    index = torch.arange(48).reshape(8, 6)[:, 1:5].flatten()
    view = replace(view, hidden=Rows(index, (4,) * 8))
    logits = torch.zeros(32, 40, requires_grad=True)
    first = fill(logits, view, index, objective.clock.step).shown
    assert not first.requires_grad
    assert torch.equal(first, fill(logits, view, index, objective.clock.step).shown)
    after_step(objective, encoder, Progress(1, 10))
    assert not torch.equal(first, fill(logits, view, index, objective.clock.step).shown)


# ---------------------------------------------------------------------------------------------- contrast


class Stub(nn.Module):
    """Gives sentence-transformers' losses the embeddings that stand in the features."""

    def __init__(self, key="x"):
        super().__init__()
        self.key = key

    def forward(self, features):
        return {"sentence_embedding": features[self.key]}

    def __getitem__(self, index):
        return self


def test_sentence_nce_equals_sentence_transformers():
    torch.manual_seed(0)
    a, b = torch.randn(8, 16), torch.randn(8, 16)
    theirs = MultipleNegativesRankingLoss(Stub(), scale=20.0)([{"x": a}, {"x": b}], None)
    for chunk in (0, 3):
        close(sentence_nce(a, b, 0.05, chunk=chunk), theirs)


def test_identical_views_are_refused_with_the_remedy():
    encoder = modern(dropout=0.0)
    objective = SimCSE(encoder)
    view = view_of(encoder, (9, 8, 7), (5, 6))
    with pytest.raises(UsageError, match=r"identical.*--encoder.dropout 0.1"):
        objective(encoder, [view, view])
    other = view_of(encoder, (9, 8), (5, 6))
    assert objective(encoder, [view, other]).total.isfinite()
    with_dropout = modern(dropout=0.1)
    assert SimCSE(with_dropout)(with_dropout, [view, view]).total.isfinite()
    for twice in (ContrastMLM(encoder, passes="apart"), DenoSent(encoder, depth=1)):
        shown = [replace(v, hidden=Rows(torch.tensor([1, 6]), (1, 1))) for v in (view, view)]
        with pytest.raises(UsageError, match=r"identical.*--encoder.dropout 0.1"):
            twice(encoder, shown if isinstance(twice, ContrastMLM) else [view, view, replace(view, role="target")])
    without_contrast = DenoSent(encoder, depth=1, contrast=0)
    assert without_contrast(encoder, [view, replace(view, role="target")]).total.isfinite()


def test_dropout_is_found_wherever_it_hides():
    assert greatest_dropout(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3))) == 0.3
    module = nn.Linear(2, 2)
    assert greatest_dropout(module) == 0.0
    module.attention_dropout = 0.2
    assert greatest_dropout(module) == 0.2


def test_triplet_loss_equals_torch():
    torch.manual_seed(0)
    a, b, c = (torch.randn(6, 5) for _ in range(3))
    close(triplet_loss(a, b, c, 1.0).mean(), nn.TripletMarginLoss(1.0)(a, b, c))


def test_same_span_scores_its_parameter():
    encoder = modern().eval()
    objective = SameSpan(encoder)
    view = view_of(encoder, (9, 8, 7), (5, 6))
    same = torch.tensor([True, False])
    logits = objective.head(encoder(view).pooled)
    loss = objective(encoder, [replace(view, params={"same": same})])
    close(loss.total, F.binary_cross_entropy_with_logits(logits, same.float()))
    for told, share in ((logits > 0, 1.0), (logits <= 0, 0.0)):
        assert objective(encoder, [replace(view, params={"same": told})]).parts["accuracy"] == share


def test_scincl_counts_triplets_whose_far_text_is_too_near():
    encoder = modern().eval()
    a, b, c = (view_of(encoder, *texts) for texts in (((9, 8), (5, 6)), ((9, 7), (5, 5)), ((20, 8, 21), (5, 30))))
    found = SciNCL(encoder, margin=0.5)(encoder, [a, b, c])
    anchor, near, far = (encoder(view).pooled for view in (a, b, c))
    close(found.total, nn.TripletMarginLoss(0.5)(anchor, near, far))
    assert SciNCL(encoder, margin=1e-6)(encoder, [a, a, c]).parts["violated"] == 0
    assert SciNCL(encoder, margin=1e-6)(encoder, [a, c, a]).parts["violated"] == 1


@pytest.mark.parametrize(("passes", "kind"), [("shared", "nt_xent"), ("apart", "one_way")])
def test_masked_words_are_restored_beside_a_contrast_of_texts(passes, kind):
    """DeCLUTR reads both from the masked passes; SPACE-2 masks the first and contrasts unmasked ones."""
    encoder = modern().eval()
    objective = ContrastMLM(encoder, contrast=0.7, temperature=0.5, kind=kind, passes=passes).eval()
    rows = (Rows(torch.tensor([1, 6]), (1, 1)), Rows(torch.tensor([2, 5]), (1, 1)))
    pair = [view_of(encoder, (9, 8, 7), (5, 6)), view_of(encoder, (9, 8), (5, 6, 11))]
    pair = [replace(view, hidden=hidden) for view, hidden in zip(pair, rows)]
    words = [
        F.cross_entropy(
            objective.head(encoder(v).tokens[v.hidden.index], encoder.word_embeddings()), v.ids[v.hidden.index]
        )
        for v in pair
    ]
    a, b = (encoder(v if passes == "shared" else v.clean()).pooled for v in pair)
    if kind == "nt_xent":
        contrast = nt_xent(F.normalize(a, dim=1), F.normalize(b, dim=1), 0.5)
    else:
        contrast = sentence_nce(a, b, 0.5)
    restored = sum(words) / 2 if passes == "shared" else words[0]
    close(objective(encoder, pair).total, restored + 0.7 * contrast)


# ---------------------------------------------------------------------------------------------- decoders


@pytest.fixture
def two():
    """A T5, encoder and decoder."""
    torch.manual_seed(0)
    return Two(SPEC, width=16, depth=1, heads=2).eval()


def test_a_decoder_sees_words_before_its_own_alone(two):
    objective = Seq2Seq(two).eval()
    source = two(view_of(two, (9, 8, 7), (5, 6), role="source"))
    target = view_of(two, (9, 8, 7, 6), (5, 6, 9), role="target")
    logits = objective.decoder(target.ids, target.layout, source, two.word_embeddings())
    words = target.ids.clone()
    words[3] = 30  # row 3 of the first text: rows to row 3 predict without it
    changed = objective.decoder(words, target.layout, source, two.word_embeddings())
    close(changed[:4], logits[:4])
    close(changed[6:], logits[6:])  # and no other text sees it
    assert (changed[4:6] - logits[4:6]).abs().max() > 1e-3


def test_seq2seq_is_the_librarys_own_loss(two):
    source, target = view_of(two, (9, 8, 7, 6), role="source"), view_of(two, (9, 8), role="target")
    theirs = two.model(input_ids=source.ids[None], labels=target.ids[None]).loss
    close(Seq2Seq(two)(two, [source, target]).total, theirs)


def test_a_decoder_that_would_be_lost_is_refused():
    with pytest.raises(ValueError, match="kept with it, and this one has none: choose --encoder seq2seq"):
        Seq2Seq(modern())


def test_e2s2_restores_from_both_passes_and_asks_the_encoder_for_the_scrambled_words(two):
    objective = E2S2(two, local=0.3, contrast=0.2, temperature=0.5).eval()
    plain, target = view_of(two, (9, 8, 7), (5, 6, 4), role="source"), view_of(two, (9, 8, 7), (5, 6), role="target")
    rows = Rows(torch.tensor([2, 7]), (1, 1))
    source = replace(plain, shown=plain.ids.index_copy(0, rows.index, torch.tensor([30, 31])), predict=(rows,))
    scrambled, infilled = two(source), two(plain)
    assert (scrambled.pooled - infilled.pooled).abs().max() > 1e-3, "the second pass sees nothing scrambled"
    words = [F.cross_entropy(objective.decoder(target.ids, target.layout, f, None), target.ids)
             for f in (scrambled, infilled)]  # fmt: skip
    logits = objective.head(scrambled.tokens[rows.index], two.word_embeddings())
    local = F.cross_entropy(logits, torch.tensor([8, 6]), reduction="sum") / len(target.ids)
    a, b = (F.normalize(f.pooled, dim=1) for f in (scrambled, infilled))
    every = torch.cat((a, b)) @ torch.cat((a, b)).T / 0.5
    every.fill_diagonal_(-torch.inf)
    contrast = F.cross_entropy(every, torch.tensor([2, 3, 0, 1]))
    close(objective(two, [source, target]).total, 0.5 * sum(words) + 0.3 * local + 0.2 * contrast)


def test_tsdae_sees_one_vector_of_the_source():
    encoder = modern().eval()
    decoder = TSDAE(encoder, depth=1, heads=2).eval().decoder
    source = encoder(view_of(encoder, (9, 8, 7), role="source"))
    target = view_of(encoder, (9, 8, 7), role="target")
    table = encoder.word_embeddings()
    logits = decoder(target.ids, target.layout, source, table)
    other = replace(source, tokens=torch.randn_like(source.tokens))
    close(decoder(target.ids, target.layout, other, table), logits)
    moved = decoder(target.ids, target.layout, replace(source, pooled=source.pooled + 1), table)
    assert (moved - logits).abs().max() > 1e-3


def test_denosent_decodes_all_words_and_adds_the_contrast():
    encoder = modern().eval()
    objective = DenoSent(encoder, depth=1, heads=2, denoise=7.0, contrast=5.0).eval()
    one, two = view_of(encoder, (9, 8), (5, 6)), view_of(encoder, (9, 8), (5, 6, 7))
    whole = replace(view_of(encoder, (9, 8, 7), (5, 6)), role="target")
    vectors = [encoder(v).pooled for v in (one, two)]
    logits, words = objective.decoder(whole, vectors[0], encoder.word_embeddings())
    assert words.tolist() == [9, 8, 7, 5, 6]
    expected = 7 * F.cross_entropy(logits, words) + 5 * sentence_nce(*vectors, 0.05)
    close(objective(encoder, [one, two, whole]).total, expected)


def test_denosent_restores_a_share_of_the_texts_anew_each_step():
    encoder = modern().eval()
    objective = DenoSent(encoder, depth=1, heads=2, contrast=0, restore=0.25).eval()
    texts = [tuple(range(5, 6 + n % 5)) for n in range(60)]
    one, whole = view_of(encoder, *texts), replace(view_of(encoder, *texts), role="target")
    seen = []
    for step in range(3):
        after_step(objective, encoder, Progress(step, 10))
        keep = objective._chosen(whole).tolist()
        part = view_of(encoder, *(text for text, kept in zip(texts, keep, strict=True) if kept))
        vectors = encoder(one).pooled[torch.tensor(keep)]
        logits, words = objective.decoder(part, vectors, encoder.word_embeddings())
        close(objective(encoder, [one, whole]).total, 7 * F.cross_entropy(logits, words))
        seen.append(tuple(keep))
    assert len(set(seen)) == 3
    assert all(5 < sum(keep) < 27 for keep in seen)


def test_transformer_pads_nothing_into_a_text():
    torch.manual_seed(0)
    blocks = Transformer(8, 2, 2).eval()
    x = torch.randn(7, 8)
    both = blocks(x, Layout((5, 2), torch.zeros(7, 1)))
    close(both[:5], blocks(x[:5], Layout((5,), torch.zeros(5, 1))))
    close(both[5:], blocks(x[5:], Layout((2,), torch.zeros(2, 1))))


def test_shifted_moves_within_a_text():
    x = torch.arange(1.0, 6.0)[:, None]
    moved = shifted(x, Layout((3, 2), torch.zeros(5, 1)), torch.tensor([9.0]))
    assert moved.flatten().tolist() == [9, 1, 2, 9, 4]


def test_heads_must_divide_the_width():
    assert heads_for(128) == 2
    assert heads_for(16) == 1
    with pytest.raises(ValueError, match="no multiple"):
        heads_for(10, 3)


# ---------------------------------------------------------------------------------------------- causal


def test_clm_equals_the_shifted_cross_entropy_of_transformers():
    torch.manual_seed(0)
    encoder = Causal(SPEC, width=16, depth=2, heads=2).eval()
    objective = CLM(encoder)
    view = view_of(encoder, (9, 8, 7), (5, 6))
    logits = encoder(view).tokens @ encoder.word_embeddings().T
    labels = view.ids.clone()
    labels[[0, 5]] = -100  # transformers shifts labels by one; the first of each text follows nothing
    close(objective(encoder, [view]).total, F.cross_entropy(logits[:-1], labels[1:]))
    with pytest.raises(ValueError, match="a causal one"):
        CLM(modern())


def test_salt_teaches_first_and_then_no_more():
    torch.manual_seed(0)
    encoder = Causal(SPEC, width=16, depth=2, heads=2).eval()
    objective = SALT(encoder, first=0.5, distill=0.5, temperature=0.5).eval()
    view = view_of(encoder, (9, 8, 7), (5, 6))
    taught = objective(encoder, [view])
    plain = CLM(encoder)(encoder, [view]).total
    index = next_rows(view.layout)
    teacher = objective.small(view.ids, view.layout, index)
    student = encoder(view).tokens[index] @ encoder.word_embeddings().T
    distilled = F.cross_entropy(student / 0.5, (teacher / 0.5).softmax(-1))
    own = F.cross_entropy(teacher, view.ids[index + 1])
    close(taught.total, 0.5 * plain + 0.5 * distilled + own)
    after_step(objective, encoder, Progress(5, 10))
    close(objective(encoder, [view]).total, plain)


def test_a_teacher_that_is_trained_along_learns_nothing_from_its_pupil():
    pupil, teacher = (torch.randn(3, 5, requires_grad=True) for _ in range(2))
    taught_loss(pupil, teacher, 0.5).sum().backward()
    assert pupil.grad.any()
    assert teacher.grad is None


def test_salt_is_on_chosen_texts_while_the_teacher_teaches():
    """The texts that the teacher scores highest carry both losses; afterwards all texts carry the words'."""
    encoder, teacher = (Causal(SPEC, width=16, depth=1, heads=2).eval() for _ in range(2))
    torch.nn.init.normal_(teacher.word_embeddings())
    objective = SALT(encoder, teacher, first=0.5, distill=0.5, temperature=0.5, share=0.5, likely=40).eval()
    texts = ((9, 8, 7), (5, 6), (30, 31, 32, 33), (11, 12))
    view = view_of(encoder, *texts)
    index = next_rows(view.layout)
    taught = teacher(view).tokens[index] @ teacher.word_embeddings().T
    losses = F.cross_entropy(taught, view.ids[index + 1], reduction="none")
    group = view.layout.group[index]
    median = torch.stack([losses[group == g].median() for g in range(4)])
    hard = view_of(encoder, *(texts[g] for g in median.topk(2).indices.sort().values.tolist()))
    everything = SALT(encoder, teacher, first=0.5, distill=0.5, temperature=0.5).eval()
    found = objective(encoder, [view]).total
    close(found, everything(encoder, [hard]).total)
    assert abs(found - everything(encoder, [view]).total) > 1e-3
    after_step(objective, encoder, Progress(5, 10))
    close(objective(encoder, [view]).total, CLM(encoder)(encoder, [view]).total)
    with pytest.raises(ValueError, match=r"share is 0\.5, and a teacher that is trained along cannot choose"):
        SALT(encoder, share=0.5)


def test_salt_refuses_a_teacher_to_whom_ids_are_other_words(monkeypatch):
    encoder, teacher = (Causal(SPEC, width=16, depth=1, heads=2) for _ in range(2))
    SALT(encoder, teacher)
    words = [f"w{i}" for i in range(40)]
    for other in ([*words[:9], "x", *words[10:]], words[:30]):
        spec = lambda listed: SimpleNamespace(words_of_vocabulary=lambda: listed)  # noqa: E731
        teacher.spec, encoder.spec = spec(other), spec(words)
        with pytest.raises(UsageError, match=f"vocabulary of {len(other)} tokens and this run one of 40"):
            SALT(encoder, teacher)


# ---------------------------------------------------------------------------------------------- vega


def hidden_twice(encoder):
    view = view_of(encoder, (9, 8, 7), (5, 6))
    return [replace(view, hidden=Rows(torch.tensor([2, 6]), (1, 1)), shown=view.ids)] * 2


def test_vega_detects_first_and_contrasts_in_the_last_part_alone():
    encoder = modern(dropout=0.1)
    objective = Vega(encoder, first=0.5, contrast=2.0, depth=1, temperature=2.0)
    still(encoder), still(objective)
    views = hidden_twice(encoder)
    detected = objective(encoder, views)
    assert "contrast" not in detected.parts
    after_step(objective, encoder, Progress(5, 10))
    late = objective(encoder, views)
    alone = detect(encoder, objective.generator, objective.head, views[:1], objective.clock.step, weight=50.0)
    pooled = encoder(views[0].clean()).pooled
    close(late.total, alone.total + 2.0 * sentence_nce(pooled, pooled, 2.0))


@pytest.mark.parametrize(("settings", "refused"), [({}, True), ({"contrast": 0.0}, False), ({"first": 1.0}, False)])
def test_vega_refuses_identical_views_in_the_first_step(settings, refused):
    encoder = modern(dropout=0.0)
    objective = Vega(encoder, depth=1, **settings)
    if not refused:
        objective(encoder, hidden_twice(encoder))
        return
    with pytest.raises(UsageError, match=r"--encoder.dropout 0\.1"):
        objective(encoder, hidden_twice(encoder))


# ---------------------------------------------------------------------------------------------- the rest


def test_a_special_is_no_word_of_sent2vec():
    counts = torch.ones(40, dtype=torch.float64) * SPEC.plain
    found = sent2vec.drawn(counts, torch.linspace(0, 1 - 2**-24, 500)[:, None]).flatten()
    assert set(found.tolist()) == set(SPEC.ordinary.tolist())
    assert sent2vec.drawn(torch.tensor([0.0, 1.0, 4.0, 0.0]).double(), torch.tensor([[0.3, 0.4]])).tolist() == [[1, 2]]
    encoder = Bag(SPEC, width=16)
    objective, view = sent2vec.Sent2Vec(encoder).train(), view_of(encoder, tuple(range(5, 19)))
    before = objective._kept(view, view.layout, view.ids)
    objective.counts[1] = objective.counts[2] = 1e12  # however many specials, words are as frequent as before
    assert torch.equal(before[1:-1], objective._kept(view, view.layout, view.ids)[1:-1])
    assert not before[1:-1].all()


def test_frequent_words_are_kept_as_fasttext_has_it_and_counts_are_of_training():
    """A word of share f is a target with probability sqrt(t / f) + t / f."""
    encoder = Bag(SPEC, width=16)
    objective = sent2vec.Sent2Vec(encoder, threshold=0.01).train()
    objective.counts.fill_(1)
    objective.counts[9] = 400
    words = 400 + len(SPEC.ordinary) - 1
    view = view_of(encoder, *[(9,) * 10] * 200)
    kept = objective._kept(view, view.layout, view.ids)[view.ids == 9].float().mean()
    ratio = 0.01 * words / 400
    assert kept.item() == pytest.approx(ratio**0.5 + ratio, abs=0.03)
    before = objective.counts.clone()
    objective.eval()(encoder, [view])
    assert torch.equal(objective.counts, before)
    objective.train()(encoder, [view])
    assert objective.counts[9] == before[9] + 2000


def test_the_right_word_attracts_wrong_ones_repel_and_the_right_one_is_never_wrong():
    context, right, wrong = torch.randn(3, 2), torch.randn(3, 2), torch.randn(3, 2, 2)
    never, first = torch.zeros(3, 2, dtype=torch.bool), torch.tensor([[True, False]] * 3)
    near = sent2vec.negative_loss(context, right + context, wrong, never)
    assert (near < sent2vec.negative_loss(context, right, wrong, never)).all()
    away = sent2vec.negative_loss(context, right, wrong - context[:, None], never)
    assert (away < sent2vec.negative_loss(context, right, wrong, never)).all()
    close(
        sent2vec.negative_loss(context, right, wrong, first),
        sent2vec.negative_loss(context, right, wrong[:, 1:], never[:, 1:]),
    )


def test_contexts_leave_out_every_n_gram_with_the_word():
    torch.manual_seed(0)
    is_word = [True] * 6 + [False, True]
    words = Rows(torch.tensor([0, 1, 2, 3, 4, 5, 7]), (4, 1, 2))
    layout = Layout((4, 1, 3), torch.zeros(8, 1), maskable=words)
    parts = [torch.randn(8, 2) for _ in range(3)]
    mean, count = sent2vec.contexts(parts, sent2vec.whole_grams(layout, 3), layout)
    for start, stop in ((0, 4), (4, 5), (5, 8)):
        for t in range(start, stop):
            grams = [
                parts[n - 1][end]
                for n in (1, 2, 3)
                for end in range(start + n - 1, stop)
                if not end - n < t <= end and all(is_word[end - n + 1 : end + 1])
            ]
            assert count[t] == len(grams)
            close(mean[t], torch.stack(grams).mean(0) if grams else torch.zeros(2))


def test_k_n_grams_of_each_text_are_dropped_and_words_never():
    layout = Layout((6, 1, 3), torch.zeros(10, 1))
    real = sent2vec.whole_grams(layout, 3)
    assert real.sum(0).tolist() == [10, 7, 5]
    seen = torch.zeros(10, 3)
    for step in range(200):
        keys = Draw(0, step, torch.arange(10)).words(3, 1)
        kept = sent2vec.dropped(keys, real, layout, 2)
        gone = real & ~kept
        assert not gone[:, 0].any()
        assert [int(part.sum()) for part in gone.split([6, 1, 3])] == [2, 0, 2]
        assert not (kept & ~real).any()
        seen += gone
    rate = (seen / 200)[:6][real[:6]]
    assert abs(float(rate[rate > 0].mean()) - 2 / 9) < 1e-6, "five pairs and four triples of the first text"
    assert float(rate[rate > 0].max()) < 0.4
    assert sent2vec.dropped(keys, real, layout, 0) is real


def of_urls(encoder):
    view = view_of(encoder, (9, 8, 7), (5, 6))
    return replace(view, hidden=Rows(torch.tensor([2, 6]), (1, 1)))


def test_the_worst_disturbance_moves_the_softmax_more_than_a_random_one():
    encoder = modern().eval()
    objective = urlbert.URLBERT(encoder, radius=0.01, probe=0.01).eval()
    view = of_urls(encoder).clean()
    index = torch.tensor([2, 6])
    logits = objective.head(encoder(view).tokens[index], encoder.word_embeddings()).detach()
    worst = objective.worst(encoder, view, index, logits)
    close(worst.norm(dim=1), torch.full((9,), 0.01))

    def moved(noise):
        out = encoder.from_embeddings(encoder.embed(view) + noise, view.layout).tokens[index]
        return urlbert.divergence(objective.head(out, encoder.word_embeddings()), logits).sum()

    torch.manual_seed(1)
    random = torch.stack([moved(F.normalize(torch.randn_like(worst), dim=1) * 0.01) for _ in range(40)])
    assert moved(worst) > random.mean() + 2 * random.std()


def test_urlbert_disturbs_the_clean_pass_and_holds_both_softmaxes_together():
    encoder = modern().eval()
    objective = urlbert.URLBERT(encoder, contrast=2.0, adversarial=3.0, radius=0.5).eval()
    view, index = of_urls(encoder), torch.tensor([2, 6])
    table, whole = encoder.word_embeddings(), view.clean()
    clean = encoder(whole)
    target = objective.head(clean.tokens[index], table)
    noise = objective.worst(encoder, whole, index, target)
    moved = encoder.from_embeddings(encoder.embed(whole) + noise, view.layout)
    p, q = target.log_softmax(-1), objective.head(moved.tokens[index], table).log_softmax(-1)
    apart = ((p.exp() - q.exp()) * (p - q)).sum(-1).mean()
    words = F.cross_entropy(objective.head(encoder(view).tokens[index], table), view.ids[index])
    contrast = nt_xent(F.normalize(clean.pooled, dim=1), F.normalize(moved.pooled, dim=1), 0.1)
    loss = objective(encoder, [view])
    total = words + 2.0 * contrast + 3.0 * urlbert.both_ways(q, p.detach()).mean()
    weights = [*encoder.parameters(), *objective.parameters()]
    for ours, hand in zip(*(torch.autograd.grad(x, weights, retain_graph=True) for x in (loss.total, total))):
        close(ours, hand, 1e-4)  # none flows into the clean softmax
    close(loss.parts["adversarial"], apart)
    assert float(apart.detach()) > 0
    close(loss.total, words + 2.0 * contrast + 3.0 * apart)


def test_the_worst_direction_is_looked_for_from_a_probe_of_its_length(monkeypatch):
    encoder = modern().eval()
    objective, view, seen = urlbert.URLBERT(encoder, probe=0.02).eval(), of_urls(encoder).clean(), []
    plain, read = encoder.embed(view), encoder.from_embeddings
    monkeypatch.setattr(encoder, "from_embeddings", lambda x, *more: seen.append(x.detach()) or read(x, *more))
    index = torch.tensor([2, 6])
    objective.worst(encoder, view, index, objective.head(encoder(view).tokens[index], encoder.word_embeddings()))
    close((seen[-1] - plain).norm(dim=1), torch.full((9,), 0.02))


def test_first_directions_are_as_random_as_their_tokens():
    x = urlbert.directions(torch.arange(64) * 1000, 256)
    close(x.norm(dim=1), torch.ones(64))
    assert float((x @ x.T - torch.eye(64)).abs().max()) < 0.35
    steps = x.diff(dim=1)
    assert float(steps.std(dim=1).min()) > 0.05, "no sawtooth"


@pytest.mark.parametrize("name", ["mlm", "clm", "salt", "denosent", "tsdae", "contrast_mlm"])
def test_hits_are_the_words_that_are_the_likeliest(name, monkeypatch):
    """With 9 the likeliest everywhere, it is the share of 9 among the words that are asked for."""
    asked = []

    def nine(self, x, table):
        return F.one_hot(torch.full((len(x),), 9), 40).float() + 0 * x.sum()

    def noted(logits, words):
        asked.append(words)
        return F.cross_entropy(logits, words, reduction="none")

    monkeypatch.setattr(VocabularyHead, "forward", nine)
    monkeypatch.setattr(f"unlabeled_text.objectives.{name}.word_loss", noted)
    torch.manual_seed(0)
    encoder = (Causal(SPEC, width=16, depth=1, heads=2) if name in ("clm", "salt") else modern()).eval()
    made = {"mlm": MLM, "clm": CLM, "salt": SALT, "denosent": DenoSent, "tsdae": TSDAE, "contrast_mlm": ContrastMLM}
    settings = {"depth": 1, "heads": 2} if name in ("denosent", "tsdae") else {}
    objective = made[name](encoder, **settings).eval()
    view = view_of(encoder, (9, 8, 7), (5, 9, 9))
    if name in ("mlm", "contrast_mlm"):
        view = replace(view, hidden=Rows(torch.tensor([1, 2, 7]), (2, 1)))
    other = replace(view, batch=view.batch)
    views = {"denosent": [view, view_of(encoder, (9, 8), (5, 6)), replace(view, role="target")],
             "tsdae": [replace(view, role="source"), replace(other, role="target")],
             "contrast_mlm": [view, replace(view_of(encoder, (9, 7, 8), (6, 9, 9)), hidden=view.hidden)]}  # fmt: skip
    hits = objective(encoder, views.get(name, [view])).parts["hits"]
    assert 0 < hits < 1
    torch.testing.assert_close(hits, (asked[0] == 9).float().mean())


def test_settings_out_of_range_are_named():
    encoder = modern()
    for make, match in (
        (lambda: rtd.RTD(encoder, temperature=0), "temperature is 0"),
        (lambda: SimCSE(encoder, temperature=-1), "temperature is -1"),
        (lambda: DenoSent(encoder, noise=1.0), "noise is 1.0"),
        (lambda: sent2vec.Sent2Vec(encoder), "--encoder bag"),
        (lambda: SALT(encoder), "causal"),
        (lambda: TSDAE(encoder, depth=0), "depth is 0"),
    ):
        with pytest.raises(ValueError, match=match):
            make()
