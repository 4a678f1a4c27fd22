"""Loading a diffusers pipeline: everything that can be wrong with it is said before its weights are read."""

from __future__ import annotations

import difflib
import inspect
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from genlens.errors import UserError
from genlens.generators.lora import merge_lora_file
from genlens.generators.speed import load_tiny_vae

INDEX_FILE = "model_index.json"
DEFAULTS_FILE = "genlens.json"
"""Optional, beside `model_index.json`: the steps and the guidance the pipeline was made for."""
_DEFAULTS = ("num_inference_steps", "guidance_scale")
_DTYPES = ("float32", "float16", "bfloat16")
_SAFE: dict[str, Any] = {"use_safetensors": True, "trust_remote_code": False}
"""A pipeline is data: weights that are pickles and code that comes with it aren't loaded."""


def load_pipeline(
    source: str | Path,
    *,
    dtype: str,
    device: str,
    scheduler: str | None,
    lora: Sequence[str | Path],
    lcm: bool,
    tiny_vae: str | Path | None = None,
) -> tuple[Any, dict[str, float]]:
    """Load a text-to-image pipeline, without its safety checker. Its weights must be safetensors.

    Args:
        source: its folder, or its id on the Hugging Face hub.
        dtype: "auto" (float32 on the CPU, float16 elsewhere), "float32", "float16" or "bfloat16".
        device: "auto" or a torch device.
        scheduler: name of a diffusers scheduler to use instead of the pipeline's, "Scheduler" may be left out.
        lora: files, folders or hub ids of LoRA weights, merged in this order.
        lcm: use the scheduler of latent consistency models.
        tiny_vae: folder or hub id of a tiny decoder that takes the VAE's place.

    Returns:
        The pipeline, and the defaults of its `genlens.json`.

    Raises:
        UserError: it isn't there, isn't a text-to-image pipeline, or an option doesn't fit it.
    """
    folder = pipeline_folder(source)
    index = read_index(folder)
    _check_text_to_image(source, index)
    defaults = read_defaults(folder)
    device, torch_dtype = _device_and_dtype(device, dtype)
    scheduler_class = _scheduler_class("LCMScheduler" if lcm and scheduler is None else scheduler)
    adapters = [_lora_source(one) for one in lora]
    with quiet():
        from diffusers import DiffusionPipeline

        loader: Any = DiffusionPipeline
        parts: dict[str, Any] = {}
        if "safety_checker" in index:
            parts = {"safety_checker": None, "requires_safety_checker": False}
        try:
            pipeline = loader.from_pretrained(str(folder), dtype=torch_dtype, **_SAFE, **parts)
        except (OSError, ValueError, TypeError, AttributeError, ImportError, RuntimeError) as error:
            raise UserError(f"The pipeline {source} can't be loaded: {_first_line(error)}") from error
        for adapter in adapters:
            _merge_lora(pipeline, adapter)
        if scheduler_class is not None:
            pipeline.scheduler = scheduler_class.from_config(pipeline.scheduler.config)
        if tiny_vae is not None:
            pipeline.vae = load_tiny_vae(tiny_vae, pipeline, torch_dtype)
        pipeline.to(device)
    return pipeline, defaults


def read_index(folder: Path) -> dict[str, Any]:
    """The parts of a pipeline, from `model_index.json`.

    Raises:
        UserError: it can't be read, or a part isn't a class of diffusers or transformers.
    """
    path = folder / INDEX_FILE
    index = _read_object(path)
    for name, part in index.items():
        if not isinstance(part, list):
            continue
        if len(part) != 2 or not all(entry is None or isinstance(entry, str) for entry in part):
            raise UserError(f"{path}: the part {name!r} must be [library, class]; got {part!r}.")
        if part[0] not in (None, "diffusers", "transformers") and name != "safety_checker":
            raise UserError(f"{path}: the part {name!r} comes from {part[0]!r}; only diffusers and transformers may.")
    return index


def read_defaults(folder: Path) -> dict[str, float]:
    """Steps and guidance from `genlens.json`, if the pipeline has one.

    Raises:
        UserError: it can't be read, or has other entries.
    """
    path = folder / DEFAULTS_FILE
    if not path.is_file():
        return {}
    defaults = _read_object(path)
    for name in defaults:
        if name not in _DEFAULTS:
            raise UserError(f"{path} has the entry '{name}'. Entries: {', '.join(_DEFAULTS)}.")
    return defaults


@contextmanager
def quiet() -> Iterator[None]:
    """Neither progress bars nor notes nor deprecations from diffusers and transformers: errors are exceptions."""
    transformers_log: Any = import_module("transformers.utils.logging")
    before = transformers_log.get_verbosity()
    transformers_log.set_verbosity_error()
    diffusers_log: Any = import_module("diffusers.utils.logging")
    diffusers_before = diffusers_log.get_verbosity()
    bars = [log for log in (transformers_log, diffusers_log) if log.is_progress_bar_enabled()]
    diffusers_log.set_verbosity_error()
    for log in bars:
        log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for log in bars:
            log.enable_progress_bar()
        transformers_log.set_verbosity(before)
        diffusers_log.set_verbosity(diffusers_before)


def pipeline_folder(source: str | Path) -> Path:
    """The folder itself, or the local copy of a hub id, downloaded if need be.

    Raises:
        UserError: it is neither.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        if not (folder / INDEX_FILE).is_file():
            raise UserError(f"{source} is not a diffusers pipeline: it has no {INDEX_FILE}.")
        return folder
    text = str(source)
    if folder.is_file() or folder.is_absolute() or text.startswith((".", "~")) or text.count("/") > 1:
        raise UserError(f"`generator` must be the folder or the hub id of a diffusers pipeline; {source} is no folder.")
    with quiet():
        from diffusers import DiffusionPipeline

        try:
            return Path(DiffusionPipeline.download(text, **_SAFE))
        except Exception as error:  # whatever the hub's client and its network library raise
            raise UserError(
                f"`generator` {source} is no folder here, and as a hub id it is neither in the local cache nor can it "
                f"be downloaded ({type(error).__name__}). Check the name and the network."
            ) from error


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} can't be read: {_first_line(error)}.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a JSON object; got {type(content).__name__}.")
    return content


def _check_text_to_image(source: str | Path, index: dict[str, Any]) -> None:
    name = index.get("_class_name")
    with quiet():
        import diffusers

        kind = getattr(diffusers, name, None) if isinstance(name, str) else None
    if kind is None:
        raise UserError(f"{source} is a {name}, which diffusers {diffusers.__version__} doesn't know.")
    encoders = [part for part in index if part.startswith("text_encoder")]
    if not any(isinstance(index[part], list) and index[part][0] for part in encoders):
        raise UserError(f"{source} is a {name} without a text encoder, so captions can't tell it what to show.")
    needed = {
        parameter.name
        for parameter in list(inspect.signature(kind.__call__).parameters.values())[1:]
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    } - {"prompt"}
    images = needed | ({"image"} & set(inspect.signature(kind.__call__).parameters))
    if images:
        raise UserError(f"{source} is a {name}, not a text-to-image pipeline: it wants {', '.join(sorted(images))}.")


def _device_and_dtype(device: str, dtype: str) -> tuple[str, Any]:
    import torch

    if dtype not in ("auto", *_DTYPES):
        raise UserError(f"`dtype` must be one of auto, {', '.join(_DTYPES)}; got {dtype!r}.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise UserError(f"`device` must be auto, cpu, cuda, cuda:1 …; got {device!r}.") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"`device` is {device!r}, but torch sees no such GPU. Pass --device cpu.")
    if dtype == "auto":
        dtype = "float32" if kind == "cpu" else "float16"
    return device, getattr(torch, dtype)


def _scheduler_class(name: str | None) -> Any:
    if name is None:
        return None
    with quiet():
        import diffusers
        from diffusers.schedulers.scheduling_utils import SchedulerMixin

        known = {entry.lower(): entry for entry in dir(diffusers) if entry.endswith("Scheduler")}
        entry = known.get(name.lower()) or known.get(f"{name}Scheduler".lower())
        kind = getattr(diffusers, entry) if entry else None
    if not (isinstance(kind, type) and issubclass(kind, SchedulerMixin)):
        near = difflib.get_close_matches(f"{name}Scheduler".lower(), known, n=3, cutoff=0.5)
        examples = ", ".join(known[match] for match in near) or "DDIMScheduler, EulerDiscreteScheduler, LCMScheduler"
        raise UserError(f"`scheduler` must be a scheduler of diffusers, such as {examples}; got {name!r}.")
    return kind


def _lora_source(source: str | Path) -> str:
    path = Path(source).expanduser()
    looks_local = path.suffix or path.is_absolute() or str(source).startswith((".", "~"))
    if looks_local and not path.exists():
        raise UserError(f"`lora` {source} doesn't exist.")
    return str(path if path.exists() else source)


def _merge_lora(pipeline: Any, source: str) -> None:
    name = type(pipeline).__name__
    if not hasattr(pipeline, "load_lora_weights"):
        merge_lora_file(pipeline, source)
        return
    try:
        pipeline.load_lora_weights(source, use_safetensors=True)
        pipeline.fuse_lora()
        pipeline.unload_lora_weights()
    except Exception as error:  # diffusers, peft and the hub's client raise all kinds for weights that don't fit
        raise UserError(f"`lora` {source} doesn't fit {name}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
