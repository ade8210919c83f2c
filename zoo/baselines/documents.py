"""Baselines for the codes of documents, and a measure of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from zoo.metrics import cosine_similarity, precision_at_recall

RECALLS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Recalls at which the precision of retrieval is measured; set by hand."""


def _precisions(codes: np.ndarray, topics: np.ndarray, split: str = "test") -> dict[str, float]:
    """Return the precisions at ``RECALLS``; each document is a query for others of its split with a common topic."""
    codes, topics = codes[topics.any(1)], topics[topics.any(1)].astype(np.float32)
    similarity = cosine_similarity(torch.from_numpy(codes).float(), torch.from_numpy(codes).float())
    relevant = torch.from_numpy(topics @ topics.T > 0).fill_diagonal_(False)
    found = precision_at_recall(similarity.fill_diagonal_(-np.inf), relevant, RECALLS).tolist()
    return {f"{split}_precision_at_recall_{100 * r:g}": value for r, value in zip(RECALLS, found)}


def document_retrieval(model: Any, data: Any) -> dict[str, float]:
    """Precision at each of ``RECALLS`` of document retrieval by the cosine similarity of the model's codes.

    Each test document with a topic is a query for the other test documents that share one (Hinton & Salakhutdinov,
    2006).
    """
    x, topics = data.splits["test"].tensors
    return _precisions(model.encode(data.to_natural_units(x)).numpy(), topics.numpy())


def latent_semantic_analysis(data: Any, components: int) -> np.ndarray:
    """Return the test documents' codes (N, components) by latent semantic analysis (Deerwester et al., 1990).

    The weighting of the words is selected by validation precision from four: relative frequencies, log counts, TF-IDF
    and TF-IDF of log counts.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    data.setup()
    counts = {split: data.splits[split].tensors[0].numpy() for split in ("train", "val", "test")}
    topics = data.splits["val"].tensors[1].numpy()
    frequencies = FunctionTransformer(lambda rows: data.to_natural_units(torch.from_numpy(rows)).numpy())
    candidates = [
        make_pipeline(weighting, TruncatedSVD(components, random_state=0)).fit(counts["train"])
        for weighting in (
            frequencies,
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
    """Precision of document retrieval by latent semantic analysis with ``components`` dimensions."""
    codes = latent_semantic_analysis(data, components)
    return _precisions(codes, data.splits["test"].tensors[1].numpy())
