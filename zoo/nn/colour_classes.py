"""Colours as classes: a grid of chroma values of CIELAB, for colorization by classification."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.nn.colours import rgb_to_lab

SPACING = 15
"""Distance of neighbouring classes in a* and b*; that of Zhang, Isola & Efros is 10, which costs twice the time."""
MOMENTUM = 0.01
"""Weight of a batch in the running share of each class."""
_REACH = 128  # a* and b* of sRGB colours lie between -108 and 98


class ColourClasses(nn.Module):
    """Classes of colours (Zhang, Isola & Efros 2016, Colorful image colorization).

    The classes are the points of a square grid in the plane of a* and b* that are nearest to some colour of sRGB. A
    colour is encoded by weights on the five nearest classes, a Gaussian of its distance whose standard deviation is
    half the spacing. The loss of a pixel is the cross-entropy with these weights times the weight of its nearest
    class,

        w  proportional to  1 / ((1 - rebalance) p + rebalance / Q),    mean of w over the pixels 1

    where Q is the number of classes and p the running share of each class in training, smoothed by the same Gaussian:
    without it, the frequent greyish colours would win everywhere. Scores z are decoded by the annealed mean,
    softmax(z / temperature) times the grid: 1 gives the mean of the distribution, 0 its mode.

    Args:
        rebalance: Share of the uniform distribution in the weights, in (0, 1]; 1 gives equal weights.
        temperature: Temperature of the annealed mean, in (0, 1].
    """

    grid: Tensor
    share: Tensor
    batches: Tensor
    nearest: Tensor
    nearest_weights: Tensor
    smoothing: Tensor

    def __init__(self, rebalance: float = 0.5, temperature: float = 0.38) -> None:
        super().__init__()
        if not 0 < rebalance <= 1 or not 0 < temperature <= 1:
            raise ValueError(f"rebalance and temperature must be in (0, 1], not {rebalance} and {temperature}")
        self.rebalance, self.temperature = rebalance, temperature
        levels = torch.linspace(0, 1, 33)
        colours = torch.tensor(list(itertools.product(levels.tolist(), repeat=3))).T[None, :, :, None]
        points = (rgb_to_lab(colours)[0, 1:, :, 0].T / SPACING).round() * SPACING
        self.register_buffer("grid", points.unique(dim=0), persistent=False)  # (Q, 2)
        axis = torch.arange(-_REACH, _REACH + 1.0)
        plane = torch.cartesian_prod(axis, axis)
        distances, nearest = torch.cdist(plane, self.grid).topk(5, largest=False)
        weights = torch.exp(-(distances**2) / (2 * (SPACING / 2) ** 2)) + 1e-12
        self.register_buffer("nearest", nearest, persistent=False)
        self.register_buffer("nearest_weights", weights / weights.sum(1, keepdim=True), persistent=False)
        kernel = torch.exp(-torch.cdist(self.grid, self.grid).square() / (2 * (SPACING / 2) ** 2))
        self.register_buffer("smoothing", kernel / kernel.sum(0), persistent=False)
        self.register_buffer("share", torch.full((len(self.grid),), 1 / len(self.grid)))
        self.register_buffer("batches", torch.zeros(()))

    def __len__(self) -> int:
        return len(self.grid)

    def encode(self, chroma: Tensor) -> tuple[Tensor, Tensor]:
        """Return the five nearest classes and their weights, both (N, 5, H, W), of a* and b* (N, 2, H, W)."""
        a, b = (chroma.round().clamp(-_REACH, _REACH).long() + _REACH).unbind(1)
        places = a * (2 * _REACH + 1) + b
        return self.nearest[places].movedim(-1, 1), self.nearest_weights[places].movedim(-1, 1)

    def loss(self, scores: Tensor, chroma: Tensor) -> Tensor:
        """Return the mean weighted cross-entropy of scores (N, Q, H, W) for a* and b* (N, 2, H, W).

        In training the shares of the classes are updated.
        """
        classes, weights = self.encode(chroma)
        if self.training:
            found = classes[:, 0].flatten()  # unlike bincount, which waits for a device, a sum over classes does not
            ones = torch.ones(found.shape, device=found.device)
            counts = ones.new_zeros(len(self)).scatter_add_(0, found, ones).to(self.share)
            self.batches += 1  # the mean of all batches at first, so that the weights settle within an epoch
            self.share.lerp_(counts / counts.sum(), (1 / self.batches).clamp_min(MOMENTUM))
        smooth = self.smoothing @ self.share
        rarity = 1 / ((1 - self.rebalance) * smooth + self.rebalance / len(self))
        rarity = rarity / (rarity * self.share).sum()
        log_likelihood = scores.log_softmax(1).gather(1, classes)
        return -((log_likelihood * weights).sum(1) * rarity[classes[:, 0]]).mean()

    def forward(self, scores: Tensor) -> Tensor:
        """Decode scores (N, Q, H, W) to a* / 100 and b* / 100 (N, 2, H, W)."""
        shares = F.softmax(scores.float() / self.temperature, 1)
        return torch.einsum("nqhw,qc->nchw", shares, self.grid / 100)
