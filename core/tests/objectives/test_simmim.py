"""SimMIM against transformers 5's ViTForMaskedImageModeling."""

import torch
from torch.nn.functional import unfold
from transformers import ViTConfig, ViTForMaskedImageModeling

from unlabeled.objectives.simmim import SimMIM, simmim_loss
from unlabeled.testing.toys import ToyEncoder, patches, toy_batch, toy_hide, toy_views


def test_equals_transformers():
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=4,
        encoder_stride=4,
    )  # fmt: skip
    images = torch.rand(3, 3, 16, 16)
    hidden = torch.rand(3, 16) > 0.4
    out = ViTForMaskedImageModeling(config)(images, bool_masked_pos=hidden)
    predicted, content = (unfold(x, 4, stride=4).transpose(1, 2)[hidden] for x in (out.reconstruction, images))
    torch.testing.assert_close(simmim_loss(predicted, content).mean(), out.loss, rtol=1e-5, atol=0)


def test_loss_is_the_mean_absolute_error_over_hidden_rows():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = SimMIM(encoder, 4)
    (view,) = toy_views(toy_batch(range(3)), ("global",), encoder, noise=0.0)
    view = toy_hide(view, 6)
    hidden = view.hidden.flags(view.layout.total)
    predicted = objective.head(encoder(view, hide="mask").tokens)[hidden]
    expected = (predicted - patches(view.batch.x).flatten(0, 1)[hidden]).abs().sum() / (18 * 4)
    torch.testing.assert_close(objective(encoder, [view]).total, expected)
    few = toy_hide(view, 2, seed=1)
    parts = [objective(encoder, [v]).total for v in (view, few)]
    torch.testing.assert_close(objective(encoder, [view, few]).total, (3 * parts[0] + parts[1]) / 4)
