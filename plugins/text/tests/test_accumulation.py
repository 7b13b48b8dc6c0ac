"""Micro-steps over texts of unlike lengths move the weights as the whole batch does: each token counts once."""

import pytest
import torch
from safetensors.torch import load_file

from unlabeled.cli.main import main

SAME = (
    "text pretrain {recipe} --batch-size 8 --steps 1 --no-tensorboard --optimizer sgd --optimizer.momentum 0 "
    "--optimizer.weight-decay 0 --schedule constant --encoder.dropout 0 --encoder.width 16 --encoder.depth 1 "
    "--data.batches random --data.cache none --accelerator cpu --clip {clip}"
)


@pytest.mark.parametrize(("recipe", "clip"), [("mlm", "0"), ("mlm", "0.01"), ("clm", "0")])
def test_accumulation_counts_each_token_once(tmp_path, recipe, clip):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(" ".join(f"w{(7 * i + j) % 19}" for j in range(3 if i % 2 else 40)) for i in range(16)))

    def weights(name, more):
        words = f"{SAME.format(recipe=recipe, clip=clip)} --data {path} --out {tmp_path / name} {more}".split()
        assert main(words) == 0
        return load_file(tmp_path / name / "encoder" / "model.safetensors")

    start, whole, parts = (
        weights("start", "--lr 0"),
        weights("whole", "--lr 1"),
        weights("parts", "--lr 1 --accumulate 4"),
    )

    def gap(a, b):
        return torch.stack([(a[name].double() - b[name].double()).square().sum() for name in a]).sum().sqrt().item()

    assert gap(parts, whole) < 1e-5 * gap(whole, start)
