"""Gradients from pictures to the prompt: the pipeline's own pictures, autograd's gradients, nothing else changed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from genlens.errors import CaptionError, UserError
from genlens.generators.diffusers import DiffusersGenerator
from genlens.generators.drawer import DrawerGenerator
from genlens.generators.gradients import GradientGenerator
from genlens.generators.pipelines import quiet

Folders = Callable[[str], Path]
CAPTIONS = ["red circle (12, 40) 9", "", "green rectangle"]
SEEDS = [3, 1, 2**62 + 1]
KINDS = ["sd", "sdxl", "lcm", "pixart"]


def load(folder: Path, **options: Any) -> DiffusersGenerator:
    return DiffusersGenerator.from_pretrained(folder, **{"num_inference_steps": 3, "device": "cpu", **options})


def real_prompts(generator: GradientGenerator, captions: list[str] = CAPTIONS) -> tuple[list[Tensor], list[Tensor]]:
    """Token embeddings that take gradients, and ids."""
    ids = generator.token_ids(captions)
    return [rows.requires_grad_() for rows in generator.embed(ids)], ids


def pixels(images: Tensor) -> np.ndarray:
    return (images.detach() * 255).round().permute(0, 2, 3, 1).numpy().astype(int)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize(
    ("kind", "scheduler"),
    [*((kind, None) for kind in KINDS), ("lcm", "LCM")]
    + [(k, s) for k in ("sd", "sdxl", "pixart") for s in ("LCM", "EulerDiscrete", "EulerAncestralDiscrete")],
)
def test_pictures_are_those_of_generate(
    pipeline_folder: Folders, kind: str, scheduler: str | None, guidance: float
) -> None:
    plain = load(pipeline_folder(kind), scheduler=scheduler, guidance_scale=guidance)
    wanted = plain.generate(CAPTIONS, SEEDS).astype(int)
    generator = GradientGenerator(plain)
    embeddings, ids = real_prompts(generator)
    images = generator.render(generator.condition(embeddings, ids), SEEDS, last_steps=2, checkpointing=True)
    assert np.abs(pixels(images) - wanted).max() <= 1
    assert wanted[0].std() > 3
    images.square().sum().backward()
    assert all(float(rows.grad.norm()) > 0 for rows in embeddings if rows.grad is not None)
    assert all(rows.grad is not None for rows in embeddings)
    assert np.array_equal(plain.generate(CAPTIONS, SEEDS), wanted)  # the pipeline is as it was


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["clip", "t5"])
def test_the_text_encoders_path_is_the_ordinary_one(pipeline_folder: Folders, kind: str, text: str) -> None:
    plain = load(pipeline_folder(kind), guidance_scale=1.0)
    if text == "t5":
        if kind != "pixart":
            pytest.skip("only PixArt takes T5")
        plain.pipeline.text_encoder = t5()
    generator = GradientGenerator(plain)
    embeddings, ids = real_prompts(generator)
    found = generator.condition(embeddings, ids).arguments
    with quiet(), torch.no_grad():
        wanted = plain._embeddings._call(CAPTIONS, guided=False)
    assert wanted is not None and found.keys() == wanted.keys()
    for name in wanted:
        assert torch.allclose(found[name].float(), wanted[name].float(), atol=1e-6), name
    shifted = [rows + 0.5 for rows in embeddings]
    assert not torch.allclose(generator.condition(shifted, ids).arguments["prompt_embeds"], wanted["prompt_embeds"])


def t5() -> Any:
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    config = T5Config(vocab_size=80, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0)
    return T5EncoderModel(config).eval()


def test_gradients_through_t5_reach_every_prompt(pipeline_folder: Folders) -> None:
    plain = load(pipeline_folder("pixart"), guidance_scale=1.0)
    plain.pipeline.text_encoder = t5()
    generator = GradientGenerator(plain)
    embeddings, ids = real_prompts(generator, ["red circle", "blue"])
    generator.render(generator.condition(embeddings, ids), [1, 2]).sum().backward()
    grad = embeddings[0].grad
    assert grad is not None and bool((grad.abs().sum((1, 2)) > 0).all())


@pytest.mark.parametrize("kind", ["sd", "pixart"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_all_steps_agree_with_autograd_through_everything(
    pipeline_folder: Folders, kind: str, guidance: float
) -> None:
    """A loop written out here, without checkpointing, is the reference."""
    plain = load(pipeline_folder(kind), scheduler="DDIM", guidance_scale=guidance)
    generator = GradientGenerator(plain)
    embeddings, ids = real_prompts(generator)
    grads = []
    for last_steps, checkpointing in ((None, True), (3, False), (7, True)):
        images = generator.render(
            generator.condition(embeddings, ids), SEEDS, last_steps=last_steps, checkpointing=checkpointing
        )
        grads.append(torch.autograd.grad(images.square().sum(), embeddings)[0])
    told = generator.condition(embeddings, ids)
    reference = torch.autograd.grad(written_out(generator, told.arguments, guidance).square().sum(), embeddings)[0]
    for grad in grads:
        assert torch.allclose(grad, reference, rtol=1e-3, atol=1e-4 * float(reference.abs().max()))


def written_out(generator: GradientGenerator, told: Any, guidance: float) -> Tensor:
    """Classifier-free guidance, DDIM and decoding in plain torch."""
    pipe = generator.pipeline
    negative = generator._embeddings.called_with(told)
    noise = [torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(seed)) for seed in SEEDS]
    latents = torch.cat(noise)
    pipe.scheduler.set_timesteps(3)
    for t in pipe.scheduler.timesteps:
        parts = []
        for prefix in ("negative_", "") if guidance > 1 else ("",):
            hidden = negative[f"{prefix}prompt_embeds"]
            if hasattr(pipe, "unet"):
                parts.append(pipe.unet(latents, t, encoder_hidden_states=hidden).sample)
            else:
                mask = negative[f"{prefix}prompt_attention_mask"]
                out = pipe.transformer(
                    latents, encoder_hidden_states=hidden, encoder_attention_mask=mask, timestep=t.expand(3),
                    added_cond_kwargs={"resolution": None, "aspect_ratio": None},
                ).sample  # fmt: skip
                parts.append(out.chunk(2, dim=1)[0])
        guess = parts[0] if len(parts) == 1 else parts[0] + guidance * (parts[1] - parts[0])
        latents = pipe.scheduler.step(guess, t, latents).prev_sample
    decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    return (decoded / 2 + 0.5).clamp(0, 1)


def test_the_last_step_alone_is_the_gradient_with_the_rest_held(pipeline_folder: Folders) -> None:
    """K = 1 of n: the latents before the last step count as given, so its gradient is not that of K = n."""
    generator = GradientGenerator(load(pipeline_folder("sd"), guidance_scale=1.0))
    embeddings, ids = real_prompts(generator)
    grads = []
    for last_steps in (1, 2, None):
        images = generator.render(generator.condition(embeddings, ids), SEEDS, last_steps=last_steps)
        grads.append(torch.autograd.grad(images.square().sum(), embeddings)[0])
    told = generator.condition(embeddings, ids)
    held = told.arguments["prompt_embeds"].detach()
    calls = []
    unet = generator.pipeline.unet

    def only_last(_module: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        calls.append(1)
        return args, kwargs if len(calls) == 3 else kwargs | {"encoder_hidden_states": held}

    hook = unet.register_forward_pre_hook(only_last, with_kwargs=True)
    images = generator.render(told, SEEDS, last_steps=None, checkpointing=False)
    hook.remove()
    reference = torch.autograd.grad(images.square().sum(), embeddings)[0]
    assert torch.allclose(grads[0], reference, rtol=1e-3, atol=1e-4 * float(reference.abs().max()))
    assert float((grads[0] - grads[2]).norm() / grads[2].norm()) > 0.01
    assert float((grads[1] - grads[2]).norm() / grads[2].norm()) > 0.001


def state_hash(pipeline: Any) -> str:
    digest = hashlib.sha256()
    for name, part in sorted(pipeline.components.items()):
        if isinstance(part, torch.nn.Module):
            for key, value in part.state_dict().items():
                digest.update(f"{name}.{key}".encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_frozen_changes_or_takes_a_gradient(pipeline_folder: Folders, kind: str) -> None:
    plain = load(pipeline_folder(kind))
    before, config = state_hash(plain.pipeline), dict(plain.pipeline.config)
    generator = GradientGenerator(plain)
    embeddings, ids = real_prompts(generator)
    generator.render(generator.condition(embeddings, ids), SEEDS).sum().backward()
    assert state_hash(plain.pipeline) == before and dict(plain.pipeline.config) == config
    for part in plain.pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            assert all(value.grad is None and not value.requires_grad for value in part.parameters())


def test_gradients_are_finite_differences(pipeline_folder: Folders) -> None:
    generator = GradientGenerator(load(pipeline_folder("pixart"), guidance_scale=2.0, num_inference_steps=2))
    embeddings, ids = real_prompts(generator, ["red circle"])

    def value(rows: Tensor) -> Tensor:
        return generator.render(generator.condition([rows], ids), [5], last_steps=None).square().sum()

    grad = torch.autograd.grad(value(embeddings[0]), embeddings[0])[0]
    direction = grad / grad.norm()
    with torch.no_grad():
        up, down = value(embeddings[0] + 1e-3 * direction), value(embeddings[0] - 1e-3 * direction)
    assert float((up - down) / 2e-3) == pytest.approx(float(grad.norm()), rel=0.03)


def test_prompts_of_a_batch_do_not_touch(pipeline_folder: Folders) -> None:
    generator = GradientGenerator(load(pipeline_folder("sd")))
    embeddings, ids = real_prompts(generator)
    images = generator.render(generator.condition(embeddings, ids), SEEDS)
    grad = torch.autograd.grad(images[1].sum(), embeddings)[0]
    assert bool((grad[[0, 2]] == 0).all()) and bool((grad[1] != 0).any())


def test_rows_repeat_prompts(pipeline_folder: Folders) -> None:
    generator = GradientGenerator(load(pipeline_folder("sdxl")))
    embeddings, ids = real_prompts(generator)
    told = generator.condition(embeddings, ids)
    index = torch.tensor([2, 0, 2])
    with torch.no_grad():
        again = generator.render(told.rows(index), [5, 3, 5])
        first = generator.render(generator.condition(embeddings, ids), [3, 1, 5])
    assert torch.allclose(again[0], first[2], atol=1e-5) and torch.allclose(again[1], first[0], atol=1e-5)


def test_bad_input_is_refused_in_one_line(pipeline_folder: Folders) -> None:
    with pytest.raises(UserError, match="DrawerGenerator has no text encoder"):
        GradientGenerator(DrawerGenerator())  # type: ignore[arg-type]
    plain = load(pipeline_folder("sd"))
    generator = GradientGenerator(plain)
    with pytest.raises(CaptionError, match="longer than the text encoder's limit of 16 tokens"):
        generator.token_ids(["red " * 20])
    embeddings, ids = real_prompts(generator)
    told = generator.condition(embeddings, ids)
    with pytest.raises(UserError, match="`last_steps` must be an integer >= 1; got 0"):
        generator.render(told, SEEDS, last_steps=0)
    with pytest.raises(UserError, match="`seeds` must be one a prompt; got 1 for 3"):
        generator.render(told, [1])
    plain.pipeline.text_encoder.get_input_embeddings = lambda: None
    with pytest.raises(UserError, match=re.escape("CLIPTextModel of StableDiffusionPipeline has no table")):
        GradientGenerator(plain)
    plain.pipeline.text_encoder = None
    with pytest.raises(UserError, match="A StableDiffusionPipeline has no text encoder"):
        GradientGenerator(plain)


def test_a_compiled_generator_is_refused(pipeline_folder: Folders) -> None:
    plain = load(pipeline_folder("sd"))
    plain._compile = True
    with pytest.raises(UserError, match="Leave the option `compile` out"):
        GradientGenerator(plain)
