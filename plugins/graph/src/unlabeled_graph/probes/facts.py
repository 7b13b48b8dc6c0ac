"""Facts of a knowledge graph that training did not see, from frozen features of entities: ranked, and told from false.

A DistMult of linearly mapped, standardized features learns the facts of train, all tails of a head and a relation at
once, inverse relations too. Each test fact is ranked by its score among all entities as its tail, and by the inverse
relation as its head, without those that are known to be true (filtered, https://arxiv.org/abs/1412.6575); and it is
told from one with a random other tail by a threshold that is fitted on facts of train.

    # T entities, R relations, N facts, M of them that are scored, D features, W mapped ones
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.contract import Asks
from unlabeled.draw import Draw, Purpose
from unlabeled.probes.frozen import Frozen

STEPS, QUESTIONS, WIDTH = 200, 256, 64  # of training
MOST = 2000  # facts that are scored


def both_ways(facts_N3: Tensor, relations: int) -> Tensor:
    """``[2N, 3]``: each fact, and its inverse under a relation of its own."""
    head, kind, tail = facts_N3.T
    return torch.cat((facts_N3, torch.stack((tail, kind + relations, head), dim=1)))


def truths(facts_M3: Tensor, known_N3: Tensor, total: int) -> Tensor:
    """``bool[M, T]``: which tails of each fact's head and relation are known to be true."""
    pairs, place = torch.cat((facts_M3, known_N3))[:, :2].unique(dim=0, return_inverse=True)
    own, theirs = place.split([len(facts_M3), len(known_N3)])
    asked = own.unique()
    row = torch.full((len(pairs),), -1).index_copy(0, asked, torch.arange(len(asked)))
    here = row[theirs] >= 0
    true = torch.zeros(len(asked), total, dtype=torch.bool)
    true[row[theirs[here]], known_N3[here, 2]] = True
    return true[row[own]]


def ranks(score_MT: Tensor, tail_M: Tensor, true_MT: Tensor) -> Tensor:
    """``float[M]``: the place of each tail among those not known to be true, from 1; equal scores share theirs."""
    own = score_MT.gather(1, tail_M[:, None])
    other = ~true_MT.scatter(1, tail_M[:, None], True)
    return 1 + ((score_MT > own) & other).sum(1) + ((score_MT == own) & other).sum(1) / 2


def threshold(true_M: Tensor, false_M: Tensor) -> float:
    """The score at or below which the false are, and above which the true are, for most of both."""
    score = torch.cat((true_M, false_M))
    order = torch.argsort(score)
    gain = (order >= len(true_M)).long() * 2 - 1
    return float(score[order[gain.cumsum(0).argmax()]])


class Facts:
    """Mean reciprocal rank, hits among the first ten, and the share of facts told from false ones; no settings."""

    asks = Asks(reads="encoder", draws=True)
    spec = (
        f"facts-v1: DistMult of {WIDTH} linear features of standardized entities, {STEPS} steps of Adam lr 0.01 on "
        f"{QUESTIONS} heads with a relation, all tails at once, inverse relations too; test facts filtered, at most "
        f"{MOST:,} by seed; told from one with a random other tail by a threshold of train"
    )

    def applies(self, data: Any) -> bool:
        """Where facts are held out."""
        return len(getattr(data, "facts", {}).get("test", ())) > 0

    def chance(self, frozen: Frozen) -> dict[str, float]:
        """Any order of entities."""
        total = len(frozen.data)
        return {"mrr": float((1 / torch.arange(1, total + 1)).mean()), "hits10": min(1.0, 10 / total), "told": 0.5}

    def __call__(self, frozen: Frozen) -> dict[str, float]:
        data: Any = frozen.data
        relations = 1 + max(int(part[:, 1].max()) for part in data.facts.values() if len(part))
        sets = {name: both_ways(part, relations) for name, part in data.facts.items()}
        known, x = torch.cat(list(sets.values())), frozen.embed().x.float()
        x = (x - x.mean(0)) / x.std(0).clamp(min=1e-9)
        entity, relation = _learn(x, sets["train"], 2 * relations, frozen.seed)
        train, test = (_some(sets[name], frozen.seed) for name in ("train", "test"))
        place = torch.cat([_ranked(entity, relation, part, known) for part in test.split(QUESTIONS)])
        limit = threshold(*_margins(entity, relation, train, known, frozen.seed))
        true, false = _margins(entity, relation, test, known, frozen.seed)
        told = torch.cat((true > limit, false <= limit)).float().mean()
        return {
            "mrr": float((1 / place).mean()),
            "hits10": float((place <= 10).float().mean()),
            "told": float(told),
        }


def _some(facts_N3: Tensor, seed: int) -> Tensor:
    return facts_N3[torch.argsort(Draw(seed, 0, torch.arange(len(facts_N3))).words(1, Purpose.EDGE)[:, 0])[:MOST]]


def _learn(x_TD: Tensor, facts_N3: Tensor, relations: int, seed: int) -> tuple[Tensor, Tensor]:
    """Entities ``[T, W]`` and relations ``[R, W]``."""
    generator = torch.Generator().manual_seed(seed)
    project = (torch.randn(x_TD.shape[1], WIDTH, generator=generator) / x_TD.shape[1] ** 0.5).requires_grad_()
    relation = torch.randn(relations, WIDTH, generator=generator).requires_grad_()
    optimizer = torch.optim.Adam([project, relation], lr=0.01)
    for step in range(STEPS):
        order = torch.argsort(Draw(seed, step, torch.arange(len(facts_N3))).words(1, Purpose.ORDER)[:, 0])
        asked, entity = facts_N3[order[:QUESTIONS]], x_TD @ project
        score = (entity[asked[:, 0]] * relation[asked[:, 1]]) @ entity.T
        loss = F.binary_cross_entropy_with_logits(score, truths(asked, facts_N3, len(x_TD)).float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (x_TD @ project).detach(), relation.detach()


def _ranked(entity_TW: Tensor, relation_RW: Tensor, facts_M3: Tensor, known_N3: Tensor) -> Tensor:
    score = (entity_TW[facts_M3[:, 0]] * relation_RW[facts_M3[:, 1]]) @ entity_TW.T
    return ranks(score, facts_M3[:, 2], truths(facts_M3, known_N3, len(entity_TW)))


def _margins(
    entity_TW: Tensor, relation_RW: Tensor, facts_M3: Tensor, known_N3: Tensor, seed: int
) -> tuple[Tensor, Tensor]:
    """``[M]`` scores of facts, and of the same with a random tail that is not known to be true."""
    total = len(entity_TW)
    words = Draw(seed, 3, torch.arange(len(facts_M3))).uniform(total, Purpose.NODE)
    false = words.masked_fill(truths(facts_M3, known_N3, total), -1.0).argmax(1)
    query = entity_TW[facts_M3[:, 0]] * relation_RW[facts_M3[:, 1]]
    return (query * entity_TW[facts_M3[:, 2]]).sum(1), (query * entity_TW[false]).sum(1)
