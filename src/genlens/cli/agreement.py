"""`genlens agreement`: verdicts on neural features against people's annotation."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import typer

from genlens.errors import UserError

COLUMNS = ("class", "feature", "verdict")


def agreement(
    verdicts: Annotated[
        Path | None, typer.Argument(help="csv with the columns class, feature and verdict; without it, the annotation.")
    ] = None,
    annotation: Annotated[
        Path | None,
        typer.Option(help="Salient ImageNet's discover_spurious_features.csv or its folder; GENLENS_SALIENT_IMAGENET."),
    ] = None,
    resamples: Annotated[int, typer.Option(min=1, help="Resamples of the classes, for the intervals.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resamples.")] = 0,
) -> None:
    """Compare core and spurious verdicts with Salient ImageNet; show what "always core" scores beside them."""
    from genlens.datasets.salient_imagenet import read_salient_imagenet
    from genlens.findings.agreement import Agreement, agreement_with, fleiss_kappa, krippendorff_alpha

    people = read_salient_imagenet(annotation)
    said = None if verdicts is None else read_verdicts(verdicts)
    rows = range(len(people)) if said is None else [people.find(*pair) for pair in said]
    truth, classes = people.spurious[list(rows)], people.class_index[list(rows)]
    n_classes = sum(count > 0 for count in people.spurious_per_class().values())
    print(f"Annotation: {len(people):,} class-feature pairs, {int(people.spurious.sum()):,} spurious, "
          f"{n_classes:,} classes with at least one.")  # fmt: skip
    even = len(set(people.counts.sum(axis=1))) == 1
    kappa = f"Fleiss' kappa {fleiss_kappa(people.counts):.3f}, " if even else ""
    alpha = f"Krippendorff's alpha {krippendorff_alpha(people.counts):.3f}"
    print(f"Among its people: {kappa}{alpha} (main object, separate object, background).")
    answers = {"always core": ["core"] * len(truth)} | ({} if said is None else {"verdicts": list(said.values())})
    print(f"Over {len(truth):,} pairs, intervals by drawing classes:")
    for name, given in answers.items():
        found: Agreement = agreement_with(truth, given, classes, n_resamples=resamples, seed=seed)
        print(f"  {name}: agreement {found.agreement}, balanced accuracy {found.balanced_accuracy}, "
              f"F1 of spurious {found.f1_spurious}, undecided {found.n_undecided:,}")  # fmt: skip


def read_verdicts(path: Path) -> dict[tuple[int, int], str]:
    """(class, feature) -> verdict of a csv file.

    Raises:
        UserError: no file, a missing column, a number that isn't one, or a pair that comes twice.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}. Give a csv with the columns {', '.join(COLUMNS)}.")
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise UserError(f"{path} has no column {', '.join(missing)}; it must have {', '.join(COLUMNS)}.")
        found: dict[tuple[int, int], str] = {}
        for row in reader:
            numbers = [(row[column] or "").strip() for column in COLUMNS[:2]]
            if not all(text.isdecimal() for text in numbers):
                raise UserError(f"{path}, line {reader.line_num}: class and feature must be numbers; got {numbers}.")
            pair = (int(numbers[0]), int(numbers[1]))
            if pair in found:
                raise UserError(f"{path}, line {reader.line_num}: feature {pair[1]} of class {pair[0]} comes twice.")
            found[pair] = (row["verdict"] or "").strip()
    if not found:
        raise UserError(f"{path} has no verdicts.")
    return found
