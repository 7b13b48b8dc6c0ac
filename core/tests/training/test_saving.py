"""Checkpoints: nothing that is not finite is kept, and none that is damaged is read."""

import random

import pytest
import torch

from unlabeled.errors import RunError, UsageError
from unlabeled.training import saving
from unlabeled.training.saving import Save, damage, sound, write_atomically


@pytest.fixture
def folder(tmp_path):
    for step in (1, 2):
        state = {"global_step": step, "state_dict": {"w": torch.randn(20, 20), "b": torch.randn(3)}}
        write_atomically(state, tmp_path / "last.ckpt")
    return tmp_path


def test_the_one_before_stays(folder):
    steps = {name: torch.load(folder / f"{name}.ckpt", weights_only=True)["global_step"] for name in ("before", "last")}
    assert steps == {"before": 1, "last": 2}
    assert sound(folder / "last.ckpt") == (folder / "last.ckpt", "")
    assert {path.name for path in folder.iterdir()} == {"before.ckpt", "last.ckpt", "sha256"}


def test_a_flipped_bit_is_found_wherever_it_is(folder):
    path, chance = folder / "last.ckpt", random.Random(0)
    whole = path.read_bytes()
    for _ in range(40):
        content = bytearray(whole)
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        assert damage(path)
        assert sound(path)[0] == folder / "before.ckpt"


@pytest.mark.parametrize("name", ["_keep_before", "os"])
def test_a_kill_between_two_writes_leaves_a_sound_one(folder, monkeypatch, name):
    """The digests of the old files are kept until after the new one is in its place."""

    def killed(*given):
        raise KeyboardInterrupt

    if name == "os":
        real = saving.os.replace
        monkeypatch.setattr(saving.os, "replace", lambda a, b: killed() if b.name == "last.ckpt" else real(a, b))
    else:
        monkeypatch.setattr(saving, name, killed)
    with pytest.raises(KeyboardInterrupt):
        write_atomically({"global_step": 3}, folder / "last.ckpt")
    assert sound(folder / "last.ckpt") == (folder / "last.ckpt", "")
    assert not damage(folder / "before.ckpt")


def test_a_run_from_before_there_were_digests_goes_on(folder):
    (folder / "sha256").unlink()
    assert sound(folder / "last.ckpt") == (folder / "last.ckpt", "")


def test_a_damaged_one_falls_back_to_the_one_before_with_a_line(toy, tmp_path, capsys):
    toy.run(tmp_path, training={"epochs": 2, "checkpoint_every": 1})
    last = tmp_path / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    assert damage(last)
    capsys.readouterr()
    result, _ = toy.run(tmp_path, resume=True, training={"epochs": 3, "checkpoint_every": 1})
    assert "going on from the checkpoint before it" in capsys.readouterr().out
    assert result.steps == 15
    for path in (last, last.with_name("before.ckpt")):
        path.write_bytes(content)
    with pytest.raises(UsageError, match="it is no checkpoint of a run, it is not what was written"):
        toy.run(tmp_path, resume=True, training={"epochs": 4})


@pytest.mark.parametrize("what", ["weight", "buffer", "optimizer"])
def test_what_is_not_finite_is_not_saved_over_a_good_checkpoint(toy, tmp_path, monkeypatch, what):
    toy.run(tmp_path, training={"epochs": 1, "checkpoint_every": 1})
    last, real = tmp_path / "checkpoints" / "last.ckpt", Save.on_train_batch_end
    before = last.read_bytes()

    def spoil(self, trainer, module, *rest):
        if trainer.global_step == 7:
            weight = module.encoder.body[0].weight
            if what == "optimizer":
                trainer.optimizers[0].state[weight]["exp_avg"][0, 0] = torch.inf
            else:
                (weight if what == "weight" else next(module.buffers())).data.view(-1)[0] = torch.nan
        real(self, trainer, module, *rest)

    monkeypatch.setattr(Save, "on_train_batch_end", spoil)
    with pytest.raises(
        RunError, match=r"is not finite after step 7\. The last checkpoint, of step 5, is good.*--resume"
    ):
        toy.run(tmp_path, resume=True, training={"epochs": 2, "checkpoint_every": 7})
    assert last.read_bytes() == before


def test_the_advice_knows_that_there_is_no_checkpoint(toy, tmp_path):
    with pytest.raises(RunError, match="There is no checkpoint yet: lower --lr"):
        toy.run(tmp_path, poison=1, training={"epochs": 1})
