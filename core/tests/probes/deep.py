"""What another plugin adds to the toy domain: probes that read the encoder, baselines that are fitted, a command."""

import torch

from unlabeled.contract import Asks
from unlabeled.plugins.words import Component, hookimpl

HERE = __name__


class Neighbours:
    """How often the nearest train sample has the parity of the test sample's id, by the frozen encoder."""

    asks = Asks(reads="encoder")
    spec = "neighbours-v1: nearest train sample, parity of its id"

    def __call__(self, frozen):
        train, test = frozen.embed(frozen.train), frozen.embed(frozen.test)
        nearest = torch.cdist(test.x, train.x).argmin(1)
        return {"accuracy": ((train.ids[nearest] - test.ids) % 2 == 0).float().mean().item()}

    def chance(self, frozen):
        assert frozen.encoder is None
        return {"accuracy": 0.5}


class TokenNorm:
    """Mean norm of the tokens: no baseline has any. Adds its seed, as a probe that draws would differ."""

    asks = Asks(reads="encoder", kinds=("untrained", "pre-trained"), draws=True)
    spec = "token_norm-v1: mean L2 norm"

    def __call__(self, frozen):
        found = [out.tokens.norm(dim=1) for _, _, out in frozen.encode(frozen.test)]
        return {"norm": torch.cat(found).mean().item() + frozen.seed}


class NeverApplies:
    """Asks for what no data here has."""

    asks = Asks(reads="encoder")
    spec = "never-v1"

    def applies(self, data):
        return hasattr(data, "pairs")

    def __call__(self, frozen):
        raise AssertionError("asked of data without pairs")


class Centered:
    """The points less the mean of train."""

    def __init__(self, spec):
        self.mean = None

    def fit(self, data, ids):
        assert data.test is None or not data.test[ids].any()
        self.mean = data.x[ids].mean(0)

    def __call__(self, view):
        return view.batch.x - self.mean


class Absent:
    """A baseline of data that is not here."""

    def __init__(self, spec):
        pass

    def applies(self, data):
        return False

    def __call__(self, view):
        raise AssertionError("asked of data without it")


def count(domain, words):
    """Say how many words there are."""
    print(domain, len(words))
    return 0


def _row(kind, name, what):
    return Component(kind=kind, name=name, target=f"{HERE}:{what}", summary=f"a {kind} of another plugin")


@hookimpl
def unlabeled_components(domain):
    if domain != "toy":
        return []
    return [
        _row("probe", "neighbours", "Neighbours"),
        _row("probe", "token_norm", "TokenNorm"),
        _row("probe", "never", "NeverApplies"),
        _row("baseline", "centered", "Centered"),
        _row("baseline", "absent", "Absent"),
        _row("command", "count", "count"),
    ]
