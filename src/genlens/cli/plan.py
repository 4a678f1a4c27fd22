"""`genlens plan`: what a run costs, before anything is spent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from genlens.cli import options
from genlens.cli.loading import load_generator, read_table
from genlens.cli.power import Alpha, Pilot, Power, TargetPower, power_request, print_power
from genlens.cli.texts import fitted, print_notes, split_long, with_mentions, with_section
from genlens.errors import printable

if TYPE_CHECKING:
    from genlens.generators.protocol import Generator
    from genlens.plan import Estimate, Plan

WARM_UP, MEASURED = 1, 3
"""Batches rendered before the clock starts, and while it runs."""


def plan(
    data: options.Data,
    concepts: options.Concepts,
    label: options.Label = None,
    coco: options.Coco = None,
    values: options.CocoValues = options.Values.presence,
    kinds: options.Kinds = None,
    text: options.Texts = None,
    caption: options.Caption = None,
    context: options.Context = None,
    cluster: options.Cluster = None,
    watch: options.Watch = None,
    section: options.SectionOption = None,
    mentions: options.Mentions = "report",
    skip_unreadable: options.SkipUnreadable = False,
    max_rows: options.MaxRows = None,
    n_repeats: options.Repeats = 500,
    n_draws: options.Draws = 1,
    n_donors: options.Donors = 2,
    noise: options.NoiseOption = options.Noise.common,
    group: options.Group = None,
    shapley: options.ShapleyOption = False,
    shapley_rows: options.ShapleyRows = None,
    placebo_rows: options.PlaceboRows = 200,
    doses: options.DoseCount = None,
    dose: options.DoseValues = None,
    dose_rows: options.DoseRows = None,
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
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    size: options.Size = None,
    scheduler: options.Scheduler = None,
    dtype: options.Dtype = "auto",
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
    lora: options.Lora = None,
    lcm: options.Lcm = False,
    tiny_vae: options.TinyVae = None,
    compile: options.Compile = False,
    threads: options.Threads = None,
    long_captions: options.LongCaptions = "refuse",
    power: Power = None,
    pilot: Pilot = None,
    alpha: Alpha = None,
    target_power: TargetPower = None,
    seed: options.Seed = 0,
) -> None:
    """Say how many images a run renders, from how many naive ones, and how long that takes."""
    if measure and generator is None:
        raise typer.BadParameter("--measure needs --generator.")
    if measure and images_per_second is not None:
        raise typer.BadParameter("Give either --images-per-second or --measure.")
    wanted = power_request(power, pilot, alpha, target_power)
    how_long, windows = split_long(long_captions)
    table = read_table(
        data, concepts, label, coco=coco, values=values, kinds=kinds, texts=text, caption=caption, context=context,
        cluster=cluster, skip_unreadable=skip_unreadable, max_rows=max_rows, seed=seed, watch=watch,
    )  # fmt: skip
    table, chosen = with_section(table, section)
    table, rules, masked = with_mentions(table, mentions)
    model = None
    if generator is not None:
        model = load_generator(
            generator, num_inference_steps=steps, guidance_scale=guidance, size=size, scheduler=scheduler,
            dtype=dtype, device=device, batch_size=batch_size, lora=lora,
            lcm=lcm or None, tiny_vae=tiny_vae, compile=compile or None, threads=threads,
            windows=windows if windows > 1 else None,
        )  # fmt: skip
        table, shortened = fitted(table, model, how_long)
        chosen += shortened
    from genlens.analyses.mentions import mentions_analysis
    from genlens.plan import estimate, make_plan
    from genlens.plans.dependence import dependence_extras
    from genlens.plans.probes import probe_extras

    extras = dependence_extras(table, options.split_groups(group), shapley, shapley_rows)
    extras |= probe_extras(table, placebo_rows, options.split_doses(doses, dose), dose_rows)
    made = make_plan(table, seed, n_draws=n_draws, n_donors=n_donors, noise=noise.value, extras=extras)
    if model is not None:
        model.check_captions(sorted(set(made.captions)))
        if measure:
            images_per_second = measured_rate(model, made, batch_size or 32)
    _print_plan(made, estimate(made, images_per_second, n_repeats), table.n_rows, images_per_second)
    print_notes([*chosen, *masked, mentions_analysis(table, rules)])
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
