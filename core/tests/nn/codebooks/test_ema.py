"""Online k-means: sums and counts as written out, a start on the data, dead entries that come back."""

import pytest
import torch

from unlabeled.nn.codebooks import OnlineKMeans


def keys(count, seed=0):
    return torch.randint(2**62, (count,), generator=torch.Generator().manual_seed(seed))


def test_the_first_batch_gives_the_entries():
    torch.manual_seed(0)
    x, book = torch.randn(30, 4), OnlineKMeans(5, 4)
    book(x, keys(30))
    expected = x[torch.argsort(keys(30))[:5]]
    torch.testing.assert_close(book.entries, expected)
    book(torch.randn(30, 4), keys(30, 1))
    torch.testing.assert_close(book.entries, expected)


def test_fewer_rows_than_entries_are_repeated():
    x, book = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), OnlineKMeans(5, 2)
    book(x, torch.tensor([2, 1]))
    assert book.entries.tolist() == [[0, 1], [1, 0], [0, 1], [1, 0], [0, 1]]


def test_update_is_the_moving_average_of_counts_and_sums():
    torch.manual_seed(0)
    x, book = torch.randn(40, 3), OnlineKMeans(2, 3, decay=0.8)
    ids = book(x, keys(40))
    counts, sums = book.counts.clone(), book.sums.clone()
    book.update(x, ids, keys(40))
    for entry in range(2):
        mine = x[ids == entry]
        n = 0.8 * counts[entry] + 0.2 * len(mine)
        m = 0.8 * sums[entry] + 0.2 * mine.sum(0)
        torch.testing.assert_close(book.entries[entry], m / n)


def test_an_entry_that_nobody_chooses_starts_anew_on_a_row():
    torch.manual_seed(0)
    x, book = torch.randn(40, 3), OnlineKMeans(3, 3, decay=0.5, least=0.1)
    book(x, keys(40))
    with torch.no_grad():
        book.sums[2] = 1e6
    for _ in range(8):
        book.update(x, torch.arange(40) % 2, keys(40))
    assert (torch.cdist(book.entries[2:], x).min() < 1e-2).item()


def test_it_finds_clusters():
    torch.manual_seed(0)
    centers = torch.eye(4) * 10
    book = OnlineKMeans(12, 4)
    for step in range(60):
        x = centers[torch.randint(4, (64,))] + 0.1 * torch.randn(64, 4)
        book.update(x, book(x, keys(64, step)), keys(64, step))
    assert torch.cdist(centers, book.entries).min(1).values.max() < 0.3


def test_settings_out_of_range_are_named():
    with pytest.raises(ValueError, match="entries is 1"):
        OnlineKMeans(1, 4)
    with pytest.raises(ValueError, match=r"decay is 1.5; it must be in"):
        OnlineKMeans(4, 4, decay=1.5)
