"""GraphMAE2: features decoded from re-masked codes, and codes of a teacher that sees the whole graph."""

import torch
import torch.nn.functional as F

from unlabeled.contract import Progress
from unlabeled.nn.clock import after_step
from unlabeled.objectives.graphmae2 import GraphMAE2
from unlabeled.testing.toys import ToyDecoder, ToyEncoder, toy_batch, toy_hide, toy_views


class Spy(ToyDecoder):
    def forward(self, tokens, layout):
        self.seen = [*getattr(self, "seen", []), tokens.detach()]
        return super().forward(tokens, layout)


def made(**settings):
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = GraphMAE2(encoder, Spy, 4, projection=6, power=2.0, **settings)
    (view,) = toy_views(toy_batch(range(4)), ("global",), encoder, noise=0.0)
    return encoder, objective, toy_hide(view, 5)


def test_both_terms_are_of_hidden_nodes_alone():
    encoder, objective, view = made(latent=0.7, remask=0.0)
    with torch.no_grad():
        for weight in objective.teacher.parameters():
            weight.mul_(1.1)
    found = objective(encoder, [view])
    hidden = view.hidden.flags(view.layout.total)
    tokens = encoder(view).tokens
    predicted = objective.decoder(objective.bridge(tokens), view.layout)[hidden]
    features = (1 - F.cosine_similarity(predicted, view.content[hidden])).pow(2).mean()
    seen = objective.teacher.projector(objective.teacher.encoder(view.clean()).tokens)[hidden]
    guess = objective.predictor(objective.projector(tokens))[hidden]
    codes = (1 - F.cosine_similarity(guess, seen)).mean()
    torch.testing.assert_close(found.parts["features"], features.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.parts["codes"], codes.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.total, features + 0.7 * codes, rtol=1e-5, atol=1e-6)
    found.total.backward()
    assert all(weight.grad is None for weight in objective.teacher.parameters())


def test_each_decoding_loses_another_random_share_of_the_codes_and_the_next_step_others():
    encoder, objective, view = made(remasks=4, remask=0.3)
    objective(encoder, [view])
    after_step(objective, encoder, Progress(1, 10))
    with torch.no_grad():
        objective(encoder, [view])
    lost = torch.stack([(seen == objective.token).all(1) for seen in objective.decoder.seen])
    assert len(lost) == 8 == len({tuple(row.tolist()) for row in lost})
    assert 0.2 < lost.float().mean() < 0.4
