"""What is taken from PyG, imported without the warning about ``torch.jit.script`` that it brings on recent torch."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=".*torch.jit.*")
    import torch_geometric.nn as nn
    from torch_geometric.data import Data, HeteroData
    from torch_geometric.datasets import KarateClub

__all__ = ["Data", "HeteroData", "KarateClub", "nn"]
