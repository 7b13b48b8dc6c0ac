"""Which other texts a loader brings along with a sample: ``near`` ones of its neighborhood, ``far`` ones of elsewhere.

Both are fixed tables of numbers, so that a sample has the same partners in any batch; views draw one of them.

    # N texts, M partners of each, E links
"""

from __future__ import annotations

import torch
from torch import Tensor

from unlabeled.draw import mix64
from unlabeled.errors import UsageError

NEAR, FAR = 4, 4  # M


def table(name: str, count: int, documents_N: Tensor | None, links_E2: Tensor | None) -> Tensor:
    """``int64[N, M]``: the partners of each text."""
    if name == "far":
        return far(count, documents_N)
    if name != "near":
        raise UsageError(f"views ask for {name!r} texts; data of text can bring near and far")
    if links_E2 is not None:
        return linked(count, links_E2)
    if documents_N is None or int(torch.bincount(documents_N).max()) < 2:
        raise UsageError(
            "the views need texts that belong together: give --data.links, a file of two columns, or documents of "
            "several texts (paragraphs of a file, or runs of lines between empty ones)"
        )
    return following(documents_N)


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
