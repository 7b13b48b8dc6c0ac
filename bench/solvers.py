"""CPU seconds of what a peer does too, in turn on one thread: linear probe, LARS, LAMB, Barlow Twins and cosine loss.

The peer's over ours: above 1 we are faster. The probe's peer is scikit-learn's LogisticRegression over the same path of
C, with warm starts, on the same standardized features and the same split; accuracies stand beside it.
"""

import copy
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from common import arguments, in_turn, median, save
from torch import Tensor, nn

from unlabeled.contract import Embedded
from unlabeled.nn.cosine import cosine
from unlabeled.nn.whitening import cross_correlation, standardize
from unlabeled.objectives.barlow_twins import barlow_twins_loss
from unlabeled.probes import linear
from unlabeled.training.optimizers import LAMB, LARS, parameter_groups

Pair = tuple[str, Callable[[], Any], Callable[[], Any]]


def features(samples: int, dim: int, classes: int) -> tuple[Embedded, Embedded]:
    """Noisy centers in 32 dimensions, bent and turned into ``dim`` of falling size; a fifth is test."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    y = torch.arange(samples) % classes
    hidden = draw(classes, 32)[y] + 2 * draw(samples, 32)
    x = torch.tanh(hidden @ draw(32, dim) / 4) + 0.1 * draw(samples, dim)
    x = x @ torch.linalg.qr(draw(dim, dim))[0] * torch.logspace(0, -1.5, dim)
    cut = samples * 4 // 5
    return Embedded(x[:cut], y[:cut]), Embedded(x[cut:], y[cut:])


def theirs(train: Embedded, test: Embedded) -> float:
    """Accuracy of scikit-learn's logistic regression, C chosen as the probe chooses it."""
    from sklearn.linear_model import LogisticRegression

    x, test_x = (side.numpy() for side in linear.standardize(train.x, test.x))
    assert train.y is not None
    y, model, found = train.y.numpy(), LogisticRegression(max_iter=200, warm_start=True), []
    fitted, held = linear.hold_out(train.y, 0.2, 0)
    for C in linear.Linear().grid:
        model.set_params(C=C).fit(x[fitted], y[fitted])
        found.append((model.score(x[held], y[held]), -C))
    best = LogisticRegression(C=-max(found)[1], max_iter=200).fit(x, y)
    return float(best.score(test_x, test.y))


def probes() -> Iterator[Pair]:
    for shape in ((5000, 384, 10), (2500, 192, 4), (5000, 192, 100), (10000, 64, 10)):
        sides = features(*shape)
        name = "linear {} x {}, {} classes".format(*shape)
        yield name, lambda s=sides: linear.Linear()(*s)["accuracy"], lambda s=sides: theirs(*s)


def optimizers() -> Iterator[Pair]:
    import timm
    from lightly.utils import lars as lightly_lars
    from timm.optim import Lamb

    for name, model in (
        ("vit_tiny", timm.create_model("vit_tiny_patch16_224", img_size=32)),
        ("resnet18", timm.create_model("resnet18")),
        ("mlp", nn.Sequential(*[nn.Linear(64, 64) for _ in range(10)])),
    ):
        other = copy.deepcopy(model)
        for p in (*model.parameters(), *other.parameters()):
            p.grad = torch.randn_like(p) * 1e-3
        groups = [{k: v for k, v in group.items() if k != "adapt"} for group in parameter_groups(other)]
        lars = lightly_lars.LARS(copy.copy(groups), lr=0.1, momentum=0.9, weight_decay=1e-4)
        lamb = Lamb(copy.copy(groups), lr=1e-3, weight_decay=0.01, max_grad_norm=None)
        yield f"LARS {name}", LARS(parameter_groups(model), lr=0.1, weight_decay=1e-4).step, lars.step
        yield f"LAMB {name}", LAMB(parameter_groups(model), lr=1e-3).step, lamb.step


def losses() -> Iterator[Pair]:
    from lightly.loss import BarlowTwinsLoss, NegativeCosineSimilarity

    barlow, similarity = BarlowTwinsLoss(), NegativeCosineSimilarity()
    for shape in ((64, 128), (256, 512), (128, 2048)):
        a, b = (torch.randn(*shape, requires_grad=True) for _ in range(2))

        def ours(a: Tensor = a, b: Tensor = b) -> None:
            on, off = barlow_twins_loss(cross_correlation(standardize(a), standardize(b)))
            (on + 5e-3 * off).backward()

        yield f"Barlow Twins {shape}", ours, lambda a=a, b=b: barlow(a, b).backward()
        yield (
            f"cosine {shape}",
            lambda a=a, b=b: cosine(a, b).backward(),
            lambda a=a, b=b: similarity(a, b.detach()).backward(),
        )


def seconds(call: Callable[[], Any], times: int) -> float:
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times


def main() -> None:
    args = arguments(__doc__, rounds=5)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=FutureWarning)
    rows = []
    for pairs, times in ((probes, 1), (optimizers, 5), (losses, 10)):
        for name, ours, peer in pairs():
            result = [side() for side in (ours, peer)]  # the first call is not measured
            sides = {"ours": lambda f=ours, n=times: seconds(f, n), "peer": lambda f=peer, n=times: seconds(f, n)}
            found = {side: median(values) for side, values in in_turn(sides, args.rounds).items()}
            row: dict[str, Any] = {"what": name, **found, "ratio": found["peer"] / found["ours"]}
            row |= {"accuracy": result} if pairs is probes else {}
            print(row, flush=True)
            rows.append(row)
    save("solvers", {"rows": rows})


if __name__ == "__main__":
    main()
