"""The part of `genlens plan` that says how many rows and draws an importance or a difference needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genlens.cli.options import PLAN

if TYPE_CHECKING:
    from genlens.concepts import ConceptTable
    from genlens.importance.power import Spread
    from genlens.plan import Plan

DRAWS = (1, 2, 4)
"""Numbers of draws that are listed."""
SMALLER = 0.05
"""The smaller of two importances that are told apart, where no pilot run says how large they are."""


@dataclass(frozen=True)
class PowerRequest:
    """What is to be found, at which level, with which chance; how rows spread, where a pilot run says so."""

    size: float
    alpha: float
    target: float
    pilot: Spread | None
    smaller: float


@dataclass(frozen=True)
class PowerOptions:
    """The size that is to be found, and how surely."""

    power: Annotated[
        float | None,
        typer.Option(
            help="Say how many rows and draws it takes to find an importance, or a difference of two, of this size.",
            rich_help_panel=PLAN,
        ),
    ] = None
    pilot: Annotated[
        Path | None, typer.Option(help="A finished run to learn the spread from, for --power.", rich_help_panel=PLAN)
    ] = None
    alpha: Annotated[
        float | None, typer.Option(help="Level of the tests for --power; 0.05.", rich_help_panel=PLAN)
    ] = None
    target_power: Annotated[
        float | None, typer.Option(help="Chance to find it for --power; 0.8.", rich_help_panel=PLAN)
    ] = None

    def request(self) -> PowerRequest | None:
        """Check the options and read the pilot run; None without `--power`.

        Raises:
            typer.BadParameter: an option that needs `--power` stands alone.
            UserError: a number is out of range, or the pilot run can't be used.
        """
        if self.power is None:
            for name, value in (
                ("--pilot", self.pilot), ("--alpha", self.alpha), ("--target-power", self.target_power)
            ):  # fmt: skip
                if value is not None:
                    raise typer.BadParameter(f"{name} needs --power.")
            return None
        import numpy as np

        from genlens.importance.power import check_power, pilot_spread
        from genlens.importance.result import ImportanceResult

        alpha = 0.05 if self.alpha is None else self.alpha
        target = 0.8 if self.target_power is None else self.target_power
        check_power(self.power, alpha, target)
        if self.pilot is None:
            return PowerRequest(self.power, alpha, target, None, SMALLER)
        result = ImportanceResult.load(self.pilot)
        smaller = max(float(np.nanmedian(result.importance)), 0.0)
        return PowerRequest(self.power, alpha, target, pilot_spread(result), smaller)


def print_power(request: PowerRequest, table: ConceptTable, made: Plan, rate: float | None) -> None:
    """Print rows, images and time for each number of draws, and what the rows at hand are enough for."""
    from genlens.importance.power import default_spread, rows_for_difference, rows_for_importance

    spread = request.pilot or default_spread(_rarest(table))

    def first(n_draws: int) -> int:
        return rows_for_importance(request.size, n_draws, spread, request.alpha, request.target)

    def second(n_draws: int) -> int:
        return rows_for_difference(request.size, request.smaller, n_draws, spread, request.alpha, request.target)

    goal = f"alpha {request.alpha:g}) with a chance of {request.target:.0%}:"
    pair = f"{request.smaller:.3g} and {request.smaller + request.size:.3g}"
    print()
    for title, rows_at in (
        (f"To find an importance of {request.size:g} (one-sided, {goal}", first),
        (f"To tell importances of {pair} apart (two-sided, {goal}", second),
    ):
        print(title)
        for n_draws in DRAWS:
            print(f"  {_count(n_draws, 'draw')}: {_cost(rows_at(n_draws), n_draws, made, rate)}")
        print(f"  {_with_these(rows_at, table.n_rows)}")
    print(f"Spread: {spread.source}.{_caution(request, table)}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _cost(n_rows: int, n_draws: int, made: Plan, rate: float | None) -> str:
    import numpy as np

    from genlens.progress import clock

    numbers = np.concatenate([made.reference.ravel(), *(states.index.ravel() for states in made.states)])
    n_images = round(len(np.unique(numbers)) / made.reference.size * n_rows * n_draws)
    time = "" if rate is None else f", about {clock(n_images / rate)}"
    return f"{_count(n_rows, 'row')}, {n_images:,} images{time}"


def _with_these(rows_at: Callable[[int], int], n_rows: int) -> str:
    from genlens.importance.power import MAX_DRAWS, draws_needed

    n_draws = draws_needed(rows_at, n_rows)
    if n_draws is None:
        return f"These {n_rows:,} rows are too few: {rows_at(MAX_DRAWS):,} are needed even with {MAX_DRAWS} draws."
    return f"These {n_rows:,} rows are enough with {_count(n_draws, 'draw')}."


def _caution(request: PowerRequest, table: ConceptTable) -> str:
    if request.pilot is not None:
        return ""
    clusters = " Rows are taken as independent, which those of a cluster are not." if table.clusters is not None else ""
    return f"{clusters} A pilot run says it for your model: --pilot RUN."


def _rarest(table: ConceptTable) -> float:
    """Share of rows in the rarer state of the concept where it is smallest."""
    import numpy as np

    shares = table.presence().mean(axis=0)
    return float(np.clip(np.minimum(shares, 1 - shares).min(), 1 / (2 * table.n_rows), 0.5))
