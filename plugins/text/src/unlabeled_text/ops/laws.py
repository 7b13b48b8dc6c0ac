"""Laws of masks and corruptions as checks, also for masks of your own: rates, marginals, specials, spans.

Each check draws many masks and fails by chance once in a million times; it returns nothing, or raises
``AssertionError`` with what was found. Laws: https://arxiv.org/abs/1810.04805 (80 / 10 / 10),
https://arxiv.org/abs/1910.10683 (T5's spans).

    # B samples, T packed tokens, n tokens of each sample
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled_text.batch import TextBatch, TextSpec
from unlabeled_text.ops.layouts import layout_of

MILLION = 4.9  # standard deviations that chance exceeds once in a million


def spec_for_tests(vocabulary: int = 200, length: int = 64, sentinels: int = 20) -> TextSpec:
    """A spec without a tokenizer: 0 pad, 1 unknown, 2 [CLS], 3 [SEP], 4 mask, then sentinels and modes, then words."""
    extra = tuple(range(5, 5 + sentinels))
    modes = (5 + sentinels, 6 + sentinels, 7 + sentinels)
    return TextSpec(vocabulary, length, (2,), (3,), 0, 4, 1, extra, modes)


def batch_for_tests(
    spec: TextSpec, lengths: Sequence[int], *, first: int = 0, seed: int = 0, word: int = 1
) -> TextBatch:
    """Texts of ``lengths`` body tokens, each of random ordinary words; every ``word`` tokens begin a word."""
    ids = torch.arange(first, first + len(lengths))
    draw = Draw(seed, 0, ids)
    most = max(lengths, default=0)
    words = spec.ordinary[draw.integers(most, 60000, len(spec.ordinary))]
    before, after = torch.tensor(spec.prefix, dtype=torch.int64), torch.tensor(spec.suffix, dtype=torch.int64)
    texts = [torch.cat((before, row[:n], after)) for row, n in zip(words, lengths, strict=True)]
    flags = []
    for n in lengths:
        body = torch.arange(n) % word == 0
        flags.append(torch.cat((torch.ones(len(before), dtype=torch.bool), body, torch.ones(len(after)).bool())))
    return TextBatch(ids, torch.cat(texts), tuple(len(t) for t in texts), torch.cat(flags))


def masked(mask: Any, batch: TextBatch, spec: TextSpec, epoch: int = 0) -> View:
    """The batch under a mask."""
    out: View = mask(View(batch, "global", layout_of(batch, spec)), Draw(0, epoch, batch.ids))
    return out


def near(found: float, expected: float, trials: int, what: str) -> None:
    """Assert that a share found in ``trials`` is ``expected`` but for chance."""
    margin = MILLION * math.sqrt(max(expected * (1 - expected), 1e-9) / trials)
    assert abs(found - expected) <= margin, f"{what} is {found:.4f}; {expected:.4f} +- {margin:.4f} is the law"


def chosen_of(view: View) -> Tensor:
    """``bool[T]``, True = the mask chose the row: it is predicted, or hidden."""
    assert view.layout is not None
    assert view.targets, "the mask chose no rows"
    return torch.stack([rows.flags(view.layout.total) for rows in view.targets]).any(0)


# ---------------------------------------------------------------------------------------------- masks


def check_specials_untouched(mask: Any, spec: TextSpec, epochs: int = 20) -> None:
    """No special is hidden, replaced or predicted, and no special is shown as a random word."""
    batch = batch_for_tests(spec, (1, 2, 5, 17, 40))
    special = ~spec.plain[batch.tokens]
    for epoch in range(epochs):
        out = masked(mask, batch, spec, epoch)
        assert not (chosen_of(out) & special).any(), "a special was chosen"
        if out.shown is not None:
            changed = out.shown != batch.tokens
            assert not (changed & special).any(), "a special was replaced"
            assert spec.plain[out.shown[changed]].all(), "a special was shown as a word"
        if out.hidden is not None:
            assert not special[out.hidden.index].any(), "a special was hidden"


def check_fates(mask: Any, spec: TextSpec, hide: float = 0.8, random: float = 0.1) -> None:
    """Of the chosen rows ``hide`` are hidden, ``random`` show another word, the rest their own."""
    batch = batch_for_tests(spec, (40,) * 500)
    out = masked(mask, batch, spec)
    assert out.hidden is not None
    assert out.shown is not None
    chosen = chosen_of(out)
    hidden = out.hidden.flags(len(chosen))
    total = int(chosen.sum())
    changed = chosen & ~hidden & (out.shown != batch.tokens)
    near(float(hidden.sum()) / total, hide, total, "the hidden share")
    missed = random / len(spec.ordinary)  # a random word may be the row's own
    near(float(changed.sum()) / total, random - missed, total, "the share of random words")
    assert not (hidden & ~chosen).any(), "a row was hidden that was not chosen"
    assert not ((out.shown != batch.tokens) & ~chosen).any(), "a row was changed that was not chosen"


def check_rate(mask: Any, spec: TextSpec, ratio: float, *, exact: bool) -> None:
    """The chosen share of rows: exactly ``round(ratio * n)`` of each text, one at least, or ``ratio`` on average."""
    lengths = (1, 2, 3, 10, 20, 33, 60)
    if exact:
        out = masked(mask, batch_for_tests(spec, lengths), spec)
        assert len(out.predict) == 1
        wanted = tuple(max(1, round(ratio * n)) for n in lengths)
        assert out.predict[0].lengths == wanted, f"{out.predict[0].lengths} rows were chosen, not {wanted}"
        return
    batch = batch_for_tests(spec, (50,) * 800)
    plain = spec.plain[batch.tokens]
    found = chosen_of(masked(mask, batch, spec))[plain].float().mean()
    near(float(found), ratio, int(plain.sum()), "the chosen share")


def check_flat(mask: Any, spec: TextSpec, length: int = 30, samples: int = 4000) -> None:
    """Every place of a text is chosen equally often, and no two places go together."""
    batch = batch_for_tests(spec, (length,) * samples)
    rows = chosen_of(masked(mask, batch, spec))[spec.plain[batch.tokens]].reshape(samples, length).double()
    rate = rows.mean(0)
    mean = float(rate.mean())
    chi = float(((rate - mean) ** 2).sum() / (mean * (1 - mean) / samples))
    limit = chi_limit(length)
    assert chi < limit, f"chi-square {chi:.0f} of the places' rates; {limit:.0f} is the limit"


def check_same_in_any_batch(mask: Any, spec: TextSpec) -> None:
    """A text is masked alike alone, in another order, and beside longer ones."""
    lengths = (3, 30, 9, 51, 16)
    batch = batch_for_tests(spec, lengths, word=2)
    whole = masked(mask, batch, spec)
    flags, offset = chosen_of(whole), 0
    for number, n in enumerate(batch.lengths):
        part = masked(mask, batch[number : number + 1], spec)
        assert torch.equal(chosen_of(part), flags[offset : offset + n]), f"text {number} is masked otherwise alone"
        offset += n


def check_whole_words(mask: Any, spec: TextSpec) -> None:
    """All tokens of a word are chosen, or none."""
    batch = batch_for_tests(spec, (40,) * 50, word=3)
    assert batch.starts is not None
    chosen = chosen_of(masked(mask, batch, spec))
    inner = ~batch.starts
    assert torch.equal(chosen[inner], chosen[inner.nonzero()[:, 0] - 1]), "a word was chosen in part"


def chi_limit(cells: int) -> float:
    """The chi-square of ``cells`` degrees of freedom that chance exceeds once in a million (Wilson-Hilferty)."""
    return cells * (1 - 2 / (9 * cells) + 4.753 * math.sqrt(2 / (9 * cells))) ** 3


# ---------------------------------------------------------------------------------------------- corruptions


def restored(source: Sequence[int], target: Sequence[int], spec: TextSpec) -> list[int]:
    """The body of a text from T5's source and target: each sentinel's span put back where it stands."""
    sentinels = set(spec.sentinels)
    spans: dict[int, list[int]] = {}
    current = -1
    for token in target:
        if token in sentinels:
            current = token
            spans[current] = []
        elif token not in spec.suffix:
            spans[current].append(token)
    skipped = {*spec.prefix, *spec.suffix, *spec.modes}
    out: list[int] = []
    for token in source:
        out += spans[token] if token in sentinels else [] if token in skipped else [token]
    return out


def check_spans_restore(views: Any, spec: TextSpec) -> None:
    """Source and target of a span corruption give back the text, with sentinels in order, each once."""
    batch = batch_for_tests(spec, (1, 2, 3, 7, 20, 50))
    source, target = views(batch, Draw(0, 0, batch.ids))
    for number in range(len(batch)):
        cut = slice(number, number + 1)
        left, right = source.batch[cut].tokens.tolist(), target.batch[cut].tokens.tolist()
        used = [t for t in right if t in spec.sentinels]
        assert used == list(spec.sentinels[: len(used)]), f"sentinels stand as {used}"
        own = [t for t in batch[number : number + 1].tokens.tolist() if spec.plain[t]]
        assert restored(left, right, spec) == own, f"text {number} is not restored"


def sides(views: Any, batch: TextBatch, epoch: int = 0) -> tuple[TextBatch, TextBatch]:
    """Source and target of a corruption."""
    source, target = views(batch, Draw(0, epoch, batch.ids))
    return source.batch, target.batch


def noise_of(source: TextBatch, target: TextBatch, spec: TextSpec, length: int) -> Tensor:
    """``bool[B, n]``, True = noise, of texts of ``length`` body tokens, as their sources and targets spell it."""
    flags = torch.zeros(len(source), length, dtype=torch.bool)
    sentinels, skipped = set(spec.sentinels), {*spec.prefix, *spec.suffix, *spec.modes}
    for number in range(len(source)):
        sizes: dict[int, int] = {}
        current = -1
        for token in target[number : number + 1].tokens.tolist():
            if token in sentinels:
                current = token
                sizes[current] = 0
            elif token not in spec.suffix:
                sizes[current] += 1
        place = 0
        for token in source[number : number + 1].tokens.tolist():
            if token in sentinels:
                flags[number, place : place + sizes[token]] = True
                place += sizes[token]
            elif token not in skipped:
                place += 1
        assert place == length, f"source and target of text {number} hold {place} tokens of {length}"
    return flags


def check_span_counts(views: Any, spec: TextSpec, density: float, mean: float, length: int = 60) -> None:
    """round(n d) tokens are noise, in round(noise / mu) spans, or one more where a turn cuts one in two."""
    batch = batch_for_tests(spec, (length,) * 100)
    source, target = sides(views, batch)
    flags = noise_of(source, target, spec, length)
    noisy = round(length * density)
    assert flags.sum(1).unique().tolist() == [noisy], f"{flags.sum(1).unique().tolist()} tokens are noise, not {noisy}"
    spans, used = max(1, round(noisy / mean)), torch.isin(target.tokens, torch.tensor(spec.sentinels)).sum()
    per = float(used) / len(batch)
    assert spans <= per <= spans + 1, f"{per} sentinels a text; {spans} spans are the law"


def check_noise_rates(views: Any, spec: TextSpec, density: float, *, edge: bool, length: int = 30) -> None:
    """Every token is noise equally often; with ``edge`` (T5 as published) never the first, and always the last."""
    batch = batch_for_tests(spec, (length,) * 2000)
    rate = noise_of(*sides(views, batch), spec, length).double().mean(0)
    if edge:
        assert rate[0] == 0.0, f"the first token is noise at a rate of {rate[0]:.3f}; T5 never hides it"
        assert rate[-1] == 1.0, f"the last token is noise at a rate of {rate[-1]:.3f}; T5 always hides it"
        return
    share = round(length * density) / length
    chi = float(((rate - share) ** 2).sum() / (share * (1 - share) / len(batch)))
    assert chi < chi_limit(length), f"chi-square {chi:.0f} of the places' rates; {chi_limit(length):.0f} is the limit"


def check_deleted(views: Any, spec: TextSpec, ratio: float) -> None:
    """Each token is deleted with probability ``ratio``, one stays at least, and the target is the text."""
    batch = batch_for_tests(spec, (50,) * 400)
    source, target = sides(views, batch)
    frame = len(spec.prefix) + len(spec.suffix)
    near((len(source.tokens) - frame * 400) / 20_000, 1 - ratio, 20_000, "the kept share")
    own = batch.tokens[spec.plain[batch.tokens]].tolist()
    assert target.tokens[spec.plain[target.tokens]].tolist() == own, "the target is not the text"
    short, _ = sides(views, batch_for_tests(spec, (1,) * 200))
    assert min(short.lengths) == frame + 1, "a text was left without a token"


def check_infilled(views: Any, spec: TextSpec, share: float, mean: float) -> None:
    """round(n share) tokens are gone, in about share n / mean spans, each of which is one mask token."""
    length, count = 100, 300
    source, _ = sides(views, batch_for_tests(spec, (length,) * count))
    masks = int(torch.eq(source.tokens, spec.mask if spec.mask is not None else -1).sum())
    kept = int(spec.plain[source.tokens].sum())
    assert kept == count * (length - round(share * length)), f"{kept} of {count * length} tokens are kept"
    spans = share * length / mean
    # Poisson lengths: the number of spans that cover n tokens deviates by about the root of n / mean^2, and one is cut
    margin = MILLION * math.sqrt(spans / mean / count) + 0.5
    assert abs(masks / count - spans) < margin, (
        f"{masks / count:.2f} masks a text; {spans:.2f} +- {margin:.2f} is the law"
    )


def check_denoisers(views: Any, spec: TextSpec, shares: Sequence[float]) -> None:
    """The view parameter ``denoiser`` has these shares, and the mode token of each text says which it is."""
    batch = batch_for_tests(spec, (40,) * 2000)
    source, _ = views(batch, Draw(0, 0, batch.ids))
    kind = source.params["denoiser"]
    for number, share in enumerate(shares):
        near(float((kind == number).float().mean()), share, len(batch), f"the share of denoiser {number}")
    if spec.modes:
        starts = source.batch.counts.cumsum(0) - source.batch.counts + len(spec.prefix)
        said = source.batch.tokens[starts]
        assert torch.equal(said, torch.tensor(spec.modes)[kind]), "a mode token names another denoiser"


def check_swapped(mask: Any, spec: TextSpec, ratio: float) -> None:
    """round(ratio n) rows of each text show a word drawn evenly from all ordinary ones, which may be the row's own."""
    length, count = 50, 400
    batch = batch_for_tests(spec, (length,) * count)
    out = masked(mask, batch, spec)
    assert out.shown is not None
    changed = out.shown != batch.tokens
    share = round(ratio * length) / length
    near(
        float(changed.sum()) / (count * length),
        share * (1 - 1 / len(spec.ordinary)),
        count * length,
        "the changed share",
    )
    found = torch.bincount(out.shown[changed], minlength=spec.vocabulary)[spec.ordinary].double()
    chi = float(((found - found.mean()) ** 2 / found.mean()).sum())
    limit = chi_limit(len(found) - 1)
    assert chi < limit, f"chi-square {chi:.0f} of the shown words; {limit:.0f} is the limit"


def check_runs(mask: Any, spec: TextSpec, mean: float, ratio: float = 0.15) -> None:
    """Chosen rows stand in spans of ``mean`` tokens: the row after one is chosen far more often than by chance."""
    batch = batch_for_tests(spec, (60,) * 300)
    chosen = chosen_of(masked(mask, batch, spec))
    pairs = float((chosen[1:] & chosen[:-1]).sum()) / float(chosen.sum())
    least = (1 - 1 / mean) * 0.8  # a budget cuts the last span, and spans that touch make longer runs
    assert pairs > max(least, 2 * ratio), (
        f"{pairs:.2f} of the chosen rows follow a chosen one; {least:.2f} at least is the law"
    )
