"""Fine-tuning a text-to-image pipeline on captioned images: checked, resumable, measured as it goes.

The denoiser is trained, whole or by LoRA; text encoders and autoencoder stay. Every step is a function of (seed, step),
so a training that was killed goes on to the weights it would have had: on one CPU thread bit for bit.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from pathlib import Path

from genlens.classifiers.fingerprint import hash_file, hash_parts
from genlens.progress import Progress, SilentProgress
from genlens.training.finetune_checkpoint import TrainingFolder
from genlens.training.finetune_data import CaptionedImages
from genlens.training.finetune_loss import DenoisingLoss
from genlens.training.finetune_parts import Base, Parts
from genlens.training.finetune_quality import QualityProbe
from genlens.training.finetune_recipe import FinetuneRecipe
from genlens.training.finetune_run import Schedule, Trained, Training, check_device, new_accelerator, open_folder
from genlens.training.lora import add_lora


def train_generator(
    data: CaptionedImages,
    base: str | Path,
    out: str | Path,
    recipe: FinetuneRecipe,
    *,
    held_out: CaptionedImages | None = None,
    probe: QualityProbe | None = None,
    schedule: Schedule | None = None,
    size: int | None = None,
    merge: bool = False,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Trained:
    """Fine-tune a Stable Diffusion, SDXL or PixArt pipeline.

    Args:
        data: what it is trained on.
        base: folder or hub id of the pipeline; its weights must be safetensors.
        out: folder of the training. The same call goes on where it stopped. `pipeline/` in it is the result, a
            diffusers pipeline with the averaged weights; with LoRA `lora/` is, and `pipeline/` with `merge`.
        recipe: everything that decides the weights.
        held_out: images whose captions are rendered for the contact sheets `validation/step-….png`.
        probe: measures the quality cards, kept in `quality.csv`.
        schedule: checkpoints and validation.
        size: side of the images in pixels; None: the size the pipeline was trained for.
        merge: with LoRA, also write the merged pipeline.
        device: "auto" (what Accelerate finds) or "cpu".
        overwrite: throw away the training in `out`.
        progress: told about images that were trained on.

    Returns:
        Where the result is, and how good it is.

    Raises:
        UserError: captions that are too long or have unknown words, a base that doesn't fit, a folder of another
            training; all before weights are read. Later: no memory, a loss that isn't a number, a full disk.
        KeyboardInterrupt: Ctrl-C (or SIGTERM); a checkpoint was written first.
    """
    schedule, progress = schedule or Schedule(), progress or SilentProgress()
    found = Base.of(base)
    found.check_captions([*data.captions, *(held_out.captions if held_out else ()), ""])
    check_device(device, recipe)
    folder = TrainingFolder(Path(out), schedule.keep)
    identity = recipe.identity() | {"base": base_digest(found), "data": data_digest(data), "size": size}
    accelerator = new_accelerator(recipe, device)
    open_folder(folder, accelerator, identity, overwrite)
    parts = Parts(found, str(accelerator.device))
    if recipe.lora_rank is None:
        parts.denoiser.requires_grad_(True)
    else:
        add_lora(parts.denoiser, recipe.lora_rank, recipe.seed)
    loss = DenoisingLoss(found.scheduler, recipe)
    training = Training(folder, parts, data, loss, recipe, accelerator, schedule, size)
    training.watch(held_out, probe)
    training.run(progress)
    return training.finish(merge)


def base_digest(base: Base) -> str:
    """Hash of the base's files."""
    files = sorted(file for file in base.folder.rglob("*") if file.suffix in (".json", ".safetensors", ".txt"))
    inside = [file for file in files if file.parent.parent == base.folder]
    return hash_parts(*(part for file in inside for part in (f"{file.parent.name}/{file.name}", hash_file(file))))


def data_digest(data: CaptionedImages) -> str:
    """Hash of names, captions and sizes of the image files."""
    rows = [data.names, data.captions, [path.stat().st_size for path in data.paths]]
    return blake2b(json.dumps(rows, ensure_ascii=False).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
