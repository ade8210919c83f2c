"""Retrieval: how many of the documents found first are the ones that were looked for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def cosine_similarity(queries: Tensor, documents: Tensor) -> Tensor:
    """Return the cosines (Q, D) between codes (Q, K) and (D, K); 0 where a code is 0."""
    unit = [codes / codes.norm(dim=1, keepdim=True).clamp_min(1e-12) for codes in (queries, documents)]
    return unit[0] @ unit[1].T


def precision_at_recall(similarity: Tensor, relevant: Tensor, recalls: Sequence[float]) -> Tensor:
    """Return the precision at given recalls, averaged over the queries that have a relevant document.

    For each query the documents are taken in the order of their similarity until the share ``recall`` of the relevant
    ones is among them; the precision is the share of relevant ones in what was taken.

    Args:
        similarity: Similarity of each query with each document (Q, D); minus infinity leaves a document out.
        relevant: Which documents a query looks for (Q, D), bool; False where the similarity is minus infinity.
        recalls: Recalls in (0, 1].

    Returns:
        Precisions (len(recalls),) in [0, 1], float64.

    Raises:
        ValueError: If no query has a relevant document.
    """
    wanted = relevant.sum(1)
    similarity, relevant, wanted = similarity[wanted > 0], relevant[wanted > 0], wanted[wanted > 0]
    if not len(wanted):
        raise ValueError("no query has a relevant document")
    order = similarity.argsort(dim=1, descending=True, stable=True)
    hits = relevant.gather(1, order).cumsum(1)
    precisions = []
    for recall in recalls:
        # Of 7 wanted documents, recall 0.5 is reached with the fourth.
        needed = torch.ceil(wanted.double() * recall - 1e-9).clamp_min(1).to(hits.dtype)[:, None]
        taken = torch.searchsorted(hits, needed) + 1
        precisions.append((needed.double() / taken.double()).mean())
    return torch.stack(precisions)
