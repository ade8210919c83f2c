"""Tasks: ``ZooModule`` with a loss, its metrics and the methods for users, one module each."""

from zoo.tasks.captioning import Caption, Captioner
from zoo.tasks.classification import Classification, Classifier
from zoo.tasks.ecg_annotation import Annotation, BeatAnnotator, BeatInputs
from zoo.tasks.ecg_anomalies import BeatAutoencoder
from zoo.tasks.ecg_classification import BeatClassifier
from zoo.tasks.language_modelling import Completion, LanguageModel
from zoo.tasks.reconstruction import Autoencoder
from zoo.tasks.regression import ClassifierOrRegressor
from zoo.tasks.tagging import Slot, TaggedText, Tagger
from zoo.tasks.text_classification import TextClassifier, Topics
from zoo.tasks.translation import Translator

__all__ = [
    "Annotation",
    "Autoencoder",
    "BeatAnnotator",
    "BeatAutoencoder",
    "BeatClassifier",
    "BeatInputs",
    "Caption",
    "Captioner",
    "Classification",
    "Classifier",
    "ClassifierOrRegressor",
    "Completion",
    "LanguageModel",
    "Slot",
    "TaggedText",
    "Tagger",
    "TextClassifier",
    "Topics",
    "Translator",
]
