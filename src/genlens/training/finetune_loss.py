"""The denoising loss: what is predicted, at which times, with which weights."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from genlens.errors import UserError
from genlens.training.finetune_recipe import FinetuneRecipe


class Predict(Protocol):
    """A denoiser's prediction for a batch whose captions are bound."""

    def __call__(self, model: Any, noisy: Tensor, times: Tensor, *, silent: bool = False) -> Tensor:
        """Noisy latents (B, C, h, w) at times (B,) -> prediction (B, C, h, w); `silent`: as if without captions."""


PREDICTIONS = ("epsilon", "v_prediction", "sample")


def noise_schedule(config: Any) -> tuple[Tensor, str]:
    """Cumulative products of alpha, float32 (T,), and what the model predicts, by a scheduler's config.

    Raises:
        UserError: the scheduler isn't one of discrete variance-preserving diffusion (flow matching isn't), or epsilon
            is predicted where the last time holds no signal, so that nothing can be learnt there.
    """
    from diffusers import DDPMScheduler

    prediction = str(config.get("prediction_type", "epsilon"))
    if "num_train_timesteps" not in config or "beta_schedule" not in config or prediction not in PREDICTIONS:
        raise UserError(
            f"The pipeline's scheduler {config.get('_class_name')} can't be trained for here: it must be a discrete "
            f"one that predicts {', '.join(PREDICTIONS)}."
        )
    known = {name: config[name] for name in ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule",
             "trained_betas", "rescale_betas_zero_snr") if name in config}  # fmt: skip
    alphas: Tensor = DDPMScheduler(**known).alphas_cumprod.float()
    if prediction == "epsilon" and float(alphas[-1]) < 1e-8:
        raise UserError(
            "The scheduler's last time has no signal (rescale_betas_zero_snr), so a model of epsilon learns nothing "
            "there. Use v_prediction or sample."
        )
    return alphas, prediction


def add_noise(latents: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
    """sqrt(alpha) latents + sqrt(1 - alpha) noise, alpha (B, 1, 1, 1)."""
    return alpha.sqrt() * latents + (1 - alpha).sqrt() * noise


def target_of(prediction: str, latents: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
    """What the model should say: the noise, the latents, or v (Salimans and Ho 2022, arXiv 2202.00512)."""
    if prediction == "epsilon":
        return noise
    if prediction == "sample":
        return latents
    return alpha.sqrt() * noise - (1 - alpha).sqrt() * latents


def clean_of(prediction: str, output: Tensor, noisy: Tensor, alpha: Tensor) -> Tensor:
    """The clean latents that a prediction amounts to."""
    if prediction == "sample":
        return output
    if prediction == "epsilon":
        return (noisy - (1 - alpha).sqrt() * output) / alpha.sqrt()
    return alpha.sqrt() * noisy - (1 - alpha).sqrt() * output


def snr_weights(alpha: Tensor, prediction: str, gamma: float | None) -> Tensor:
    """Weights of the squared error: min(SNR, gamma) on the error of the clean latents, put for each prediction.

    Hang et al. 2023 (arXiv 2303.09556), section 3.4. Where SNR = 0 the limit is taken.

    Args:
        alpha: (B,) cumulative products.
        prediction: one of `PREDICTIONS`.
        gamma: None: all weights are 1.
    """
    if gamma is None:
        return torch.ones_like(alpha)
    snr = alpha / (1 - alpha).clamp(min=1e-12)
    capped = snr.clamp(max=gamma)
    if prediction == "sample":
        return capped
    if prediction == "v_prediction":
        return capped / (snr + 1)
    return torch.where(snr > 0, capped / snr.clamp(min=1e-12), torch.ones_like(snr))


class DenoisingLoss:
    """Mean squared error of what the scheduler says the model predicts.

    Args:
        config: of the pipeline's scheduler.
        recipe: min-SNR weighting and the share of high noise.
    """

    def __init__(self, config: Any, recipe: FinetuneRecipe) -> None:
        self.alphas, self.prediction = noise_schedule(config)
        self.recipe = recipe

    def draw(self, n: int, rng: torch.Generator) -> Tensor:
        """Times int64 (n,): uniform in the recipe's range, a share of them its last."""
        first, last = (round(share * (len(self.alphas) - 1)) for share in self.recipe.times)
        times = torch.randint(first, last + 1, (n,), generator=rng)
        loud = torch.rand(n, generator=rng) < self.recipe.high_noise
        return torch.where(loud, last, times)

    def __call__(self, model: Any, latents: Tensor, noise: Tensor, times: Tensor, predict: Predict) -> Tensor:
        """Weighted squared error of each row, (B,)."""
        alpha = self.alphas.to(latents.device)[times]  # (B,)
        wide = alpha[:, None, None, None]
        output = predict(model, add_noise(latents, noise, wide), times)
        error = (output - target_of(self.prediction, latents, noise, wide)).square().mean(dim=(1, 2, 3))
        return error * snr_weights(alpha, self.prediction, self.recipe.min_snr)

    def after_step(self) -> None:
        """Nothing to keep up."""

    def state(self) -> dict[str, Tensor]:
        """Nothing to save."""
        return {}

    def load(self, state: dict[str, Tensor]) -> None:
        """Nothing to load."""
