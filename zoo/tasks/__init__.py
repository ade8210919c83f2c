"""One module a task: ``ZooModule`` with a loss, its metrics and the methods a user calls."""

from zoo.tasks.classification import Classification, Classifier
from zoo.tasks.reconstruction import Autoencoder
from zoo.tasks.text import TextClassifier
from zoo.tasks.translation import Translator

__all__ = ["Autoencoder", "Classification", "Classifier", "TextClassifier", "Translator"]
