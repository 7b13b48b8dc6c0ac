"""GraphMAE: the scaled cosine error of hidden nodes."""

import pytest
import torch
import torch.nn.functional as F

from unlabeled.nn.cosine import scaled_cosine
from unlabeled.objectives.graphmae import GraphMAE
from unlabeled.testing.toys import ToyDecoder, ToyEncoder, toy_batch, toy_hide, toy_views


def test_the_scaled_cosine_is_the_papers():
    torch.manual_seed(0)
    a, b = torch.randn(2, 7, 5)
    expected = (1 - F.cosine_similarity(a, b)).pow(3).mean()
    torch.testing.assert_close(scaled_cosine(a, b, 3.0).mean(), expected, rtol=1e-5, atol=1e-6)


def test_the_scaled_cosine_has_a_finite_gradient_where_it_is_met():
    x = torch.ones(2, 3, requires_grad=True)
    scaled_cosine(x, torch.tensor([[1.0, 1, 1], [0, 0, 0]]), 1.5).sum().backward()
    assert bool(x.grad.isfinite().all())


class Spy(ToyDecoder):
    """A decoder that remembers what it was given; ``mixes`` says whether it reads other rows."""

    seen = ()

    def forward(self, tokens, layout):
        self.seen = (*self.seen, tokens.detach())
        return super().forward(tokens, layout)


class Each(Spy):
    mixes = False


def hidden_view(encoder, count):
    (view,) = toy_views(toy_batch(range(3)), ("global",), encoder, noise=0.0)
    return toy_hide(view, count)


@pytest.mark.parametrize("made", [Spy, Each])
def test_hidden_nodes_alone_are_restored_from_codes_that_are_emptied_there(made):
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = GraphMAE(encoder, made, 4, power=2.0)
    view = hidden_view(encoder, 5)
    found = objective(encoder, [view]).total
    codes = objective.bridge(encoder(view).tokens)
    hidden = view.hidden.flags(view.layout.total)
    if made is Spy:
        codes = codes.masked_fill(hidden[:, None], 0.0)
    torch.testing.assert_close(objective.decoder.seen[0], codes.detach())
    predicted = objective.decoder(codes, view.layout)[hidden]
    error = 1 - F.cosine_similarity(predicted, view.content[hidden])
    torch.testing.assert_close(found, error.pow(2).mean(), rtol=1e-5, atol=1e-6)
