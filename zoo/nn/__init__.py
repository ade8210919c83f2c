"""Plain torch building blocks that the models are made of."""

from zoo.nn.activations import ACTIVATIONS, Step, activation
from zoo.nn.inputs import Standardize
from zoo.nn.penalties import l1_norm, limit_norms, squared_l2_norm
from zoo.nn.stacks import BinaryScores, MirrorAverage, conv_block, dense_net, dense_stack, image_shape

__all__ = [
    "ACTIVATIONS",
    "BinaryScores",
    "MirrorAverage",
    "Standardize",
    "Step",
    "activation",
    "conv_block",
    "dense_net",
    "dense_stack",
    "image_shape",
    "l1_norm",
    "limit_norms",
    "squared_l2_norm",
]
