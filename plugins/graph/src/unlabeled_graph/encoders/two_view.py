"""MVGRL's encoder: a GCN for edges and one for their diffusion."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from torch import nn

from unlabeled.contract import Capability, Features, Hide, Layout, Needs, View
from unlabeled.errors import UsageError
from unlabeled_graph.batch import GraphBatch, GraphSpec
from unlabeled_graph.encoders.layers import GCN
from unlabeled_graph.encoders.table import _refuse
from unlabeled_graph.ops.diffusion import diffuse


class TwoView(nn.Module):
    """A GCN for the edges and one for their diffusion, summed: MVGRL, https://arxiv.org/abs/2006.05582.

    Where an objective trains on views of role ``diffusion``, each view goes to its own network; any other view, the
    clean one among them, goes to both, by the diffusion that the encoder was trained on.

    Args:
        width: D, features of a row; 512 in the paper.
        depth: layers of each network.
        activation: after each layer: prelu, relu, elu or gelu.
        kernel: of the diffusion: ppr, heat, or auto, that of the views.
        alpha: probability that a walk of PageRank returns to its start, in (0, 1); 0 = that of the views, 0.2 in the
            paper.
        time: of the heat kernel, above 0; 0 = that of the views.
        keep: entries of the diffusion that each node keeps; 0 = all, -1 = those of the views.
        pool: one vector a graph: mean, sum or max of its rows.
        jump: the last layer alone, or all side by side (cat), which is the paper's readout of graphs.
    """

    def __init__(
        self,
        spec: GraphSpec,
        *,
        width: int = 512,
        depth: int = 1,
        activation: Literal["prelu", "relu", "elu", "gelu"] = "prelu",
        kernel: Literal["auto", "ppr", "heat"] = "auto",
        alpha: float = 0.0,
        time: float = 0.0,
        keep: int = -1,
        pool: Literal["mean", "sum", "max"] = "mean",
        jump: Literal["last", "cat"] = "last",
    ) -> None:
        super().__init__()
        if not 0 <= alpha < 1 or keep < -1 or time < 0:
            raise ValueError(f"alpha {alpha}, time {time}, keep {keep}: in [0, 1), at least 0, and at least -1")
        self.spec = spec
        self.near = GCN(spec, width=width, depth=depth, activation=activation, pool=pool, jump=jump)
        self.far = GCN(spec, width=width, depth=depth, activation=activation, pool=pool, jump=jump)
        self.dim, self.apart = self.near.dim, False
        self.kernel: str = kernel
        self.alpha, self.time, self.keep = alpha, time, keep
        self.seen: tuple[str, float, int] | None = None
        self.can: frozenset[Capability] = frozenset({"tokens", "swap"})

    @property
    def diffusion(self) -> tuple[Literal["ppr", "heat"], float, int]:
        """Kernel, strength and entries kept: what is set, or else what views brought, or the paper's."""
        kernel, strength, keep = self.seen or ("ppr", 0.0, 64)
        if self.kernel not in ("auto", kernel):
            kernel, strength = self.kernel, 0.0
        keep = keep if self.keep == -1 else self.keep
        if kernel == "heat":
            return "heat", self.time or strength or 5.0, keep
        return "ppr", self.alpha or strength or 0.2, keep

    @property
    def resolved(self) -> Mapping[str, Any]:
        """What was left to the views: an encoder is saved with it."""
        kernel, strength, keep = self.diffusion
        return {"kernel": kernel, "alpha" if kernel == "ppr" else "time": strength, "keep": keep}

    def prepare(self, needs: Needs) -> None:
        """Views are told apart only where the objective brings the diffused one."""
        self.apart = "diffusion" in needs.views
        self.near.prepare(needs)
        self.far.prepare(needs)

    def layout(self, batch: GraphBatch) -> Layout:
        """Rows are nodes; they have no position."""
        return batch.layout

    def forward(self, view: View, *, hide: Hide = "mask", layers: Sequence[int] = ()) -> Features:
        _refuse("two_view", view, tuple(layers), swap=False)
        batch: Any = view.batch
        if self.apart and view.role == "diffusion":
            self._follow(batch)
            found: Features = self.far(view)
            return found
        near: Features = self.near(view)
        if self.apart and view.role in ("global", "corrupt"):
            return near
        diffused = diffuse(batch, *self.diffusion)
        layout = replace(view.layout or self.layout(batch), edges=diffused.edges)
        far = self.far(replace(view, batch=diffused, layout=layout))
        return replace(near, tokens=near.tokens + far.tokens, pooled=near.pooled + far.pooled)

    def _follow(self, batch: GraphBatch) -> None:
        """Take the views' diffusion for the encoder's own; :class:`UsageError` where it was set to another."""
        self.seen = batch.diffusion or self.seen
        if batch.diffusion not in (None, self.diffusion):
            asked, found = (" ".join(map(str, each)) for each in (batch.diffusion, self.diffusion))
            raise UsageError(
                f"the views diffuse by {asked}, the encoder by {found}: leave the encoder's kernel, alpha, time and "
                "keep out (--encoder.kernel auto), or give the views the same"
            )
