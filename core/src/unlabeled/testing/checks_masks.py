"""Checks of masks: exact rates, flat marginals, rows that must not be touched.

# G groups, T packed rows, L rows of the longest group
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Layout, Rows, View
from unlabeled.draw import Draw
from unlabeled.masks.rows import touchable
from unlabeled.testing.checks_flow import rows
from unlabeled.testing.subject import NotApplicable, Subject, ensure, subject

EPOCHS = 128  # times BATCH samples: masks that statistics are taken over


def _masks(it: Subject) -> Iterator[tuple[str, Any, View]]:
    """Each mask by name, with a view that has its layout."""
    encoder = it.encoder()
    if not encoder.can & {"mask", "drop"}:
        raise NotApplicable("the default encoder can neither mask nor drop")
    view = it.placed(encoder)
    for row in it.rows("mask"):
        yield f"mask {row.name!r}", it.make(row, encoder), view


def check_masks_keep_the_contract(domain: str) -> None:
    """Ensure that masks set what they name, on sorted rows counted by group, and hide neither all nor none."""
    for who, mask, view in _masks(subject(domain)):
        out = mask(view, Draw(7, 0, view.batch.ids))
        layout = _same_layout(who, view, out)
        found = {name for name in ("hidden", "swap", "shown") if getattr(out, name) is not None}
        found |= {"predict"} if out.predict else set()
        ensure(found == set(mask.sets), f"{who} sets {sorted(mask.sets)}, as it says", sorted(found))
        ensure(len(out.predict) >= mask.targets, f"{who} gives {mask.targets} predict sets", len(out.predict))
        for some in (*out.predict, *([] if out.hidden is None else [out.hidden])):
            rows(f"rows of {who}", some, layout)
        if out.hidden is not None:
            for hidden, total in zip(out.hidden.lengths, layout.lengths, strict=True):
                # where some of the chosen rows show other words, or their own, a short sample may hide none
                least = 0 if out.shown is not None else 1
                ensure(total < 2 or least <= hidden < total, f"{who} hides some of {total} rows, not all", hidden)
        if out.shown is not None:
            right = out.ids is not None and out.shown.shape == out.ids.shape == (layout.total,)
            ensure(right, f"shown of {who} is [T] tokens, with the batch's own in ids", list(out.shown.shape))
        if out.swap is not None:
            inside = bool(((out.swap >= 0) & (out.swap < layout.total)).all())
            ensure(out.swap.shape == (layout.total,) and inside, f"swap of {who} is [T] rows", out.swap)


def _same_layout(who: str, view: View, out: View) -> Layout:
    assert view.layout is not None
    assert out.layout is not None
    ensure(out.layout.lengths == view.layout.lengths, f"{who} keeps T", out.layout.lengths)
    ensure(out.batch is view.batch, f"{who} leaves the batch alone", "another batch")
    return view.layout


def check_mask_rates_are_exact(domain: str) -> None:
    """Ensure that groups of equal length get equal counts, and that a mask with a ``ratio`` hides just that share.

    Of a mask that chooses rows and hides some of them (BERT), the chosen ones are counted. A mask of whole units of
    unequal length (words) cannot be exact, and says so: ``exact = False``.

    Troubleshooting: round the share once, and top blocks up to it; ViTs need equal counts to drop rows.
    """
    for who, mask, view in _masks(subject(domain)):
        assert view.layout is not None
        if not getattr(mask, "exact", True):
            continue
        ratio = getattr(mask, "ratio", None)
        seen: dict[int, int] = {}
        for epoch in range(4):
            out = mask(view, Draw(7, epoch, view.batch.ids))
            if out.hidden is None:
                break
            chosen = out.predict[0] if out.shown is not None and out.predict else out.hidden
            for hidden, total in zip(chosen.lengths, touchable(view.layout), strict=True):
                exact = seen.setdefault(total, hidden)
                ensure(hidden == exact, f"{who} hides as many of {total} rows each time", (exact, hidden))
                if isinstance(ratio, float):
                    near = abs(hidden - ratio * total) <= 1
                    ensure(near, f"{who} hides {ratio:g} of {total} rows, to one row", hidden)


def check_mask_marginals(domain: str) -> None:
    """Ensure that no row is always or never touched, and that a mask that says ``flat = True`` prefers none.

    Over 2,048 masks; the test for flatness is a chi-square that chance fails once in a million.
    """
    for who, mask, view in _masks(subject(domain)):
        layout = view.layout
        assert layout is not None
        hits, expected, variance = _marginals(mask, view, layout)
        place = torch.nonzero(expected > 0).flatten()
        ensure(bool((hits[place] > 0).all()), f"{who} touches every row at times", f"never {_where(hits == 0, place)}")
        total = EPOCHS * torch.bincount(layout.group * 0 + layout.within)
        always = hits[place] >= total[place]
        ensure(not bool(always.any()), f"{who} leaves every row at times", f"always {place[always].tolist()}")
        if getattr(mask, "flat", False):
            chi = float(((hits - expected)[place] ** 2 / variance[place]).sum())
            limit = _limit(len(place))
            ensure(chi < limit, f"{who} touches all rows equally often", f"chi-square {chi:.0f}, limit {limit:.0f}")


def _marginals(mask: Any, view: View, layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
    """By place in the group: how often a row was touched, how often it would be if all were equal, the variance."""
    longest = max(layout.lengths)
    hits, expected, variance = (torch.zeros(longest, dtype=torch.float64) for _ in range(3))
    maskable = layout.all if layout.maskable is None else layout.maskable
    limits = torch.tensor(touchable(layout), dtype=torch.float64)
    for epoch in range(EPOCHS):
        touched = _touched(mask(view, Draw(7, epoch, view.batch.ids)), layout)
        hits += torch.bincount(layout.within[touched.index], minlength=longest)
        share = (torch.tensor(touched.lengths, dtype=torch.float64) / limits)[layout.group[maskable.index]]
        place = layout.within[maskable.index]
        expected.index_add_(0, place, share)
        variance.index_add_(0, place, share * (1 - share))
    return hits, expected, variance.clamp(min=1e-9)


def _touched(out: View, layout: Layout) -> Rows:
    """Rows that a mask hid, or else replaced or swapped; of a mask that hides some of those it chose, all of them."""
    if out.hidden is not None:
        return out.predict[0] if out.shown is not None and out.predict else out.hidden
    if out.shown is not None and out.ids is not None:
        return _counted(torch.nonzero(out.shown != out.ids).flatten(), layout)
    if out.swap is None:
        return out.predict[0]
    return _counted(torch.nonzero(out.swap != torch.arange(layout.total)).flatten(), layout)


def _counted(index: Tensor, layout: Layout) -> Rows:
    return Rows(index, tuple(torch.bincount(layout.group[index], minlength=len(layout.lengths)).tolist()))


def check_masks_touch_only_maskable_rows(domain: str) -> None:
    """Ensure that a mask leaves alone the rows that the layout calls unmaskable (class tokens, separators).

    A mask that cannot work around them may refuse such a layout with ``ValueError``.
    """
    for who, mask, view in _masks(subject(domain)):
        layout = view.layout
        assert layout is not None
        allowed = layout.all.index if layout.maskable is None else layout.maskable.index
        allowed = allowed[layout.within[allowed] > 0]  # the first row of each group is made unmaskable
        counts = torch.bincount(layout.group[allowed], minlength=len(layout.lengths)).tolist()
        narrow = replace(layout, maskable=Rows(allowed, tuple(counts)))
        for epoch in range(4):
            try:
                out = mask(replace(view, layout=narrow), Draw(7, epoch, view.batch.ids))
            except ValueError:
                ensure(layout.maskable is None, f"{who} takes the layouts of this domain", "ValueError")
                break
            for some in (*out.predict, *([] if out.hidden is None else [out.hidden])):
                wrong = int((~torch.isin(some.index, allowed)).sum())
                ensure(wrong == 0, f"{who} touches maskable rows alone", f"{wrong} others")


def _where(flags: Tensor, place: Tensor) -> list[int]:
    found: list[int] = place[flags[place]].tolist()
    return found


def _limit(cells: int) -> float:
    """The chi-square of ``cells`` degrees of freedom that chance exceeds once in a million (Wilson-Hilferty)."""
    return cells * (1 - 2 / (9 * cells) + 4.753 * math.sqrt(2 / (9 * cells))) ** 3
