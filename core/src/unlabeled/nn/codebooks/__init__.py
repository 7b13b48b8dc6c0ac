"""Codebooks, by how they learn: from moving averages, by gradient through Gumbel noise or straight through."""

from unlabeled.nn.codebooks.cosine import Quantizer, entrance
from unlabeled.nn.codebooks.ema import OnlineKMeans
from unlabeled.nn.codebooks.gumbel import GumbelProduct, gumbel_noise

__all__ = ["GumbelProduct", "OnlineKMeans", "Quantizer", "entrance", "gumbel_noise"]
