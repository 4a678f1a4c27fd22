"""`genlens plan`: what a run costs, before anything is spent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from genlens.cli import options
from genlens.cli.groups import grouped
from genlens.cli.plan_options import ExtraOptions, SamplingOptions
from genlens.cli.power import PowerOptions, print_power
from genlens.cli.render_options import RunRenderOptions
from genlens.cli.table_options import RankedTableOptions
from genlens.cli.texts import fitted, print_notes
from genlens.errors import printable

if TYPE_CHECKING:
    from genlens.generators.protocol import Generator
    from genlens.plan import Estimate, Plan

WARM_UP, MEASURED = 1, 3
"""Batches rendered before the clock starts, and while it runs."""


@grouped
def plan(
    *,
    data: options.Data,
    concepts: options.Concepts,
    label: options.Label = None,
    columns: RankedTableOptions,
    sampling: SamplingOptions,
    extra: ExtraOptions,
    images_per_second: Annotated[
        float | None, typer.Option(min=1e-9, help="Known rate of the generator.", rich_help_panel=options.MODEL)
    ] = None,
    generator: Annotated[
        str | None,
        typer.Option(help="Also check the captions with this generator.", rich_help_panel=options.MODEL),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Render a few batches to learn the rate.", rich_help_panel=options.MODEL),
    ] = False,
    render: RunRenderOptions,
    power: PowerOptions,
    seed: options.Seed = 0,
) -> None:
    """Say how many images a run renders, from how many naive ones, and how long that takes."""
    if measure and generator is None:
        raise typer.BadParameter("--measure needs --generator.")
    if measure and images_per_second is not None:
        raise typer.BadParameter("Give either --images-per-second or --measure.")
    wanted = power.request()
    table, rules, notes = columns.read_with_notes(data, concepts, label, seed)
    model = None
    if generator is not None:
        model = render.load(generator)
        table, shortened = fitted(table, model, render.long_captions)
        notes += shortened
    from genlens.analyses.mentions import mentions_analysis
    from genlens.plan import estimate, make_plan

    made = make_plan(table, seed, **sampling.seeding(), extras=extra.plan(table))
    if model is not None:
        model.check_captions(sorted(set(made.captions)))
        if measure:
            images_per_second = measured_rate(model, made, render.batch_size or 32)
    _print_plan(made, estimate(made, images_per_second, sampling.n_repeats), table.n_rows, images_per_second)
    print_notes([*notes, mentions_analysis(table, rules)])
    if wanted is not None:
        print_power(wanted, table, made, images_per_second)


def measured_rate(model: Generator, made: Plan, batch_size: int) -> float:
    """Images a second over a few batches of the plan, after one that does not count."""
    n_batches = min(WARM_UP + MEASURED, -(-made.n_images // batch_size))
    rendered, began = 0, time.perf_counter()
    for number in range(n_batches):
        batch = slice(number * batch_size, (number + 1) * batch_size)
        captions = made.captions[batch]
        model.generate(captions, [int(seed) for seed in made.seeds[batch]])
        if number < WARM_UP and n_batches > WARM_UP:
            began = time.perf_counter()
        else:
            rendered += len(captions)
    return rendered / max(time.perf_counter() - began, 1e-9)


def _print_plan(made: Plan, cost: Estimate, n_rows: int, rate: float | None) -> None:
    from genlens.progress import clock, speed

    saved = cost.n_naive / cost.n_images
    print(f"{n_rows:,} rows, {len(made.states)} concepts, {cost.n_captions:,} distinct captions")
    print(f"{cost.n_images:,} images to render, instead of {cost.n_naive:,} ({saved:,.0f} times as many)")
    for states in made.states:
        slots = states.states.shape[1]
        print(printable(f"  {states.concept}: {slots} states a row ({', '.join(states.strata[:8])})"))
    for name, extra in made.extras.items():
        for states in extra:
            rows, slots = states.index.shape[:2]
            shown = name if states.concept == name else f"{name}: {states.concept}"
            print(printable(f"  {shown}, {slots} states in {rows:,} rows: {made.n_further(states):,} more images"))
    if rate is None or cost.seconds is None:
        print("Time: unknown; give --images-per-second, or --generator and --measure.")
    else:
        print(f"Time: about {clock(cost.seconds)} at {speed(rate)}, scoring not included")
