"""The denoising loss: closed forms of targets, weights and times; what can't be trained is refused."""

from __future__ import annotations

import pytest
import torch

from genlens.errors import UserError
from genlens.training.finetune_loss import (
    PREDICTIONS,
    DenoisingLoss,
    add_noise,
    clean_of,
    noise_schedule,
    snr_weights,
    target_of,
)
from genlens.training.finetune_recipe import FinetuneRecipe

CONFIG = {"num_train_timesteps": 10, "beta_start": 0.01, "beta_end": 0.3, "beta_schedule": "linear"}


def test_the_schedule_is_the_product_of_alphas() -> None:
    alphas, prediction = noise_schedule(CONFIG)
    expected = torch.cumprod(1 - torch.linspace(0.01, 0.3, 10), 0)
    torch.testing.assert_close(alphas, expected)
    assert prediction == "epsilon"
    last = noise_schedule({**CONFIG, "rescale_betas_zero_snr": True, "prediction_type": "sample"})[0][-1]
    assert float(last) < 1e-6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rescale_betas_zero_snr": True}, "learns nothing"),
        ({"prediction_type": "flow_prediction"}, "must be a discrete one"),
    ],
)
def test_what_cannot_be_trained_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        noise_schedule({**CONFIG, **change})
    with pytest.raises(UserError, match="FlowMatchEulerDiscreteScheduler"):
        noise_schedule({"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000})


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_right_prediction_gives_the_clean_latents_back(prediction: str) -> None:
    latents, noise = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0)).unbind(0)
    alpha = torch.tensor([0.9, 0.5, 0.1])[:, None, None, None]
    noisy = add_noise(latents, noise, alpha)
    said = target_of(prediction, latents, noise, alpha)
    torch.testing.assert_close(clean_of(prediction, said, noisy, alpha), latents, atol=1e-5, rtol=1e-5)


def test_weights_are_one_weight_on_the_error_of_the_clean_latents() -> None:
    """An error d of the clean latents is an error of sqrt(SNR) d in epsilon and sqrt(SNR + 1) d in v."""
    alpha = torch.tensor([0.999, 0.9, 0.5, 0.05])
    snr = alpha / (1 - alpha)
    for gamma in (0.5, 5.0, 100.0):
        wanted = snr.clamp(max=gamma)
        torch.testing.assert_close(snr_weights(alpha, "sample", gamma), wanted)
        torch.testing.assert_close(snr_weights(alpha, "epsilon", gamma) * snr, wanted)
        torch.testing.assert_close(snr_weights(alpha, "v_prediction", gamma) * (snr + 1), wanted)
    assert (snr_weights(alpha, "epsilon", None) == 1).all()
    assert snr_weights(torch.zeros(1), "epsilon", 5.0).tolist() == [1.0]


def test_high_noise_is_the_share_of_last_times() -> None:
    def share(high_noise: float) -> float:
        loss = DenoisingLoss(CONFIG, FinetuneRecipe(high_noise=high_noise))
        times = loss.draw(20_000, torch.Generator().manual_seed(0))
        assert int(times.min()) >= 0 and int(times.max()) == 9
        return float((times == 9).float().mean())

    assert share(0.0) == pytest.approx(0.1, abs=0.01)
    assert share(0.6) == pytest.approx(0.6 + 0.4 * 0.1, abs=0.01)
    assert share(1.0) == 1.0
    loss = DenoisingLoss(CONFIG, FinetuneRecipe(times=(0.2, 0.8)))
    times = loss.draw(2000, torch.Generator().manual_seed(0))
    assert set(times.tolist()) == {2, 3, 4, 5, 6, 7}


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_perfect_model_has_no_loss_and_a_silent_one_the_targets_square(prediction: str) -> None:
    loss = DenoisingLoss({**CONFIG, "prediction_type": prediction}, FinetuneRecipe())
    latents, noise = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0)).unbind(0)
    times = torch.tensor([0, 5, 9])
    wanted = target_of(prediction, latents, noise, loss.alphas[times][:, None, None, None])

    def perfect(model: object, noisy: torch.Tensor, times: torch.Tensor, *, silent: bool = False) -> torch.Tensor:
        return wanted

    def mute(model: object, noisy: torch.Tensor, times: torch.Tensor, *, silent: bool = False) -> torch.Tensor:
        return torch.zeros_like(noisy)

    assert loss(None, latents, noise, times, perfect).tolist() == [0, 0, 0]
    torch.testing.assert_close(loss(None, latents, noise, times, mute), wanted.square().mean(dim=(1, 2, 3)))
