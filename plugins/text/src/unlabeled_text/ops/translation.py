"""A lexicon of two languages from the vectors of their words: mutual nearest neighbors, and the map that they ask for.

VecMap, https://arxiv.org/abs/1805.06297, from which CSR4mBART, https://arxiv.org/abs/2204.07834, has its lexicons: an
orthogonal map of one language's vectors on the other's and the pairs that are nearest under it are found in turns.
Differs: no word is left out at random between turns, and vectors are not whitened; words that are spelled alike begin
it where there are some.

    # N words of one language, M of the other, D features, P pairs
"""

import torch
import torch.nn.functional as F
from torch import Tensor

NEAR = 10  # neighbors that a word's crowd is measured by
ANCHORS = 8  # words that are spelled alike, from which on they begin
TURNS = 20


def settled(x_ND: Tensor) -> Tensor:
    """Unit length, the mean taken out, unit length again."""
    x_ND = F.normalize(x_ND, dim=1)
    return F.normalize(x_ND - x_ND.mean(0), dim=1)


def csls(x_ND: Tensor, z_MD: Tensor) -> Tensor:
    """``[N, M]``: twice the cosine, less how near each is to its neighbors: a hub is nearest to nobody."""
    cosine = x_ND @ z_MD.T
    own, other = (cosine.topk(min(NEAR, cosine.shape[d]), dim=d).values.mean(d, keepdim=True) for d in (1, 0))
    return 2 * cosine - own - other


def mutual(near_NM: Tensor) -> Tensor:
    """``int64[P, 2]``: the pairs of which each is the other's nearest."""
    best, back = near_NM.argmax(1), near_NM.argmax(0)
    own = (back[best] == torch.arange(len(best))).nonzero()[:, 0]
    return torch.stack((own, best[own]), dim=1)


def alike(x_ND: Tensor, z_MD: Tensor) -> Tensor:
    """``int64[P, 2]``: pairs that lie alike among the words of their own language, whatever the axes are."""
    most = min(len(x_ND), len(z_MD))
    lies = [settled((x @ x.T).sort(1, descending=True).values[:, :most]) for x in (x_ND, z_MD)]
    return mutual(csls(*lies))


def induced(x_ND: Tensor, z_MD: Tensor, anchors_P2: Tensor) -> Tensor:
    """``int64[P, 2]``: translations; ``anchors_P2`` are known ones, which begin the turns where they suffice."""
    x, z = settled(x_ND), settled(z_MD)
    pairs = anchors_P2 if len(anchors_P2) >= ANCHORS else alike(x, z)
    for _ in range(TURNS):
        u, _, v = torch.linalg.svd(x[pairs[:, 0]].T @ z[pairs[:, 1]])
        found = mutual(csls(x @ (u @ v), z))
        if torch.equal(found, pairs):
            break
        pairs = found
    return pairs
