"""EAT, https://arxiv.org/abs/2401.03497: predict a teacher's frames and its utterance from a fifth of the patches.

The teacher sees the spectrogram once; several students see it through masks of their own (inverse blocks), encode the
visible patches alone, and a small decoder fills in the rest. Frame loss: squared error to the teacher's averaged layers
at hidden patches. Utterance loss: squared error of the student's summary to the mean of those averages. Differs: the
summary is the student's class token where it has one, else its pooled vector; each mask is a view (``clones``).

    # T packed rows, H hidden rows, B clips, D features
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.contract import Capability, Features, Layout, Loss, MakeDecoder, Needs, Progress, View
from unlabeled.errors import above, at_least, within
from unlabeled.nn.distributed import union_mean
from unlabeled.nn.layers import average_layers, last_layers
from unlabeled.nn.reconstruction import squared_error
from unlabeled.nn.rows import restore, target_rows
from unlabeled.nn.spread import deviation
from unlabeled.nn.teacher import Teacher, linear_momentum


def summary_of(features: Features) -> Tensor:
    """``[B, D]``: the class token, or the pooled vector of an encoder that has none."""
    prefix = features.prefix
    return features.pooled if prefix is None or not prefix.shape[1] else prefix[:, 0]


class EAT(nn.Module):
    """Utterance and frame regression of a teacher's layers under several masks.

    Args:
        layers: last blocks of the teacher that are averaged, K; all 12 in the paper.
        norm: whether the average of the layers, each normed over time, is normed over features too.
        utterance: weight of the utterance loss, lambda.
        momentum: of the teacher at the start; 0.9998 in the paper.
        final_momentum: of the teacher after the ramp; 0.99999 in the paper.
        ramp: share of training over which momentum rises linearly; a quarter in the paper.
    """

    cause = "targets that become constant: raise the teacher's momentum, lower the learning rate, or hide more"

    def __init__(
        self,
        encoder: Any,
        decoder: MakeDecoder,
        *,
        layers: int = 2,
        norm: bool = True,
        utterance: float = 1.0,
        momentum: float = 0.9998,
        final_momentum: float = 0.99999,
        ramp: float = 0.25,
    ) -> None:
        super().__init__()
        above(0, layers=layers)
        at_least(0, utterance=utterance)
        within(0, 1, momentum=momentum, final_momentum=final_momentum, ramp=ramp)
        can: frozenset[Capability] = frozenset({"tokens", "drop", "layers"})
        self.needs = Needs(views={"global": 1}, hidden=True, decoder=True, encoder=can)
        self.layers, self.norm, self.utterance = layers, norm, utterance
        self.momentum, self.final_momentum, self.ramp = momentum, final_momentum, ramp
        self.token = nn.Parameter(torch.randn(encoder.dim) * 0.02)
        self.decoder = decoder(dim=encoder.dim, width=encoder.dim)
        self.summary = nn.Linear(encoder.dim, encoder.dim)
        self.teacher = Teacher(train=False, encoder=encoder)  # targets have no dropout

    def forward(self, encoder: Any, views: Sequence[View]) -> Loss:
        frames, summaries, target, seen = [], [], None, None
        for view in views:
            if target is None or view.batch is not seen:  # clones of one batch share the teacher's pass
                target, seen = self._target(view), view.batch
            x_TD, layout = target
            features = encoder(view, hide="drop")
            whole = restore(features.tokens, features.kept, self.token, layout.total)
            index = target_rows(view)
            frames.append(squared_error(self.decoder(whole, layout)[index], x_TD[index]))
            summaries.append(squared_error(self.summary(summary_of(features)), layout.mean(x_TD)))
        assert target is not None
        frame, utterance = union_mean(torch.cat(frames)), union_mean(torch.cat(summaries))
        parts = {"frame": frame.detach(), "utterance": utterance.detach(), "target_std": deviation(target[0])}
        return Loss(frame + self.utterance * utterance, parts)

    @torch.no_grad()
    def _target(self, view: View) -> tuple[Tensor, Layout]:
        assert view.layout is not None
        mean = average_layers(last_layers(self.teacher.encoder, view, self.layers), "instance")
        return (F.layer_norm(mean, mean.shape[-1:]) if self.norm else mean), view.layout

    def after_step(self, encoder: Any, progress: Progress) -> None:
        """Move the teacher to the student."""
        momentum = linear_momentum(self.momentum, self.final_momentum, progress, self.ramp)
        self.teacher.update(momentum, encoder=encoder)
