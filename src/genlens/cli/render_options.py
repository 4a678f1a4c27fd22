"""How a generator renders: options, and the generator they load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genlens.cli import options
from genlens.cli.loading import load_generator
from genlens.cli.options import MODEL
from genlens.cli.texts import split_long

if TYPE_CHECKING:
    from genlens.generators.protocol import Generator


@dataclass(frozen=True)
class RenderOptions:
    """Everything about a generator beside its name."""

    steps: options.Steps = None
    guidance: options.Guidance = None
    size: options.Size = None
    scheduler: Annotated[str | None, typer.Option(help="Name of a diffusers scheduler.", rich_help_panel=MODEL)] = None
    dtype: Annotated[str, typer.Option(help="auto, float32, float16 or bfloat16.", rich_help_panel=MODEL)] = "auto"
    device: options.Device = "auto"
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images rendered together.", rich_help_panel=MODEL)
    ] = None
    lora: options.Lora = None
    lcm: options.Lcm = False
    tiny_vae: Annotated[
        str | None, typer.Option(help="Tiny decoder (TAESD; folder or hub id).", rich_help_panel=MODEL)
    ] = None
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads while rendering; all cores by default.", rich_help_panel=MODEL),
    ] = None

    def load(self, name: str) -> Generator:
        """Load the generator of that name; see `genlens.cli.loading.load_generator`."""
        return load_generator(name, **self._arguments())

    def _arguments(self) -> dict[str, Any]:
        return {
            "num_inference_steps": self.steps, "guidance_scale": self.guidance, "size": self.size,
            "scheduler": self.scheduler, "dtype": self.dtype, "device": self.device, "batch_size": self.batch_size,
            "lora": self.lora, "lcm": self.lcm or None, "tiny_vae": self.tiny_vae, "threads": self.threads,
        }  # fmt: skip


@dataclass(frozen=True)
class RunRenderOptions(RenderOptions):
    """The same for a run of many images, whose captions come from data."""

    compile: Annotated[
        bool, typer.Option("--compile", help="Let torch compile denoiser and decoder first.", rich_help_panel=MODEL)
    ] = False
    long_captions: Annotated[
        str,
        typer.Option(
            help="Captions beyond the text encoder's limit: refuse, select (whole sentences), or chunks:N (N windows).",
            rich_help_panel=MODEL,
        ),
    ] = "refuse"

    def __post_init__(self) -> None:
        """Check the rule of long captions before any data are read."""
        split_long(self.long_captions)

    def _arguments(self) -> dict[str, Any]:
        _, windows = split_long(self.long_captions)
        more = {"compile": self.compile or None, "windows": windows if windows > 1 else None}
        return super()._arguments() | more
