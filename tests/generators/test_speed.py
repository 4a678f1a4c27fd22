"""What makes a pipeline faster must leave its images as they are, up to rounding, and be in the fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genlens.errors import UserError
from genlens.generators import linear
from genlens.generators.batch_size import BatchSize
from genlens.generators.diffusers import DiffusersGenerator
from genlens.generators.linear import OneDnnLinear, use_onednn
from genlens.generators.pipelines import quiet

Folders = Callable[[str], Path]
CAPTIONS, SEEDS = ["red circle (12, 40) 9", "green rectangle"], [3, 1]


def load(folder: Path, **options: Any) -> DiffusersGenerator:
    return DiffusersGenerator.from_pretrained(folder, **{"num_inference_steps": 2, "device": "cpu", **options})


def furthest(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.parametrize("kind", ["sd", "pixart"])
def test_channels_last_changes_rounding_only(pipeline_folder: Folders, kind: str) -> None:
    last, first = (load(pipeline_folder(kind), channels_last=wanted) for wanted in (True, False))
    assert furthest(last.generate(CAPTIONS, SEEDS), first.generate(CAPTIONS, SEEDS)) <= 1
    assert last.pipeline.vae.decoder.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert last.fingerprint != first.fingerprint
    assert load(pipeline_folder(kind)).fingerprint == last.fingerprint  # the default on a CPU


def tiny(folder: Path, channels: int = 4, stages: int = 2) -> Path:
    from diffusers import AutoencoderTiny

    blocks = (8,) * stages
    with quiet():
        AutoencoderTiny(
            encoder_block_out_channels=blocks, decoder_block_out_channels=blocks, latent_channels=channels,
            num_encoder_blocks=(1,) * stages, num_decoder_blocks=(1,) * stages,
        ).save_pretrained(folder)  # fmt: skip
    return folder


def test_a_tiny_decoder_takes_the_place_of_the_vae(pipeline_folder: Folders, tmp_path: Path) -> None:
    small = load(pipeline_folder("sd"), tiny_vae=tiny(tmp_path / "tiny"))
    whole = load(pipeline_folder("sd"))
    assert type(small.pipeline.vae).__name__ == "AutoencoderTiny"
    images = small.generate(CAPTIONS, SEEDS)
    assert images.shape == (2, 16, 16, 3) and furthest(images, whole.generate(CAPTIONS, SEEDS)) > 1
    assert small.fingerprint != whole.fingerprint


@pytest.mark.parametrize(
    ("channels", "stages", "found"), [(16, 2, "16 channels at scale 2"), (4, 3, "4 channels at scale 4")]
)
def test_a_tiny_decoder_for_other_latents(
    pipeline_folder: Folders, tmp_path: Path, channels: int, stages: int, found: str
) -> None:
    with pytest.raises(UserError, match=rf"decodes {found}; the pipeline's latents have 4 at scale 2\."):
        load(pipeline_folder("sd"), tiny_vae=tiny(tmp_path / "tiny", channels, stages))


def test_a_tiny_decoder_that_is_none(pipeline_folder: Folders, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^`tiny_vae` .* can't be loaded as an AutoencoderTiny: "):
        load(pipeline_folder("sd"), tiny_vae=tmp_path)


@pytest.mark.parametrize("kind", ["sd", "pixart"])
def test_compile_reaches_denoiser_and_decoder(
    pipeline_folder: Folders, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: compiled.append(type(module).__name__))
    generator = load(pipeline_folder(kind), compile=True)
    assert compiled == ["UNet2DConditionModel" if kind == "sd" else "PixArtTransformer2DModel", "Decoder"]
    monkeypatch.undo()
    assert generator.fingerprint != load(pipeline_folder(kind)).fingerprint


def test_compile_that_fails_is_one_line(pipeline_folder: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: None)
    generator = load(pipeline_folder("sd"), compile=True)
    no_compiler = type("InvalidCxxCompiler", (RuntimeError,), {"__module__": "torch._inductor.exc"})

    def fail(**_: Any) -> None:
        raise no_compiler("No working C++ compiler found")

    monkeypatch.setattr(generator, "pipeline", fail)
    with pytest.raises(
        UserError, match=r"^`compile`: torch can't compile this pipeline here: No working C.* Leave the option out\.$"
    ):
        generator._render(CAPTIONS, SEEDS)


def test_padding_is_left_out_where_it_is_masked(pipeline_folder: Folders) -> None:
    for kind, guidance, lengths in (("pixart", 1.0, (10, 4)), ("pixart", 4.0, (10, 4)), ("sd", 1.0, (16, 16))):
        generator = load(pipeline_folder(kind), guidance_scale=guidance)
        for captions, length in ((CAPTIONS, lengths[0]), (CAPTIONS[1:], lengths[1])):
            told = generator._embeddings.arguments(captions)
            assert {tensor.shape[1] for tensor in told.values() if tensor is not None} == {length}
        images = generator.generate(CAPTIONS, SEEDS)
        generator._embeddings._masked = False
        assert furthest(images, generator.generate(CAPTIONS, SEEDS)) <= 1


def test_padding_stays_where_a_caption_has_no_token() -> None:
    from genlens.generators.prompt_embeddings import without_padding

    told = {"prompt_embeds": torch.zeros(2, 5, 3), "prompt_attention_mask": torch.tensor([[1, 1, 0, 0, 0], [0] * 5])}
    assert without_padding(told, {})[0]["prompt_embeds"].shape == (2, 5, 3)
    told["prompt_attention_mask"][1, 2] = 1
    assert without_padding(told, {})[0]["prompt_embeds"].shape == (2, 3, 3)


def test_onednn_multiplies_as_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        pytest.skip("torch has no oneDNN here")
    monkeypatch.setattr(linear, "linear_is_slow", lambda: True)
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(24, 40), torch.nn.ReLU(), torch.nn.Linear(40, 8, bias=False))
    inputs = torch.randn(3, 5, 24)
    with torch.inference_mode():
        expected = module(inputs)
    names = list(module.state_dict())
    assert use_onednn(module) == 2 and use_onednn(module) == 0
    assert isinstance(module[0], OneDnnLinear) and list(module.state_dict()) == names
    with torch.inference_mode():
        torch.testing.assert_close(module(inputs), expected, atol=1e-5, rtol=1e-5)
    module(inputs).sum().backward()  # where gradients are asked for, torch's own way is taken
    assert module[0].weight.grad is not None


def test_onednn_is_left_alone_where_torch_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    module = torch.nn.Linear(4, 4)
    linear.linear_is_slow.cache_clear()
    monkeypatch.setattr(linear, "_vendor", lambda: "GenuineIntel")
    try:
        assert use_onednn(module) == 0 and type(module) is torch.nn.Linear
    finally:
        linear.linear_is_slow.cache_clear()
    assert use_onednn("no module") == 0


def test_batches_grow_while_the_gpu_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU of 16 GiB with 2 GiB of weights and 100 MiB an image holds 64 images well, and 128 not at 80%."""
    batch = BatchSize(None, (512, 512), "cuda:0")
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    sizes = [batch.value]
    for _ in range(6):
        peak = 2 * 2**30 + batch.value * 100 * 2**20
        monkeypatch.setattr(
            "genlens.generators.batch_size.memory_use", lambda _, peak=peak: (2 * 2**30, peak, 16 * 2**30)
        )
        batch.begin()
        batch.fitted(batch.value)
        sizes.append(batch.value)
    assert sizes == [16, 32, 64, 64, 64, 64, 64]
    batch.failed(64)
    batch.fitted(32)
    assert batch.value == 32  # what failed once isn't tried again


@pytest.mark.parametrize(("given", "device"), [(8, "cuda"), (None, "cpu"), (None, "mps")])
def test_batches_stay_where_they_were_chosen_or_memory_is_unknown(given: int | None, device: str) -> None:
    batch = BatchSize(given, (64, 64), device)
    batch.begin()
    batch.fitted(batch.value)
    assert batch.value == (given or 64)


def test_a_small_last_batch_says_nothing_about_room(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = BatchSize(None, (512, 512), "cuda")
    batch.fitted(3)
    assert batch.value == 16


def test_growth_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = BatchSize(None, (64, 64), "cuda")
    monkeypatch.setattr("genlens.generators.batch_size.memory_use", lambda _: (0, 1, 2**40))
    for _ in range(5):
        batch.fitted(batch.value)
    assert batch.value == 256
