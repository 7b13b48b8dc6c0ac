"""Run folders made at commit de8a40c, one a domain, and what came of them then: all of it still does.

``runs_before/DOMAIN`` is a run of four steps of a tiny encoder; ``expected.json`` has what that commit made of it, but
for the losses that text resumes with: its teacher has no dropout any more.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch

import unlabeled
from unlabeled.probes.table import PRETRAINED

HERE = Path(__file__).parent / "runs_before"
EXPECTED = json.loads((HERE / "expected.json").read_text())
CLOSE = {"rtol": 1e-4, "atol": 1e-4}  # another type of CPU adds in another order

pytestmark = pytest.mark.parametrize("domain", EXPECTED)


@pytest.fixture
def run(domain, tmp_path):
    return shutil.copytree(HERE / domain, tmp_path / domain)


def test_it_gives_the_same_features(run, domain):
    x, _ = unlabeled.load(run).embed(device="cpu")
    assert list(x.shape) == EXPECTED[domain]["shape"]
    torch.testing.assert_close(x.flatten()[:8], torch.tensor(EXPECTED[domain]["first"]), **CLOSE)


def test_its_probe_table_says_the_same_of_its_neighbours(run, domain):
    table = unlabeled.probe(run, seeds=(0,), device="cpu")
    assert table.row(PRETRAINED).numbers["knn.accuracy@all"].mean == pytest.approx(EXPECTED[domain]["knn"])


def test_it_is_exported_to_the_same_files_and_more(run, domain, tmp_path):
    unlabeled.export(run, to="native", folder=tmp_path / "out")
    files = [str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert set(EXPECTED[domain]["export"]) <= set(files)


def test_it_resumes_with_the_same_losses(run, domain):
    unlabeled.pretrain(domain, out=run, resume=True, steps=6, say=lambda line: None)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["loss"] for row in rows] == pytest.approx(EXPECTED[domain]["losses"], rel=1e-4)
