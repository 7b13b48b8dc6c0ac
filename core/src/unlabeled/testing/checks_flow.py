"""Checks of the flow data -> views -> layout -> tokenizer: shapes, dtypes, and the same draws in any batch.

# B samples, T packed rows, C raw content of a row
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from unlabeled.build import bring, build_data
from unlabeled.config.run import resolve
from unlabeled.contract import Batch, Layout, Rows, View
from unlabeled.data.fitting import fitting
from unlabeled.draw import Draw
from unlabeled.errors import UsageError
from unlabeled.testing.subject import NotApplicable, Subject, difference, ensure, subject

PIXEL = 1e-6  # the promise: identical draws; thread count and sub-batch size may move the last bit of a value


def check_data_gives_batches(domain: str) -> None:
    """Ensure that the default data yields batches with ids, in any order, and cuts them as it loads them."""
    it = subject(domain)
    ids = it.ids(6)
    batch = it.batch(ids)
    ensure(isinstance(batch, Batch), "a batch has ids, len(), to() and slices", type(batch).__name__)
    ensure(len(batch) == len(ids), "a batch has the samples asked for", len(batch))
    ensure(batch.ids.dtype == torch.int64 and batch.ids.tolist() == ids, "batch.ids are the indices", batch.ids)
    again = it.batch(ids[::-1])
    ensure(not difference(it.batch(ids), batch), "a sample reads the same twice", difference(it.batch(ids), batch))
    ensure(again.ids.tolist() == ids[::-1], "batch.ids follow the order asked for", again.ids.tolist())
    moved = difference(batch.to("cpu"), batch)
    ensure(not moved, "batch.to() changes no value", moved)
    _labels(it)
    try:
        part = batch[1:2]
    except TypeError:
        return  # a domain whose samples cannot be taken apart says so
    other = difference(part, it.batch(ids[1:2]), PIXEL, "the sample")
    ensure(not other, "batch[1:2] equals that sample loaded alone", other)


def _labels(it: Subject) -> None:
    data, total = it.data, len(it.data)
    if data.labels is not None:
        ensure(data.labels.shape == (total,), "labels are [N]", list(data.labels.shape))
        known = int(data.labels.max())
        ensure(known < len(data.classes), "every label has a class name", (known, len(data.classes)))
    if data.test is not None:
        good = data.test.dtype == torch.bool and data.test.shape == (total,)
        ensure(good, "test is bool[N]", (data.test.dtype, list(data.test.shape)))
    ensure(data.describe() and "\n" not in data.describe(), "describe() is one line", data.describe())


def check_views_keep_the_contract(domain: str) -> None:
    """Ensure that every views component returns the roles and parameters that it names, finite, for every sample."""
    it = subject(domain)
    for row in it.rows("views"):
        who = f"views {row.name!r}"
        made = it.make(row)
        bring(it.data, made)
        batch = it.batch()
        views = made(batch, Draw(7, 0, batch.ids))
        ensure(tuple(v.role for v in views) == tuple(made.roles), f"{who} returns its roles, in order", views)
        for view in views:
            ensure(view.batch.ids.tolist() == batch.ids.tolist(), f"{who} keeps the ids", view.batch.ids)
            lacks = set(made.params) - set(view.params)
            ensure(not lacks, f"{who} gives the parameters that it names", f"no {lacks}")
            for name, value in view.params.items():
                ensure(len(value) == len(batch), f"parameter {name!r} of {who} is [B, ...]", list(value.shape))
            bad = [n for n, x in _floats(view.batch).items() if not bool(torch.isfinite(x).all())]
            ensure(not bad, f"{who} gives finite values", bad)


def check_layouts_and_content(domain: str) -> None:
    """Ensure that each encoder's layout and the tokenizer's content fit each other, for every view."""
    it = subject(domain)
    for name, encoder in it.encoders():
        for row in it.rows("views"):
            for view in it.views(row):
                layout = encoder.layout(view.batch)
                _layout(f"encoder {name!r}", layout, len(view))
                _content(it, encoder, view, layout)


def _layout(who: str, layout: Any, count: int) -> None:
    ensure(isinstance(layout, Layout), f"{who}.layout(batch) returns a Layout", type(layout).__name__)
    groups = len(layout.lengths) if layout.seeds is None else len(layout.seeds)
    ensure(groups == count, f"the layout of {who} has a group (or a seed row) for each sample", groups)
    ensure(layout.position.dim() == 2, f"positions of {who} are [T, P]", list(layout.position.shape))
    if layout.grid is not None:
        cells = int(torch.tensor(layout.grid).prod())
        ensure(set(layout.lengths) == {cells}, f"groups of {who} fill its grid {layout.grid}", layout.lengths)
    if layout.maskable is not None:
        rows(f"maskable of {who}", layout.maskable, layout)


def _content(it: Subject, encoder: Any, view: View, layout: Layout) -> None:
    tokenizer = it.tokenizer(encoder)
    if tokenizer is None:
        return
    content, ids = tokenizer(view.batch, layout)
    if tokenizer.width:
        shape = (layout.total, tokenizer.width)
        ensure(content is not None and content.shape == shape, f"content is [T, width] = {shape}", content)
        ensure(bool(torch.isfinite(content).all()), "content is finite", "inf or nan")
    if tokenizer.vocabulary:
        ensure(ids is not None and len(ids) == layout.total, "ids are [T] or [T, K]", ids)
        top = int(ids.max())
        ensure(int(ids.min()) >= 0 and top < tokenizer.vocabulary, "ids lie in the vocabulary", top)


def rows(who: str, some: Rows, layout: Layout) -> None:
    """Ensure that ``some`` are rows of ``layout``: sorted, none twice, counted by group."""
    index = some.index
    ensure(bool((index[1:] > index[:-1]).all()), f"{who} are sorted, none twice", index)
    counts = torch.bincount(layout.group[index], minlength=len(layout.lengths)).tolist()
    ensure(tuple(counts) == tuple(some.lengths), f"{who} are counted by group", (some.lengths, tuple(counts)))


def check_same_draws_in_any_batch(domain: str) -> None:
    """Ensure that a sample's views and masks are the same whatever the batch, its order and the global seed.

    Troubleshooting: take every random number from the ``draw`` that comes in, never from torch's or numpy's own.
    """
    it = subject(domain)
    encoder = it.encoder()
    for views_row in it.rows("views"):
        masks = it.rows("mask") if views_row.name == it.row.defaults.get("views") else []
        for mask in [None, *(it.make(row, encoder) for row in masks)]:
            who = f"views {views_row.name!r}" + (f" and {mask!r}" if mask else "")
            ids = it.ids(5)
            whole = _end_to_end(it, encoder, views_row, mask, ids)
            again = difference(_end_to_end(it, encoder, views_row, mask, ids), whole, 0.0, "a view")
            ensure(not again, f"{who} give the same twice", again)
            order = [3, 0, 4, 2, 1]
            shuffled = _end_to_end(it, encoder, views_row, mask, [ids[i] for i in order])
            alone = _end_to_end(it, encoder, views_row, mask, ids[2:3])
            try:
                pairs = [(a.cut(2, 3), b.cut(3, 4), c) for a, b, c in zip(whole, shuffled, alone, strict=True)]
            except TypeError:
                continue  # samples that cannot be taken apart
            for a, b, c in pairs:
                other = difference(b, a, PIXEL, "the view") or difference(c, a, PIXEL, "the view")
                ensure(not other, f"{who} give a sample the same in any batch and order", other)


def _end_to_end(it: Subject, encoder: Any, views_row: Any, mask: Any, ids: list[int]) -> list[View]:
    views = it.make(views_row)
    bring(it.data, views)
    batch = it.batch(ids)
    draw = Draw(7, 3, batch.ids)
    made = []
    for number, view in enumerate(views(batch, draw)):
        if mask is not None:
            layout = replace(encoder.layout(view.batch))  # a copy: without what earlier checks cached in it
            view = mask(replace(view, layout=layout), draw.at(number))
        made.append(view)
    return made


def check_draws_differ(domain: str) -> None:
    """Ensure that random views differ from epoch to epoch and from view to view, and that the clean view does not."""
    it = subject(domain)
    row = it.found.find(domain, "views", it.row.defaults["views"])
    first, later = it.views(row), it.views(row, epoch=1)
    ensure(difference(first[0].batch, later[0].batch), "the default views differ from epoch to epoch", "the same")
    if len(first) > 1 and first[0].role == first[1].role:
        ensure(difference(first[0].batch, first[1].batch), "two views of a role differ", "the same")
    if "clean" in it.row.defaults:
        row = it.found.find(domain, "views", it.row.defaults["clean"])
        other = difference(it.views(row)[0].batch, it.views(row, epoch=1)[0].batch)
        ensure(not other, "the clean view has nothing random in it", other)


def check_baselines_give_features(domain: str) -> None:
    """Ensure that features without a model are finite [B, D], and of a sample the same in any batch."""
    it = subject(domain)
    if not it.rows("baseline"):
        raise NotApplicable("the domain has no baseline: tables of probes will say so")
    ids = it.ids(6)
    for row in it.rows("baseline"):
        who, baseline = f"baseline {row.name!r}", it.make(row)
        if hasattr(baseline, "applies") and not baseline.applies(it.data):
            continue
        if hasattr(baseline, "fit"):
            with fitting(it.data, torch.tensor(it.ids(32))) as train:
                baseline.fit(train, torch.tensor(it.ids(32)))
        x = baseline(it.clean(ids))
        ensure(x.dim() == 2 and len(x) == len(ids), f"{who} gives [B, D]", list(x.shape))
        ensure(bool(torch.isfinite(x).all()), f"{who} gives finite numbers", "inf or nan")
        other = difference(baseline(it.clean(ids[2:3])), x[2:3], 1e-5, "a sample")
        ensure(not other, f"{who} gives a sample the same in any batch", other)


def check_bad_input_is_named(domain: str) -> None:
    """Ensure that a missing path, an empty folder and a file of garbage are one clear line that names them."""
    it = subject(domain)
    if "files" not in it.row.defaults:
        raise NotApplicable("the domain names no default 'files', so it reads no path")
    with TemporaryDirectory() as folder:
        empty, garbage = Path(folder) / "empty_folder", Path(folder) / "garbage.bin"
        empty.mkdir()
        garbage.write_bytes(b"\x00\xffno sample\x00" * 9)
        for path in (Path(folder) / "missing_path", empty, garbage):
            try:
                build_data(resolve({"data": {"path": str(path)}}, domain))
            except UsageError as error:
                first = str(error).partition("\n")[0]
                ensure(path.name in first, f"the first line of the error names {path.name}", first)
            except Exception as error:
                raise AssertionError(f"ensure that {path.name} is a UsageError: found {error!r}") from error
            else:
                raise AssertionError(f"ensure that {path.name} is refused: found that it was read")


def _floats(batch: Batch) -> dict[str, torch.Tensor]:
    from unlabeled.testing.subject import tensors

    return {name: x for name, x in tensors(batch).items() if x.is_floating_point()}
