"""MAE against transformers 5's ViTMAEForPreTraining, and what its decoder may know."""

import pytest
import torch
from torch import nn
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from unlabeled.nn.reconstruction import mae_loss, normalize_rows
from unlabeled.objectives.mae import MAE
from unlabeled.testing.toys import ToyEncoder, patches, toy_batch, toy_hide, toy_views


def patchify(images, side):
    """``[B, C, H, W] -> [B, L, side * side * C]``, channels last in a patch as in the paper's code."""
    rows = nn.functional.unfold(images, side, stride=side).transpose(1, 2)
    return rows.unflatten(2, (images.shape[1], side * side)).transpose(2, 3).flatten(2)


def test_golden_value():
    torch.manual_seed(0)
    for shape in ((64, 32), (64, 32), (48, 32), (2, 64, 48), (4, 64, 48), (256, 32)):
        torch.randn(shape)
    images, predicted = torch.randn(4, 3, 32, 32), torch.randn(4, 16, 192)
    hidden = torch.rand(4, 16) > 0.25
    loss = mae_loss(predicted[hidden], patchify(images, 8)[hidden]).mean()
    assert loss.item() == pytest.approx(1.945083, rel=1e-6)


@pytest.mark.parametrize("norm_pix", [True, False])
def test_equals_transformers(norm_pix):
    torch.manual_seed(0)
    config = ViTMAEConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=4,
        decoder_hidden_size=16, decoder_num_hidden_layers=1, decoder_num_attention_heads=2,
        decoder_intermediate_size=16, norm_pix_loss=norm_pix,
    )  # fmt: skip
    images = torch.rand(3, 3, 16, 16)
    out = ViTMAEForPreTraining(config)(images)
    hidden = out.mask.bool()
    loss = mae_loss(out.logits[hidden], patchify(images, 4)[hidden], norm_pix=norm_pix).mean()
    torch.testing.assert_close(loss, out.loss, rtol=1e-5, atol=0)


def test_normalized_rows_have_no_brightness_and_unit_contrast():
    rows = torch.rand(5, 12) * 7 + 3
    out = normalize_rows(rows)
    torch.testing.assert_close(out.mean(1), torch.zeros(5), rtol=0, atol=1e-5)
    torch.testing.assert_close(out.var(1), torch.ones(5), rtol=1e-4, atol=0)
    torch.testing.assert_close(normalize_rows(2 * rows + 1), out, rtol=1e-4, atol=1e-5)
    assert torch.equal(normalize_rows(torch.full((2, 12), 3.0)), torch.zeros(2, 12))


class Spy(nn.Module):
    """A decoder that remembers what it was given."""

    def __init__(self, dim, width):
        super().__init__()
        self.out = nn.Linear(dim, width)

    def forward(self, tokens, layout):
        self.seen = tokens.detach()
        return self.out(tokens)


def toy():
    torch.manual_seed(0)
    encoder = ToyEncoder()
    objective = MAE(encoder, Spy, 4)
    (view,) = toy_views(toy_batch(range(3)), ("global",), encoder, noise=0.0)
    return encoder, objective, toy_hide(view, 12)


def test_loss_is_over_hidden_rows_with_the_mask_token_in_the_decoder():
    encoder, objective, view = toy()
    loss = objective(encoder, [view])
    hidden = view.hidden.flags(view.layout.total)
    assert torch.equal(objective.decoder.seen[hidden], objective.token.detach().expand(36, -1))
    assert torch.equal(objective.decoder.seen[~hidden], encoder(view, hide="drop").tokens.detach())
    predicted = objective.decoder.out(objective.token).expand(36, -1)
    content = patches(view.batch.x).flatten(0, 1)[hidden]
    normal = (content - content.mean(1, keepdim=True)) / (content.var(1, keepdim=True) + 1e-6) ** 0.5
    torch.testing.assert_close(loss.total, (predicted - normal).square().mean())


def test_every_view_counts_by_its_rows():
    encoder, objective, view = toy()
    few = toy_hide(view, 4, seed=1)
    losses = [objective(encoder, [v]).total for v in (view, few)]
    torch.testing.assert_close(objective(encoder, [view, few]).total, (3 * losses[0] + losses[1]) / 4)
