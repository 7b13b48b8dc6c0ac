"""One ONNX file serves batches of any size, where samples have one length; the other domains say why there is none."""

import numpy as np
import pytest
import torch

import unlabeled
from unlabeled.draw import Draw
from unlabeled.errors import UsageError

SAMPLES = (1, 3, 8)


def trained(domain, recipe, folder, **more):
    return unlabeled.pretrain(domain=domain, recipe=recipe, out=folder, steps=1, batch_size=8, **more)


@pytest.mark.parametrize(
    ("domain", "encoder"), [("vision", "vit"), ("vision", "resnet"), ("medical3d", "vit"), ("medical3d", "unet")]
)
def test_one_file_serves_any_number_of_samples(domain, encoder, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="in dev-requirements.txt")
    run = trained(domain, "simclr", tmp_path / "run", encoder=encoder)
    lines = run.export("onnx")
    assert "one sample at a time" not in lines
    session = runtime.InferenceSession(str(tmp_path / "run" / "export-onnx" / "model.onnx"))
    names = [entry.name for entry in session.get_inputs()]
    for count in SAMPLES:
        batch = run.data().__getitems__(list(range(count)))
        view = run.views(batch, Draw(0, 0, batch.ids))[0].clean()
        pooled, tokens = session.run(None, {name: getattr(view.batch, name).numpy() for name in names})
        with torch.no_grad():
            expected = run.encoder(view)
        for found, like in ((pooled, expected.pooled), (tokens, expected.tokens)):
            assert found.shape == like.shape
            np.testing.assert_allclose(found, like.numpy(), rtol=1e-4, atol=1e-4 * float(like.abs().max()))


@pytest.mark.parametrize(("domain", "recipe"), [("text", "mlm"), ("audio", "simclr")])
def test_samples_of_unequal_length_have_no_graph(domain, recipe, tmp_path):
    pytest.importorskip("onnx", reason="in dev-requirements.txt")
    run = trained(domain, recipe, tmp_path / "run")
    with pytest.raises(UsageError, match=r"differ in length and are read end to end .*--to native writes weights"):
        run.export("onnx")
    assert not (tmp_path / "run" / "export-onnx").exists()
