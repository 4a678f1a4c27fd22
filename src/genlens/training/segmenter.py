"""The shipped segmenter, a tiny CLIPSeg: ``python -m genlens.training.segmenter OUT``, resumable.

Three stages, as CLIPSeg itself has a decoder on a frozen CLIP. **Text**: every phrase that names the same thing gets
the same hand-made vector; the vectors of "red circle" and "red" share a part. **Vision**: the tower, with a linear head
that is thrown away, segments everything at once. **Decoder**: both towers stand still; what is asked for and isn't
there has an empty mask.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from genlens.training.concept_nets import augment
from genlens.training.segmenter_data import FOREIGN, World, worlds
from genlens.training.segmenter_model import (
    HIDDEN,
    IMAGE_SIZE,
    PATCH,
    PROJECTION,
    mask_logits,
    new_segmenter,
    scale_reductions,
    vision_layers,
)
from genlens.training.segmenter_text import new_tokenizer, phrase
from genlens.training.timed import warmup_cosine

if TYPE_CHECKING:
    from transformers import CLIPSegForImageSegmentation, PreTrainedTokenizerFast

PREPROCESSING = {
    "image_processor_type": "ViTImageProcessor",
    "do_resize": True, "size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE}, "resample": 2,
    "do_rescale": True, "rescale_factor": 1 / 255,
    "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.25] * 3,
}  # fmt: skip
EASY = 0.4
"""Share of the vision tower's steps on clean pictures without overlaps, at the beginning."""
DATA_SEEDS = 6_000_000_000
"""First data seed; the generators', the judge's and the concept nets' training data lie elsewhere."""


@dataclass(frozen=True)
class SegmenterRecipe:
    """How the segmenter is trained.

    Attributes:
        text_steps: batches of 128 phrases.
        vision_steps: batches of pictures for the vision tower.
        decoder_steps: batches of pictures for the decoder.
        batch: pictures a batch, shared by the worlds.
        prompts: prompts a picture.
        rate: the highest learning rate (AdamW; warm-up, then a cosine to a hundredth).
        seed: of the first weights, the prompts and the augmentation.
        worlds: names of the worlds.
    """

    text_steps: int = 400
    vision_steps: int = 2000
    decoder_steps: int = 1500
    batch: int = 32
    prompts: int = 4
    rate: float = 1.5e-3
    seed: int = 0
    worlds: tuple[str, ...] = ("shapes", "scenes")


def mask_loss(logits: Tensor, masks: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy of pixels plus, for prompts that are there, one minus the soft Dice overlap.

    Args:
        logits: (B, K, H, W).
        masks: float (B, K, H, W).
        known: float (B, K), 0 for prompts that don't count.
    """
    crossed = functional.binary_cross_entropy_with_logits(logits, masks, reduction="none").mean((2, 3))  # (B, K)
    seen, area = logits.sigmoid(), masks.sum((2, 3))
    dice = 1 - (2 * (seen * masks).sum((2, 3)) + 1) / (seen.sum((2, 3)) + area + 1)
    there = (area > 0).float() * known
    loss: Tensor = (crossed * known).sum() / known.sum().clamp(min=1)
    return 4 * loss + 0.5 * (dice * there).sum() / there.sum().clamp(min=1)


def prompted_batch(
    sources: Sequence[World], recipe: SegmenterRecipe, step: int
) -> tuple[NDArray[np.uint8], list[str], NDArray[np.float32], NDArray[np.float32]]:
    """Pictures (B, 64, 64, 3), B * K prompts, masks (B, K, 64, 64) and whether they count (B, K).

    One prompt in twenty names something of another world, or nothing anybody knows: its mask is empty.
    """
    rng = np.random.default_rng((recipe.seed, step))
    share = recipe.batch // len(sources)
    images, prompts, masks, known = [], [], [], []
    for number, world in enumerate(sources):
        found = world.sample(share, DATA_SEEDS + 10 * step + number, False)
        images.append(augment(found.images, rng, shift=0))
        strangers = [*FOREIGN, *(name for other in sources if other is not world for name in other.classes)]
        weights = np.array([2.0 if name in world.classes else 1.0 for name in world.prompts])
        for i in range(share):
            chosen = rng.choice(len(weights), recipe.prompts, replace=False, p=weights / weights.sum())
            names, mask, counts = [world.prompts[j] for j in chosen], found.masks[i, chosen], found.known[i, chosen]
            if rng.random() < 0.05 * recipe.prompts:
                names[0], mask[0], counts[0] = str(rng.choice(strangers)), False, True
            prompts += [phrase(name, rng) for name in names]
            masks.append(mask)
            known.append(counts)
    return np.concatenate(images), prompts, np.stack(masks).astype(np.float32), np.stack(known).astype(np.float32)


def text_targets(names: Sequence[str]) -> Tensor:
    """Vectors (P, 64) of names: fixed random parts of each word and of the whole, added; about unit variance."""
    parts: dict[str, NDArray[np.float64]] = {}
    for part in sorted({*names, *(word for name in names for word in name.split())}):
        seed = int.from_bytes(part.encode()[-24:], "little")
        parts[part] = np.random.default_rng(seed).standard_normal(PROJECTION)
    rows = [np.sum([parts[name], *(parts[word] for word in name.split())], axis=0) for name in names]
    return torch.tensor(np.array([row / row.std() for row in rows]), dtype=torch.float32)


def text_loss(model: CLIPSegForImageSegmentation, tokenizer: Any, names: Sequence[str], seed: int) -> Tensor:
    """Squared error of the vectors of 128 phrases, a few of them about things nobody knows (vector 0)."""
    rng = np.random.default_rng(seed)
    targets = torch.cat([text_targets(names), torch.zeros(len(FOREIGN), PROJECTION)])
    chosen = rng.integers(0, len(targets), 128)
    everything = [*names, *FOREIGN]
    tokens = tokenizer([phrase(everything[j], rng) for j in chosen], padding=True, return_tensors="pt")
    found = model.clip.get_text_features(tokens.input_ids, attention_mask=tokens.attention_mask).pooler_output
    loss: Tensor = (found - targets[torch.from_numpy(chosen)]).square().mean()
    return loss


def vision_loss(
    model: CLIPSegForImageSegmentation, heads: torch.nn.ModuleDict, sources: Sequence[World], batch: int, step: int,
    easy: bool,
) -> Tensor:
    """All masks of pictures from the last layer's patches, each patch its 64 pixels, as `mask_loss` has it."""
    rng, share = np.random.default_rng((2, step)), batch // len(sources)
    found = [world.sample(share, DATA_SEEDS + 10 * step + k, easy) for k, world in enumerate(sources)]
    pictures = [one.images if easy else augment(one.images, rng, shift=0) for one in found]
    hidden = vision_layers(model, np.concatenate(pictures))[-1]
    total, first = torch.zeros(()), 0
    for world, one in zip(sources, found, strict=True):
        patches = hidden[first : first + len(one.images), 1:].transpose(1, 2)  # (b, C, 64)
        first += len(one.images)
        pixels = heads[world.name](patches.transpose(1, 2)).transpose(1, 2)  # (b, P * 64, 64)
        logits = functional.fold(pixels, IMAGE_SIZE, PATCH, stride=PATCH)  # (b, P, 64, 64)
        total = total + mask_loss(logits, torch.from_numpy(one.masks).float(), torch.from_numpy(one.known).float())
    return total / len(sources)


def decoder_loss(
    model: CLIPSegForImageSegmentation, tokenizer: Any, sources: Sequence[World], recipe: SegmenterRecipe, step: int
) -> Tensor:
    """`mask_loss` of prompts."""
    images, prompts, masks, known = prompted_batch(sources, recipe, step)
    tokens = tokenizer(prompts, padding=True, truncation=True, return_tensors="pt")
    return mask_loss(mask_logits(model, images, tokens), torch.from_numpy(masks), torch.from_numpy(known))


def train_segmenter(
    recipe: SegmenterRecipe, out: Path, *, start_from: Path | None = None, log: Callable[[str], None] = print
) -> CLIPSegForImageSegmentation:
    """Train, with a checkpoint and a line every minute; the same command goes on where it was stopped.

    Args:
        recipe: data, length and rate.
        out: gets model, tokenizer and preprocessing, and until the end a checkpoint of each stage.
        start_from: folder of a segmenter whose weights are the first ones.
        log: gets the lines.
    """
    tokenizer, sources = new_tokenizer(), worlds(recipe.worlds)
    torch.manual_seed(recipe.seed)
    model = new_segmenter(tokenizer)
    if start_from is not None:
        model.load_state_dict(type(model).from_pretrained(start_from).state_dict())
    heads = torch.nn.ModuleDict(
        {world.name: torch.nn.Linear(HIDDEN, len(world.prompts) * PATCH * PATCH) for world in sources}
    )
    names = [name for world in worlds(("shapes", "scenes")) for name in world.prompts]
    names = list(dict.fromkeys(names))
    text = [*model.clip.text_model.parameters(), *model.clip.text_projection.parameters()]
    vision = [*model.clip.vision_model.parameters(), *heads.parameters()]
    whole = torch.nn.ModuleDict({"model": model, "heads": heads})
    out.mkdir(parents=True, exist_ok=True)
    stages: list[tuple[str, list[torch.nn.Parameter], int, Callable[[int], Tensor]]] = [
        ("text", text, recipe.text_steps, lambda step: text_loss(model, tokenizer, names, step)),
        ("vision", vision, recipe.vision_steps,
         lambda step: vision_loss(model, heads, sources, recipe.batch, step, step < EASY * recipe.vision_steps)),
        ("decoder", [*model.decoder.parameters()], recipe.decoder_steps,
         lambda step: decoder_loss(model, tokenizer, sources, recipe, step)),
    ]  # fmt: skip
    for name, parameters, steps, loss_of in stages:
        if name == "decoder" and start_from is None:
            scale_reductions(model, sources[0].sample(32, DATA_SEEDS - 1, False).images)
        _stage(name, whole, parameters, steps, recipe.rate, loss_of, out / f"{name}.pt", log)
    save(model, tokenizer, out)
    for name, *_ in stages:
        (out / f"{name}.pt").unlink()
    return model.eval()


def _stage(
    name: str, whole: torch.nn.Module, parameters: list[torch.nn.Parameter], steps: int, rate: float,
    loss_of: Callable[[int], Tensor], checkpoint: Path, log: Callable[[str], None],
) -> None:  # fmt: skip
    """One stage, or the rest of it."""
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
    first, spent = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        whole.load_state_dict(state["whole"])
        optimizer.load_state_dict(state["optimizer"])
        first, spent = int(state["step"]), float(state["seconds"])
    began = told = time.monotonic()
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * max(warmup_cosine(step / steps), 0.01)
        loss = loss_of(step)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if time.monotonic() - told > 60 or step == steps - 1:
            told = time.monotonic()
            seconds = spent + told - began
            log(f"{name} {seconds:6.0f} s  step {step + 1} of {steps}: loss {loss.item():.4f}")
            state = {"whole": whole.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(state | {"seconds": seconds}, checkpoint.with_suffix(".new"))
            os.replace(checkpoint.with_suffix(".new"), checkpoint)


def save(model: CLIPSegForImageSegmentation, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write model, tokenizer and preprocessing as transformers reads them."""
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "preprocessor_config.json").write_text(json.dumps(PREPROCESSING, indent=2) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    """Train."""
    parser = argparse.ArgumentParser(prog="python -m genlens.training.segmenter", description=__doc__)
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--worlds", default="shapes,scenes", help="names, separated by commas")
    parser.add_argument("--vision-steps", type=int, default=SegmenterRecipe.vision_steps)
    parser.add_argument("--decoder-steps", type=int, default=SegmenterRecipe.decoder_steps)
    parser.add_argument("--batch", type=int, default=SegmenterRecipe.batch, help="pictures a step")
    parser.add_argument("--start-from", type=Path, help="folder of a segmenter to go on from")
    given = parser.parse_args(argv)
    recipe = SegmenterRecipe(
        vision_steps=given.vision_steps, decoder_steps=given.decoder_steps, batch=given.batch,
        worlds=tuple(given.worlds.split(",")),
    )  # fmt: skip
    train_segmenter(recipe, given.out, start_from=given.start_from, log=lambda line: print(line, flush=True))
    told = asdict(recipe)
    if given.start_from is not None:
        told["start"] = json.loads((given.start_from / "recipe.json").read_text(encoding="utf-8"))
    (given.out / "recipe.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
