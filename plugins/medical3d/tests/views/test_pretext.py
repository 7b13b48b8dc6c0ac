"""VoCo's overlaps, fused volumes, and the boxes of I-JEPA."""

from dataclasses import replace

import pytest
import torch

from unlabeled.draw import Draw
from unlabeled.errors import UsageError
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.data.phantoms import Phantoms
from unlabeled_medical3d.encoders.vit import ViT3D
from unlabeled_medical3d.masks.multi_block import MultiBlock
from unlabeled_medical3d.views.pretext import FusionViews, VoCoViews, base_boxes
from unlabeled_medical3d.views.standard import Clean


@pytest.fixture(scope="module")
def data():
    made = Phantoms(None, count=6, size=(16,), spacing=(5.0,))
    made.bring(("partner",))
    return made


def made(data, views, ids=(0, 1, 2, 3)):
    data.bring(getattr(views, "asks", ()))
    batch = data.__getitems__(ids)
    return views(batch, Draw(7, 0, batch.ids))


def test_overlaps_sum_to_one_for_any_crop(data):
    views = made(data, VoCoViews(data.spec, grid=(2, 3), crops=5))
    assert [v.role for v in views] == ["base"] * 6 + ["global"] * 5
    for view in views:
        assert view.params["overlap"].shape == (4, 6)
        torch.testing.assert_close(view.params["overlap"].sum(1), torch.ones(4))
    bases = torch.stack([v.params["overlap"] for v in views[:6]], 1)
    torch.testing.assert_close(bases, torch.eye(6).expand(4, 6, 6))


def test_overlap_of_a_crop_half_way_is_a_half():
    boxes = base_boxes(torch.tensor([[8, 8, 5]]), (2, 2))
    assert boxes.tolist()[0] == [[0, 0, 0, 4, 4, 5], [0, 4, 0, 4, 4, 5], [4, 0, 0, 4, 4, 5], [4, 4, 0, 4, 4, 5]]
    with pytest.raises(ValueError, match="cannot be cut"):
        base_boxes(torch.tensor([[1, 8, 5]]), (2, 2))


def test_a_base_crop_shows_its_part_of_the_volume():
    image = torch.zeros(1, 1, 8, 8, 4)
    image[..., 4:, :4, :] = 1.0
    batch = VolumeBatch(torch.zeros(1, dtype=torch.int64), image, torch.eye(4, dtype=torch.float64)[None])
    views = VoCoViews(VolumeSpec(1, (4, 4, 4)), grid=(2, 2), strength=0.0)(batch, Draw(0, 0, batch.ids))
    assert [float(v.batch.images.mean()) for v in views[:4]] == [0.0, 0.0, 1.0, 0.0]
    for view in views[4:]:
        torch.testing.assert_close(view.batch.images.mean(), view.params["overlap"][0, 2], atol=0.26, rtol=0)


def test_intensities_of_each_crop_are_changed_by_themselves(data):
    still, changed = (made(data, VoCoViews(data.spec, grid=(1, 2), crops=8, strength=s)) for s in (0.0, 1.0))
    assert all((view.params["gamma"] == 1).all() for view in still)
    gammas = torch.stack([view.params["gamma"] for view in changed])
    assert len(gammas[gammas != 1].unique()) == int((gammas != 1).sum()) > 1


def test_fused_volumes_lie_between_their_two_parts(data):
    source, target = made(data, FusionViews(data.spec, levels=4, least=2))
    levels = target.batch.images * 4
    assert torch.equal(levels, levels.round())
    assert set(levels.unique().tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}
    front, _ = made(data, FusionViews(data.spec, levels=1, blocks=(1, 1), least=16, most=1.0))
    whole = target.batch.images == 1  # where all is foreground
    torch.testing.assert_close(source.batch.images[whole], front.batch.images[whole])


def test_the_background_is_another_volume(data):
    batch = data.__getitems__((0, 1, 2, 3))
    assert not bool((batch.partners.ids == batch.ids).any())
    views = FusionViews(data.spec, levels=1, blocks=(1, 1), least=2, most=0.3)
    source, target = views(batch, Draw(7, 0, batch.ids))
    plain = target.batch.images == 0  # where all is background
    other = views(replace(batch, images=[x * 0 for x in batch.images]), Draw(7, 0, batch.ids))[0]
    assert torch.equal(source.batch.images[plain], other.batch.images[plain])
    assert not torch.equal(source.batch.images, other.batch.images)


def test_a_partner_follows_from_sample_and_epoch_and_is_never_held_out(data):
    ids = torch.arange(6)
    first = data.partner_of(ids, 0)
    assert torch.equal(data.partner_of(ids[2:4], 0), first[2:4])
    assert not torch.equal(torch.stack([data.partner_of(ids, n) for n in range(5)]), first.expand(5, -1))
    assert not bool(data.test[first].any())
    assert bool((first != ids).all())


def test_fusion_without_partners_is_refused(data):
    batch = replace(data.__getitems__((0,)), partners=None)
    with pytest.raises(ValueError, match="bring"):
        FusionViews(data.spec, least=2)(batch, Draw(0, 0, batch.ids))


def test_partners_are_all_that_volumes_bring():
    with pytest.raises(UsageError, match="neighbors"):
        Phantoms(None, count=4).bring(("neighbors",))


def boxed(data, **settings):
    (view,) = made(data, Clean(data.spec))
    encoder = ViT3D(data.spec, patch=(4,), width=12, depth=1, heads=2)
    view = replace(view, layout=encoder.layout(view.batch))
    return MultiBlock(**settings)(view, Draw(3, 0, view.batch.ids))


def test_boxes_are_hidden_whole_and_counts_are_equal(data):
    view = boxed(data, blocks=3, scale=0.15)
    hidden = view.hidden.flags(view.layout.total)
    assert len(view.predict) == 3
    assert set(view.hidden.lengths) == {3 * 8}
    for rows in view.predict:
        assert hidden[rows.index].all()
        assert set(rows.lengths) == {8}
        first = view.layout.position[rows.index[:8]]
        assert (first.amax(0) - first.amin(0)).tolist() == [1, 1, 1]


def test_boxes_that_leave_nothing_are_refused(data):
    with pytest.raises(ValueError, match="leave nothing"):
        boxed(data, blocks=8, scale=0.3)
