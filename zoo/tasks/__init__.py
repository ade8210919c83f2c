"""One module a task: ``ZooModule`` with a loss, its metrics and the methods a user calls."""

from zoo.tasks.anomalies import BeatAutoencoder
from zoo.tasks.beats import BeatClassifier
from zoo.tasks.classification import Classification, Classifier
from zoo.tasks.reconstruction import Autoencoder
from zoo.tasks.recordings import Annotation, BeatAnnotator, BeatInputs
from zoo.tasks.text import TextClassifier
from zoo.tasks.translation import Translator

__all__ = [
    "Annotation",
    "Autoencoder",
    "BeatAnnotator",
    "BeatAutoencoder",
    "BeatClassifier",
    "BeatInputs",
    "Classification",
    "Classifier",
    "TextClassifier",
    "Translator",
]
