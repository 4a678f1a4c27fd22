"""Names on the command line -> models of the library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlens.errors import UserError

if TYPE_CHECKING:
    from genlens.classifiers.protocol import Classifier
    from genlens.generators.protocol import Generator
    from genlens.progress import Progress

DRAWER, XRAY_DRAWER = "drawer", "xray-drawer"
SHAPES, SCENES = "shapes", "scenes"
"""Names that `--generator` knows beside paths and ids; the last two are shipped pipelines."""


def load_generator(name: str, **options: Any) -> Generator:
    """Load the text-to-image model that `--generator` names.

    Args:
        name: folder or hub id of a diffusers pipeline; "shapes" or "scenes": a shipped one; "drawer" and
            "xray-drawer": perfect generators for drawn data sets; the first takes size, the second no options.
        options: of `DiffusersGenerator.from_pretrained`; those that are None keep the pipeline's own.

    Raises:
        UserError: it is not a pipeline, or an option does not fit it.
    """
    given = {option: value for option, value in options.items() if value is not None}
    if name == DRAWER:
        from genlens.generators.drawer import DrawerGenerator

        strange = sorted(set(given) - {"size", "dtype", "device", "batch_size"})
        if strange:
            raise UserError(f"The drawer has no denoiser, so it takes no `{strange[0]}`; leave it out.")
        return DrawerGenerator(**{option: given[option] for option in given if option == "size"})
    if name == XRAY_DRAWER:
        from genlens.generators.xray_drawer import XrayDrawer

        strange = sorted(set(given) - {"dtype", "device", "batch_size"})
        if strange:
            raise UserError(f"The X-ray drawer has no denoiser, so it takes no `{strange[0]}`; leave it out.")
        return XrayDrawer()
    from genlens.generators.diffusers import DiffusersGenerator

    return DiffusersGenerator.from_pretrained(pipeline_source(name), **given)


def load_models(
    generator: Callable[[], Generator], classifier: str, concept_classifier: str | None
) -> tuple[Generator, dict[str, Classifier]]:
    """Load what an actor of Ray needs, on its own device.

    Args:
        generator: `load_generator` with its options.
        classifier: the target model, as `--classifier` writes it.
        concept_classifier: likewise, or None.
    """
    from genlens.classifiers import load_classifier

    models = {"target": load_classifier(classifier)}
    if concept_classifier is not None:
        models["concepts"] = load_classifier(concept_classifier)
    return generator(), models


def pipeline_source(name: str) -> str:
    """Folder or hub id of a pipeline, which may be named as a shipped one."""
    return str(shipped_pipeline(name)) if name in (SHAPES, SCENES) else name


def shipped_pipeline(name: str) -> Path:
    """Folder of the pipeline that is shipped for the data set of that name."""
    import genlens

    return Path(genlens.__file__).parent / "assets" / f"{name}_generator"


def progress_bar(quiet: bool) -> Progress:
    """Return a bar on stderr, or nothing."""
    from genlens.progress import RichProgress, SilentProgress

    return SilentProgress() if quiet else RichProgress()
