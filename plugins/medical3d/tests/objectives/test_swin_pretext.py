"""Swin UNETR's pretext: what was cut out of a volume is painted, its turn told, and its two crops find each other."""

from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F

from unlabeled.contract import Rows, View
from unlabeled.nn.heads import unit
from unlabeled.nn.infonce import nt_xent
from unlabeled_medical3d.batch import VolumeBatch, VolumeSpec
from unlabeled_medical3d.decoders.rows import TransformerDecoder
from unlabeled_medical3d.encoders.vit import ViT3D
from unlabeled_medical3d.objectives.swin_pretext import SwinPretext
from unlabeled_medical3d.ops.grids import cubes

SPEC = VolumeSpec(1, (8, 8, 8))


def view_of(encoder, role, **params):
    batch = VolumeBatch(torch.arange(3), torch.randn(3, 1, 8, 8, 8), torch.eye(4, dtype=torch.float64).expand(3, 4, 4))
    return View(batch, role, encoder.layout(batch), params=params)


def test_the_total_is_the_three_weighted_terms_of_unmasked_volumes():
    torch.manual_seed(0)
    encoder = ViT3D(SPEC, patch=(4,), width=12, depth=1, heads=2).eval()
    decoder = partial(TransformerDecoder, decoder_width=12, depth=1, heads=2)
    weights = {"inpainting": 0.3, "contrast": 0.6, "rotation": 1.7}
    objective = SwinPretext(encoder, decoder, 64, dim=8, temperature=0.4, **weights).eval()
    turns = [torch.tensor([0, 1, 3]), torch.tensor([2, 2, 1])]
    sources = [view_of(encoder, "source", rotation=turn) for turn in turns]
    targets = [view_of(encoder, "target") for _ in range(2)]
    found = objective(encoder, [*sources, *targets])
    outs = [encoder(view) for view in sources]
    painted = [
        (objective.decoder(out.tokens, out.layout) - cubes(target.batch.images, out.layout.grid)).abs().mean()
        for out, target in zip(outs, targets)
    ]
    turned = [F.cross_entropy(objective.turn(out.pooled), turn) for out, turn in zip(outs, turns)]
    contrast = nt_xent(*(unit(objective.project(out.pooled)) for out in outs), 0.4)
    terms = {"inpainting": sum(painted) / 2, "contrast": contrast, "rotation": sum(turned) / 2}
    for name, term in terms.items():
        torch.testing.assert_close(found.parts[name], term.detach(), rtol=1e-5, atol=1e-5)
    total = sum(weights[name] * term for name, term in terms.items())
    torch.testing.assert_close(found.total, total, rtol=1e-5, atol=1e-5)
    masked = [replace(view, hidden=Rows(torch.tensor([0, 8, 16]), (1, 1, 1))) for view in sources]
    torch.testing.assert_close(objective(encoder, [*masked, *targets]).total, found.total)
