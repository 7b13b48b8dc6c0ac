"""HuBERT against torchaudio's own loss, and against what the paper says of its terms."""

import pytest
import torch
import torch.nn.functional as F
from torchaudio.models.wav2vec2.components import LogitGenerator

from unlabeled.nn.units import UnitHead, hubert_loss


@pytest.fixture
def frames():
    torch.manual_seed(0)
    return torch.randn(2, 30, 16), torch.randint(0, 20, (2, 30)), torch.rand(2, 30) < 0.5


def test_equals_torchaudio_in_value_and_gradient(frames):
    x, ids, mask = frames
    theirs = LogitGenerator(16, 20, 8, skip_masked=False, skip_nomask=False)
    head = UnitHead(16, 8, 20, 1, 0.1, "cosine")
    head.project.load_state_dict(theirs.final_proj.state_dict())
    with torch.no_grad():
        head.units[0].copy_(theirs.label_embeddings)
    hidden, visible = theirs(x, ids, mask, ~mask)
    expected = sum(
        F.cross_entropy(s, torch.zeros(len(s), dtype=torch.int64), reduction="sum") for s in (hidden, visible)
    )
    found = sum(head(x[m], ids[m][:, None])[0].sum() for m in (mask, ~mask))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    expected.backward()
    found.backward()
    torch.testing.assert_close(head.units.grad[0], theirs.label_embeddings.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(head.project.weight.grad, theirs.final_proj.weight.grad, rtol=1e-4, atol=1e-5)


def test_equals_the_formula_written_out(frames):
    x, ids, _ = frames
    units = torch.randn(20, 16)
    losses = []
    for frame, truth in zip(x.flatten(0, 1), ids.flatten(), strict=True):
        cosines = torch.stack([frame @ u / (frame.norm() * u.norm()) for u in units]) / 0.2
        losses.append(-cosines[truth] + cosines.exp().sum().log())
    found = hubert_loss(x.flatten(0, 1), units, ids.flatten(), 0.2)
    torch.testing.assert_close(found, torch.stack(losses), rtol=1e-5, atol=1e-5)


def test_a_wrong_number_of_books_says_what_to_set():
    head = UnitHead(4, 4, 6, 2, 0.1, "cosine")
    with pytest.raises(ValueError, match=r"gives 3 units a frame; set --objective\.books 3"):
        head.books_of(torch.zeros(5, 3, dtype=torch.int64))
