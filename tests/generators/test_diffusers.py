"""The diffusers adapter, on tiny pipelines of every family, without a network."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genlens.errors import CaptionError, UserError
from genlens.generators.diffusers import DiffusersGenerator
from genlens.generators.pipelines import quiet
from genlens.generators.prompt_embeddings import PromptEmbeddings

Folders = Callable[[str], Path]
KINDS = ["sd", "sdxl", "lcm", "pixart"]
CAPTIONS = ["red circle (12, 40) 9", "", "green rectangle", "red circle (12, 40) 9", "blue circle, red circle"]
SEEDS = [3, 1, 4, 2**62 + 1, 5]


def load(folder: Path, **options: Any) -> DiffusersGenerator:
    return DiffusersGenerator.from_pretrained(folder, **{"num_inference_steps": 2, "device": "cpu", **options})


def furthest(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guidance", [1.0, 5.0])
def test_images_are_the_pipelines_own(pipeline_folder: Folders, kind: str, guidance: float) -> None:
    generator = load(pipeline_folder(kind), guidance_scale=guidance)
    images = generator.generate(CAPTIONS, SEEDS)
    assert images.shape == (5, 16, 16, 3) and images.dtype == np.uint8
    arguments = {"height": 16, "width": 16, "num_inference_steps": 2, "guidance_scale": guidance}
    if kind == "pixart":
        arguments |= {"use_resolution_binning": False, "clean_caption": False, "max_sequence_length": 16}
    with quiet():
        plain = generator.pipeline(CAPTIONS[0], generator=torch.Generator().manual_seed(3), **arguments).images[0]
    assert furthest(images[0], np.asarray(plain)) <= 1
    assert images[0].std() > 3


@pytest.mark.parametrize(
    ("kind", "scheduler"),
    [*((kind, None) for kind in KINDS), ("lcm", "LCM")]
    + [(kind, scheduler) for kind in ("sd", "sdxl", "pixart") for scheduler in ("LCM", "EulerAncestralDiscrete")],
)
def test_an_image_does_not_depend_on_its_batch(pipeline_folder: Folders, kind: str, scheduler: str | None) -> None:
    generator = load(pipeline_folder(kind), guidance_scale=3.0, scheduler=scheduler, num_inference_steps=3)
    together = generator.generate(CAPTIONS, SEEDS)
    backwards = generator.generate(CAPTIONS[::-1], SEEDS[::-1])[::-1]
    alone = load(pipeline_folder(kind), guidance_scale=3.0, scheduler=scheduler, num_inference_steps=3, batch_size=1)
    apart = alone.generate(CAPTIONS, SEEDS)
    assert furthest(together, apart) <= 1
    assert furthest(together, backwards) <= 1
    assert furthest(together[0], together[3]) > 10  # same caption, another seed


@pytest.mark.parametrize("kind", KINDS)
def test_each_distinct_caption_is_encoded_once(pipeline_folder: Folders, kind: str) -> None:
    generator = load(pipeline_folder(kind), guidance_scale=3.0)
    generator.generate(CAPTIONS, SEEDS)
    generator.generate(CAPTIONS, SEEDS)
    assert generator._embeddings.n_encoded == 4


@pytest.mark.parametrize("kind", ["sd", "sdxl", "pixart"])
def test_captions_and_guidance_matter(pipeline_folder: Folders, kind: str) -> None:
    images = load(pipeline_folder(kind), guidance_scale=1.0).generate(["red circle", "blue rectangle"], [7, 7])
    guided = load(pipeline_folder(kind), guidance_scale=30.0).generate(["red circle", "blue rectangle"], [7, 7])
    assert furthest(images[0], images[1]) >= 1
    assert furthest(images, guided) > furthest(images[0], images[1])


def test_negative_prompt_is_used(pipeline_folder: Folders) -> None:
    folder = pipeline_folder("sd")
    plain = load(folder, guidance_scale=30.0).generate(["red circle"], [7])
    against = load(folder, guidance_scale=30.0, options={"negative_prompt": "blue"}).generate(["red circle"], [7])
    assert furthest(plain, against) >= 1


def test_embedding_cache_is_bounded(pipeline_folder: Folders) -> None:
    generator = load(pipeline_folder("sd"))
    embeddings = PromptEmbeddings(generator.pipeline, {}, guided=False, cache_bytes=2 * 16 * 16 * 4)
    with torch.inference_mode():
        for caption in ("1", "2", "3", "3", "2", "1"):
            embeddings.arguments([caption])
    assert embeddings.n_encoded == 4  # "1" was the oldest when "3" came
    assert len(embeddings._cache) == 2


def test_other_pipelines_get_the_caption_itself(pipeline_folder: Folders) -> None:
    generator = load(pipeline_folder("sd"), guidance_scale=3.0, options={"negative_prompt": "blue"})
    expected = generator.generate(CAPTIONS, SEEDS)
    generator._embeddings._names = None
    assert generator._embeddings.arguments(["a", "b"]) == {"prompt": ["a", "b"], "negative_prompt": ["blue", "blue"]}
    assert furthest(generator.generate(CAPTIONS, SEEDS), expected) <= 1


def test_pipeline_directory_names_its_own_defaults(pipeline_folder: Folders, tmp_path: Path) -> None:
    folder = shutil.copytree(pipeline_folder("sd"), tmp_path / "sd")
    assert DiffusersGenerator.from_pretrained(folder, device="cpu").num_inference_steps == 50
    (folder / "genlens.json").write_text(json.dumps({"num_inference_steps": 1, "guidance_scale": 1.0}))
    generator = DiffusersGenerator.from_pretrained(folder, device="cpu")
    assert (generator.num_inference_steps, generator.guidance_scale) == (1, 1.0)
    generator = DiffusersGenerator.from_pretrained(folder, device="cpu", num_inference_steps=3)
    assert (generator.num_inference_steps, generator.guidance_scale) == (3, 1.0)
    (folder / "genlens.json").write_text('{"steps": 1}')
    message = "genlens.json has the entry 'steps'. Entries: num_inference_steps, guidance_scale."
    with pytest.raises(UserError, match=re.escape(message)):
        DiffusersGenerator.from_pretrained(folder)


def test_lcm_samples_in_four_steps_without_guidance(pipeline_folder: Folders) -> None:
    generator = DiffusersGenerator.from_pretrained(pipeline_folder("sd"), lcm=True, device="cpu")
    assert type(generator.pipeline.scheduler).__name__ == "LCMScheduler"
    assert (generator.num_inference_steps, generator.guidance_scale) == (4, 1.0)
    assert generator.generate(["red circle"], [0]).shape == (1, 16, 16, 3)


def test_size(pipeline_folder: Folders) -> None:
    assert load(pipeline_folder("sd"), size=24).generate(["red"], [0]).shape == (1, 24, 24, 3)
    assert load(pipeline_folder("pixart"), size=(16, 32)).generate(["red"], [0]).shape == (1, 16, 32, 3)
    with pytest.raises(UserError, match=r"^`size` must be a multiple of 2, the pipeline's scale; got 23\.$"):
        load(pipeline_folder("sd"), size=23)


def test_batch_size_follows_the_size_of_the_images(pipeline_folder: Folders) -> None:
    assert load(pipeline_folder("sd")).batch_size == 64
    assert load(pipeline_folder("sd"), size=512).batch_size == 16
    assert load(pipeline_folder("sd"), size=1024).batch_size == 4


def test_fingerprint_covers_what_images_depend_on(pipeline_folder: Folders, tmp_path: Path) -> None:
    folder = pipeline_folder("sd")
    copy = shutil.copytree(folder, tmp_path / "copy")
    variants = [
        load(folder), load(folder, num_inference_steps=3), load(folder, guidance_scale=2.0), load(folder, size=24),
        load(folder, scheduler="LCM"), load(folder, dtype="bfloat16"), load(folder, options={"negative_prompt": "x"}),
        load(pipeline_folder("lcm")),
    ]  # fmt: skip
    assert len({generator.fingerprint for generator in variants}) == len(variants)
    same = load(copy, batch_size=3, threads=1)
    assert same.fingerprint == variants[0].fingerprint
    same.generate(CAPTIONS, SEEDS)
    assert load(copy).fingerprint == same.fingerprint
    changed = load(copy)
    with torch.no_grad():
        changed.pipeline.unet.conv_out.bias[0] += 1e-6
    assert changed.fingerprint != same.fingerprint


def test_lora_is_merged(pipeline_folder: Folders, tmp_path: Path) -> None:
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    base = load(pipeline_folder("sd"))
    expected = base.generate(["red circle"], [0])
    trained = load(pipeline_folder("sd")).pipeline
    trained.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    trained.save_lora_weights(tmp_path / "lora", unet_lora_layers=get_peft_model_state_dict(trained.unet))
    tuned = load(pipeline_folder("sd"), lora=tmp_path / "lora")
    assert furthest(tuned.generate(["red circle"], [0]), expected) > 0
    assert tuned.fingerprint != base.fingerprint
    with pytest.raises(UserError, match=r"^`lora` \./none\.safetensors doesn't exist\.$"):
        load(pipeline_folder("sd"), lora="./none.safetensors")
    with pytest.raises(UserError, match=r"`lora` .* doesn't fit StableDiffusionPipeline: "):
        load(pipeline_folder("sd"), lora=pipeline_folder("pixart"))


def test_torch_threads_are_put_back(pipeline_folder: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    before, asked = torch.get_num_threads(), []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    load(pipeline_folder("sd"), threads=3).generate(["red"], [0])
    assert asked == [3, before]


@pytest.mark.parametrize("kind", KINDS)
def test_too_long_captions_are_refused_by_name(pipeline_folder: Folders, kind: str) -> None:
    generator = load(pipeline_folder(kind))
    fits = " ".join(["red"] * 14)
    generator.check_captions([fits, ""])
    generator.check_captions([])
    message = (
        "2 of 4 captions are longer than the text encoder's limit of 16 tokens; the longest has 22: 'blue blue blue "
        "blue blue blue blue blue blue blue blue blue  …  blue blue blue blue blue'. Drop concepts, shorten the "
        "template, or choose what is to be done about long captions (--long-captions)."
    )
    captions = [fits, fits + " red", "", " ".join(["blue"] * 20)]
    with pytest.raises(CaptionError, match=f"^{re.escape(message)}$"):
        generator.check_captions(captions)
    with pytest.raises(CaptionError, match=r"^1 of 1 captions is longer than .* 16 tokens; the longest has 17: "):
        generator.generate([fits + " red"], [0])


def test_text_encoders_own_limit_counts(pipeline_folder: Folders) -> None:
    with quiet():
        pipeline = load(pipeline_folder("sd")).pipeline
    pipeline.tokenizer.model_max_length = 1000
    generator = DiffusersGenerator(pipeline, num_inference_steps=1)
    with pytest.raises(CaptionError, match="limit of 16 tokens"):
        generator.check_captions(["red " * 15])
    assert generator.generate(["red"], [0]).shape == (1, 16, 16, 3)


def test_nan_is_an_error(pipeline_folder: Folders) -> None:
    generator = load(pipeline_folder("sd"))
    with torch.no_grad():
        generator.pipeline.vae.decoder.conv_out.bias.fill_(float("nan"))
    message = r"^The pipeline gave NaN in 2 of 2 images at dtype float32\. Try another `dtype`: "
    with pytest.raises(UserError, match=message):
        generator.generate(["red", "blue"], [0, 1])


def test_out_of_memory_halves_the_batch(pipeline_folder: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = load(pipeline_folder("sd"))
    expected = generator.generate(CAPTIONS, SEEDS)
    pipeline, sizes = generator.pipeline, []

    def small(**arguments: Any) -> Any:
        sizes.append(len(arguments["generator"]))
        if sizes[-1] > limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return pipeline(**arguments)

    monkeypatch.setattr(generator, "pipeline", small)
    limit = 2
    assert furthest(generator.generate(CAPTIONS, SEEDS), expected) <= 1
    assert sizes == [5, 2, 2, 1]
    limit = 0
    with pytest.raises(UserError, match=r"^The memory doesn't hold one image\. Choose a smaller `size`"):
        generator.generate(CAPTIONS, SEEDS)


def test_folder_that_is_no_pipeline(tmp_path: Path) -> None:
    message = f"{tmp_path} is not a diffusers pipeline: it has no model_index.json."
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        load(tmp_path)
    with pytest.raises(UserError, match=r"^`generator` must be the folder or .* pipeline; \./none is no folder\.$"):
        load("./none")  # type: ignore[arg-type]


def test_hub_id_that_is_not_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = r"^`generator` nobody/nothing is no folder here, and as a hub id .* Check the name and the network\.$"
    with pytest.raises(UserError, match=message):
        load("nobody/nothing")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"]}, "is a DDPMPipeline without a text enc"),
        ({"_class_name": "StableDiffusionPipeline", "text_encoder": [None, None]}, "without a text encoder"),
        ({"_class_name": "MyPipeline"}, r"is a MyPipeline, which diffusers [\d.]+ doesn't know\.$"),
        (
            {"_class_name": "StableDiffusionImg2ImgPipeline", "text_encoder": ["transformers", "CLIPTextModel"]},
            r"is a StableDiffusionImg2ImgPipeline, not a text-to-image pipeline: it wants image\.$",
        ),
        ([], r"model_index\.json must hold a JSON object; got list\.$"),
    ],
)
def test_pipeline_of_another_kind(tmp_path: Path, index: Any, message: str) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=message):
        load(tmp_path)


def test_damaged_pipeline(pipeline_folder: Folders, tmp_path: Path) -> None:
    folder = shutil.copytree(pipeline_folder("sd"), tmp_path / "sd")
    weights = next((folder / "unet").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(UserError, match=r"^The pipeline .*sd can't be loaded: "):
        load(folder)
    (folder / "model_index.json").write_text("{")
    with pytest.raises(UserError, match=r"model_index\.json can't be read: Expecting property name"):
        load(folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_inference_steps": 0}, r"^`num_inference_steps` must be an integer >= 1; got 0\.$"),
        ({"guidance_scale": float("nan")}, r"^`guidance_scale` must be a number >= 0; got nan\.$"),
        ({"batch_size": 0}, r"^`batch_size` must be an integer >= 1; got 0\.$"),
        ({"threads": 0}, r"^`threads` must be an integer >= 1; got 0\.$"),
        ({"dtype": "int8"}, r"^`dtype` must be one of auto, float32, float16, bfloat16; got 'int8'\.$"),
        ({"device": "tpu9"}, r"^`device` must be auto, cpu, cuda, cuda:1 …; got 'tpu9'\.$"),
        (
            {"scheduler": "DDIN"},
            r"^`scheduler` must be a scheduler of diffusers, such as DDIMScheduler.*; got 'DDIN'\.$",
        ),
        ({"options": {"clipskip": 1}}, r"^`options` has 'clipskip', which StableDiffusionPipeline doesn't take"),
        ({"options": {"latents": 1}}, r"^`options` has 'latents', which StableDiffusionPipeline doesn't take"),
    ],
)
def test_bad_options(pipeline_folder: Folders, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(pipeline_folder("sd"), **options)


def test_scheduler_that_does_not_fit(pipeline_folder: Folders) -> None:
    generator = load(pipeline_folder("lcm"), scheduler="EulerAncestralDiscrete")
    message = (
        r"^LatentConsistencyModelPipeline refused the call: .*original_inference_steps' Check `scheduler`, `size` a"
    )
    with pytest.raises(UserError, match=message):
        generator.generate(["red"], [0])


def test_unequal_captions_and_seeds(pipeline_folder: Folders) -> None:
    with pytest.raises(UserError, match=r"^`captions` and `seeds` must be equally many; got 2 and 1\.$"):
        load(pipeline_folder("sd")).generate(["a", "b"], [1])
