"""What annotators made of transformers models share: loading, prompts, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genlens.classifiers.batches import describe_error
from genlens.errors import UserError


def load_pretrained(source: str | Path, kinds: Sequence[str]) -> tuple[Any, Any]:
    """Model and processor of a folder or a hub id; weights must be safetensors, code isn't loaded.

    Args:
        source: folder or hub id.
        kinds: model types of transformers that will do.

    Raises:
        UserError: no such model, another kind, or no safetensors weights.
    """
    import transformers

    from genlens.generators.pipelines import quiet

    classes = {
        "clip": "CLIPModel",
        "owlv2": "Owlv2ForObjectDetection",
        "grounding-dino": "GroundingDinoForObjectDetection",
    }
    where = str(source)
    try:
        with quiet():
            kind = transformers.AutoConfig.from_pretrained(where, trust_remote_code=False).model_type
            if kind not in kinds:
                raise UserError(f"{where!r} is a {kind} model; this annotator takes {' or '.join(kinds)}.")
            processor = transformers.AutoProcessor.from_pretrained(where, trust_remote_code=False)
            model = getattr(transformers, classes[kind]).from_pretrained(where, use_safetensors=True)
    except UserError:
        raise
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        raise UserError(f"{where!r} can't be loaded as {' or '.join(kinds)}: {describe_error(error)}.") from error
    return model.float(), processor


def prompts_of(concepts: Sequence[str], template: str) -> list[str]:
    """Prompts of concepts.

    Raises:
        UserError: the template doesn't have one place for the name.
    """
    if template.count("{}") != 1:
        raise UserError(f"`template` must have one {{}} for the concept; got {template!r}.")
    return [template.replace("{}", concept) for concept in concepts]


def check_tokens(tokenizer: Any, prompts: Sequence[str], limit: int) -> None:
    """Refuse prompts of more tokens than a text encoder takes.

    Raises:
        UserError: names the longest.
    """
    lengths = [len(ids) for ids in tokenizer(list(prompts), truncation=False, verbose=False)["input_ids"]]
    if max(lengths) > limit:
        longest = prompts[lengths.index(max(lengths))]
        raise UserError(
            f"The prompt {longest[:60]!r} has {max(lengths)} tokens; the annotator takes {limit}. Shorten it."
        )


def pictures_of(images: Sequence[NDArray[np.uint8]]) -> list[Image.Image]:
    """Images as Pillow has them, which every processor reads rightly."""
    return [Image.fromarray(np.asarray(image)) for image in images]
