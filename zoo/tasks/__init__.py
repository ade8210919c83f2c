"""One module a task: ``ZooModule`` with a loss, its metrics and the methods a user calls."""

from zoo.tasks.classification import Classification, Classifier
from zoo.tasks.reconstruction import Autoencoder

__all__ = ["Autoencoder", "Classification", "Classifier"]
