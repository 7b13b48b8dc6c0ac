"""The generator against published numbers, an independent reference in Python integers, and statistics."""

import math

import pytest
import torch

from unlabeled.draw import GOLDEN, Draw, Purpose, gumbel, mix64

MASK = (1 << 64) - 1
# https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64, the first five of seed 1234567
PUBLISHED = (6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821)


def reference_mix(z):
    z &= MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def reference_word(seed, epoch, sample, view, purpose, j):
    golden = 0x9E3779B97F4A7C15
    k = reference_mix(sample + seed * golden)
    k = reference_mix(k + epoch * golden + 1)
    k = reference_mix(k + (view << 16 | purpose) * golden + 2)
    return reference_mix(k + (j + 1) * golden)


def unsigned(x):
    return [int(v) & MASK for v in x.flatten()]


def draw(count=64, seed=5, epoch=2, view=1, start=0):
    return Draw(seed, epoch, torch.arange(start, start + count), view)


def test_published_vectors():
    states = torch.tensor(1234567) + torch.arange(1, 6) * GOLDEN
    assert tuple(unsigned(mix64(states))) == PUBLISHED


def test_numpy_and_torch_mix_alike():
    words = torch.randint(-(2**63), 2**63 - 1, (5, 6), generator=torch.Generator().manual_seed(0))[:, ::2]
    before = words.clone()
    one_by_one = torch.stack([mix64(word) for word in words.flatten()])  # a number without a dimension goes by torch
    assert torch.equal(mix64(words).flatten(), one_by_one)
    assert torch.equal(words, before)


@pytest.mark.parametrize(
    ("seed", "epoch", "sample", "view", "purpose"),
    [(0, 0, 0, 0, 0), (1, 0, 0, 0, 1), (-3, 7, 12, 2, 32), (2**63, 10**6, 10**12, 2**31, 65535)],
)
def test_words_equal_the_reference(seed, epoch, sample, view, purpose):
    found = unsigned(Draw(seed, epoch, torch.tensor([sample]), view).words(4, purpose))
    assert found == [reference_word(seed, epoch, sample, view, purpose, j) for j in range(4)]


def test_bits_are_the_halves_of_words_low_first():
    words = unsigned(draw(3).words(2, Purpose.CROP))
    bits = draw(3).bits(3, Purpose.CROP)
    expected = [[w & 0xFFFFFFFF, w >> 32, v & 0xFFFFFFFF] for w, v in zip(words[::2], words[1::2], strict=True)]
    assert bits.tolist() == expected


def test_purposes_differ_and_fit():
    values = [int(p) for p in Purpose]
    assert len(set(values)) == len(values)
    assert max(values) < 1024
    with pytest.raises(AssertionError, match="65535"):
        draw().words(1, 1 << 16)


# ------------------------------------------------------------------------------------------------- addressing


METHODS = {
    "words": lambda d: d.words(7, Purpose.MASK),
    "bits": lambda d: d.bits(7, Purpose.MASK),
    "uniform": lambda d: d.uniform(7, Purpose.MASK, -2, 3),
    "normal": lambda d: d.normal(7, Purpose.MASK),
    "bernoulli": lambda d: d.bernoulli(7, Purpose.MASK, 0.3),
    "integers": lambda d: d.integers(7, Purpose.MASK, 11),
    "permutation": lambda d: d.permutation(7, Purpose.MASK),
}


@pytest.mark.parametrize("method", METHODS)
def test_same_draws_whatever_the_batch_and_order(method):
    ids = torch.tensor([9, 4, 77, 3, 12])
    order = torch.tensor([3, 0, 4, 2, 1])
    whole = METHODS[method](Draw(1, 2, ids))
    assert torch.equal(METHODS[method](Draw(1, 2, ids[order])), whole[order])
    alone = torch.cat([METHODS[method](Draw(1, 2, ids[i : i + 1])) for i in range(5)])
    assert torch.equal(alone, whole)


@pytest.mark.parametrize("method", METHODS)
def test_every_part_of_the_address_matters(method):
    base = METHODS[method](draw())
    for other in (draw(seed=6), draw(epoch=3), draw(view=2), draw(start=64)):
        assert not torch.equal(METHODS[method](other), base)


def test_a_longer_draw_starts_with_the_shorter():
    d = draw()
    assert torch.equal(d.uniform(9, Purpose.CROP)[:, :4], d.uniform(4, Purpose.CROP))


def test_global_seed_is_neither_read_nor_moved():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = draw().normal(3, Purpose.NOISE)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(draw().normal(3, Purpose.NOISE), first)


def test_rows_equal_words_at_their_position():
    d = draw(4)
    words = d.words(10, Purpose.MASK)
    sample = torch.tensor([0, 0, 1, 3, 3, 3])
    position = torch.tensor([0, 9, 4, 1, 2, 8])
    assert torch.equal(d.rows(Purpose.MASK, sample, position), words[sample, position])


def test_at_and_to_and_len():
    d = draw(5)
    assert len(d) == 5
    assert d.at(3) == Draw(d.seed, d.epoch, d.ids, 3)
    assert torch.equal(d.to("cpu").bits(2, Purpose.FLIP), d.bits(2, Purpose.FLIP))


# ------------------------------------------------------------------------------------------------- exactness


def test_uniform_stays_below_high():
    d = draw(4096)
    for low, high in ((0.0, 1.0), (1.0, 2.0), (-0.4, 0.4), (8.0, 8.00001)):
        x = d.uniform(64, Purpose.CROP, low, high)
        assert x.dtype == torch.float32
        assert bool((x >= torch.tensor(low)).all())
        assert bool((x < torch.tensor(high)).all())


def test_uniform_of_all_ones_stays_below_high(monkeypatch):
    monkeypatch.setattr(Draw, "bits", lambda self, n, purpose: torch.full((len(self), n), (1 << 32) - 1))
    assert draw(1).uniform(1, Purpose.CROP, 1.0, 2.0).item() < 2.0


def test_uniform_lies_on_its_grid():
    x = draw().uniform(50, Purpose.CROP).double() * 2**24
    assert torch.equal(x, x.round())


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 1.0])
def test_bernoulli_equals_the_integer_comparison(p):
    d = draw(512)
    found = d.bernoulli(64, Purpose.FLIP, p)
    assert torch.equal(found, d.bits(64, Purpose.FLIP) < int(p * 2**32))
    if p in (0.0, 1.0):
        assert found.float().mean().item() == p
    else:
        assert abs(found.float().mean().item() - p) < 5 * math.sqrt(p * (1 - p) / found.numel())


def test_integers_cover_their_range_and_broadcast():
    d = draw(2000)
    x = d.integers(8, Purpose.SPLIT, 7, -2)
    assert sorted(x.unique().tolist()) == list(range(-2, 7))
    high = torch.tensor([1, 2, 5, 2**31 - 1])
    y = d.integers(4, Purpose.SPLIT, high)
    assert bool(((y >= 0) & (y < high)).all())
    assert torch.equal(y[:, 0], torch.zeros(2000, dtype=torch.int64))


def test_integers_are_the_exact_multiply_shift():
    d = draw(16)
    expected = [[b * 1000 >> 32 for b in row] for row in d.bits(5, Purpose.SPLIT).tolist()]
    assert d.integers(5, Purpose.SPLIT, 1000).tolist() == expected


@pytest.mark.parametrize("n", [1, 2, 5, 100])
def test_permutation_is_one(n):
    x = draw(200).permutation(n, Purpose.MASK)
    assert torch.equal(x.sort(dim=1).values, torch.arange(n).expand(200, n))


def test_permutation_refuses_what_its_tie_break_cannot_hold():
    with pytest.raises(AssertionError, match="20"):
        draw(1).permutation(1 << 20, Purpose.MASK)


def test_permutations_of_three_are_equally_likely():
    x = draw(12000).permutation(3, Purpose.MASK)
    counts = torch.bincount(x[:, 0] * 9 + x[:, 1] * 3 + x[:, 2], minlength=27)
    counts = counts[counts > 0]
    assert len(counts) == 6
    assert chi_square(counts) < 20.5  # 5 degrees of freedom, p = 0.001


# ------------------------------------------------------------------------------------------------- statistics


def chi_square(counts):
    expected = counts.sum() / counts.numel()
    return float(((counts - expected) ** 2 / expected).sum())


def limit(cells):
    """The chi-square of ``cells - 1`` degrees of freedom that chance exceeds once in 10,000 (Wilson-Hilferty)."""
    k = cells - 1
    return k * (1 - 2 / (9 * k) + 3.719 * math.sqrt(2 / (9 * k))) ** 3


NEIGHBOURS = {
    "ids": (draw(1 << 14), draw(1 << 14, start=1)),
    "epochs": (draw(1 << 14), draw(1 << 14, epoch=3)),
    "views": (draw(1 << 14), draw(1 << 14, view=2)),
    "seeds": (draw(1 << 14), draw(1 << 14, seed=6)),
}


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_uniform_is_uniform(seed):
    x = draw(1 << 13, seed=seed).uniform(16, Purpose.CROP)
    cells = 256
    assert chi_square(torch.bincount((x * cells).long().flatten(), minlength=cells).double()) < limit(cells)
    assert chi_square(torch.bincount((x[:, 0] * cells).long(), minlength=cells).double()) < limit(cells)


@pytest.mark.parametrize("axis", NEIGHBOURS)
def test_neighbours_are_independent(axis):
    a, b = (d.integers(1, Purpose.CROP, 16).flatten() for d in NEIGHBOURS[axis])
    assert chi_square(torch.bincount(a * 16 + b, minlength=256).double()) < limit(256)


@pytest.mark.parametrize("other", [Purpose.CROP_ASPECT, Purpose.MASK, 1024, 65535])
def test_purposes_are_independent(other):
    a, b = (draw(1 << 14).integers(1, purpose, 16).flatten() for purpose in (Purpose.CROP, other))
    assert chi_square(torch.bincount(a * 16 + b, minlength=256).double()) < limit(256)


def test_positions_of_a_sample_are_independent():
    x = draw(1 << 14).integers(2, Purpose.CROP, 16)
    assert chi_square(torch.bincount(x[:, 0] * 16 + x[:, 1], minlength=256).double()) < limit(256)


def test_avalanche_each_bit_flips_half_of_the_others():
    z = draw(2048).words(1, Purpose.CROP).flatten()
    before = mix64(z)
    for bit in range(64):
        flipped = mix64(z ^ (1 << bit if bit < 63 else -(1 << 63))) ^ before
        share = torch.stack([(flipped >> i & 1).double().mean() for i in range(64)])
        assert bool(((share - 0.5).abs() < 5.5 * 0.5 / math.sqrt(2048)).all()), bit


def test_gumbel_noise_is_gumbel_and_finite_at_both_ends():
    ends = gumbel(torch.tensor([0, -1, (1 << 63) - 1, -(1 << 63)]))
    assert ends.isfinite().all()
    assert ends[1] == ends.max()
    assert 16 < ends[1] < 17  # -log(2**-24), the half of a part below 1
    cells = 256
    noise = gumbel(draw(1 << 14).words(16, Purpose.NOISE)).double()
    share = torch.exp(-torch.exp(-noise))  # its distribution function, so uniform
    assert chi_square(torch.bincount((share * cells).long().flatten(), minlength=cells).double()) < limit(cells)


def test_normal_has_its_moments_and_tails():
    x = draw(1 << 14).normal(8, Purpose.NOISE).double().flatten()
    n = x.numel()
    assert abs(x.mean().item()) < 5 / math.sqrt(n)
    assert abs(x.var().item() - 1) < 5 * math.sqrt(2 / n)
    assert abs((x**3).mean().item()) < 5 * math.sqrt(15 / n)
    assert abs((x**4).mean().item() - 3) < 5 * math.sqrt(96 / n)
    uniform = torch.special.ndtr(x)
    assert chi_square(torch.bincount((uniform * 64).long(), minlength=64).double()) < limit(64)
