"""From the text that names a segmenter to the segmenter."""

from __future__ import annotations

import inspect
from pathlib import Path

from genlens.classifiers.fingerprint import hash_file, hash_parts
from genlens.classifiers.load import import_file
from genlens.errors import UserError
from genlens.segmenters.callable import CallableSegmenter
from genlens.segmenters.protocol import Segmenter

SHIPPED = ("shapes", "scenes")
FORMS = "'shapes' or 'scenes' (the shipped ones), a folder or hub id of a CLIPSeg, or 'file.py:function'"


def shipped_segmenter(world: str) -> Path:
    """Folder of the segmenter that was trained on one of `SHIPPED`."""
    return Path(__file__).parents[1] / "assets" / f"{world}_segmenter"


def load_segmenter(spec: str, *, template: str = "{}", device: str = "auto", batch_size: int = 32) -> Segmenter:
    """Load the segmenter that a text names.

    Args:
        spec: ``shapes``, ``scenes``, the folder or hub id of a CLIPSeg, or ``file.py:function``. The function takes
            images (B, H, W, 3) and a text and returns masks (B, H, W); or it takes nothing and returns a `Segmenter`.
        template: phrase around what is looked for, for CLIPSeg.
        device: for CLIPSeg.
        batch_size: images at a time.

    Raises:
        UserError: the text, the file or what it holds is wrong.
    """
    if not spec:
        raise UserError(f"`segmenter` must be {FORMS}; got nothing.")
    path, separator, name = spec.rpartition(":")
    if separator and path.endswith(".py") and name:
        return _from_file(Path(path), name, batch_size)
    from genlens.segmenters.clipseg import ClipSegSegmenter

    source: str | Path = shipped_segmenter(spec) if spec in SHIPPED else spec
    return ClipSegSegmenter.from_pretrained(source, template=template, device=device, batch_size=batch_size)


def _from_file(path: Path, name: str, batch_size: int) -> Segmenter:
    if not path.is_file():
        raise UserError(f"There is no file {str(path)!r} to take the segmenter {name!r} from.")
    found = getattr(import_file(path), name, None)
    if inspect.isfunction(found) and not inspect.signature(found).parameters:
        found = found()
    if isinstance(found, Segmenter) and not isinstance(found, type):
        return found
    if not callable(found):
        raise UserError(f"{path}:{name} must be a function of images and a text, or return a Segmenter; got {found!r}.")
    return CallableSegmenter(found, batch_size=batch_size, fingerprint=hash_parts(hash_file(path), name), name=name)
