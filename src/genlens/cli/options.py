"""Single arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DATA, PLAN, MODEL, SCALE, PROMPT = "Data", "Plan", "Generator", "Scale", "Soft prompt"
"""Headings under which `--help` lists the options."""

Data = Annotated[
    Path, typer.Argument(help="Folder with metadata.csv, .jsonl or .parquet; with --coco, the folder of the images.")
]
Concepts = Annotated[
    str, typer.Option(help="Columns (with --coco, categories) to rank, separated by commas.", rich_help_panel=DATA)
]
Label = Annotated[
    str | None, typer.Option(help="Column (with --coco, category) that the model predicts.", rich_help_panel=DATA)
]

GradientClassifier = Annotated[
    str, typer.Option(help="A classifier with gradients: file.py:function, hf:ID, timm:NAME or bundled:NAME.")
]
Pipeline = Annotated[
    str, typer.Option(help="Folder or hub id of a diffusers pipeline; shapes; scenes.", rich_help_panel=MODEL)
]
Tokens = Annotated[int, typer.Option(min=1, help="Free tokens.", rich_help_panel=PROMPT)]
Rate = Annotated[float, typer.Option(help="Rate, in standard deviations of the embeddings.", rich_help_panel=PROMPT)]
Batch = Annotated[int, typer.Option(min=1, help="Pictures a step and restart.", rich_help_panel=PROMPT)]
LastSteps = Annotated[
    int, typer.Option(min=0, help="Denoising steps with a gradient, the last ones; 0: all.", rich_help_panel=PROMPT)
]

Steps = Annotated[int | None, typer.Option(min=1, help="Denoising steps.", rich_help_panel=MODEL)]
Guidance = Annotated[float | None, typer.Option(min=0.0, help="Guidance scale.", rich_help_panel=MODEL)]
Size = Annotated[int | None, typer.Option(min=8, help="Side of the images in pixels.", rich_help_panel=MODEL)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps …", rich_help_panel=MODEL)]
Lora = Annotated[str | None, typer.Option(help="LoRA weights (folder, file or hub id).", rich_help_panel=MODEL)]
Lcm = Annotated[
    bool, typer.Option("--lcm", help="Sample as a latent consistency model: 4 steps.", rich_help_panel=MODEL)
]

RunFolderOut = Annotated[Path, typer.Option(help="Run folder; the same command again goes on where it stopped.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Empty the run folder first.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
