"""Models of transformers by name and from folders; encoder-decoders; what does not fit is refused."""

from pathlib import Path

import pytest
import torch

from unlabeled.contract import Needs, Rows, View
from unlabeled_text.data.sentences import Sentences
from unlabeled_text.encoders.transformers import Seq2Seq, Transformers
from unlabeled_text.export import native
from unlabeled_text.ops import laws

SPEC = laws.spec_for_tests(200, 100)
SMALL = {"width": 32, "depth": 2, "heads": 2}


def made(name, **settings):
    torch.manual_seed(0)
    return Transformers(name, SPEC, **{**SMALL, **settings}).eval()


def view(lengths=(3, 80, 30, 31, 1)):
    return View(laws.batch_for_tests(SPEC, lengths), "clean")


@pytest.mark.parametrize("name", ["bert", "roberta", "electra", "distilbert", "deberta-v2", "gpt2", "t5"])
@torch.no_grad()
def test_equal_to_the_padded_model(name):
    encoder = made(name)
    out = encoder(view())
    tokens, pooled = encoder.bare(view())
    torch.testing.assert_close(out.tokens, tokens, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(out.pooled, pooled, rtol=1e-5, atol=2e-5)
    assert encoder.dim == 32
    assert encoder.causal == (name == "gpt2")
    assert encoder.word_embeddings().shape[0] == 200
    assert encoder.dropout == pytest.approx(0.1)


@torch.no_grad()
def test_word_vectors_go_in_as_words_do_and_layers_come_out():
    encoder = made("bert")
    it = view()
    layout = encoder.layout(it.batch)
    whole = encoder(it, layers=(0, -1))
    torch.testing.assert_close(encoder.from_embeddings(encoder.embed(it), layout).tokens, whole.tokens)
    assert len(whole.layers) == 2
    torch.testing.assert_close(whole.layers[1].tokens, whole.tokens)


def test_dropout_is_of_activations_and_drops_no_layer():
    config = made("bart", dropout=0.3).model.config
    assert (config.dropout, config.encoder_layerdrop, config.decoder_layerdrop) == (0.3, 0.0, 0.0)


def test_what_cannot_be_done_is_refused():
    with pytest.raises(ValueError, match="cannot drop rows"):
        made("bert")(View(view().batch, "global", hidden=Rows(torch.tensor([1]), (1, 0, 0, 0, 0))), hide="drop")
    with pytest.raises(ValueError, match=r"neither a folder nor an architecture.*Perhaps you meant bert"):
        made("brt")
    with pytest.raises(ValueError, match="config is no configuration"):
        made("bert", config="{}")
    with pytest.raises(ValueError, match="no decoder"):
        made("bert").decode(torch.tensor([1]), None, None)


@pytest.mark.parametrize("make", [lambda: Seq2Seq(SPEC, width=32, depth=2), lambda: made("bart")], ids=["t5", "bart"])
def test_a_decoder_reads_its_target_up_to_the_row(make):
    encoder = make().eval()
    source, target = encoder(view((5, 30))), view((20, 8))
    layout = encoder.layout(target.batch)
    words = target.batch.tokens
    logits = encoder.decode(words, layout, source)
    assert logits.shape == (32, 200)
    changed = words.clone()
    changed[10] = 150
    moved = (encoder.decode(changed, layout, source) - logits).abs().sum(1) > 1e-4
    assert moved.nonzero()[:, 0].tolist() == list(range(11, 22)), "rows after the changed one, of its sample alone"


def test_a_decoder_learns_only_where_there_are_targets():
    encoder = Seq2Seq(SPEC, width=32, depth=1)
    encoder.prepare(Needs(views={"global": 1}))
    encoder(view()).pooled.sum().backward()
    assert not [n for n, p in encoder.named_parameters() if p.requires_grad and p.grad is None]
    encoder.prepare(Needs(views={"source": 1, "target": 1}))
    assert all(p.requires_grad for p in encoder.parameters())


def test_a_folder_is_loaded_and_outlives_itself(tmp_path):
    data = Sentences(documents=6)
    first = Transformers("bert", data.spec, **SMALL).eval()
    folder = str(tmp_path / "model")
    native(first, data.spec, Path(folder))
    second = Transformers(folder, data.spec).eval()
    batch = View(data.__getitems__([0, 1]), "clean")
    torch.testing.assert_close(second(batch).pooled, first(batch).pooled)
    third = Transformers("a/folder/that/is/gone", data.spec, **second.resolved)
    assert {n: p.shape for n, p in third.named_parameters()} == {n: p.shape for n, p in second.named_parameters()}
    with pytest.raises(ValueError, match="leave width, depth, heads, inner at 0"):
        Transformers(folder, data.spec, width=64)
    other = Sentences(documents=60, vocabulary=first.spec.vocabulary)
    with pytest.raises(ValueError, match=r"the data's tokenizer is not the one of .*: --data\.tokenizer"):
        Transformers(folder, other.spec)
    with pytest.raises(ValueError, match="the data's tokenizer has 600 ids"):
        Transformers(folder, laws.spec_for_tests(600, 32))
