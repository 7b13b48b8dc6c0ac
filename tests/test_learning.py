"""Every recipe learns, as it stands: nothing is changed but the length of the run, and the data where it says so.

Most recipes are judged by frozen features. From few labels, or by a linear probe, they must tell classes apart better
than those of the untrained encoder; and over all samples neither the classes of nearest neighbors nor a linear probe
may fall by more than their error. The others are judged by their own task: they must do better than can be
done without looking at a sample. One seed of training is run, so that this shows that a recipe does not collapse more
than how much it gains.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from unlabeled.build import Parts, build, make
from unlabeled.config.recipes import load_recipe, recipe_files
from unlabeled.config.run import merge, resolve
from unlabeled.probes.embedding import calibrate, embed, has_running_statistics, take
from unlabeled.probes.knn import knn_accuracy
from unlabeled.probes.splits import split, subset
from unlabeled.testing.learning import pretrain
from unlabeled_graph.probes.nodes import accuracy
from unlabeled_text.probes.pairs import spearman

EPOCH = 10**6  # whose views no training has seen
STEPS = {"vision": 100, "audio": 80, "graph": 60, "medical3d": 200, "text": 150}
MASKED_STEPS = {"vision": 700, "audio": 250}  # a step of one masked view costs a fraction of one of two views and more
OTHER_STEPS = {
    # CCA-SSG is stopped early, as in the paper (20 epochs on CiteSeer, 50 on Cora): views agree ever better by what is
    # a node's alone, and the probe finds 0.80 after 10 steps, 0.78 after 30, 0.74 after 50; hidden nodes take more
    "graph": {"cca_ssg": 30, "i_jepa": 200, "mae": 200},
    "medical3d": {"mae": 300, "simmim": 300, "uni4eye": 300}  # what follows is convolved at full resolution
    | {"voco": 120, "joint_image_volume": 60}  # six crops through two encoders; 256 slices through a ResNet
    | dict.fromkeys(("lvm_med", "models_genesis", "regions", "spark", "swin_unetr", "volume_fusion"), 60),
    "text": {"i_jepa": 450, "simsiam": 450},  # slow: after 150 steps i_jepa has a fifth of what it gains on the mean
}
MARGIN = {"vision": 0.04, "audio": 0.02, "graph": 0.03, "medical3d": 0.02, "text": 0.05}
LESS = {"simcse": 0.02}  # its loss is below 0.001 after 150 steps: dropout alone teaches little, and gains 0.036
UNPROVED = {
    ("medical3d", "simsiam"): "kNN 0.67 to 0.67, linear 0.88 to 0.85 after 400 steps",
    ("graph", "cca_ssg"): "few labels 0.71 to 0.78, and of all nodes kNN 0.815 to 0.790, whose error is 0.019",
}
OF_GRAPHS = ("infograph", "graphcl", "d_sla")
# few links and mixed words, and motifs in trees that are large beside them: untrained encoders are far from the top
BLOCKS = {"data": {"name": "blocks", "nodes": 400, "degree": 4.0, "mixing": 0.5, "words": 512}}
MOTIFS = {"data": {"name": "motifs", "count": 150, "smallest": 20, "largest": 40, "degrees": 3}}
# a quarter of them is held out: with 40 volumes a difference of 5 points is noise
PHANTOMS = {"data": {"name": "phantoms", "count": 480}}


def parts_of(domain: str, name: str, folder: Path) -> Parts:
    more: dict[str, Any] = PHANTOMS if domain == "medical3d" else {}
    if domain == "graph":
        more = (MOTIFS if name in OF_GRAPHS else BLOCKS) | {"training": {"batch_size": 64 if name in OF_GRAPHS else 0}}
    torch.manual_seed(0)
    return build(resolve(merge(load_recipe(domain, name), more), domain))


def steps_of(domain: str, name: str, parts: Parts) -> int:
    usual = STEPS[domain] if parts.mask is None else MASKED_STEPS.get(domain, STEPS[domain])
    return OTHER_STEPS.get(domain, {}).get(name, usual)


def sides(parts: Parts) -> tuple[Tensor, Tensor]:
    """What is trained on, and what is held out; nodes of one graph are trained on all together."""
    ids = torch.arange(len(parts.data))
    return (ids, ids) if parts.config.domain == "graph" else split(parts.data, ids, 0)


# ------------------------------------------------------------------------------------------- frozen features


def features(parts: Parts, batch_size: int = 256) -> Tensor:
    """Of all samples, from their clean views."""
    if parts.config.domain == "medical3d":
        batch_size = 16
        if has_running_statistics(parts.encoder):  # which start, and after few steps still are, far off
            some = (parts.data.__getitems__(ids.tolist()) for ids in sides(parts)[0][:64].split(16))
            calibrate(parts.encoder, lambda batch: parts.encoder(take(clean(parts), batch, 1, 0)[0]), some)
    return embed(parts.encoder, parts.data, clean(parts), batch_size=batch_size).x


def clean(parts: Parts) -> Any:
    return make(parts.config.domain, "views", "clean", {}, {"spec": parts.data.spec})


def nearest(parts: Parts, x: Tensor) -> float:
    """Accuracy by nearest neighbors from 10 labels a class, mean of 3 choices of them."""
    y = parts.data.labels
    assert y is not None
    ids, found = torch.nonzero(y >= 0)[:, 0], []
    for seed in range(3):
        train, test = (ids[side] for side in split(parts.data, ids, seed))
        few = train[subset(y[train], train, "10 per class", seed)]
        found.append(knn_accuracy(x[few], y[few], x[test], y[test]))
    return sum(found) / len(found)


def few_labels(parts: Parts, x: Tensor) -> tuple[float, ...]:
    return (nearest(parts, x),)


def of_texts(parts: Parts, x: Tensor) -> tuple[float, ...]:
    """And Spearman's correlation with graded pairs. A bag of random words does well at both."""
    data = cast(Any, parts.data)
    cosine = torch.cosine_similarity(x[data.pairs[:, 0]], x[data.pairs[:, 1]])
    return nearest(parts, x), spearman(cosine.numpy(), data.scores.numpy())


def of_nodes(parts: Parts, x: Tensor) -> tuple[float, ...]:
    """Mean accuracy of a linear probe on three random splits."""
    data: Any = parts.data
    x = F.normalize(x, dim=1)
    splits = [data.split(seed, "random") for seed in range(3)]
    found = [accuracy(x, data.all_labels, s.train, s.test, lr=1e-2, decay=1e-4, epochs=300) for s in splits]
    return (sum(found) / len(found),)


def over_all(parts: Parts, x: Tensor) -> tuple[float, ...]:
    """Accuracy of the class of all labelled samples: by 20 nearest others, and by a linear probe of five folds."""
    y = getattr(parts.data, "all_labels", parts.data.labels)  # of nodes, also of those that a split holds out
    assert y is not None
    x, y = x[y >= 0], y[y >= 0]
    unit = F.normalize(x)
    near = (unit @ unit.T).fill_diagonal_(-2).topk(20).indices
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    linear = cross_val_score(probe, x.double().numpy(), y.numpy(), cv=folds).mean()
    return float((y[near].mode(1).values == y).float().mean()), float(linear)


def error_of(score: float, count: int) -> float:
    """The deviation of a share of ``count`` samples."""
    return math.sqrt(score * (1 - score) / count)


GAINS = {"vision": few_labels, "audio": few_labels, "graph": of_nodes, "text": of_texts}


def scores(parts: Parts) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of which one must rise, and of which none may fall; of volumes both are the same, all being asked."""
    x = features(parts)
    kept = over_all(parts, x)
    gain = GAINS.get(parts.config.domain)
    return (kept if gain is None else gain(parts, x)), kept


def falls(before: tuple[float, ...], after: tuple[float, ...], count: int) -> bool:
    """Whether a score is lower than before by more than its error."""
    return any(new < old - error_of(old, count) for old, new in zip(before, after, strict=True))


# ------------------------------------------------------------------------------------------- the recipe's own task


@torch.no_grad()
def own_task(parts: Parts) -> tuple[Any, dict[str, float]]:
    """Views of what is held out, and the parts of their loss beside ``loss``, its total."""
    parts.encoder.eval()
    parts.objective.eval()
    views = parts.prepare(parts.data.__getitems__(sides(parts)[1].tolist()), 0, EPOCH)
    found = parts.objective(parts.encoder, views)
    return views, {"loss": float(found.total), **{key: float(value) for key, value in found.parts.items()}}


def restores(parts: Parts, power: int) -> None:
    """Intensities are nearer than the best constant; ``power`` is that of the error."""
    views, found = own_task(parts)
    images = views[-1].batch.images
    middle = images.mean() if power == 2 else images.median()
    assert found.get("intensity", found["loss"]) < 0.75 * float((images - middle).abs().pow(power).mean()), found


def paints_regions(parts: Any) -> None:
    views, found = own_task(parts)
    paints(parts.objective.regions_of(views[1]), found)


def paints_levels(parts: Any) -> None:
    views, found = own_task(parts)
    paints(views[1].batch.images.mul(parts.objective.classes - 1).round().long(), found)


def paints(classes: Tensor, found: dict[str, float]) -> None:
    """Classes are told with less loss than by their shares."""
    shares = torch.bincount(classes.flatten()) / classes.numel()
    assert found["cross_entropy"] < 0.95 * float(-torch.special.xlogy(shares, shares).sum()), found


def predicts(parts: Parts) -> None:
    """More words are right than the most frequent one would give."""
    tokens: Any = parts.data.__getitems__(range(len(parts.data))).tokens  # type: ignore[attr-defined]
    found = own_task(parts)[1]
    assert found["hits"] > float(torch.bincount(tokens).max()) / len(tokens) + MARGIN["text"], found


def tells_replaced(parts: Parts) -> None:
    """Replaced words are told with less loss than their share alone would give."""
    found = own_task(parts)[1]
    share = found.get("replaced", 0.15)
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    assert found.get("detector", found["loss"]) < 0.9 * entropy, (found, entropy)


def regresses(parts: Parts, beta: float) -> None:
    """A teacher's features of hidden words are nearer than their mean; smooth L1 turns linear at ``beta``."""
    found = own_task(parts)[1]
    error = found["target_std"] * torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(10_000) + 0.5) / 10_000)
    mean = float(F.smooth_l1_loss(error, torch.zeros_like(error), beta=beta))
    assert found["loss"] < 0.9 * mean, (found, mean)


def tells_same(parts: Parts) -> None:
    """Whether two spans are of one text is told better than by chance."""
    found = own_task(parts)[1]
    assert found["accuracy"] > 0.5 + MARGIN["text"], found


OWN: dict[str, dict[str, Callable[[Parts], None]]] = {
    "medical3d": {
        **dict.fromkeys(("mae", "models_genesis", "uni4eye"), partial(restores, power=2)),
        "simmim": partial(restores, power=1),
        "regions": paints_regions,
        "volume_fusion": paints_levels,
    },
    "text": {
        **dict.fromkeys(
            ("bart", "clm", "code_switch", "compoundpiece", "e2s2", "mlm", "salt", "slm", "space2", "spanbert", "t5",
             "ul2", "whole_word"),
            predicts,
        ),
        **dict.fromkeys(("c_rts", "rtd", "rts", "vega"), tells_replaced),
        **dict.fromkeys(("same_document", "same_paragraph"), tells_same),
        "data2vec": partial(regresses, beta=4.0),
        "i_jepa": partial(regresses, beta=1.0),
    },
}  # fmt: skip
# of audio, at the end of a chain: they promise alone no more than that the loss they are trained by falls
CHAINED = ("atst_both", "beats_tokenizer", "soft_units", "invariant_units", "unfused")


RECIPES = [
    pytest.param(domain, name, id=f"{domain}-{name}", marks=[
        pytest.mark.xfail(reason=UNPROVED[domain, name], strict=True)] if (domain, name) in UNPROVED else [])
    for domain in STEPS for name in recipe_files(domain)
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("domain", "name"), RECIPES)
def test_a_recipe_learns(domain: str, name: str, tmp_path: Path) -> None:
    parts = parts_of(domain, name, tmp_path)
    own = OWN.get(domain, {}).get(name)
    asked = not own and not (domain == "audio" and name in CHAINED)
    before, kept = scores(parts) if asked else ((), ())
    losses = pretrain(parts, sides(parts)[0], steps_of(domain, name, parts))
    if own:
        own(parts)
    elif not asked:
        assert sum(losses[-10:]) < sum(losses[:10])
    else:
        after, held = scores(parts)
        gain = max(new - old for old, new in zip(before, after, strict=True))
        found = f"untrained {before} and {kept}, pre-trained {after} and {held}"
        print(domain, name, found)
        assert gain > LESS.get(name, MARGIN[domain]), found
        assert not falls(kept, held, len(parts.data)), found


def test_a_score_falls_where_it_is_lower_by_more_than_its_error() -> None:
    assert not falls((0.8, 0.5), (0.79, 0.9), 400)
    assert falls((0.8, 0.5), (0.77, 0.9), 400)
    assert falls((0.8, 0.5), (0.9, 0.47), 400)
