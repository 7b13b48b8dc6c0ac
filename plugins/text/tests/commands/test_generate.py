"""`unlabeled text generate`: encoder and decoder are kept by a run, and write; its export writes the same."""

import json

import pytest
import torch

from unlabeled import api
from unlabeled.cli import main
from unlabeled_text.commands.generate import batch_of, spoken
from unlabeled_text.ops.tokenizing import byte_spec

SMALL = ["--encoder.width", "32", "--encoder.depth", "1", "--batch-size", "4", "--steps", "2"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    file = tmp_path_factory.mktemp("texts") / "texts.txt"
    lines = [
        f"the {a} cat sat on the {b}-white mat" for a in ("old", "red", "big") for b in ("blue", "wet", "thin", "new")
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


@pytest.mark.parametrize("recipe", ["t5", "bart", "compoundpiece", "e2s2"])
def test_a_run_keeps_its_decoder_and_its_export_writes_the_same(recipe, texts, tmp_path, capsys):
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    run, out = str(tmp_path / "run"), tmp_path / "written.jsonl"
    assert main(["text", "pretrain", recipe, "--data", str(texts), "--out", run, *SMALL]) == 0
    assert main(["text", "generate", run, "--data", str(texts), "--out", str(out), "--most", "8"]) == 0
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == (8 if recipe == "compoundpiece" else 12), "its words, or its lines"
    assert all(row.keys() == {"text", "written"} for row in rows)
    assert main(["text", "export", run, "--to", "native", "--out", str(tmp_path / "export")]) == 0
    assert "AutoModelForSeq2SeqLM" in capsys.readouterr().out
    found = api.load(run)
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "export").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "export")
    inputs = tokenizer(["the old cat sat"], return_tensors="pt")
    batch = batch_of(["the old cat sat"], found.spec)
    assert inputs["input_ids"][0].tolist() == batch.tokens.tolist()
    start = torch.tensor([[model.config.decoder_start_token_id, 40, 41]])
    with torch.no_grad():
        logits = [m.eval()(**inputs, decoder_input_ids=start).logits for m in (model, found.encoder.model)]
    torch.testing.assert_close(*logits)
    theirs = model.generate(**inputs, max_new_tokens=8, do_sample=False)[0].tolist()
    ours = found.encoder.generate(batch, most=8)[0]
    assert theirs[1 : 1 + len(ours)] == ours


def test_sentinels_stand_in_a_text_by_name():
    spec = byte_spec(64)
    batch = batch_of(["a<extra_id_1>b", "c"], spec)
    assert batch.tokens.tolist() == [100, 260, 101, 1, 102, 1]
    assert spoken([260, 100, 101, 259, 102], spec) == "<extra_id_1> ab <extra_id_0> c"


def test_what_cannot_be_generated_is_said(texts, tmp_path, capsys):
    run = str(tmp_path / "run")
    assert main(["text", "pretrain", "mlm", "--data", str(texts), "--out", run, *SMALL]) == 0
    assert main(["text", "generate", run, "--text", "a cat"]) == 2
    assert "encoder modern, which has no decoder: recipes t5" in capsys.readouterr().err
    assert main(["text", "pretrain", "t5", "--data", str(texts), "--out", run + "2", "--encoder", "modern"]) == 2
    assert "choose --encoder seq2seq" in capsys.readouterr().err
    assert main(["text", "generate", run, "--text", "a cat", "--out", "x.csv"]) == 2
    assert "must end in .jsonl or .txt" in capsys.readouterr().err
