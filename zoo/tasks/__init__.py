"""One module a task: ``ZooModule`` with a loss, its metrics and the methods a user calls."""

from zoo.tasks.beats import Annotation, BeatClassifier
from zoo.tasks.classification import Classification, Classifier
from zoo.tasks.reconstruction import Autoencoder
from zoo.tasks.text import TextClassifier
from zoo.tasks.translation import Translator

__all__ = [
    "Annotation",
    "Autoencoder",
    "BeatClassifier",
    "Classification",
    "Classifier",
    "TextClassifier",
    "Translator",
]
