"""Beside the codes of documents."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from zoo.metrics import cosine_similarity, precision_at_recall

RECALLS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Recalls at which retrieval is measured."""


def _precisions(codes: np.ndarray, topics: np.ndarray, split: str = "test") -> dict[str, float]:
    """Precision at ``RECALLS``: each document with a topic looks for the others of its split that share one."""
    codes, topics = codes[topics.any(1)], topics[topics.any(1)].astype(np.float32)
    alike = cosine_similarity(torch.from_numpy(codes).float(), torch.from_numpy(codes).float())
    relevant = torch.from_numpy(topics @ topics.T > 0).fill_diagonal_(False)
    found = precision_at_recall(alike.fill_diagonal_(-np.inf), relevant, RECALLS).tolist()
    return {f"{split}_precision_at_recall_{100 * r:g}": value for r, value in zip(RECALLS, found)}


def document_retrieval(model: Any, data: Any) -> dict[str, float]:
    """Precision at each recall of documents of a shared topic, found by the cosine of the model's codes.

    Each test document with a topic is a query; it looks among the other test documents with a topic (Hinton &
    Salakhutdinov, 2006).
    """
    x, topics = data.splits["test"].tensors
    return _precisions(model.encode(data.to_natural_units(x)).numpy(), topics.numpy())


def latent_semantic_analysis(data: Any, components: int) -> np.ndarray:
    """Return the test documents' codes (N, components) by latent semantic analysis (Deerwester et al., 1990).

    The words are weighted in the way of four that retrieves best in validation: shares, logarithms of counts, TF-IDF,
    and TF-IDF of logarithms.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    data.setup()
    counts = {split: data.splits[split].tensors[0].numpy() for split in ("train", "val", "test")}
    topics = data.splits["val"].tensors[1].numpy()
    shares = FunctionTransformer(lambda rows: data.to_natural_units(torch.from_numpy(rows)).numpy())
    candidates = [
        make_pipeline(weighting, TruncatedSVD(components, random_state=0)).fit(counts["train"])
        for weighting in (
            shares,
            FunctionTransformer(np.log1p),
            TfidfTransformer(),
            TfidfTransformer(sublinear_tf=True),
        )
    ]
    best = max(
        candidates, key=lambda lsa: np.mean(list(_precisions(lsa.transform(counts["val"]), topics, "val").values()))
    )
    return best.transform(counts["test"])


def lsa(model: Any, data: Any, components: int) -> dict[str, float]:
    """Retrieve documents by latent semantic analysis with a number of dimensions."""
    codes = latent_semantic_analysis(data, components)
    return _precisions(codes, data.splits["test"].tensors[1].numpy())
