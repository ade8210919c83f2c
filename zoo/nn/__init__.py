"""Plain torch building blocks that the models are made of."""

from zoo.nn.activations import ACTIVATIONS, Step, activation
from zoo.nn.codecs import OUTPUTS, Codec, conv_codec, dense_codec
from zoo.nn.corruptions import CORRUPTIONS, find_corruption
from zoo.nn.inputs import Standardize
from zoo.nn.penalties import PENALTIES, l1_norm, limit_norms, squared_l2_norm
from zoo.nn.stacks import BinaryScores, MirrorAverage, conv_block, dense_net, dense_stack, image_shape

__all__ = [
    "ACTIVATIONS",
    "CORRUPTIONS",
    "OUTPUTS",
    "PENALTIES",
    "BinaryScores",
    "Codec",
    "MirrorAverage",
    "Standardize",
    "Step",
    "activation",
    "conv_block",
    "conv_codec",
    "dense_codec",
    "dense_net",
    "dense_stack",
    "find_corruption",
    "image_shape",
    "l1_norm",
    "limit_norms",
    "squared_l2_norm",
]
