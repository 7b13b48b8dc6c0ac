"""Native export: another process, which knows nothing of this project, gets the same outputs from text."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ByT5Tokenizer

from unlabeled.cli.main import main
from unlabeled.contract import View
from unlabeled.errors import UsageError
from unlabeled.testing.bare import embed_alone
from unlabeled_text.data.sentences import Sentences
from unlabeled_text.encoders.bag import Bag
from unlabeled_text.encoders.modern import Causal, Modern
from unlabeled_text.encoders.transformers import Seq2Seq, Transformers
from unlabeled_text.export.native import native

SMALL = {"width": 32, "depth": 2, "heads": 2}
PROGRAM = """
import json, sys
texts = json.load(open(sys.argv[1]))
import torch
from transformers import ByT5Tokenizer
found = {}
for number, folder in enumerate(sys.argv[2:]):
    from transformers import AutoModel, AutoTokenizer
    model, tokenizer = AutoModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    reader = model.get_encoder() if model.config.is_encoder_decoder else model
    with torch.no_grad():
        rows = reader.eval()(**inputs).last_hidden_state
    mask = inputs["attention_mask"][..., None].float()
    found[folder] = {"mean": ((rows * mask).sum(1) / mask.sum(1)).tolist()}
    from sentence_transformers import SentenceTransformer
    found[folder]["sentence"] = SentenceTransformer(folder, device="cpu").encode(texts).tolist()
assert not [m for m in sys.modules if m.startswith("unlabeled")]
print("RESULT" + json.dumps(found))
"""


def encoders(spec):
    return {
        "modern": Modern(spec, **SMALL),
        "first": Modern(spec, **SMALL, pool="first", window=8),
        "causal": Causal(spec, **SMALL, pool="last"),
        "bert": Transformers("bert", spec, **SMALL),
        "t5": Seq2Seq(spec, width=32, depth=1),
    }


def test_transformers_and_sentence_transformers_give_the_same(tmp_path):
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is an extra")
    data = Sentences(documents=6)
    ids = [0, 5, 9, 23]
    batch = View(data.__getitems__(ids), "clean")
    expected = {}
    for name, encoder in encoders(data.spec).items():
        folder = str(tmp_path / name)
        code = native(encoder.eval(), data.spec, Path(folder))
        assert code.replace(repr(folder), "'.'  # of these files") in (tmp_path / name / "README.md").read_text()
        with torch.no_grad():
            out = encoder(batch)
        expected[folder] = (out.layout.mean(out.tokens), out.pooled)
    (tmp_path / "texts.json").write_text(json.dumps(data.texts(ids)))
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "texts.json"), *expected]
    done = subprocess.run(command, capture_output=True, text=True, env={"HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"})
    assert "RESULT" in done.stdout, done.stderr[-2000:]
    found = json.loads(done.stdout.partition("RESULT")[2])
    for folder, (mean, pooled) in expected.items():
        torch.testing.assert_close(torch.tensor(found[folder]["mean"]), mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(torch.tensor(found[folder]["sentence"]), pooled, rtol=1e-4, atol=1e-5)


def test_bytes_have_the_tokenizer_of_byt5(tmp_path):
    data = Sentences(documents=6, tokenizer="bytes")
    assert "ByT5Tokenizer.from_pretrained" in native(Modern(data.spec, **SMALL), data.spec, tmp_path)
    tokenizer = ByT5Tokenizer.from_pretrained(tmp_path)
    ids = [*data.spec.codec.encode(["Zoë's <mat>"])[0][0].tolist(), data.spec.sentinels[0], *data.spec.suffix]
    assert tokenizer(["Zoë's <mat><extra_id_0>"]).input_ids == [ids]


CARRIED = {
    "words": ("transformers/bert", {"data.vocabulary": 140, "data.length": 16, "encoder.heads": 2}),
    "first": ("modern", {"data.vocabulary": 140, "encoder.pool": "first"}),
    "bytes": ("seq2seq", {"data.tokenizer": "bytes", "data.length": 24}),
}


@pytest.mark.parametrize("name", CARRIED)
def test_texts_give_what_embed_gives(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = [f"the {n} small dog{'s' * (n % 3)} of No. {n} ran home, caf\u00e9 after bar {n * n}" for n in range(12)]
    Path("texts.txt").write_text("\n".join(f" {text} " for text in texts))
    encoder, words = CARRIED[name]
    words = {"data": "texts.txt", "encoder": encoder, "encoder.width": 32, "encoder.depth": 1, "epochs": 0,
             "objective": "simclr", "views": "spans", "batch-size": 4, "out": "run", **words}  # fmt: skip
    flags = [word for key, value in words.items() for word in (f"--{key}", str(value))]
    assert main(["text", "pretrain", *flags, "--no-tensorboard"]) == 0
    assert main(["text", "export", "run"]) == 0
    assert main(["text", "embed", "run", "--data", "texts.txt", "--out", "f.npz"]) == 0
    found = embed_alone(Path("run/export-native"), [f" {text}" for text in texts])
    torch.testing.assert_close(found, torch.from_numpy(np.load("f.npz")["x"]), rtol=1e-5, atol=1e-5)
    assert Path("run/export-native/tokenizer.json").exists() == (name != "bytes")


def test_a_bag_is_no_model_of_transformers(tmp_path):
    data = Sentences(documents=6)
    with pytest.raises(UsageError, match="no native export"):
        native(Bag(data.spec, width=8), data.spec, tmp_path)
