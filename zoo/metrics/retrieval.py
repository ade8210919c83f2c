"""Retrieval metrics."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def cosine_similarity(queries: Tensor, documents: Tensor) -> Tensor:
    """Return the cosine similarities (Q, D) of codes (Q, K) and (D, K); 0 for a code of zeros."""
    normalised = [codes / codes.norm(dim=1, keepdim=True).clamp_min(1e-12) for codes in (queries, documents)]
    return normalised[0] @ normalised[1].T


def precision_at_recall(similarity: Tensor, relevant: Tensor, recalls: Sequence[float]) -> Tensor:
    """Return the precisions at given recalls, averaged over the queries with a relevant document.

    For each query, documents are retrieved in the order of similarity until the fraction ``recall`` of the relevant
    ones is retrieved; the precision is the fraction of relevant documents among the retrieved ones.

    Args:
        similarity: Similarity of each query to each document (Q, D); minus infinity excludes a document.
        relevant: Relevance of each document to each query (Q, D), bool; False where the similarity is minus infinity.
        recalls: Recalls in (0, 1].

    Returns:
        Precisions (len(recalls),) in [0, 1], float64.

    Raises:
        ValueError: If no query has a relevant document.
    """
    num_relevant = relevant.sum(1)
    answerable = num_relevant > 0
    similarity, relevant, num_relevant = similarity[answerable], relevant[answerable], num_relevant[answerable]
    if not len(num_relevant):
        raise ValueError("no query has a relevant document")
    order = similarity.argsort(dim=1, descending=True, stable=True)
    hits = relevant.gather(1, order).cumsum(1)
    precisions = []
    for recall in recalls:
        # Of 7 relevant documents, recall 0.5 is reached with the fourth.
        needed = torch.ceil(num_relevant.double() * recall - 1e-9).clamp_min(1).to(hits.dtype)[:, None]
        retrieved = torch.searchsorted(hits, needed) + 1
        precisions.append((needed.double() / retrieved.double()).mean())
    return torch.stack(precisions)
