"""Changes of graphs that views are made of: links, nodes, paths, columns and rows of features; each an exact share.

Of g's links (or nodes, or columns) just ``round(share * count)`` are chosen, each equally likely, where the papers toss
a coin for each. A link is dropped or kept in both directions; no change joins two graphs of a batch. Where graphs are
the samples, a dropped node leaves with its row; where nodes are, every node keeps its row and features, and loses its
links (as PyG's ``dropout_node``), since it may be a sample.

    # G groups, T rows, E directed edges, F features, K walkers
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from unlabeled.draw import Draw, Purpose, mix64
from unlabeled.nn.chance import below
from unlabeled_graph.batch import GraphBatch, sort_edges
from unlabeled_graph.ops.chance import exact, graph_draw, link_words, pair_words, row_words
from unlabeled_graph.ops.purposes import Use
from unlabeled_graph.ops.sparse import Pattern, Rows, SparseRows, dense, offsets_of, scale_columns, scale_rows, take

Share = float | Sequence[float]  # of all graphs of a batch, or of each
LOWEST = torch.iinfo(torch.int64).min
WALKER = 64  # nodes that a walker is sent for


# ------------------------------------------------------------------------------------------------- counting


def forward_of(batch: GraphBatch) -> Tensor:
    """``bool[E]``: one direction of every link; all edges of a directed graph."""
    if batch.symmetric:
        return batch.edges[0] <= batch.edges[1]
    return torch.ones(batch.edges.shape[1], dtype=torch.bool, device=batch.device)


def per_group(owner_N: Tensor | None, count: int, batch: GraphBatch) -> list[int]:
    """How many entries fall in each group, on the host."""
    if owner_N is None:
        return [count]
    found: list[int] = torch.bincount(owner_N, minlength=len(batch.lengths)).tolist()
    return found


def counts_of(share: Share, sizes: Sequence[int]) -> list[int]:
    """``round(share * size)`` of each group; ``share`` is one for all, or one for each group."""
    shares = [share] * len(sizes) if isinstance(share, float) else share
    return [round(part * size) for part, size in zip(shares, sizes, strict=True)]


def nothing(share: Share) -> bool:
    """Whether no group is changed."""
    return share == 0 if isinstance(share, float) else not any(share)


def choose_links(words_E: Tensor, batch: GraphBatch, counts: Sequence[int], among_E: Tensor | None = None) -> Tensor:
    """``bool[E]``: ``counts[g]`` links of each group, those with the smallest words of the edges ``among``, in both
    directions."""
    forward = forward_of(batch) if among_E is None else forward_of(batch) & among_E
    owner = None if len(batch.lengths) == 1 else batch.group[batch.edges[1]]
    words = words_E[forward]
    mine = None if owner is None else owner[forward]
    chosen = exact(words, mine, counts)
    limit = torch.full((len(batch.lengths),), LOWEST, device=batch.device)
    if owner is None or mine is None:
        found = words_E <= (words[chosen].max() if counts[0] else limit[0])
    else:
        # the other direction has the same word, so that a limit finds it without a search
        limit = limit.scatter_reduce(0, mine[chosen], words[chosen], "amax")
        found = words_E <= limit[owner]
    return found if among_E is None else found & among_E


# ------------------------------------------------------------------------------------------------- what stays


def keep_edges(batch: GraphBatch, kept_E: Tensor) -> GraphBatch:
    """With the edges ``kept[E]`` (True = stays) alone."""

    def of_edges(x: Tensor | None) -> Tensor | None:
        return None if x is None else x[kept_E]

    return batch.altered(
        edges=batch.edges[:, kept_E], edge_attr=of_edges(batch.edge_attr), weight=of_edges(batch.weight)
    )


def keep_nodes(batch: GraphBatch, kept_T: Tensor) -> tuple[GraphBatch, Tensor | None]:
    """With the nodes ``kept[T]`` (True = stays) alone, and which row each was; None where all rows stay."""
    inside = kept_T[batch.edges].all(0)
    small = keep_edges(batch, inside)
    if batch.nodes is not None:
        return small, None
    index = torch.nonzero(kept_T)[:, 0]
    place = torch.cumsum(kept_T, 0) - 1
    lengths = torch.bincount(batch.group[index], minlength=len(batch.lengths))
    small = small.altered(x=take(batch.x, index), edges=place[small.edges], lengths=tuple(lengths.tolist()))
    return small, index


# ------------------------------------------------------------------------------------------------- edits


def drop_links(batch: GraphBatch, draw: Draw, share: Share) -> GraphBatch:
    """Without an exact share of the links of each graph (GRACE, https://arxiv.org/abs/2006.04131)."""
    if nothing(share):
        return batch
    return keep_edges(batch, ~choose_links(link_words(batch, draw, Purpose.EDGE), batch, link_counts(batch, share)))


def drop_nodes(batch: GraphBatch, draw: Draw, share: Share) -> tuple[GraphBatch, Tensor | None]:
    """Without an exact share of the nodes of each graph, never all (GraphCL, https://arxiv.org/abs/2010.13902)."""
    if nothing(share):
        return batch, None
    counts = [min(count, n - 1) for count, n in zip(counts_of(share, batch.lengths), batch.lengths)]
    owner = None if len(batch.lengths) == 1 else batch.group
    return keep_nodes(batch, ~exact(row_words(batch, draw, Purpose.NODE), owner, counts))


def mask_columns(batch: GraphBatch, draw: Draw, share: float) -> GraphBatch:
    """Without an exact share of the columns of features, the same for all nodes of a graph (GRACE)."""
    count = round(share * batch.x.shape[1])
    if count == 0:
        return batch
    words_GF = graph_draw(batch, draw).words(batch.x.shape[1], Purpose.FEATURE)
    shown_GF = (words_GF > words_GF.kthvalue(count, dim=1, keepdim=True).values).float()
    if batch.nodes is not None:
        return batch.altered(x=scale_columns(batch.x, shown_GF[0]))
    x, group = batch.x, batch.group
    if isinstance(x, SparseRows):
        shown = shown_GF[group[x.pattern.rows], x.pattern.columns]
        return batch.altered(x=SparseRows(x.pattern, x.values * shown))
    return batch.altered(x=x * shown_GF[group])


def mask_rows(batch: GraphBatch, draw: Draw, share: Share, inside_T: Tensor | None = None) -> GraphBatch:
    """With the features of an exact share of the nodes of each graph set to 0, or of its nodes ``inside``."""
    if nothing(share):
        return batch
    sizes = batch.lengths if inside_T is None else per_group(batch.group[inside_T], 0, batch)
    counts = [min(count, n - 1) for count, n in zip(counts_of(share, sizes), sizes)]
    words = row_words(batch, draw, Purpose.MASK)
    if inside_T is not None:  # whoever is outside comes last
        words = torch.where(inside_T, words >> 1, torch.iinfo(torch.int64).max)
    gone = exact(words, None if len(batch.lengths) == 1 else batch.group, counts)
    return batch.altered(x=scale_rows(batch.x, (~gone).float()))


def add_links(batch: GraphBatch, draw: Draw, share: Share) -> GraphBatch:
    """With as many new links as ``share`` of each graph's own, between random nodes of it that had none.

    Nearly complete graphs have no room for all of them. A new link has the features of a random old one of its graph:
    a mean of them would tell the new links from the old.
    """
    return _added(batch, draw, link_counts(batch, share), batch)


def perturb_links(batch: GraphBatch, draw: Draw, share: Share, inside_T: Tensor | None = None) -> GraphBatch:
    """With an exact share of the links of each graph dropped, and as many added where there were none.

    Args:
        share: of the links of a graph, or of those among its rows ``inside``, of which at least one is changed then.
        inside_T: bool, True = links may be dropped and added here; None = anywhere.
    """
    if inside_T is None:
        return _added(drop_links(batch, draw, share), draw, link_counts(batch, share), batch)
    among = inside_T[batch.edges].all(0)
    counts = [max(count, min(1, n)) for count, n in zip(link_counts(batch, share, among), links_of(batch, among))]
    gone = choose_links(link_words(batch, draw, Purpose.EDGE), batch, counts, among)
    return _added(keep_edges(batch, ~gone), draw, counts, batch, inside_T)


def link_counts(batch: GraphBatch, share: Share, among_E: Tensor | None = None) -> list[int]:
    """How many links of each graph make ``share`` of it."""
    return counts_of(share, links_of(batch, among_E))


def links_of(batch: GraphBatch, among_E: Tensor | None = None) -> list[int]:
    """How many links each graph has, of all edges or of those ``among``."""
    forward = forward_of(batch) if among_E is None else forward_of(batch) & among_E
    owner = None if len(batch.lengths) == 1 else batch.group[batch.edges[1]][forward]
    return per_group(owner, int(forward.sum()), batch)


def _added(
    batch: GraphBatch, draw: Draw, counts: list[int], before: GraphBatch, inside_T: Tensor | None = None
) -> GraphBatch:
    """With ``counts[g]`` new links of each graph that it did not have ``before``, among the rows ``inside``."""
    most = max(counts, default=0)
    if most == 0:
        return batch
    # some pairs are taken, or drawn twice
    pairs, group = _new_pairs(batch, draw, [4 * count + 64 * (count > 0) for count in counts], before.edges, inside_T)
    words = pair_words(row_words(batch, draw, Use.ADD), pairs, batch.symmetric)
    chosen = exact(words, group, counts)
    pairs, like = pairs[:, chosen], _likes(before, group[chosen], words[chosen])
    if batch.symmetric:
        pairs, like = torch.cat((pairs, pairs.flip(0)), dim=1), like.repeat(2)
    edges, order = sort_edges(torch.cat((batch.edges, pairs), dim=1), batch.total)

    def of_edges(x: Tensor | None, old: Tensor | None) -> Tensor | None:
        if x is None or old is None:
            return x
        more = torch.cat((x, old[like]))
        return more if order is None else more[order]

    attr, weight = of_edges(batch.edge_attr, before.edge_attr), of_edges(batch.weight, before.weight)
    return batch.altered(edges=edges, edge_attr=attr, weight=weight)


def _likes(batch: GraphBatch, group_P: Tensor, words_P: Tensor) -> Tensor:
    """``int64[P]``: for each new link a random edge of its graph, whose features it has."""
    starts = offsets_of(batch.group[batch.edges[1]], len(batch.lengths))
    return starts[group_P] + below(mix64(words_P), starts.diff()[group_P])


def _new_pairs(
    batch: GraphBatch, draw: Draw, tries: Sequence[int], taken: Tensor, inside_T: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Pairs of nodes of a group that have no edge, each once, the lower row first, and the group of each."""
    rows = torch.arange(batch.total, device=batch.device) if inside_T is None else torch.nonzero(inside_T)[:, 0]
    starts = offsets_of(batch.group[rows], len(batch.lengths))
    lengths = starts.diff()[:, None].clamp(min=1)
    each = graph_draw(batch, draw)
    ends = torch.stack([each.at(draw.view + (n << 16)).integers(max(tries), Use.ADD, lengths) for n in (1, 2)])
    # as many tries as a graph needs itself, so that its links do not depend on the greatest graph of the batch
    asked = torch.arange(max(tries), device=batch.device) < torch.tensor(tries, device=batch.device)[:, None]
    pairs = rows[(ends + starts[:-1, None])[:, asked]]
    if batch.symmetric:
        pairs = pairs.sort(0).values
    pairs = torch.unique(pairs[:, pairs[0] != pairs[1]], dim=1)
    total = batch.total
    known = torch.isin(pairs[0] * total + pairs[1], taken[0] * total + taken[1])
    pairs = pairs[:, ~known]
    return pairs, batch.group[pairs[0]]


# ------------------------------------------------------------------------------------------------- walks


def walk(pattern: Pattern, start_K: Tensor, words_KS: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes ``[S, K]`` that walkers reach step by step, and the edges ``[S, K]`` they take (-1 where there is none)."""
    degree, here = pattern.offsets.diff(), start_K
    nodes, taken = [], []
    for word_K in words_KS.unbind(1):
        count = degree[here]
        pick = pattern.offsets[here] + ((word_K >> 33) & 0x7FFFFFFF) % count.clamp(min=1)
        edge = torch.where(count > 0, pick, -1)
        here = torch.where(count > 0, pattern.columns[edge.clamp(min=0)], here) if len(pattern.columns) else here
        nodes.append(here)
        taken.append(edge)
    return torch.stack(nodes), torch.stack(taken)


def _walkers(batch: GraphBatch, draw: Draw, counts: Sequence[int], steps: int, purpose: int) -> tuple[Tensor, Tensor]:
    """Where ``counts[g]`` walkers of each group start ``[K]``, and their words ``[K, steps]``."""
    most = max(counts)
    each = graph_draw(batch, draw)
    lengths = torch.tensor(batch.lengths, device=batch.device)[:, None]
    start = (
        each.integers(most, purpose, lengths) + torch.tensor(batch.layout.offsets[:-1], device=batch.device)[:, None]
    )
    sent = torch.arange(most, device=batch.device) < torch.tensor(counts, device=batch.device)[:, None]
    words = each.at(draw.view + (1 << 16)).words(most * steps, purpose).unflatten(1, (most, steps))
    return start[sent], words[sent]


def pattern_of(batch: GraphBatch) -> Pattern:
    """Rows are targets, columns their sources."""
    return Pattern(offsets_of(batch.edges[1], batch.total), batch.edges[0], batch.total)


def walk_subgraph(batch: GraphBatch, draw: Draw, share: Share) -> tuple[GraphBatch, Tensor | None]:
    """Random walks until just ``share`` of each graph's nodes are seen, at least one; the rest is dropped (GraphCL).

    Where the walks are stuck in a small component, random nodes fill up.
    """
    counts = [min(max(1, count), n) for count, n in zip(counts_of(share, batch.lengths), batch.lengths)]
    steps = 4 * min(WALKER, max(counts))
    start, words = _walkers(batch, draw, [-(-count // WALKER) for count in counts], steps, Purpose.WALK)
    nodes, _ = walk(pattern_of(batch), start, words)
    seen = torch.cat((start[None], nodes))
    time = torch.arange(len(seen), device=batch.device)[:, None].expand_as(seen)
    first = torch.full((batch.total,), len(seen), device=batch.device)
    first = first.scatter_reduce(0, seen.flatten(), time.flatten(), "amin")
    key = (first << 40) + ((row_words(batch, draw, Purpose.NODE) >> 24) & 0xFFFFFFFFFF)
    return keep_nodes(batch, exact(key, None if len(counts) == 1 else batch.group, counts))


def around(batch: GraphBatch, draw: Draw, hops: int) -> Tensor:
    """``bool[T]``: the nodes at most ``hops`` links from a random node of each graph (D-SLA, 2202.02989)."""
    lengths, starts = (torch.tensor(x, device=batch.device) for x in (batch.lengths, batch.layout.offsets[:-1]))
    center = starts + graph_draw(batch, draw).integers(1, Use.CENTER, lengths[:, None])[:, 0]
    there = torch.zeros(batch.total, device=batch.device).index_fill(0, center, 1.0)
    for _ in range(hops):
        wider = (there.index_add(0, batch.edges[1], there[batch.edges[0]]) > 0).float()
        if torch.equal(wider, there):
            break
        there = wider
    return there > 0


def drop_paths(batch: GraphBatch, draw: Draw, share: Share, length: int) -> GraphBatch:
    """Without an exact share of the links, those along random walks of ``length`` (MaskGAE, 2205.10053)."""
    counts = link_counts(batch, share)
    if max(counts, default=0) == 0:
        return batch
    sent = [-(-2 * count // length) + 1 for count in counts]
    start, words = _walkers(batch, draw, sent, length, Use.PATH)
    _, taken = walk(pattern_of(batch), start, words)
    # whole paths first: walker after walker, step after step
    turn = torch.arange(taken.numel(), device=batch.device).reshape(len(start), length).T
    inside = taken >= 0
    first = torch.full((batch.edges.shape[1],), taken.numel(), device=batch.device)
    first = first.scatter_reduce(0, taken[inside], turn[inside], "amin")
    if batch.symmetric:
        first = torch.minimum(first, first[reversed_edges(batch.edges, batch.total)])
    key = (first << 40) + ((link_words(batch, draw, Purpose.EDGE) >> 24) & 0xFFFFFFFFFF)
    return keep_edges(batch, ~choose_links(key, batch, counts))


def reversed_edges(edges: Tensor, total: int) -> Tensor:
    """``int64[E]``: where the other direction of each edge stands, for sorted edges that stand in both."""
    return torch.argsort(edges[0] * total + edges[1], stable=True)


# ------------------------------------------------------------------------------------------------- corruption


def shuffle_rows(batch: GraphBatch, draw: Draw) -> Tensor:
    """``int64[T]``: a permutation of the rows of each graph, for a view's ``swap`` (DGI, 1809.10341)."""
    words = row_words(batch, draw, Purpose.SWAP)
    order = torch.argsort(words, stable=True)
    return order[torch.argsort(batch.group[order], stable=True)] if len(batch.lengths) > 1 else order


def noisy_rows(batch: GraphBatch, draw: Draw, share: Share) -> GraphBatch:
    """With the features of an exact share of nodes replaced by normal noise of mean and deviation 0.5 (GraphCL)."""
    if nothing(share):
        return batch
    counts = [min(count, n - 1) for count, n in zip(counts_of(share, batch.lengths), batch.lengths)]
    owner = None if len(batch.lengths) == 1 else batch.group
    gone = exact(row_words(batch, draw, Purpose.MASK_FILL), owner, counts)
    noise = normal(row_words(batch, draw, Purpose.NOISE)[gone], batch.x.shape[1])
    x: Rows = dense(batch.x).clone()
    assert isinstance(x, Tensor)
    x[gone] = (0.5 + 0.5 * noise).to(x.dtype)
    return batch.altered(x=x)


def normal(words_N: Tensor, width: int) -> Tensor:
    """``float32[N, width]`` standard normal, from a word for each row."""
    steps = torch.arange(1, width + 1, device=words_N.device)
    bits = mix64(words_N[:, None] + steps * 0x632BE59BD9B4E019)
    radius = torch.sqrt(-2.0 * torch.log(((bits & 0xFFFFFFFF).double() + 0.5) * 2.0**-32))
    return (radius * torch.cos(((bits >> 32) & 0xFFFFFFFF).double() * (2.0 * torch.pi * 2.0**-32))).float()
