"""Partners that a loader brings along with a text: ``near`` ones of its neighborhood, ``far`` ones of elsewhere.

All are fixed tables of numbers, so that a sample has the same partners in any batch; views draw one of them.
``near@25`` and ``hard@4000`` are SciNCL's, https://arxiv.org/abs/2202.06671: the last few texts up to that rank among
the nearest of an embedding of the graph of links. Differs: the embedding is FastRP, https://arxiv.org/abs/1908.11512
(mixed steps of random vectors along the links), where the paper takes PyTorch-BigGraph's; in a small corpus ranks
are lowered to a share of it; and a near text is one that links lead to, however few those are.

    # N texts, M partners of each, E links, D numbers of a text's place in the graph
"""

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from unlabeled.draw import Draw, Purpose, mix64
from unlabeled.errors import UsageError

NEAR, FAR = 4, 4  # M
WIDTH, STEPS = 128, (0.0, 1.0, 1.0, 1.0)  # D, and the weights of 1, 2, ... steps along the links
MOST = {"near": 0.02, "hard": 0.25}  # greatest rank, as a share of the texts
ROWS = 1024  # texts whose neighbors are looked for at a time


def among(pool: Tensor, name: str, count: int, documents_N: Tensor | None, links_E2: Tensor | None) -> Tensor:
    """``int64[N, M]``: the partners of the texts ``pool``, from among them; each of the others is its own."""
    if len(pool) == count:
        return table(name, count, documents_N, links_E2)
    place = torch.full((count,), -1).index_copy(0, pool, torch.arange(len(pool)))
    links = None if links_E2 is None else place[links_E2.long()]
    if links is not None and not len(links := links[(links >= 0).all(1)]):
        links = torch.zeros(1, 2, dtype=torch.int64)  # of the first text to itself, so that there is one
    documents = None if documents_N is None else documents_N[pool].unique(return_inverse=True)[1]
    found = pool[table(name, len(pool), documents, links)]
    return torch.arange(count)[:, None].repeat(1, found.shape[1]).index_copy_(0, pool, found)


def table(name: str, count: int, documents_N: Tensor | None, links_E2: Tensor | None) -> Tensor:
    """``int64[N, M]``: the partners of each text."""
    kind, _, rank = name.partition("@")
    if name == "far":
        return far(count, documents_N)
    if kind not in ("near", "hard") or not (rank or "0").isdigit() or name == "hard":
        raise UsageError(f"views ask for {name!r} texts; data of text can bring near, far, near@RANK and hard@RANK")
    if links_E2 is not None and not rank:
        return linked(count, links_E2)
    if links_E2 is None and (documents_N is None or int(torch.bincount(documents_N).max()) < 2):
        raise UsageError(
            "the views need texts that belong together: give --data.links, a file of two columns, or documents of "
            "several texts (paragraphs of a file, or runs of lines between empty ones)"
        )
    if not rank:
        assert documents_N is not None
        return following(documents_N)
    if links_E2 is None:
        assert documents_N is not None
        links_E2 = torch.stack((torch.arange(count), following(documents_N)[:, 0]), dim=1)
    most = min(int(rank), max(NEAR, int(MOST[kind] * count)), count - 1)
    return at_rank(graph_places(count, links_E2), most, reached(count, links_E2) if kind == "near" else None)


def graph_places(count: int, links_E2: Tensor) -> Tensor:
    """``[N, D]``: FastRP of the graph of links, taken as undirected; unit length, 0 for a text without links."""
    both = torch.cat((links_E2, links_E2.flip(1))).unique(dim=0)
    degree = torch.bincount(both[:, 0], minlength=count).clamp(min=1).float()
    with torch.sparse.check_sparse_tensor_invariants(False):
        step = torch.sparse_coo_tensor(both.T, 1 / degree[both[:, 0]], (count, count)).coalesce()
    x = Draw(0, 0, torch.arange(count)).bernoulli(WIDTH, Purpose.WALK, 0.5).float() * 2 - 1
    total = torch.zeros_like(x)
    for weight in STEPS:
        x = torch.sparse.mm(step, x)
        total += weight * torch.nn.functional.normalize(x, dim=1)
    return torch.nn.functional.normalize(total, dim=1)


def reached(count: int, links_E2: Tensor) -> Tensor:
    """``int64[N]``, equal for texts that links lead between, in either direction."""
    source, target = links_E2.numpy().T
    links = sparse.coo_matrix((np.ones(len(source)), (source, target)), shape=(count, count))
    return torch.from_numpy(connected_components(links, directed=False)[1]).long()


def at_rank(x_ND: Tensor, rank: int, part_N: Tensor | None = None) -> Tensor:
    """``int64[N, M]``: of the ``rank`` nearest other texts of each, by cosine, the last ones.

    With ``part_N`` only texts of the same part count, over and over where there are fewer than M; itself where none is.
    """
    found = []
    for start in range(0, len(x_ND), ROWS):
        near = x_ND[start : start + ROWS] @ x_ND.T
        own = torch.arange(start, start + len(near))
        if part_N is not None:
            near.masked_fill_(part_N[own, None] != part_N, -torch.inf)
        near[own - start, own] = -torch.inf
        value, index = near.topk(rank, dim=1)
        last = value.isfinite().sum(1, keepdim=True)
        place = last - 1 - torch.arange(min(NEAR, rank)).flip(0) % last.clamp(min=1)
        found.append(torch.where(last > 0, index.gather(1, place.clamp(min=0)), own[:, None]))
    return torch.cat(found)


def linked(count: int, links_E2: Tensor) -> Tensor:
    """Up to NEAR linked texts of each, over and over where there are fewer; itself where there is none."""
    order = torch.argsort(links_E2[:, 0], stable=True)
    source, target = links_E2[order].unbind(1)
    each = torch.bincount(source, minlength=count)
    first = each.cumsum(0) - each
    place = first[:, None] + torch.arange(NEAR) % each.clamp(min=1)[:, None]
    found = target[place.clamp(max=len(target) - 1)]
    return torch.where(each[:, None] > 0, found, torch.arange(count)[:, None])


def following(documents_N: Tensor) -> Tensor:
    """The next text of the same document, the first after the last."""
    order = torch.argsort(documents_N, stable=True)
    own = documents_N[order]
    first = torch.searchsorted(own, own)  # of each text's document
    after = torch.arange(1, len(own) + 1)
    same = torch.cat((own[1:] == own[:-1], own.new_zeros(1, dtype=torch.bool)))
    found = torch.empty_like(order)
    found[order] = order[torch.where(same, after.clamp(max=len(own) - 1), first)]
    return found[:, None]


def far(count: int, documents_N: Tensor | None) -> Tensor:
    """FAR texts of other documents, by a hash of the number; of its own document only where that is all there is."""
    if count < 2:
        raise UsageError("the views need other texts beside each, and the data has only one")
    number = torch.arange(count)
    found = number[:, None].expand(count, FAR).clone()
    own = number if documents_N is None else documents_N
    for attempt in range(8):
        clash = own[found] == own[:, None]
        tried = mix64(number[:, None] * 64 + torch.arange(FAR) * 8 + attempt).remainder(count)
        found = torch.where(clash, tried, found)
    return torch.where(found == number[:, None], (found + 1) % count, found)
