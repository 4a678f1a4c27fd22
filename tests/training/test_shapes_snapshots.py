"""Early stages of the shapes generator: the same from one go and from two, loadable, refused where they don't fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from genlens.errors import UserError
from genlens.generators.diffusers import DiffusersGenerator
from genlens.training import shapes_snapshots
from genlens.training.shapes_denoiser import Recipe
from genlens.training.shapes_snapshots import STAGES, snapshots


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 4, one layer, one head."""

    def recipe(**options: object) -> Recipe:
        return Recipe(**{"batch": 4, "layers": 1, "heads": 1, **options})  # type: ignore[arg-type]

    monkeypatch.setattr(shapes_snapshots, "Recipe", recipe)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")


def test_stages_resume_to_the_same_weights_and_render(tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    whole = snapshots(tmp_path / "whole", (3, 1))
    assert (torch.random.get_rng_state() == state).all()
    assert list(whole) == [1, 3]
    snapshots(tmp_path / "parts", (1,))
    parts = snapshots(tmp_path / "parts", (1, 3))
    for step in (1, 3):
        found = weights(parts[step])
        assert all(torch.equal(value, found[name]) for name, value in weights(whole[step]).items())
    generator = DiffusersGenerator.from_pretrained(parts[3], device="cpu")
    image = generator.generate(["red circle (20, 20) 8"], [0])
    assert image.shape == (1, 64, 64, 3) and image.dtype == np.uint8
    assert generator.num_inference_steps == 1


def test_a_stage_before_the_checkpoint_starts_over(tmp_path: Path) -> None:
    snapshots(tmp_path / "late", (2,))
    early = snapshots(tmp_path / "late", (1, 2))[1]
    alone = snapshots(tmp_path / "alone", (1,))[1]
    found = weights(early)
    assert all(torch.equal(value, found[name]) for name, value in weights(alone).items())


def test_what_is_there_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots(tmp_path, (1,))
    monkeypatch.setattr(shapes_snapshots, "_train", None)
    assert snapshots(tmp_path, (1,))[1].is_dir()


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"`steps` must be an integer >= 1; got 0"):
        snapshots(tmp_path, (0,))
    with pytest.raises(UserError, match=r"`steps` must hold numbers of steps in \[1, 2047\]"):
        snapshots(tmp_path, (2048,))
    with pytest.raises(UserError, match=r"`steps` must hold numbers of steps"):
        snapshots(tmp_path, ())
    with pytest.raises(UserError, match=r"`seed` must be an integer in \[0, 80,000\); got 80000"):
        snapshots(tmp_path, (1,), seed=80_000)
    assert not list(tmp_path.iterdir())
    snapshots(tmp_path, (1,))
    with pytest.raises(UserError, match=r"holds stages of another seed or recipe"):
        snapshots(tmp_path, (1,), seed=1)


def test_the_default_stages_are_early() -> None:
    assert list(STAGES) == sorted(STAGES) and STAGES[-1] < shapes_snapshots.FULL_STEPS / 5
