import pytest
import torch

from unlabeled.build import build_data, build_encoder
from unlabeled.config.run import resolve
from unlabeled.probes.asked import Chosen
from unlabeled.probes.evaluate import evaluate


@pytest.fixture
def probe(toy, tmp_path):
    """The table with features kept in a folder, and how many batches the encoder of the run was given for it."""
    config = resolve({"domain": "toy"})
    data = build_data(config)
    encoder = build_encoder(config, data.spec)
    calls = []
    encoder.register_forward_pre_hook(lambda *given: calls.append(1))

    def table(cache=tmp_path / "features"):
        calls.clear()
        chosen = Chosen(("knn",), ("none",), cache=cache)
        found = evaluate(config, encoder, data, seeds=(0,), batch_size=50, chosen=chosen)
        return found, len(calls)

    return table, data, encoder, tmp_path / "features"


def test_what_is_encoded_once_is_not_encoded_again(probe):
    table, *_, folder = probe
    plain, _ = table(None)
    assert not folder.exists()
    first, again = table(), table()
    assert (first[1], again[1]) == (3, 0)
    assert plain == first[0] == again[0]


@pytest.mark.parametrize("what", ["content", "weights", "labels"])
def test_other_content_is_another_entry(probe, what):
    table, data, encoder, _ = probe
    before, _ = table()
    if what == "content":
        data.x[7] += 1e-3
    if what == "weights":
        with torch.no_grad():
            encoder.body[0].bias[0] += 1.0
    if what == "labels":
        data.labels[:60] = data.labels[:60].roll(1)
    after, calls = table()
    assert calls == (0 if what == "labels" else 3)  # labels are no part of features
    assert (after != before) or what != "labels"


@pytest.mark.parametrize("harm", [b"", b"no features", None])
def test_a_damaged_file_is_made_again(probe, harm):
    table, *_, folder = probe
    first, _ = table()
    (file,) = folder.glob("*.pt")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if harm is None else harm)
    assert table() == (first, 3)
    assert table() == (first, 0)
