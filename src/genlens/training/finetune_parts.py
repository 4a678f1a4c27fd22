"""The parts of a pipeline as training sees them: checked from its files first, then loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from genlens.errors import UserError
from genlens.generators.pipelines import load_pipeline, pipeline_folder, quiet, read_defaults, read_index
from genlens.generators.prompt_embeddings import PromptEmbeddings, check_lengths, parameters, token_limits
from genlens.training.finetune_loss import noise_schedule

DENOISERS = {
    "StableDiffusionPipeline": "unet",
    "StableDiffusionXLPipeline": "unet",
    "PixArtAlphaPipeline": "transformer",
    "PixArtSigmaPipeline": "transformer",
}
"""Pipelines that can be fine-tuned -> their part that is."""
_PLAIN_SIDE = 16
"""Latents up to this side are trained with plain attention on CPUs."""


@dataclass(frozen=True)
class Base:
    """A pipeline on disk, its weights unread.

    Attributes:
        folder: of the pipeline.
        denoiser: name of the part that is trained.
        scheduler: its scheduler's config.
        defaults: steps and guidance of its `genlens.json`.
    """

    folder: Path
    denoiser: str
    scheduler: dict[str, Any]
    defaults: dict[str, float]

    @classmethod
    def of(cls, source: str | Path) -> Base:
        """Look at a folder or a hub id.

        Raises:
            UserError: it isn't there, is another kind of pipeline, or its scheduler can't be trained for.
        """
        try:
            folder = pipeline_folder(source)
        except UserError as error:
            raise UserError(str(error).replace("`generator`", "`base`")) from error
        name = str(read_index(folder).get("_class_name"))
        if name not in DENOISERS:
            raise UserError(f"{source} is a {name}, which can't be fine-tuned here. These can: {', '.join(DENOISERS)}.")
        config = _json(folder / "scheduler" / "scheduler_config.json")
        noise_schedule(config)
        return cls(folder, DENOISERS[name], config, read_defaults(folder))

    def check_captions(self, captions: Sequence[str]) -> None:
        """Refuse captions that a text encoder would cut, or whose words a tokenizer doesn't know.

        Raises:
            CaptionError: some are too long.
            UserError: a word is unknown, or a tokenizer can't be read.
        """
        from transformers import AutoTokenizer

        parts: dict[str, Any] = {}
        for name, entry in read_index(self.folder).items():
            if name.startswith("tokenizer") and isinstance(entry, list) and entry[0]:
                try:
                    with quiet():
                        parts[name] = AutoTokenizer.from_pretrained(str(self.folder / name), trust_remote_code=False)
                except (OSError, ValueError, ImportError, KeyError) as error:
                    raise UserError(f"The tokenizer of {self.folder} can't be read: {error}") from error
            if name.startswith("text_encoder") and isinstance(entry, list) and entry[0]:
                parts[name] = SimpleNamespace(config=SimpleNamespace(**_json(self.folder / name / "config.json")))
        distinct = list(dict.fromkeys(captions))
        check_lengths(token_limits(SimpleNamespace(components=parts), None), distinct)
        for name, part in parts.items():
            if name.startswith("tokenizer"):
                _refuse_unknown_words(part, distinct)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read: {error}.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a JSON object; got {type(content).__name__}.")
    return content


def _refuse_unknown_words(tokenizer: Any, captions: Sequence[str]) -> None:
    unknown = tokenizer.unk_token_id
    if unknown is None or unknown in (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id):
        return  # a tokenizer of byte pairs knows every word
    for caption in captions:
        if unknown in tokenizer(caption, truncation=False, verbose=False)["input_ids"]:
            words = [word for word in caption.replace(",", " ").split()
                     if unknown in tokenizer(word, verbose=False)["input_ids"]]  # fmt: skip
            raise UserError(
                f"The pipeline's tokenizer doesn't know {words[0] if words else caption!r}, a word of the caption "
                f"{caption!r}, so it can't learn it. Choose another base or other names."
            )


def _plain_attention(denoiser: Any) -> None:
    """On a CPU, attention over few tokens without the fused kernel: its backward pass is slow, in bf16 above all.

    The matrices of attention are then held in memory, so larger latents keep the kernel.
    """
    from diffusers.models.attention_processor import AttnProcessor

    side = getattr(denoiser.config, "sample_size", None)
    if denoiser.device.type == "cpu" and isinstance(side, int) and side <= _PLAIN_SIDE:
        denoiser.set_attn_processor(AttnProcessor())


class Parts:
    """A loaded pipeline: what is trained, and what turns images and captions into its inputs.

    Args:
        base: where it lies.
        device: torch device of everything.
    """

    def __init__(self, base: Base, device: str) -> None:
        self.base = base
        self.pipeline, _ = load_pipeline(
            base.folder, dtype="float32", device=device, scheduler=None, lora=(), lcm=False
        )
        self.denoiser: Any = getattr(self.pipeline, base.denoiser)
        _plain_attention(self.denoiser)
        for part in self.pipeline.components.values():
            if isinstance(part, torch.nn.Module):
                part.requires_grad_(False).eval()
        options: dict[str, Any] = {}
        accepted = parameters(self.pipeline.encode_prompt)
        if "clean_caption" in accepted:
            options["clean_caption"] = False
        if "max_sequence_length" in accepted:
            options["max_sequence_length"] = min(limit for _, limit in token_limits(self.pipeline, None))
        self._embeddings = PromptEmbeddings(self.pipeline, options, guided=False)

    @property
    def device(self) -> torch.device:
        """Where the parts are."""
        device: torch.device = self.denoiser.device
        return device

    @torch.no_grad()
    def moments(self, pixels: Tensor) -> Tensor:
        """What the autoencoder makes of images (B, 3, H, W) in [-1, 1].

        Returns:
            (B, C, h, w), or (B, 2 C, h, w) with the logarithm of the variance behind the mean.
        """
        found = self.pipeline.vae.encode(pixels.to(self.device))
        distribution = getattr(found, "latent_dist", None)
        moments: Tensor = found.latents if distribution is None else distribution.parameters
        return moments.float()

    def latents(self, moments: Tensor, rng: torch.Generator) -> Tensor:
        """Latents (B, C, h, w) as the denoiser sees them, drawn from the autoencoder's posterior where it has one."""
        config = self.pipeline.vae.config
        if moments.shape[1] == 2 * config.latent_channels:
            mean, logvar = moments.chunk(2, dim=1)
            noise = torch.randn(mean.shape, generator=rng).to(mean.device)
            moments = mean + (0.5 * logvar.clamp(-30, 20)).exp() * noise
        shift = getattr(config, "shift_factor", None) or 0.0
        latents: Tensor = (moments - shift) * config.scaling_factor
        return latents

    @torch.no_grad()
    def words(self, captions: Sequence[str]) -> dict[str, Tensor]:
        """Text embeddings by argument, a caption at a time, so that they don't depend on what came before."""
        for caption in captions:
            self._embeddings.arguments([caption])
        told = self._embeddings.arguments(captions)
        return {name: value for name, value in told.items() if value is not None}

    def predict(self, model: Any, noisy: Tensor, times: Tensor, words: dict[str, Tensor]) -> Tensor:
        """What the denoiser `model` says of noisy latents (B, C, h, w) at times (B,): float32, of the same shape."""
        arguments: dict[str, Any] = {"encoder_hidden_states": words["prompt_embeds"]}
        if "prompt_attention_mask" in words:
            arguments["encoder_attention_mask"] = words["prompt_attention_mask"]
        added = self._added(noisy, words)
        if added:
            arguments["added_cond_kwargs"] = added
        output: Tensor = model(noisy, timestep=times, return_dict=False, **arguments)[0]
        return output[:, : noisy.shape[1]].float()  # PixArt may say the variance as well, behind

    def _added(self, noisy: Tensor, words: dict[str, Tensor]) -> dict[str, Tensor]:
        """Size conditions of SDXL and of the larger PixArt: as if nothing were cropped."""
        n = len(noisy)
        factor = self.pipeline.vae_scale_factor
        height, width = (float(side * factor) for side in noisy.shape[2:])
        if "pooled_prompt_embeds" in words:
            sizes = torch.tensor([[height, width, 0, 0, height, width]], device=noisy.device).repeat(n, 1)
            return {"text_embeds": words["pooled_prompt_embeds"], "time_ids": sizes}
        if getattr(self.denoiser.config, "use_additional_conditions", False):
            resolution = torch.tensor([[height, width]], device=noisy.device).repeat(n, 1)
            return {"resolution": resolution, "aspect_ratio": resolution[:, :1] / resolution[:, 1:]}
        return {}
