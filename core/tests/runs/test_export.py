"""Export: the domain's own format, and ONNX for any domain."""

import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import unlabeled
from unlabeled.draw import Draw
from unlabeled.errors import PluginError, UsageError

SHORT = {"epochs": 0, "batch_size": 16, "tensorboard": False}


@pytest.fixture
def run(toy):
    return unlabeled.pretrain("toy", out="run", say=lambda line: None, **SHORT)


def test_native_is_the_domains_own(run):
    lines = run.export("native")
    found = load_file("run/export-native/weights.safetensors")
    assert lines == "load_file('run/export-native/weights.safetensors')"
    for name, value in run.encoder.state_dict().items():
        assert torch.equal(found[name], value)


def test_a_folder_of_ones_own(run):
    run.export("native", "there")
    assert Path("there/weights.safetensors").is_file()


def test_a_file_is_in_the_way(run):
    Path("there").write_text("")
    with pytest.raises(UsageError, match="there is a file"):
        run.export("native", "there")


def test_an_unknown_format(run):
    with pytest.raises(UsageError, match=r"unknown format 'onxn' in domain 'toy'\. Perhaps you meant onnx"):
        run.export("onxn")


def test_onnx_gives_what_the_encoder_gives(run):
    runtime = pytest.importorskip("onnxruntime", reason="in dev-requirements.txt")
    lines = run.export("onnx")
    assert "x float32 [1, " in lines
    assert "# one sample at a time: Mlp lays its rows out by the number of samples" in lines
    batch = run.data().__getitems__([0])
    view = run.views(batch, Draw(0, 0, batch.ids))[0].clean()
    session = runtime.InferenceSession("run/export-onnx/model.onnx")
    pooled, tokens = session.run(None, {"x": view.batch.x.numpy()})
    with torch.no_grad():
        found = run.encoder(view)
    torch.testing.assert_close(torch.from_numpy(pooled), found.pooled, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.from_numpy(tokens), found.tokens, rtol=1e-5, atol=1e-5)


def test_an_encoder_that_the_exporter_cannot_follow(run, monkeypatch, capfd):
    pytest.importorskip("onnxruntime", reason="in dev-requirements.txt")
    forward = type(run.encoder).forward

    def by_content(self, view, **more):
        return forward(self, view.clean() if bool((view.batch.x > 0).all()) else view, **more)

    monkeypatch.setattr(type(run.encoder), "forward", by_content)
    with pytest.raises(PluginError, match=r"cannot follow Mlp \(.*\): its steps depend on what a sample holds"):
        run.export("onnx")
    assert not Path("run/export-onnx").exists()
    assert capfd.readouterr() == ("", "")


def test_onnx_without_its_packages(run, monkeypatch):
    find = importlib.util.find_spec
    missing = ("onnx", "onnxscript")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name in missing else find(name, *a))
    with pytest.raises(PluginError, match=r"needs onnx and onnxscript: pip install 'unlabeled\[onnx\]'"):
        run.export("onnx")
    assert not Path("run/export-onnx").exists()
