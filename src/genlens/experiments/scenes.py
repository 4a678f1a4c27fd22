"""Data of `genlens reproduce scenes`: scenes of real product photographs, written once into the experiment's folder."""

from __future__ import annotations

from pathlib import Path

from genlens.datasets.idx import Split
from genlens.datasets.imagefolder import METADATA_NAMES
from genlens.datasets.scenes import CONCEPTS, LABELS
from genlens.datasets.scenes_files import instances_name, write_scenes
from genlens.experiments.photos_data import Photos, load_photos


def scenes_photos(out: Path, rows: int, train_rows: int, seed: int, photographs: Path | None = None) -> Photos:
    """The scenes data set as the protocol takes it; training and test rows share no photograph.

    Args:
        out: folder of the experiment; the data go to its `data-...`, where they stay.
        rows: test rows.
        train_rows: training rows.
        seed: of the data.
        photographs: folder of Fashion-MNIST's IDX files; None: where systems put them.

    Raises:
        UserError: the photographs aren't there.
    """
    folder = out / f"data-{train_rows}-{rows}-{seed}"
    sizes: tuple[tuple[Split, int], ...] = (("train", train_rows), ("test", rows))
    for split, n in sizes:
        if not any((folder / split / name).is_file() for name in METADATA_NAMES):
            write_scenes(folder / split, n, split, seed, photographs)
    return load_photos(
        "scenes", folder, CONCEPTS, list(LABELS), max_rows=rows, seed=seed, instances=instances_name("test"),
        context=None,
    )
