"""Which images a run renders and where: options, and what the library takes for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genlens.cli.grammar import split_doses, split_groups
from genlens.cli.options import PLAN, SCALE

if TYPE_CHECKING:
    from genlens.concepts import ConceptTable
    from genlens.plan import Extra
    from genlens.ray_engine import RayWorkers


class Noise(StrEnum):
    """Whether a row keeps its seed over the states of a concept."""

    common = "common"
    fresh = "fresh"


class EngineName(StrEnum):
    """Who renders and scores."""

    local = "local"
    ray = "ray"


@dataclass(frozen=True)
class SamplingOptions:
    """Permutations, and noise seeds of the images."""

    n_repeats: Annotated[int, typer.Option(min=1, help="Permutations per concept.", rich_help_panel=PLAN)] = 500
    n_draws: Annotated[int, typer.Option(min=1, help="Noise seeds per row and state.", rich_help_panel=PLAN)] = 1
    n_donors: Annotated[
        int, typer.Option(min=1, help="Values of other rows tried per row (valued concepts).", rich_help_panel=PLAN)
    ] = 2
    noise: Annotated[
        Noise, typer.Option(help="common: a row keeps its seed in all states.", rich_help_panel=PLAN)
    ] = Noise.common

    def seeding(self) -> dict[str, Any]:
        """What decides the images, for `make_plan` and `permutation_importance`."""
        return {"n_draws": self.n_draws, "n_donors": self.n_donors, "noise": self.noise.value}


@dataclass(frozen=True)
class FlipOptions:
    """Rows whose flips are rendered."""

    flip_rows: Annotated[
        int | None, typer.Option(help="Render flips for this many random rows only.", rich_help_panel=PLAN)
    ] = None
    stop_when_separated: Annotated[
        bool,
        typer.Option(
            "--stop-when-separated",
            help="Render flips until each concept's place in the ranking is certain.",
            rich_help_panel=PLAN,
        ),
    ] = False
    min_importance: Annotated[
        float,
        typer.Option(help="With --stop-when-separated: less than this need not be told apart.", rich_help_panel=PLAN),
    ] = 0.01


@dataclass(frozen=True)
class ExtraOptions:
    """Further images: groups, Shapley values, a placebo, doses."""

    group: Annotated[
        list[str] | None,
        typer.Option(
            help="name=concept,concept: permute these together as well, such as red=red circle,red rectangle. "
            "Repeatable.",
            rich_help_panel=PLAN,
        ),
    ] = None
    shapley: Annotated[
        bool,
        typer.Option(
            "--shapley", help="Shapley values of up to 8 binary concepts; takes 2^D images a row.", rich_help_panel=PLAN
        ),
    ] = False
    shapley_rows: Annotated[
        int | None, typer.Option(min=2, help="Rows that take part in them.", rich_help_panel=PLAN)
    ] = None
    placebo_rows: Annotated[
        int,
        typer.Option(
            min=0,
            help="Rows whose caption is edited so that it says the same, for the generator's noise floor; 0: none.",
            rich_help_panel=PLAN,
        ),
    ] = 200
    doses: Annotated[
        int | None,
        typer.Option(min=2, help="Set each number and count to this many values, for a curve.", rich_help_panel=PLAN),
    ] = None
    dose: Annotated[
        list[str] | None,
        typer.Option(help="Values of one concept's curve, such as age=20,40,60. Repeatable.", rich_help_panel=PLAN),
    ] = None
    dose_rows: Annotated[
        int | None, typer.Option(min=2, help="Rows that take part in the curves.", rich_help_panel=PLAN)
    ] = None

    def plan(self, table: ConceptTable) -> dict[str, Extra]:
        """The further images, for `make_plan`.

        Raises:
            UserError: an option doesn't fit the table.
        """
        from genlens.plans.dependence import dependence_extras
        from genlens.plans.probes import probe_extras

        dependence = dependence_extras(table, split_groups(self.group), self.shapley, self.shapley_rows)
        return dependence | probe_extras(
            table, self.placebo_rows, split_doses(self.doses, self.dose), self.dose_rows
        )

    def arguments(self) -> dict[str, Any]:
        """The same, for `permutation_importance`."""
        return {
            "groups": split_groups(self.group), "shapley": self.shapley, "shapley_rows": self.shapley_rows,
            "placebo_rows": self.placebo_rows, "doses": split_doses(self.doses, self.dose),
            "dose_rows": self.dose_rows,
        }  # fmt: skip


@dataclass(frozen=True)
class ScaleOptions:
    """Who renders and scores, and where images lie."""

    engine: Annotated[
        EngineName, typer.Option(help="local: this process; ray: actors of Ray.", rich_help_panel=SCALE)
    ] = EngineName.local
    workers: Annotated[
        int | None, typer.Option(min=1, help="With --engine ray: actors; 2 by default.", rich_help_panel=SCALE)
    ] = None
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(min=0.0, help="With --engine ray: GPUs an actor; 0 by default.", rich_help_panel=SCALE),
    ] = None
    ray_address: Annotated[
        str | None,
        typer.Option(
            help="With --engine ray: a running cluster, such as auto; else one is begun.", rich_help_panel=SCALE
        ),
    ] = None
    images: Annotated[
        str | None,
        typer.Option(help="Where the images lie, such as s3://bucket/images; else in --out.", rich_help_panel=SCALE),
    ] = None

    def __post_init__(self) -> None:
        """Refuse options of Ray without Ray."""
        if self.engine == EngineName.local and (self.workers or self.gpus_per_worker or self.ray_address):
            raise typer.BadParameter("--workers, --gpus-per-worker and --ray-address need --engine ray.")

    def actors(self, load: Callable[[], Any]) -> RayWorkers | None:
        """The actors of Ray, or None: this process.

        With GPUs an actor has one core; without them the cores are shared evenly.

        Args:
            load: loads the models where an actor runs.
        """
        if self.engine == EngineName.local:
            return None
        from genlens.ray_engine import RayWorkers

        n_workers, gpus = self.workers or 2, self.gpus_per_worker or 0.0
        cpus = 1 if gpus or self.ray_address is not None else max((os.cpu_count() or 1) // n_workers, 1)
        return RayWorkers(n_workers, gpus=gpus, cpus=cpus, address=self.ray_address, load=load)
