"""Few-label segmentation: same volumes and crops in both rows, and errors that say what would be right."""

import json
from types import SimpleNamespace

import pytest
import torch

import unlabeled
from unlabeled.cli.main import main
from unlabeled.errors import UsageError
from unlabeled_medical3d.commands.segment import (
    Curves,
    Segment,
    crops,
    curves,
    decoder_of,
    fit,
    make,
    mean_of,
    one_crop,
    over_seeds,
    score,
    shares_of,
)
from unlabeled_medical3d.data.phantoms import Phantoms
from unlabeled_medical3d.encoders.vit import ViT3D
from unlabeled_medical3d.ops.segmentation import with_labels


@pytest.fixture(scope="module")
def data():
    return Phantoms(None, count=8, size=(16,), spacing=(5.0,))


def encoder(data, seed=0):
    torch.manual_seed(seed)
    return ViT3D(data.spec, width=24, depth=1, heads=2)


def test_crops_hold_an_image_and_its_labels():
    image = torch.arange(6 * 7 * 8).reshape(1, 6, 7, 8).float()
    mask = image[0].long()
    x, y = one_crop(image, mask, (4, 4, 4), (0.0, 0.99, 0.5))
    assert torch.equal(x[0].long(), y)
    assert torch.equal(y, mask[:4, 3:7, 2:6])
    x, y = one_crop(image + 5, mask + 5, (8, 4, 8), (0.5, 0.0, 0.0))
    assert x.shape == (1, 8, 4, 8)
    assert torch.equal(x[0, 1:7].long(), y[1:7])
    assert torch.equal(x[0, 0], torch.full((4, 8), 5.0))  # air: the lowest value of the volume
    assert y[0].sum() == 0


def test_crops_follow_seed_and_step_alone():
    images, masks = [torch.randn(1, 9, 9, 9) for _ in range(3)], [torch.zeros(9, 9, 9).long()] * 3
    settings = Segment(batch_size=4)
    first = crops(images, masks, (6, 6, 6), settings, 0, 0)[0]
    torch.manual_seed(77)
    assert torch.equal(first, crops(images, masks, (6, 6, 6), settings, 0, 0)[0])
    assert not torch.equal(first, crops(images, masks, (6, 6, 6), settings, 0, 1)[0])
    assert not torch.equal(first, crops(images, masks, (6, 6, 6), settings, 1, 0)[0])


def test_heads_start_alike_and_the_encoder_is_a_copy(data):
    settings = Segment()
    source = encoder(data)
    models = [make(e, data.spec, 5, settings, 3) for e in (source, encoder(data, 1))]
    for a, b in zip(models[0].head.parameters(), models[1].head.parameters(), strict=True):
        assert torch.equal(a, b)
    fit(models[0], data, torch.tensor([0, 1]), Segment(steps=1, batch_size=2), 0, "cpu")
    fresh = encoder(data)
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), fresh.parameters(), strict=True))


@pytest.mark.parametrize("head", ["light", "linear"])
def test_scores_start_at_the_shares_of_the_classes(data, head):
    model = make(encoder(data), data.spec, 3, Segment(head=head), 0)
    shares = shares_of([torch.tensor([[[0, 0, 0, 1]]]), torch.tensor([[[0, 0, 0, 0]]])], 3)
    torch.testing.assert_close(shares, torch.tensor([7 / 8, 1 / 8, 1 / 8]))  # none of class 2: as if one voxel were
    model.start_from(shares)
    with torch.no_grad():
        for name, weight in model.head.named_parameters():
            weight.mul_(0.0 if name.endswith("weight") else 1.0)  # what is left is the bias
        found = model(torch.zeros(1, 1, *data.spec.size))
    torch.testing.assert_close(found, shares.log()[None, :, None, None, None].expand_as(found))


def test_training_fits_what_it_sees(data):
    settings = Segment(steps=40, batch_size=2, lr=(3e-3,), jitter=0.0)
    model = make(encoder(data), data.spec, len(data.regions), settings, 0)
    ids = torch.tensor([0, 1])
    before = score(model, data, ids, settings, "cpu")["dice"]
    fit(model, data, ids, settings, 0, "cpu")
    after = score(model, data, ids, settings, "cpu")
    assert after["dice"] > before + 0.1
    assert set(after) == {"dice", "hd95", "surface_dice"}


def test_a_frozen_encoder_stays(data):
    settings = Segment(steps=2, batch_size=2, frozen=True)
    model = make(encoder(data), data.spec, len(data.regions), settings, 0)
    before = [p.clone() for p in model.encoder.parameters()]
    fit(model, data, torch.tensor([0]), settings, 0, "cpu")
    assert all(torch.equal(a, b) for a, b in zip(before, model.encoder.parameters(), strict=True))


def test_the_table_has_a_row_each_and_says_its_spec():
    one = {"dice": 0.5, "hd95": 3.0, "surface_dice": 0.25}
    scores = {"from scratch": {3: [one, one]}, "pre-trained": {3: [one, {**one, "dice": 0.7}]}}
    text = Curves(Segment(seeds=(0, 1)), "some scans", ("background", "organ"), 10, 4, scores).text()
    assert "60.0 ± 14.1" in text
    assert "HD95 mm" in text
    assert "segment-3: auto head, 300 steps of 4 crops" in text
    assert "labels organ" in text


def test_regions_stand_beside_their_unions_with_their_deviation_over_volumes():
    def volume(edema, whole, far=2.0):
        return {
            name: {"dice": dice, "hd95": far, "surface_dice": dice}
            for name, dice in (("edema", edema), ("whole", whole))
        }

    runs = [{"a": volume(0.2, 0.6), "b": volume(0.4, 0.8)}, {"a": volume(0.4, 0.6), "b": volume(0.4, 1.0)}]
    each = over_seeds(runs)
    assert each["a"]["edema"]["dice"] == pytest.approx(0.3)
    mean = mean_of(runs[0], ("edema",))
    assert mean["dice"] == pytest.approx(0.3), "a union is no label"
    rows = {row: {3: each} for row in ("from scratch", "pre-trained")}
    scores = {row: {3: [mean, mean]} for row in rows}
    text = Curves(Segment(seeds=(0, 1)), "scans", ("background", "edema"), 10, 2, scores, rows).text()
    assert "each region, k = 3; ± over volumes" in text
    (line,) = (line.split() for line in text.splitlines() if line.startswith("from scratch    whole"))
    assert line[3:] == ["75.0", "±", "21.2", "2.0", "±", "0.0", "2"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"overlap": 1.0}, "overlap is 1.0"),
        ({"volumes": ()}, "at least one each"),
        ({"lr": ()}, "at least one each"),
        ({"lr": (1e-3, -1.0)}, "lr 1 is -1.0"),
    ],
)
def test_bad_settings_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        Segment(**given)


def test_volumes_without_labels_take_no_part():
    data = SimpleNamespace(has_mask=lambda n: n % 2 == 0)
    assert with_labels(data, torch.arange(5)).tolist() == [0, 2, 4]
    assert with_labels(SimpleNamespace(), torch.arange(2)).tolist() == [0, 1]


def test_the_command_from_end_to_end(tmp_path, capsys):
    run = str(tmp_path / "run")
    small = "--data.count 8 --data.size 16 --data.spacing 5 --encoder.width 24 --encoder.depth 1 --encoder.heads 2"
    assert main(f"medical3d pretrain mae --epochs 1 --batch-size 4 --out {run} {small}".split()) == 0
    words = f"medical3d segment {run} --volumes 2,100 --seeds 0 --steps 2 --batch-size 2"
    merged = "--merged kidneys=2+3,body=liver+spine"
    assert main([*words.split(), *merged.split()]) == 0
    out = capsys.readouterr().out
    assert "k = 2" in out
    assert "k = 100" not in out
    found = json.loads((tmp_path / "run" / "segment.json").read_text())
    assert found["spec"] == "segment-3"
    assert set(found["scores"]) == {"from scratch", "pre-trained"}
    assert "kidneys" in out
    assert all({"liver", "kidneys", "body"} <= set(v) for v in found["volumes"]["pre-trained"]["2"].values())
    assert main([*words.split(), "--merged", "all=1+9"]) == 2
    assert "--merged all=1+9: it must be a new NAME=LABEL+LABEL" in capsys.readouterr().err
    assert main(["medical3d", "segment"]) == 2
    assert main(f"medical3d segment {run} --volums 3".split()) == 2
    assert main(["medical3d", "segment", "--help"]) == 0
    assert "--volumes" in capsys.readouterr().out


def test_both_halves_of_a_unet_are_taken_over_and_rates_are_tried_on_train(tmp_path, capsys):
    run = tmp_path / "run"
    small = "--data.count 12 --data.size 16 --data.spacing 5 --encoder.width 4"
    assert main(f"medical3d pretrain models_genesis --steps 2 --batch-size 4 --out {run} {small}".split()) == 0
    loaded = unlabeled.load(run)
    decoder = decoder_of(loaded)
    data = loaded.data()
    model = make(loaded.encoder, loaded.spec, 5, Segment(), 0, decoder)
    own = model.head.state_dict()
    assert {name for name in own if not name.startswith("output_block")} == set(decoder)
    assert all(torch.equal(own[name], value) for name, value in decoder.items())
    assert not torch.equal(make(loaded.encoder, loaded.spec, 5, Segment(), 0).head.state_dict()[next(iter(decoder))],
                           next(iter(decoder.values())))  # fmt: skip
    short = {"seeds": (0,), "steps": 1, "lr": (1e-3, 1e-2)}
    found = curves(loaded, data, Segment(volumes=(1, 2), batch_size=1, validation=2, **short))
    assert set(found.tried["from scratch"]) == {"0.001", "0.01"}
    assert all(rate in (1e-3, 1e-2) for rate in found.lr.values())
    assert "(pre-trained)" in found.text()
    with pytest.raises(UsageError, match="--validation 9"):
        curves(loaded, data, Segment(volumes=(2,), validation=9, **short))
    with pytest.raises(UsageError, match="needs voxel labels"):
        curves(loaded, SimpleNamespace(describe=lambda: "scans"), Segment())
