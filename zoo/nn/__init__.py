"""Building blocks of the models, in plain torch."""

from zoo.nn.activations import ACTIVATIONS, Step, activation
from zoo.nn.codecs import OUTPUTS, Codec, GaussianCodec, conv_codec, dense_codec
from zoo.nn.colours import lab_to_rgb, luma, rgb_to_lab, rgb_to_ycbcr, ycbcr_to_rgb
from zoo.nn.corruptions import CORRUPTIONS, add_noise, find_corruption
from zoo.nn.fully_convolutional import FullyConvolutionalCodec, fully_convolutional_codec
from zoo.nn.inputs import Standardize
from zoo.nn.penalties import PENALTIES, l1_norm, limit_norms, squared_l2_norm
from zoo.nn.stacks import BinaryScores, MirrorAverage, Stack, conv_block, dense_net, dense_stack, image_shape
from zoo.nn.tiles import apply_in_tiles

__all__ = [
    "ACTIVATIONS",
    "CORRUPTIONS",
    "OUTPUTS",
    "PENALTIES",
    "BinaryScores",
    "Codec",
    "FullyConvolutionalCodec",
    "GaussianCodec",
    "MirrorAverage",
    "Stack",
    "Standardize",
    "Step",
    "activation",
    "add_noise",
    "apply_in_tiles",
    "conv_block",
    "conv_codec",
    "dense_codec",
    "dense_net",
    "dense_stack",
    "find_corruption",
    "fully_convolutional_codec",
    "image_shape",
    "l1_norm",
    "lab_to_rgb",
    "limit_norms",
    "luma",
    "rgb_to_lab",
    "rgb_to_ycbcr",
    "squared_l2_norm",
    "ycbcr_to_rgb",
]
