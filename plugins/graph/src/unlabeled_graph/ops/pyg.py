"""PyG, imported without the warning about ``torch.jit.script`` that it brings on recent torch."""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=".*torch.jit.*")
    import torch_geometric.nn as nn
    from torch_geometric.data import Data, HeteroData
    from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
    from torch_geometric.data.storage import BaseStorage, EdgeStorage, GlobalStorage, NodeStorage
    from torch_geometric.datasets import KarateClub

# plain containers, which a file of a graph names; torch's loader makes no others
CLASSES = [Data, HeteroData, DataEdgeAttr, DataTensorAttr, BaseStorage, NodeStorage, EdgeStorage, GlobalStorage]

__all__ = ["CLASSES", "Data", "HeteroData", "KarateClub", "nn"]
