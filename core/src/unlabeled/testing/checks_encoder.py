"""Checks of encoders: shapes, equality with the bare library, no leak, no padding, saving, compiling.

Two optional methods make the kit look deeper, and a domain without them is told so:

- ``Encoder.bare(view) -> (tokens[T, D] | None, pooled[B, D] | None)``: the library model alone on the view's batch,
  called as its own users call it. What this project adds around the model must change nothing.
- ``Tokenizer.alter(batch, layout, rows, draw) -> Batch``: the batch with other content at ``rows``. Needed where
  content cannot be traced to the batch's float tensors by a gradient (words, categories).

    # B samples, T packed rows, T' rows after a drop, D features, H hidden rows
"""

import copy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import Batch, Encoder, Features, Hide, Rows, View
from unlabeled.draw import Draw
from unlabeled.testing.subject import NotApplicable, Subject, difference, ensure, subject, tensors

NEAR = 1e-5  # relative: the same numbers by another order of operations
ALTER = 65000  # the purpose of altered content


@torch.no_grad()
def run(encoder: Any, view: View, **options: Any) -> Features:
    """The features of a view, without gradients."""
    found: Features = encoder(view, **options)
    return found


# ------------------------------------------------------------------------------------------------- shapes


def check_encoder_shapes(domain: str) -> None:
    """Ensure that encoders return the contract's shapes: whole, masked, dropped, and layer by layer."""
    it = subject(domain)
    for name, encoder in it.encoders():
        ensure(isinstance(encoder, Encoder), f"encoder {name!r} has dim, can and layout()", type(encoder).__name__)
        ensure("tokens" in encoder.can or not encoder.can, f"what {name!r} can is of tokens", encoder.can)
        view = it.placed(encoder)
        _features(f"encoder {name!r}", encoder, view, run(encoder, view))
        for hide in _hides(encoder):
            hidden = it.hidden(encoder, view)
            out = run(encoder, hidden, hide=hide)
            _features(f"encoder {name!r} with hide={hide!r}", encoder, hidden, out, hide)
        if "layers" in encoder.can:
            out = run(encoder, view, layers=(0, -1))
            ensure(len(out.layers) == 2, f"encoder {name!r} returns the layers asked for", len(out.layers))


def _hides(encoder: Any) -> list[Hide]:
    hides: list[Hide] = ["mask", "drop"]
    return [hide for hide in hides if hide in encoder.can]


def _features(who: str, encoder: Any, view: View, out: Features, hide: Hide = "mask") -> None:
    assert view.layout is not None
    ensure(out.pooled.shape == (len(view), encoder.dim), f"pooled of {who} is [B, dim]", list(out.pooled.shape))
    finite = bool(torch.isfinite(out.pooled).all() and torch.isfinite(out.tokens).all())
    ensure(finite and out.pooled.dtype == torch.float32, f"{who} gives finite float32", out.pooled.dtype)
    if "tokens" not in encoder.can:
        return
    total = out.layout.total
    ensure(out.tokens.shape == (total, encoder.dim), f"tokens of {who} are [T', dim]", list(out.tokens.shape))
    if view.hidden is not None and hide == "drop":
        kept = view.hidden.complement(view.layout)
        ensure(out.kept is not None, f"{who} says which rows it kept", None)
        assert out.kept is not None
        ensure(torch.equal(out.kept.index, kept.index), f"{who} keeps the rows that are not hidden", out.kept.index)
        ensure(total == len(kept), f"{who} truly drops {len(view.hidden)} rows", total)
    else:
        ensure(total == view.layout.total, f"{who} gives the rows of its layout", total)


def check_encoder_refuses_what_it_cannot(domain: str) -> None:
    """Ensure that a drop or a swap that an encoder cannot do is a ``ValueError``, and never ignored."""
    it = subject(domain)
    for name, encoder in it.encoders():
        view = it.placed(encoder)
        assert view.layout is not None
        swap = torch.arange(view.layout.total).roll(1)
        tries: dict[str, tuple[View, dict[str, Any]]] = {"swap": (replace(view, swap=swap), {})}
        if encoder.can & {"mask", "drop"}:
            tries["drop"] = (it.hidden(encoder, view), {"hide": "drop"})
        for what, (asked, options) in tries.items():
            who = f"encoder {name!r}"
            try:
                out = run(encoder, asked, **options)
            except ValueError:
                ensure(what not in encoder.can, f"{who} can {what}, as it says", "ValueError")
            else:
                ensure(what in encoder.can, f"{who} refuses to {what}", "no error")
                changed = difference(out.pooled, run(encoder, view).pooled)
                ensure(changed, f"a {what} changes what {who} gives", "the same features")


# ------------------------------------------------------------------------------------------------- the bare library


def check_encoder_equals_the_bare_model(domain: str) -> None:
    """Ensure that with nothing hidden an encoder gives what the bare library model gives.

    Troubleshooting: give the encoder ``bare(view) -> (tokens, pooled)``, which calls the library model alone; switch
    off what the library masks or drops on its own.
    """
    compared = 0
    for name, encoder in subject(domain).encoders():
        if not hasattr(encoder, "bare"):
            continue
        view = subject(domain).placed(encoder)
        with torch.no_grad():
            expected = encoder.bare(view)
        out = run(encoder, view)
        for what, ours, bare in zip(("tokens", "pooled"), (out.tokens, out.pooled), expected, strict=True):
            if bare is not None:
                other = difference(ours, bare, NEAR, what)
                ensure(not other, f"encoder {name!r} equals the bare library model", other)
                compared += 1
    if not compared:
        raise NotApplicable("no encoder has bare(view): none wraps a library's model")


def check_encoder_compiles(domain: str) -> None:
    """Ensure that ``torch.compile`` breaks the graph of an encoder no more than that of the bare library model."""
    it = subject(domain)
    for name, encoder in it.encoders():
        view = it.placed(encoder)
        expected = run(encoder, view).pooled
        ours = _breaks(lambda view, encoder=encoder: encoder(view).pooled, view, expected)
        if ours and not (hasattr(encoder, "bare") and _breaks(lambda view, e=encoder: e.bare(view)[1], view, None)):
            raise AssertionError(f"ensure that encoder {name!r} compiles without a graph break: found {ours}")


def _breaks(call: Any, view: View, expected: Tensor | None) -> str:
    """The first line of why ``call`` cannot be compiled whole; empty where it can."""
    torch._dynamo.reset()
    try:
        with torch.no_grad():
            out = torch.compile(call, backend="eager", fullgraph=True)(view)
    except Exception as error:  # noqa: BLE001 - dynamo raises of many kinds, and the kind is no matter
        return " ".join(str(error).split())[:300] or repr(error)
    finally:
        torch._dynamo.reset()
    return "" if expected is None else difference(out, expected, NEAR, "the compiled output")


# ------------------------------------------------------------------------------------------------- no leak, no padding


def check_hidden_content_does_not_leak(domain: str) -> None:
    """Ensure that other content at hidden rows changes nothing that an encoder gives, masked or dropped.

    Troubleshooting: hide before anything mixes rows (attention, convolution, normalization over the sample).
    """
    it, tried = subject(domain), 0
    for name, encoder in it.encoders():
        for hide in _hides(encoder):
            view = replace(it.hidden(encoder), shown=None)  # words that are shown would hide the batch's own
            assert view.layout is not None
            assert view.hidden is not None
            before = run(encoder, view, hide=hide)
            other = replace(view, batch=_altered(it, encoder, view, view.hidden))
            leak = difference(_outputs(run(encoder, other, hide=hide)), _outputs(before), NEAR, "an output")
            ensure(not leak, f"encoder {name!r} with hide={hide!r} gives nothing of hidden content", leak)
            shown = view.hidden.complement(view.layout)
            other = replace(view, batch=_altered(it, encoder, view, shown))
            seen = difference(_outputs(run(encoder, other, hide=hide)), _outputs(before), NEAR)
            ensure(seen, f"encoder {name!r} with hide={hide!r} sees content that is not hidden", "no change")
            tried += 1
    if not tried:
        raise NotApplicable("no encoder can mask or drop")


def _outputs(out: Features) -> dict[str, Tensor | None]:
    return {"tokens": out.tokens, "pooled": out.pooled, "prefix": out.prefix}


def _altered(it: Subject, encoder: Any, view: View, rows: Rows) -> Batch:
    """The view's batch with other content at ``rows``, and the same at all others."""
    assert view.layout is not None
    tokenizer = it.tokenizer(encoder)
    ensure(tokenizer is not None, "the domain has a tokenizer, so that content of rows can be found", None)
    draw = Draw(11, 0, view.batch.ids)
    if hasattr(tokenizer, "alter"):
        batch: Batch = tokenizer.alter(view.batch, view.layout, rows, draw)
        return batch
    changed, found = copy.copy(view.batch), 0
    for name, x in tensors(view.batch).items():
        if not x.is_floating_point():
            continue
        only = _support(tokenizer, view, name, rows) & ~_support(tokenizer, view, name, rows.complement(view.layout))
        noise = draw.normal(x[0].numel(), ALTER).reshape(x.shape).to(x.dtype)
        object.__setattr__(changed, name, torch.where(only, x + noise, x))
        found += int(only.sum())
    ensure(found, "content comes from float tensors of the batch, or the tokenizer has alter()", "no such value")
    return changed


def _support(tokenizer: Any, view: View, name: str, rows: Rows) -> Tensor:
    """bool like the batch's tensor ``name``, True where the content of ``rows`` depends on it."""
    x = getattr(view.batch, name).detach().clone().requires_grad_()
    batch = copy.copy(view.batch)
    object.__setattr__(batch, name, x)
    content, _ = tokenizer(batch, view.layout)
    if content is None or not content.requires_grad:
        return torch.zeros_like(x, dtype=torch.bool)
    weights = torch.linspace(0.5, 1.5, content.shape[1], dtype=content.dtype)  # so that terms do not cancel
    (gradient,) = torch.autograd.grad((content[rows.index] * weights).sum(), x, allow_unused=True)
    return torch.zeros_like(x, dtype=torch.bool) if gradient is None else gradient != 0


def check_padding_changes_nothing(domain: str) -> None:
    """Ensure that a sample's features are the same alone and in a batch with shorter and longer ones.

    Troubleshooting: mask padding in attention, and in every normalization or convolution over the sample.
    """
    it = subject(domain)
    for name, encoder in it.encoders():
        ids = _of_many_lengths(it, encoder)
        together = run(encoder, it.placed(encoder, it.clean(ids)))
        for number, sample in enumerate(ids):
            try:
                alone = run(encoder, it.placed(encoder, it.clean([sample])))
            except TypeError as error:
                raise NotApplicable("samples cannot be taken apart") from error
            other = difference(alone.pooled[0], together.pooled[number], NEAR, "pooled")
            if not other and "tokens" in encoder.can and together.layout.seeds is None:
                begin, end = together.layout.offsets[number : number + 2]
                other = difference(alone.tokens, together.tokens[begin:end], NEAR, "tokens")
            ensure(not other, f"encoder {name!r} gives a sample the same alone and in a batch", other)


def _of_many_lengths(it: Subject, encoder: Any) -> list[int]:
    """Samples of the fewest, the most and middling rows, of 64."""
    ids = it.ids(64)
    layout = encoder.layout(it.clean(ids).batch)
    lengths = layout.lengths if layout.seeds is None else (1,) * len(ids)
    order = sorted(range(len(ids)), key=lambda i: lengths[i])
    return [ids[order[i]] for i in (0, len(order) // 3, len(order) // 2, len(order) - 1)]


# ------------------------------------------------------------------------------------------------- saving


def check_encoder_saves_and_loads(domain: str) -> None:
    """Ensure that an encoder saved and loaded gives the same features, bit for bit."""
    from unlabeled.runs.encoder import save_encoder
    from unlabeled.runs.pretrained import load

    it = subject(domain)
    for name, encoder in it.encoders(seed=3):
        config = it.config(encoder={"name": name})
        view = it.placed(encoder)
        with TemporaryDirectory() as folder:
            saved = load(save_encoder(Path(folder), encoder, it.data.spec, config, steps=0, samples=0))
        other = difference(_outputs(run(saved.encoder, view)), _outputs(run(encoder, view)), 0.0, "an output")
        ensure(not other, f"encoder {name!r} is the same after saving and loading", other)
