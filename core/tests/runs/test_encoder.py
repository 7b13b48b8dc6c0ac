"""The encoder folder: saved and loaded equal, never unpickled, and one clear line for whatever is broken."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

from unlabeled.build import build_data, build_encoder
from unlabeled.config.run import resolve
from unlabeled.draw import Draw
from unlabeled.errors import PluginError, RunError, UsageError
from unlabeled.runs.encoder import initialize, save_encoder
from unlabeled.runs.pretrained import load
from unlabeled.runs.weights import load_weights, restore, save_weights


def write(folder, **encoder):
    """A saved encoder, as it was before."""
    config = resolve({"recipe": "tea", "paper": "2002.05709", "encoder": {"name": "mlp", **encoder}}, "toy")
    data = build_data(config)
    made = build_encoder(config, data.spec)
    save_encoder(folder, made, data.spec, config, steps=7, samples=112)
    return made.eval(), config


def test_what_an_encoder_chose_itself_is_saved(toy, tmp_path, monkeypatch):
    config = resolve({"encoder": {"name": "mlp", "width": 6}}, "toy")
    data = build_data(config)
    made = build_encoder(config, data.spec)
    made.resolved = {"depth": 3}
    save_encoder(tmp_path, made, data.spec, config, steps=0, samples=0)
    settings = json.loads((tmp_path / "config.json").read_text())["encoder"]["settings"]
    assert (settings["width"], settings["depth"]) == (6, 3)


@pytest.fixture
def folder(toy, tmp_path):
    write(tmp_path / "encoder")
    return tmp_path / "encoder"


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_saved_and_loaded_equal(toy, tmp_path, norm):
    before, config = write(tmp_path / "encoder", width=4, norm=norm)
    saved = load(tmp_path / "encoder")
    after = saved.encoder
    assert not after.training
    for name, value in before.state_dict().items():
        assert torch.equal(value, after.state_dict()[name]), name
    batch = build_data(config).__getitems__([3, 1])
    view = saved.views(batch, Draw(0, 0, batch.ids))[0]
    assert torch.equal(before(view).pooled, after(view).pooled)
    assert saved.spec == build_data(config).spec


def test_what_the_config_says(folder):
    info = json.loads((folder / "config.json").read_text())
    assert info["format"] == 1
    assert info["domain"] == "toy"
    assert info["encoder"]["name"] == "mlp"
    assert info["encoder"]["settings"]["width"] == 8
    assert info["spec"] == {"width": 3, "scale": [1.0]}
    assert info["clean"] == {"name": "still", "settings": {}}
    origin = info["provenance"]
    assert (origin["recipe"], origin["steps"], origin["samples_seen"]) == ("tea", 7, 112)
    assert origin["versions"]["torch"] == torch.__version__


def test_the_card_states_what_is_known_and_claims_nothing(folder):
    text = (folder / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    found = yaml.safe_load(front)
    assert found["library_name"] == "unlabeled"
    assert found["tags"] == ["self-supervised-learning", "toy", "simclr", "mlp"]
    assert "https://arxiv.org/abs/2002.05709" in body
    assert "| samples seen | 112 |" in body
    assert "Nothing yet." in body


def test_a_run_folder_is_understood(folder):
    assert load(folder.parent).info == load(folder).info


def test_no_download_of_weights_that_are_overwritten(folder):
    """The toy's constructor raises for ``pretrained=True``."""
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"pretrained": false', '"pretrained": true'))
    assert load(folder).encoder.dim == 8


def edit(**changes):
    def apply(folder):
        path = folder / "config.json"
        info = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({k: v for k, v in info.items() if v is not ...}))

    return apply


def replaced(name, content):
    def apply(folder):
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(content)

    return apply


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (replaced("config.json", b"{"), r"config\.json is broken"),
        (replaced("config.json", b"\xff\xff"), r"config\.json is broken"),
        (replaced("config.json", b"[]"), "is no encoder's config"),
        (replaced("config.json", None), "holds no encoder"),
        (replaced("model.safetensors", b""), "is no readable safetensors file"),
        (replaced("model.safetensors", b"\x80\x04" + bytes(100)), "is no readable safetensors file"),
        (replaced("model.safetensors", None), "no such file"),
        (edit(format=2), "has format 2; unlabeled .* reads 1"),
        (edit(format=...), "it has no format number"),
        (edit(domain="sea"), "unknown domain 'sea'"),
        (edit(domain=3), "domain missing or not what was written"),
        (edit(encoder=...), "encoder missing"),
        (edit(encoder={"name": "mlp", "settings": {"wdith": 3}}), "encoder has no setting 'wdith'"),
        (edit(encoder={"name": "os.system", "settings": {}}), "unknown encoder 'os.system'"),
        (edit(encoder={"name": "mlp", "settings": 3}), "the settings of encoder are no mapping"),
        (edit(encoder={"name": "mlp", "settings": {"width": 4}}), "does not fit this encoder.*of another shape"),
        (edit(encoder={"name": "mlp", "settings": {"depth": 2}}), r"does not fit this encoder: \d+ missing \(blocks.1"),
        (edit(spec={"width": "wide"}), "spec.width is 'wide'; it must be int"),
        (edit(spec={"width": 3, "command": "rm"}), "spec has no setting 'command'"),
    ],
)
def test_a_broken_folder_is_one_clear_line(folder, harm, message):
    harm(folder)
    with pytest.raises(UsageError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_truncated_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UsageError, match="is no readable safetensors file"):
        load(folder)


class Bomb:
    """Unpickling it would write a file."""

    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_nothing_is_unpickled(folder, name):
    (folder / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UsageError):
        load(folder)
    assert not Path("exploded").exists()


def test_a_checkpoint_is_not_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {}, "x": Bomb()}, "last.ckpt")
    with pytest.raises(UsageError, match="cannot read the encoder"):
        restore(nn.Linear(2, 2), Path("last.ckpt"))
    assert not Path("exploded").exists()


def test_restore_takes_the_encoder_alone(tmp_path):
    one, other = nn.Linear(2, 2), nn.Linear(2, 2)
    state = {f"encoder.{k}": v for k, v in one.state_dict().items()} | {"objective.x": torch.zeros(1)}
    torch.save({"state_dict": state}, tmp_path / "last.ckpt")
    restore(other, tmp_path / "last.ckpt")
    assert torch.equal(one.weight, other.weight)


class Tied(nn.Module):
    """Input and output share one matrix."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.out = nn.Linear(3, 5, bias=False)
        self.out.weight = self.embed.weight


def test_tied_weights_are_saved_once_and_load(toy, tmp_path):
    _, config = write(tmp_path / "a")
    before, after = Tied(), Tied()
    spec = build_data(config).spec
    save_encoder(tmp_path / "b", before, spec, config, steps=0, samples=0)
    assert list(load_file(tmp_path / "b" / "model.safetensors")) == ["embed.weight"]
    load_weights(after, tmp_path / "b" / "model.safetensors")
    assert torch.equal(after.out.weight, before.out.weight)


@pytest.mark.parametrize("form", ["run", "folder", "file"])
def test_initialize(folder, form):
    source = {"run": folder.parent, "folder": folder, "file": folder / "model.safetensors"}[form]
    config = resolve({"training": {"seed": 5}}, "toy")
    encoder = build_encoder(config, build_data(config).spec)
    initialize(encoder, source)
    assert torch.equal(encoder.embed.weight, load(folder).encoder.embed.weight)


@pytest.mark.parametrize("form", ["export", "pth", "prefix"])
def test_initialize_from_files_of_others(folder, form, tmp_path):
    saved = load(folder).encoder
    config = resolve({"training": {"seed": 5}}, "toy")
    encoder = build_encoder(config, build_data(config).spec)
    state = saved.state_dict()
    source = tmp_path / "other"
    if form == "export":
        source.mkdir()
        save_file(state, source / "weights.safetensors")
    else:
        source = source.with_suffix(".pth")
        under = {f"module.encoder.{name}": value for name, value in state.items()} | {"module.head": torch.zeros(3)}
        torch.save({"epoch": 3, "state_dict": under if form == "prefix" else state}, source)
    left = initialize(encoder, source)
    assert left == (["module.head"] if form == "prefix" else [])
    assert torch.equal(encoder.embed.weight, saved.embed.weight)


def test_a_pickle_of_objects_is_refused(tmp_path):
    torch.save({"model": nn.Linear(2, 2)}, tmp_path / "a.pth")
    with pytest.raises(UsageError, match="nothing is unpickled"):
        initialize(nn.Linear(2, 2), tmp_path / "a.pth")


def test_unknown_names_are_counted(tmp_path):
    save_file({"weight": torch.zeros(2, 2), "bias": torch.zeros(2), "head": torch.zeros(1)}, tmp_path / "a.safetensors")
    with pytest.raises(UsageError, match=r"does not fit this encoder: 1 unknown \(head\); 2 of 2 fit"):
        initialize(nn.Linear(2, 2), tmp_path / "a.safetensors")


def test_a_domain_without_a_spec_says_so(folder, monkeypatch):
    from dataclasses import replace

    from unlabeled.plugins.registry import registry

    monkeypatch.setitem(registry().domains, "toy", replace(registry().domain("toy"), spec=""))
    with pytest.raises(PluginError, match="names no spec class"):
        load(folder)


def test_killed_while_writing_leaves_the_old_weights(toy, tmp_path, monkeypatch):
    before, _ = write(tmp_path / "encoder")

    def killed(*args, **options):
        Path(args[1]).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("unlabeled.runs.weights.save_file", killed)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "encoder")
    assert torch.equal(load(tmp_path / "encoder").encoder.embed.weight, before.embed.weight)


def test_runs_are_read_without_torch():
    code = "import sys, unlabeled.runs.folder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_card_cuts_long_values():
    """A spec may carry a whole tokenizer: the card names it by its beginning."""
    from unlabeled.runs.card import LONG, _short

    assert _short("x" * 5000) == "x" * LONG + "... (5,000 characters)"
    assert _short([1, 2]) == "[1, 2]"


class TestFinite:
    def test_weights_that_are_not_finite_are_not_written(self, folder):
        encoder, before = load(folder).encoder, (folder / "model.safetensors").read_bytes()
        with torch.no_grad():
            next(encoder.parameters())[0] = torch.inf
        with pytest.raises(RunError, match="of Mlp is not finite"):
            save_weights(encoder, folder / "model.safetensors")
        assert (folder / "model.safetensors").read_bytes() == before

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda x: x.fill_(torch.nan), "is not finite"),
            (lambda x: x.half(), "is float16, and was written as float32"),
            (lambda x: x.double(), "is float64, and was written as float32"),
        ],
    )
    def test_such_weights_and_cast_ones_are_not_loaded(self, folder, change, said):
        state = load_file(folder / "model.safetensors")
        name = next(iter(state))
        save_file({**state, name: change(state[name])}, folder / "model.safetensors")
        with pytest.raises(UsageError, match=said):
            load(folder)

    def test_a_mask_may_be_infinite_and_half_precision_is_written_whole(self, tmp_path):
        module = nn.Linear(2, 2).bfloat16()
        module.register_buffer("seen", torch.tensor([0.0, -torch.inf]))
        save_weights(module, tmp_path / "w.safetensors")
        found = nn.Linear(2, 2)
        found.register_buffer("seen", torch.zeros(2))
        load_weights(found, tmp_path / "w.safetensors")
        assert torch.equal(found.weight, module.weight.float())
        assert found.seen[1] == -torch.inf
