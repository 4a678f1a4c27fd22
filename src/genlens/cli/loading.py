"""Values of the options -> objects of the library."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlens.cli.options import split_names, split_pairs
from genlens.errors import UserError

if TYPE_CHECKING:
    from genlens.classifiers.protocol import Classifier
    from genlens.concepts import ConceptTable
    from genlens.generators.protocol import Generator
    from genlens.progress import Progress
    from genlens.ray_engine import RayWorkers

DRAWER, XRAY_DRAWER = "drawer", "xray-drawer"
SHAPES, SCENES = "shapes", "scenes"
"""Names that `--generator` knows beside paths and ids; the last two are shipped pipelines."""


def read_table(
    data: Path,
    concepts: str,
    label: str | None,
    *,
    coco: Path | None,
    values: str,
    kinds: str | None,
    texts: Sequence[str] | None,
    caption: str | None,
    context: str | None,
    cluster: str | None,
    skip_unreadable: bool,
    max_rows: int | None,
    seed: int,
    watch: str | None = None,
) -> ConceptTable:
    """Read the table that the options of `genlens rank` and `genlens plan` describe.

    Raises:
        UserError: an option does not fit the data, or the data are not in order.
    """
    from genlens.captions import template_from_spec
    from genlens.concepts import ConceptTable

    template = None if caption is None else template_from_spec(caption)
    metadata_only = {"--kinds": kinds, "--text": texts, "--context": context, "--cluster": cluster, "--watch": watch}
    if coco is not None:
        for option, value in metadata_only.items():
            if value:
                raise UserError(f"`{option}` needs a metadata file; with --coco leave it out.")
        table = ConceptTable.from_coco(
            coco,
            data,
            split_names(concepts),
            label,
            "counts" if values == "counts" else "presence",
            template=template,
            skip_unreadable=skip_unreadable,
        )
    else:
        given: Any = split_pairs("--kinds", split_names(kinds or ""))
        table = ConceptTable.from_metadata(
            data,
            split_names(concepts),
            label,
            kinds=given or None,
            texts=split_pairs("--text", texts or ()) or None,
            context=context,
            cluster=cluster,
            watch=split_names(watch or ""),
            template=template,
            skip_unreadable=skip_unreadable,
        )
    return table if max_rows is None else subset(table, max_rows, seed)


def subset(table: ConceptTable, max_rows: int, seed: int) -> ConceptTable:
    """Return at most `max_rows` rows, drawn without replacement and kept in the table's order."""
    import numpy as np

    if table.n_rows <= max_rows:
        return table
    rows = np.random.default_rng(seed).choice(table.n_rows, max_rows, replace=False)
    return table.take(np.sort(rows))


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

    source = str(shipped_pipeline(name)) if name in (SHAPES, SCENES) else name
    return DiffusersGenerator.from_pretrained(source, **given)


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


def ray_workers(n_workers: int, gpus: float, address: str | None, load: Callable[[], Any]) -> RayWorkers:
    """Describe the actors of Ray; with GPUs one core each, without them the cores shared evenly."""
    from genlens.ray_engine import RayWorkers

    cpus = 1 if gpus or address is not None else max((os.cpu_count() or 1) // n_workers, 1)
    return RayWorkers(n_workers, gpus=gpus, cpus=cpus, address=address, load=load)


def shipped_pipeline(name: str) -> Path:
    """Folder of the pipeline that is shipped for the data set of that name."""
    import genlens

    return Path(genlens.__file__).parent / "assets" / f"{name}_generator"


def progress_bar(quiet: bool) -> Progress:
    """Return a bar on stderr, or nothing."""
    from genlens.progress import RichProgress, SilentProgress

    return SilentProgress() if quiet else RichProgress()
