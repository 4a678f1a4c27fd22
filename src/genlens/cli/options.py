"""Arguments and options that several commands share, and the small grammars of their values."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from genlens.errors import UserError

DATA, PLAN, MODEL, SCALE = "Data", "Plan", "Generator", "Scale"
"""Headings under which `--help` lists the options."""


class Values(StrEnum):
    """What a concept of a COCO file holds."""

    presence = "presence"
    counts = "counts"


class EngineName(StrEnum):
    """Who renders and scores."""

    local = "local"
    ray = "ray"


class Noise(StrEnum):
    """Whether a row keeps its seed over the states of a concept."""

    common = "common"
    fresh = "fresh"


Data = Annotated[
    Path, typer.Argument(help="Folder with metadata.csv, .jsonl or .parquet; with --coco, the folder of the images.")
]
Concepts = Annotated[
    str, typer.Option(help="Columns (with --coco, categories) to rank, separated by commas.", rich_help_panel=DATA)
]
Label = Annotated[
    str | None, typer.Option(help="Column (with --coco, category) that the model predicts.", rich_help_panel=DATA)
]
Coco = Annotated[
    Path | None, typer.Option(help="Annotations in COCO's format (instances_*.json).", rich_help_panel=DATA)
]
CocoValues = Annotated[
    Values, typer.Option("--values", help="With --coco: presence or counts of a category.", rich_help_panel=DATA)
]
Kinds = Annotated[
    str | None,
    typer.Option(
        help="Kinds that differ from what is inferred, such as age=number,view=category "
        "(binary, count, category, number, segment).",
        rich_help_panel=DATA,
    ),
]
Texts = Annotated[
    list[str] | None,
    typer.Option(
        "--text", help="name=column: what the caption says where the concept is on. Repeatable.", rich_help_panel=DATA
    ),
]
Caption = Annotated[
    str | None,
    typer.Option(
        help="Caption template: list, fields, or a list with its own item, 'list:1 {name}'.", rich_help_panel=DATA
    ),
]
Context = Annotated[
    str | None, typer.Option(help="Column with text that every caption of the row contains.", rich_help_panel=DATA)
]
Cluster = Annotated[
    str | None,
    typer.Option(help="Column that groups rows, such as a patient; intervals respect it.", rich_help_panel=DATA),
]
Watch = Annotated[
    str | None,
    typer.Option(
        help="Columns of concepts that are not permuted but looked for in the images, separated by commas.",
        rich_help_panel=DATA,
    ),
]
SectionOption = Annotated[
    str | None,
    typer.Option(
        "--section", help="Section of the reports in --context, or several in order of choice: findings,impression.",
        rich_help_panel=DATA,
    ),
]
Mentions = Annotated[
    str,
    typer.Option(
        help="Permuted concepts that the text of --context mentions: report, mask, or a JSON file of rules.",
        rich_help_panel=DATA,
    ),
]
LongCaptions = Annotated[
    str,
    typer.Option(
        "--long-captions",
        help="Captions beyond the text encoder's limit: refuse, select (whole sentences), or chunks:N (N windows).",
        rich_help_panel=MODEL,
    ),
]  # fmt: skip
SkipUnreadable = Annotated[
    bool,
    typer.Option("--skip-unreadable", help="Leave out rows whose image cannot be read.", rich_help_panel=DATA),
]
MaxRows = Annotated[
    int | None, typer.Option(min=2, help="Use a random subset of at most this many rows.", rich_help_panel=DATA)
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]

Repeats = Annotated[int, typer.Option("--n-repeats", min=1, help="Permutations per concept.", rich_help_panel=PLAN)]
Draws = Annotated[int, typer.Option("--n-draws", min=1, help="Noise seeds per row and state.", rich_help_panel=PLAN)]
Donors = Annotated[
    int,
    typer.Option(
        "--n-donors", min=1, help="Values of other rows tried per row (valued concepts).", rich_help_panel=PLAN
    ),
]
NoiseOption = Annotated[
    Noise, typer.Option("--noise", help="common: a row keeps its seed in all states.", rich_help_panel=PLAN)
]

FlipRows = Annotated[
    int | None,
    typer.Option("--flip-rows", help="Render flips for this many random rows only.", rich_help_panel=PLAN),
]
StopWhenSeparated = Annotated[
    bool,
    typer.Option(
        "--stop-when-separated",
        help="Render flips until each concept's place in the ranking is certain.",
        rich_help_panel=PLAN,
    ),
]
MinImportance = Annotated[
    float,
    typer.Option(
        "--min-importance", help="With --stop-when-separated: less than this need not be told apart.",
        rich_help_panel=PLAN,
    ),
]  # fmt: skip

Group = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        help="name=concept,concept: permute these together as well, such as red=red circle,red rectangle. Repeatable.",
        rich_help_panel=PLAN,
    ),
]
ShapleyOption = Annotated[
    bool,
    typer.Option(
        "--shapley", help="Shapley values of up to 8 binary concepts; takes 2^D images a row.", rich_help_panel=PLAN
    ),
]
ShapleyRows = Annotated[
    int | None, typer.Option("--shapley-rows", min=2, help="Rows that take part in them.", rich_help_panel=PLAN)
]

PlaceboRows = Annotated[
    int,
    typer.Option(
        "--placebo-rows",
        min=0,
        help="Rows whose caption is edited so that it says the same, for the generator's noise floor; 0: none.",
        rich_help_panel=PLAN,
    ),
]
DoseCount = Annotated[
    int | None,
    typer.Option(
        "--doses", min=2, help="Set each number and count to this many values, for a curve.", rich_help_panel=PLAN
    ),
]
DoseValues = Annotated[
    list[str] | None,
    typer.Option(
        "--dose", help="Values of one concept's curve, such as age=20,40,60. Repeatable.", rich_help_panel=PLAN
    ),
]
DoseRows = Annotated[
    int | None, typer.Option("--dose-rows", min=2, help="Rows that take part in the curves.", rich_help_panel=PLAN)
]

Steps = Annotated[int | None, typer.Option(min=1, help="Denoising steps.", rich_help_panel=MODEL)]
Guidance = Annotated[float | None, typer.Option(min=0.0, help="Guidance scale.", rich_help_panel=MODEL)]
Size = Annotated[int | None, typer.Option(min=8, help="Side of the images in pixels.", rich_help_panel=MODEL)]
Scheduler = Annotated[str | None, typer.Option(help="Name of a diffusers scheduler.", rich_help_panel=MODEL)]
Dtype = Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.", rich_help_panel=MODEL)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps …", rich_help_panel=MODEL)]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Images rendered together.", rich_help_panel=MODEL)]
TinyVae = Annotated[
    str | None, typer.Option("--tiny-vae", help="Tiny decoder (TAESD; folder or hub id).", rich_help_panel=MODEL)
]
Lcm = Annotated[
    bool, typer.Option("--lcm", help="Sample as a latent consistency model: 4 steps.", rich_help_panel=MODEL)
]
Compile = Annotated[
    bool, typer.Option("--compile", help="Let torch compile denoiser and decoder first.", rich_help_panel=MODEL)
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads while rendering; all cores by default.", rich_help_panel=MODEL)
]
Lora = Annotated[str | None, typer.Option(help="LoRA weights (folder, file or hub id).", rich_help_panel=MODEL)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Empty the run folder first.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]


EngineOption = Annotated[
    EngineName, typer.Option("--engine", help="local: this process; ray: actors of Ray.", rich_help_panel=SCALE)
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="With --engine ray: actors; 2 by default.", rich_help_panel=SCALE)
]
GpusPerWorker = Annotated[
    float | None, typer.Option(min=0.0, help="With --engine ray: GPUs an actor; 0 by default.", rich_help_panel=SCALE)
]
RayAddress = Annotated[
    str | None,
    typer.Option(help="With --engine ray: a running cluster, such as auto; else one is begun.", rich_help_panel=SCALE),
]
Images = Annotated[
    str | None,
    typer.Option(help="Where the images lie, such as s3://bucket/images; else in --out.", rich_help_panel=SCALE),
]


def split_names(text: str) -> list[str]:
    """``"person, tv"`` -> ``["person", "tv"]``; empty parts are left out."""
    return [part.strip() for part in text.split(",") if part.strip()]


def split_groups(parts: Sequence[str] | None) -> dict[str, list[str]]:
    """``["red=red circle,red rectangle"]`` -> ``{"red": ["red circle", "red rectangle"]}``."""
    return {name: split_names(members) for name, members in split_pairs("--group", parts or ()).items()}


def split_given(text: str | None) -> str | list[str] | None:
    """``"model"``, ``"boosting"`` and ``"others"`` as they are; anything else is a list of concepts."""
    return text if text in (None, "model", "boosting", "others") else split_names(text)


def split_doses(count: int | None, parts: Sequence[str] | None) -> int | dict[str, list[float]] | None:
    """``["age=20,40"]`` -> ``{"age": [20.0, 40.0]}``; a count of values as it is.

    Raises:
        UserError: both are given, or a value isn't a number.
    """
    if not parts:
        return count
    if count is not None:
        raise UserError("Give either `--doses` (for all numbers and counts) or `--dose` (for those named), not both.")
    doses = {}
    for name, texts in split_pairs("--dose", parts).items():
        try:
            doses[name] = [float(text) for text in split_names(texts)]
        except ValueError as error:
            raise UserError(f"`--dose` must list numbers, such as age=20,40,60; got {name}={texts}.") from error
    return doses


def split_pairs(option: str, parts: Sequence[str]) -> dict[str, str]:
    """``["age=number"]`` -> ``{"age": "number"}``.

    Args:
        option: the option's name, for the message.
        parts: texts of the form name=value.

    Raises:
        UserError: a part is not of that form, or a name comes twice.
    """
    pairs: dict[str, str] = {}
    for part in parts:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise UserError(f"`{option}` must have the form name=value; got {part!r}.")
        if name in pairs:
            raise UserError(f"`{option}` names {name!r} twice; give it one value.")
        pairs[name] = value
    return pairs
