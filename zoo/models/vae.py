"""The variational autoencoder: a code that can be drawn from."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from zoo.base import Batch, Values
from zoo.models.autoencoders import CodecAutoencoder
from zoo.nn import Codec, GaussianCodec
from zoo.registry import register_model


@register_model("vae", source="Kingma & Welling 2014, Auto-encoding variational Bayes")
class VariationalAutoencoder(CodecAutoencoder):
    """Variational autoencoder of black-and-white pictures, which can draw new ones.

    With q(z|x) = N(mean, variance) from the encoder, p(z) = N(0, 1) and p(x|z) a Bernoulli distribution a pixel from
    the decoder, training maximises the evidence bound on log p(x), in nats a picture, with one draw of z:

        E log p(x|z) - KL(q(z|x) || p(z)),    KL = 1/2 sum mean^2 + variance - 1 - log variance

    The pixels are drawn anew each time, with the grey level as the probability of a 1 (dynamic binarisation,
    Salakhutdinov & Murray, 2008); in validation and test all draws are the same each time. Metrics besides an
    autoencoder's: ``nats``, the bound with its sign changed, summed over the pixels and averaged over pictures, and
    ``kl``, its second part. ``mse`` and the like compare the reconstruction from z with the pixels as drawn.

    Args:
        beta: Weight of the KL term in training; 1 makes the loss the bound (Higgins et al., 2017).
        hidden_dims: Widths of the encoder's hidden layers, or the maps of its stages; the decoder has them in reverse.
        latent_dim: Width of the code.
        **training: Arguments of ``CodecAutoencoder``.
    """

    net: GaussianCodec
    codec: ClassVar[type[Codec]] = GaussianCodec
    default_monitor = "val_nats"

    def __init__(
        self,
        *,
        beta: float = 1.0,
        hidden_dims: list[int] = [512, 256],  # noqa: B006
        latent_dim: int = 40,
        **training: Any,
    ) -> None:
        super().__init__(hidden_dims=hidden_dims, latent_dim=latent_dim, **{"loss": "cross_entropy", **training})
        if not beta >= 0:
            raise ValueError(f"beta must be at least 0, not {beta}")
        for name, wanted in {"loss": "cross_entropy", "output": "sigmoid", "penalty": "none"}.items():
            if self.hparams[name] != wanted:
                raise ValueError(f"{name} of a vae is {wanted}, not {self.hparams[name]}")
        if self.any_size:
            raise ValueError("network of a vae is conv or dense, not fully_convolutional")

    def _drawn(self, like: Tensor, normal: bool = False) -> Tensor:
        """Draw random numbers of a tensor's shape: torch's own in training, the same ones each time in evaluation."""
        draw = torch.randn if normal else torch.rand
        if self.training:
            return draw(like.shape, device=like.device)
        return draw(like.shape, generator=self._draws).to(like.device)

    def step(self, batch: Batch) -> Values:
        """Compute loss and metrics of a batch (x, ...)."""
        x = (self._drawn(batch[0]) < batch[0]).to(batch[0].dtype)
        seen = self.corrupted(x)
        mean, log_variance = (moment.float() for moment in self.net.moments(seen))
        code = mean + (0.5 * log_variance).exp() * self._drawn(mean, normal=True)
        scores = self.net.decoder(code)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        missed = self.reconstruction_loss(scores, x, seen)
        metrics = self._metrics(scores.detach(), code.detach(), x, seen)
        metrics.pop("active", None)  # every draw of a normal variable is
        return {
            "loss": missed + self.hparams["beta"] * kl,
            "nats": (missed + kl).detach(),
            "kl": kl.detach(),
            **metrics,
        }

    @torch.no_grad()
    def sample(self, n: int = 1, seed: int | None = None) -> Tensor:
        """Draw new pictures (n, *input_shape) in [0, 1]: the expected pixels of codes drawn from N(0, 1).

        Args:
            n: Number of pictures.
            seed: Seed of the draws; torch's own random state if None.

        Raises:
            ValueError: If ``n`` is negative.
        """
        if n < 0:
            raise ValueError(f"n must be at least 0, not {n}")
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return self.decode(torch.randn(n, self.hparams["latent_dim"], generator=generator))
