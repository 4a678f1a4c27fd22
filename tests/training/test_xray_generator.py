"""The X-ray generator's recipe: what its text encoder must learn, how noise becomes anatomy, a short run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from genlens.datasets import xray
from genlens.datasets.xray_drawing import SIGNS
from genlens.training import xray_generator, xray_text
from genlens.training.xray_generator import anatomy_of, pairs


def test_targets_say_what_the_caption_says() -> None:
    features = xray_text.target_features(["Age: 1, BMI: 0, Sex: 1, Findings: Left pneumothorax. No nodule. Edema? X."])
    assert features[0, :3].tolist() == [1, -1, 1]
    told = features[0, 3:].reshape(len(SIGNS), 3)
    assert told[SIGNS.index("Pneumothorax")].tolist() == [1, 1, 1]
    assert told[SIGNS.index("Lung Lesion")].tolist() == [1, 0, 0]
    assert told.sum() == 4


def test_every_word_of_the_phantom_is_known() -> None:
    tokenizer = xray_text.new_tokenizer()
    phantom = xray.sample(300, 1)
    for text in (*phantom.captions(), *phantom.reports):
        assert tokenizer.unk_token_id not in tokenizer(text, truncation=False)["input_ids"], text


def test_findings_fit_and_many_whole_reports_do_not() -> None:
    tokenizer = xray_text.new_tokenizer()
    phantom = xray.sample(500, 2)
    assert max(len(ids) for ids in tokenizer(phantom.captions())["input_ids"]) <= xray_text.MAX_TOKENS
    whole = [len(ids) for ids in tokenizer(list(phantom.reports), truncation=False, verbose=False)["input_ids"]]
    assert max(whole) > xray_text.MAX_TOKENS


def test_anatomy_is_even_in_the_noises_channel_means() -> None:
    anatomy = anatomy_of(torch.randn(4000, 16, generator=torch.Generator().manual_seed(0)))
    assert anatomy.shape == (4000, 12)
    assert np.abs(np.quantile(anatomy, [0.1, 0.5, 0.9], axis=0) - np.array([[0.1], [0.5], [0.9]])).max() < 0.04


def test_pairs_are_reproducible_and_grey() -> None:
    captions, means, images = pairs(3, 7)
    again = pairs(3, 7)
    assert captions == again[0] and torch.equal(means, again[1])
    np.testing.assert_array_equal(images[..., 0], images[..., 2])


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_all_stages_run_and_the_pipeline_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from genlens.generators.diffusers import DiffusersGenerator

    monkeypatch.setattr(xray_generator, "RECIPE", replace(xray_generator.RECIPE, pool=256, heads=1, layers=1))
    for stage in ("text", "vae", "denoiser", "decoder"):
        xray_generator.main([stage, "--out", str(tmp_path / "build"), "--seconds", "0.2"])
    xray_generator.main(["export", "--out", str(tmp_path / "build"), "--to", str(tmp_path / "pipeline")])
    generator = DiffusersGenerator.from_pretrained(
        tmp_path / "pipeline", num_inference_steps=1, guidance_scale=1.0, device="cpu"
    )
    captions = xray.sample(2, 0).captions()
    assert generator.generate(captions, [1, 2]).shape == (2, 64, 64, 3)
    assert generator.token_limit == xray_text.MAX_TOKENS
