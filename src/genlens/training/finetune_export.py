"""A trained denoiser -> an ordinary diffusers pipeline directory, whole or absent."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor

from genlens.files import WriteError, make_folder
from genlens.generators.lora import merge_lora
from genlens.generators.pipelines import DEFAULTS_FILE, INDEX_FILE, quiet, read_index
from genlens.training.finetune_parts import Base


def export_pipeline(base: Base, denoiser: Any, to: Path, scheduler: Any = None, defaults: Any = None) -> Path:
    """Write a pipeline: the base's parts as they are, but for the denoiser.

    Args:
        base: the pipeline that was fine-tuned.
        denoiser: the trained part, float32.
        to: the folder; an older one is replaced.
        scheduler: another scheduler; None: the base's.
        defaults: content of `genlens.json`; None: the base's, if it has one.

    Returns:
        `to`.

    Raises:
        WriteError: the disk is full, or the folder can't be written.
    """
    aside = to.with_name(f".{to.name}.part")
    make_folder(to.parent)
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir()
        index = read_index(base.folder)
        replaced = {base.denoiser, *(["scheduler"] if scheduler is not None else [])}
        for name, part in index.items():
            if isinstance(part, list) and name not in replaced and (base.folder / name).is_dir():
                shutil.copytree(base.folder / name, aside / name)
        with quiet():
            denoiser.save_pretrained(aside / base.denoiser)
            if scheduler is not None:
                scheduler.save_pretrained(aside / "scheduler")
                index["scheduler"] = ["diffusers", type(scheduler).__name__]
        _forget_places(aside / base.denoiser / "config.json")
        (aside / INDEX_FILE).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        if defaults is not None or base.defaults:
            (aside / DEFAULTS_FILE).write_text(json.dumps(defaults or base.defaults) + "\n", encoding="utf-8")
        shutil.rmtree(to, ignore_errors=True)
        aside.rename(to)
    except OSError as error:
        raise WriteError(to, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return to


def merged_denoiser(base: Base, kind: Any, weights: dict[str, Tensor]) -> Any:
    """The base's denoiser, of class `kind`, with LoRA weights merged into it."""
    with quiet():
        fresh = kind.from_pretrained(str(base.folder / base.denoiser), use_safetensors=True)
    fresh.float()
    merge_lora(fresh, weights)
    return fresh


def _forget_places(config: Path) -> None:
    settings = json.loads(config.read_text(encoding="utf-8"))
    settings.pop("_name_or_path", None)
    config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
