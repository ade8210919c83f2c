"""Vectors of words by latent semantic analysis."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SEED = 0
"""Seed of the randomised decomposition."""


def latent_word_vectors(ids: Tensor, vocab_size: int, dim: int) -> Tensor:
    """Return vectors of tokens by latent semantic analysis (Deerwester et al., 1990), from the texts that have them.

    The weight of token w in a text that has it f times is (1 + log f) (1 + log((N + 1) / (n_w + 1))), with n_w of N
    texts having it, divided by the norm of the weights of the text. With U S V^T the decomposition of the matrix of
    these weights by its ``dim`` largest singular values, the vector of w is row w of V S^(1/2), divided by its length.

    Args:
        ids: Token ids (N, T) of the texts, padded with 0.
        vocab_size: Number of tokens V.
        dim: Width of the vectors.

    Returns:
        Vectors (V, dim), float32, of length 1; zeros for padding and for tokens of no text.

    Raises:
        ValueError: If there are too few texts or tokens for the width.
    """
    from scipy import sparse
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer

    texts, places = (ids != 0).nonzero(as_tuple=True)
    tokens = ids[texts, places].numpy().astype(np.int64)
    ones = np.ones(len(tokens), np.float64)
    counts = sparse.csr_matrix((ones, (texts.numpy(), tokens)), shape=(len(ids), vocab_size))  # it adds equal places
    most = min(len(ids), len(np.unique(tokens)))
    if dim >= most:
        raise ValueError(
            f"{len(ids)} texts of {len(np.unique(tokens))} tokens have vectors of less than {most}, not {dim}"
        )
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    found = TruncatedSVD(dim, random_state=SEED).fit(weights)
    vectors = (found.components_ * found.singular_values_[:, None] ** 0.5).T
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return torch.from_numpy(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 1e-9)).float()
