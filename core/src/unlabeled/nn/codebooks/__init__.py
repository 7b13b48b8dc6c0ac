"""Codebooks, by how they are found: moving averages, a gradient, k-means, chance.

FSQ (https://arxiv.org/abs/2309.15505) and LFQ (https://arxiv.org/abs/2310.05737) come from `vector-quantize-pytorch`
(``pip install unlabeled[quantize]``), whose modules take ``[B, N, D]``: a batch of packed rows is ``x[None]``.

>>> from vector_quantize_pytorch import FSQ, LFQ
>>> q, codes = FSQ(levels=[8, 6, 5])(torch.randn(1, 10, 3))
>>> codes.shape
torch.Size([1, 10])
>>> q, codes, loss = LFQ(codebook_size=16, dim=4)(torch.randn(1, 10, 4))
>>> codes.shape
torch.Size([1, 10])
"""

from unlabeled.nn.codebooks.cosine import Quantizer, entrance
from unlabeled.nn.codebooks.ema import OnlineKMeans
from unlabeled.nn.codebooks.gumbel import GumbelProduct, gumbel_noise
from unlabeled.nn.codebooks.nearest import NearestProduct
from unlabeled.nn.codebooks.random import random_books, random_codes
from unlabeled.nn.codebooks.residual import fit_residual, residual_codes

__all__ = [
    "GumbelProduct",
    "NearestProduct",
    "OnlineKMeans",
    "Quantizer",
    "entrance",
    "fit_residual",
    "gumbel_noise",
    "random_books",
    "random_codes",
    "residual_codes",
]
