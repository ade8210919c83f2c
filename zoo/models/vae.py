"""Variational autoencoders."""

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
    """Variational autoencoder of binary images, a generative model.

    With q(z|x) = N(mean, variance) from the encoder, p(z) = N(0, 1) and p(x|z) a product of Bernoulli distributions
    from the decoder, training maximises the evidence lower bound (ELBO) on log p(x), in nats per image, with one sample
    of z:

        ELBO = E log p(x|z) - KL(q(z|x) || p(z)),    KL = 1/2 sum mean^2 + variance - 1 - log variance

    The pixels x are sampled at each step, with the grey level as the probability of a 1 (dynamic binarisation,
    Salakhutdinov & Murray, 2008); validation and test use the same random numbers each time. Besides the metrics of
    ``Autoencoder`` there are ``nats``, the negative ELBO, summed over the pixels and averaged over the images, and
    ``kl``, its KL term. ``mse``, ``sse`` and ``psnr`` compare the reconstruction from z with the sampled pixels.

    Args:
        beta: Weight of the KL term in training; for 1 the loss is the negative ELBO (Higgins et al., 2017).
        hidden_dims: Widths of the encoder's hidden layers, or channels of its stages; the decoder has them in reverse
            order.
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

    def _random_like(self, reference: Tensor, normal: bool = False) -> Tensor:
        """Return random numbers of a tensor's shape, the same ones in each evaluation."""
        draw = torch.randn if normal else torch.rand
        if self.training:
            return draw(reference.shape, device=reference.device)
        return draw(reference.shape, generator=self._draws).to(reference.device)

    def step(self, batch: Batch) -> Values:
        """Compute loss and metrics of a batch (x, ...)."""
        x = (self._random_like(batch[0]) < batch[0]).to(batch[0].dtype)
        inputs = self.corrupted(x)
        mean, log_variance = (moment.float() for moment in self.net.moments(inputs))
        code = mean + (0.5 * log_variance).exp() * self._random_like(mean, normal=True)
        scores = self.net.decoder(code.to(self.precision))
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        reconstruction = self.reconstruction_loss(scores, x, inputs)
        metrics = self._metrics(scores.detach(), code.detach(), x, inputs)
        metrics.pop("active", None)  # all units of a sampled code are
        return {
            "loss": reconstruction + self.hparams["beta"] * kl,
            "nats": (reconstruction + kl).detach(),
            "kl": kl.detach(),
            **metrics,
        }

    @torch.no_grad()
    def sample(self, n: int = 1, seed: int | None = None) -> Tensor:
        """Generate images (n, *input_shape) in [0, 1]: the expected pixels of codes sampled from N(0, 1).

        Args:
            n: Number of images.
            seed: Seed of the random numbers; torch's global state if None.

        Raises:
            ValueError: If ``n`` is negative.
        """
        if n < 0:
            raise ValueError(f"n must be at least 0, not {n}")
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return self.decode(torch.randn(n, self.hparams["latent_dim"], generator=generator))
