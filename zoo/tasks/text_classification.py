"""Text classification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from datamodules.text.files import is_blank, without_surrogates
from datamodules.text.vocabulary import vocabulary_from_json
from zoo.tasks.classification import Classification, Classifier
from zoo.training.batches import check_batch, check_ids, check_labels


class TextClassifier(Classifier):
    """Text classifier: a network from token ids (N, T), int64, to scores; the methods for users take strings.

    Args:
        vocab_size: Number of tokens; token 0 is padding.
        max_length: Largest number of tokens of a text; longer texts are truncated.
        tokenizer: Vocabulary as JSON of Hugging Face's ``tokenizers``; None for a model that takes token ids only.
        **training: Arguments of ``Classifier`` and ``ZooModule``.
    """

    outside_net = "Tokenization, and the softmax over the scores, divided by the temperature."

    def __init__(
        self, *, vocab_size: int = 8_000, max_length: int = 128, tokenizer: str | None = None, **training: Any
    ) -> None:
        super().__init__(**training)
        if vocab_size < 2 or max_length < 1:
            raise ValueError(f"vocab_size and max_length: at least 2 and 1, not {vocab_size} and {max_length}")

    @property
    def example_input_array(self) -> Any:
        """Token ids of one short text."""
        return torch.ones(1, 4, dtype=torch.long)

    @example_input_array.setter
    def example_input_array(self, example: Any) -> None:
        raise AttributeError("example_input_array is the same for every text")

    def check_batch(self, batch: Any) -> None:
        """Raise ``ValueError`` unless a batch is token ids (N, T) and class indices (N,), both int64."""
        check_batch(batch, self.batch_parts)
        check_ids(batch[0], self.hparams["vocab_size"])
        check_labels(batch[1], self.hparams.get("num_classes"))

    def ids(self, texts: Sequence[str]) -> Tensor:
        """Tokenize texts: token ids (N, T), padded to the longest.

        Raises:
            ValueError: If the model has no tokenizer, or a text is not a string.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{type(texts).__name__}: expected a list of strings")
        if self.hparams["tokenizer"] is None:
            raise ValueError("this model has no tokenizer: build it from a recipe, whose data give it one")
        return vocabulary_from_json(self.hparams["tokenizer"]).encode_padded(texts, self.hparams["max_length"])

    def classify(self, x: Sequence[str] | Tensor) -> list[Classification]:
        """Predict the class of each text, with its probability.

        Args:
            x: Strings, or token ids (N, T).

        Raises:
            ValueError: If the model has no tokenizer, or a text is not a string.
        """
        return super().classify(x if isinstance(x, Tensor) else self.ids(x))

    def predict_rows(self, x: Any) -> list[dict[str, Any]]:
        """Return each text with its class and probability, None for a text that is empty; ids have no text."""
        if isinstance(x, Tensor):
            return super().predict_rows(x)
        texts = [without_surrogates(text) for text in x]
        filled = [text for text in texts if not is_blank(text)]
        found = iter(super().predict_rows(filled) if filled else [])  # type: ignore[arg-type]
        return [{"text": text, **(self.no_answer if is_blank(text) else next(found))} for text in texts]
