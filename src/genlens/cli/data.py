"""`genlens data`: write data sets whose truth is known."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from genlens.cli.options import Seed


class SceneSplit(StrEnum):
    """Splits of the scenes data set."""

    train = "train"
    val = "val"
    test = "test"


class SceneLayout(StrEnum):
    """Where things are in a scene."""

    anywhere = "anywhere"
    page = "page"


class Layout(StrEnum):
    """Files that the phantom is written in."""

    imagefolder = "imagefolder"
    mimic = "mimic"


app = typer.Typer(help="Write data sets whose truth is known.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Write data sets whose truth is known."""


@app.command()
def shapes(
    out: Annotated[Path, typer.Argument(help="Folder to write; must not exist or be empty.")],
    n: Annotated[int, typer.Option("--n", min=1, help="Number of images.")] = 1000,
    seed: Seed = 0,
) -> None:
    """Draw coloured circles and rectangles: images, metadata.csv and masks."""
    from genlens.datasets.shapes import write_imagefolder

    write_imagefolder(out, n, seed)
    print(f"Wrote {n} images, their metadata and masks to {out}.")


@app.command()
def scenes(
    out: Annotated[Path, typer.Argument(help="Folder to write; must not exist or be empty.")],
    n: Annotated[int, typer.Option("--n", min=1, help="Number of images.")] = 1000,
    split: Annotated[
        SceneSplit, typer.Option(help="Whose photographs: train, val or test; no photograph is in two of them.")
    ] = SceneSplit.train,
    seed: Seed = 0,
    photos: Annotated[
        Path | None,
        typer.Option(help="Folder of Fashion-MNIST's IDX files; by default where systems and torchvision put them."),
    ] = None,
    layout: Annotated[
        SceneLayout, typer.Option(help="Things anywhere; or page: one of a class, each class in its own place.")
    ] = SceneLayout.anywhere,
) -> None:
    """Compose scenes of real product photographs: images, metadata.csv and COCO instances_SPLIT.json."""
    from genlens.datasets.scenes_files import instances_name, write_scenes

    write_scenes(out, n, split.value, seed, photos, layout.value)
    print(f"Wrote {n} images, their metadata and {instances_name(split.value)} to {out}.")


@app.command()
def coco(
    out: Annotated[Path, typer.Argument(help="Folder to write; must not exist or be empty.")],
    coco: Annotated[
        Path, typer.Option("--coco", help="Folder with train2017, val2017 and their instances_*.json.")
    ],
    places: Annotated[Path, typer.Option(help="csv with file_name and category, a Places365 model's top-1 category.")],
    hierarchy: Annotated[Path, typer.Option(help="The Places365 scene hierarchy as csv, or a csv of category, scene.")],
    test_rows: Annotated[int, typer.Option(min=1, help="Images of train2017 that are for the test.")] = 10_000,
    seed: Seed = 0,
) -> None:
    """Prepare COCO for the paper's protocol: train, val and test with counts, six scenes and links to the images."""
    from genlens.datasets.coco_scenes import write_coco_scenes

    rows = write_coco_scenes(out, coco, places, hierarchy, test_rows=test_rows, seed=seed)
    print(f"Wrote {', '.join(f'{n} {split}' for split, n in rows.items())} rows to {out}.")


@app.command("xray-phantom")
def xray_phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write; must not exist or be empty.")],
    n: Annotated[int, typer.Option("--n", min=1, help="Number of images.")] = 1000,
    layout: Annotated[Layout, typer.Option(help="imagefolder, or the files of MIMIC-CXR-JPG and MIMIC-IV.")]
    = Layout.imagefolder,
    seed: Seed = 0,
) -> None:
    """Draw chest radiographs with age, BMI, sex, thirteen findings and reports, as a stand-in for MIMIC-CXR."""
    from genlens.datasets.xray import write_imagefolder
    from genlens.datasets.xray_mimic import write_mimic_layout

    (write_mimic_layout if layout == Layout.mimic else write_imagefolder)(out, n, seed)
    print(f"Wrote {n} drawn radiographs and their reports to {out}.")


@app.command("mimic-cxr")
def mimic_cxr(
    out: Annotated[Path, typer.Argument(help="Folder to write; must not exist or be empty.")],
    images: Annotated[Path, typer.Option(help="Folder of MIMIC-CXR-JPG: three csv files and `files`.")],
    patients: Annotated[Path, typer.Option(help="patients.csv(.gz) of MIMIC-IV, or its folder.")],
    omr: Annotated[Path, typer.Option(help="omr.csv(.gz) of MIMIC-IV, or its folder.")],
    reports: Annotated[
        Path | None, typer.Option(help="Folder of the reports' `files`; none: that of the images.")
    ] = None,
    split: Annotated[str, typer.Option(help="Among train, validate and test, separated by commas.")] = "test",
    views: Annotated[str, typer.Option(help="View positions, the preferred one first; one image a study.")] = "PA,AP",
    uncertain: Annotated[str, typer.Option(help="Labels of -1 become zero or one, or the study is left out: drop.")]
    = "zero",
    max_days: Annotated[int, typer.Option(min=0, help="Days between study and measurement of the BMI.")] = 365,
) -> None:
    """Join MIMIC-CXR-JPG with its reports and with MIMIC-IV: images, age, sex, BMI, labels and texts of each study."""
    from genlens.cli.grammar import split_names
    from genlens.datasets.mimic_cxr import MimicOptions, read_mimic_cxr, write_mimic_cxr

    chosen = MimicOptions(tuple(split_names(split)), tuple(split_names(views)), uncertain, max_days)  # type: ignore[arg-type]
    studies = read_mimic_cxr(images, patients, omr, reports, chosen)
    write_mimic_cxr(out, studies, images)
    for line in studies.lines():
        print(line)
    print(f"Wrote {len(studies.frame):,} studies to {out}.")
