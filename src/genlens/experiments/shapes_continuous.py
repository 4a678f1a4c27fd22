"""Continuous concepts: a place and two sizes that a caption gives as numbers, permuted with 1, 2 and 4 donors a row.

The target models read centroid and areas straight off the pixels, so what a change of the number does is known. Each
row's picture has a red circle somewhere along a line, a green rectangle below it, and in half of the rows a blue
rectangle at the bottom; nothing ever overlaps.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.captions import FormatTemplate
from genlens.columns import Concept
from genlens.concepts import ConceptTable
from genlens.datasets.shapes import COLOURS
from genlens.experiments import shapes_figures as figures
from genlens.experiments.shapes_lab import Lab
from genlens.experiments.shapes_models import Floats, Targets, depict_exact
from genlens.experiments.stages import Arrays
from genlens.generators.drawer import DrawerGenerator
from genlens.generators.protocol import Generator
from genlens.importance.reliance import reliance
from genlens.importance.states import StateScores
from genlens.oracles import bottleneck_permutation, standardised_weights
from genlens.plan import ConceptStates, Plan, make_plan
from genlens.reports.document import Picture, Section, Table
from genlens.seeds import row_seed

NAMES = ("red circle x", "red circle radius", "green rectangle width", "blue rectangle")
RANGES = ((10, 54), (6, 9), (10, 18))
"""Smallest and largest value of each number, in pixels; values are whole, as the captions' language has them."""
DONORS = (1, 2, 4)
N_ROWS = 300
N_PLANS = 5
"""Plans, each with donors of its own, that the drawer's errors are averaged over; the generator renders the first."""
_TEMPLATE = FormatTemplate(
    "red circle ({red circle x}, 14) {red circle radius}, "
    "green rectangle (32, 34) {green rectangle width} 10{blue rectangle}"
)
_MIDDLE = 32.0
_BATCH = 300


def number_table(n: int, seed: int) -> ConceptTable:
    """N rows with three numbers, drawn independently and evenly from `RANGES`, and one binary concept."""
    rng = np.random.default_rng(row_seed(seed, "numbers"))
    concepts = [
        Concept(name, "number", rng.integers(low, high + 1, n).astype(np.float64))
        for name, (low, high) in zip(NAMES, RANGES, strict=False)
    ]
    texts = np.array([f", blue rectangle ({x}, 53) 14 10" for x in rng.integers(10, 55, n)], dtype=object)
    concepts.append(Concept(NAMES[3], "binary", rng.integers(0, 2, n), texts))
    return ConceptTable(tuple(f"{i:06d}" for i in range(n)), tuple(concepts), caption_template=_TEMPLATE)


def true_values(table: ConceptTable) -> Floats:
    """(N, 4) values of the concepts."""
    return np.stack([concept.values.astype(np.float64) for concept in table.concepts], axis=1)


def read_pixels(images: NDArray[np.uint8]) -> Floats:
    """Measure the four concepts: centroid of red, radius of its area, width of the green area, share of a blue one.

    Args:
        images: uint8 (B, 64, 64, 3).
    """
    covers = [_cover(images.astype(np.float64), channel) for channel in range(3)]  # (B, 64, 64) each
    red, green, blue = (cover.sum(axis=(1, 2)) for cover in covers)
    columns = np.arange(images.shape[2]) + 0.5
    x = (covers[0].sum(axis=1) @ columns + 1e-3 * _MIDDLE) / (red + 1e-3)  # the middle where there is no red
    return np.stack([x, np.sqrt(red / np.pi), green / 10, np.clip(blue / 140, 0, 1.5)], axis=1)


def _cover(images: Floats, channel: int) -> Floats:
    """How much of each pixel is of one of the three colours, faint casts left out: (B, H, W) in [0, 1]."""
    rgb = np.array(list(COLOURS.values())[channel], dtype=np.float64)
    others = [k for k in range(3) if k != channel]
    cover = (images[..., channel] - images[..., others].mean(axis=-1)) / (rgb[channel] - rgb[others].mean())
    return np.where(cover < 0.2, 0.0, np.clip(cover, 0, 1))


def measure(plan: Plan, generator: Generator) -> Floats:
    """(K, 4) measured concepts of a plan's images, which are not kept."""
    parts = []
    for start in range(0, plan.n_images, _BATCH):
        chosen = slice(start, start + _BATCH)
        seeds = [int(seed) for seed in plan.seeds[chosen]]
        parts.append(read_pixels(generator.generate(plan.captions[chosen], seeds)))
    return np.concatenate(parts)


def with_donors(plan: Plan, n: int) -> Plan:
    """The same plan with the first `n` donors of each number."""

    def first(states: ConceptStates) -> ConceptStates:
        if len(states.counts) > 1:
            return states
        return replace(states, index=states.index[:, :n], stratum=states.stratum[:n], states=states.states[:, :n])

    return replace(plan, states=tuple(first(states) for states in plan.states))


def number_targets(n_models: int, values: Floats, seed: int) -> Targets:
    """Target models with w ~ U[-1, 1]^4 on standardised values; labels are above the median of the true score."""
    weights = np.random.default_rng(row_seed(seed, "number weights")).uniform(-1, 1, (n_models, values.shape[1]))
    scores = weights @ ((values - values.mean(axis=0)) / values.std(axis=0)).T  # (M, N)
    return Targets(weights, (scores > np.median(scores, axis=1, keepdims=True)).astype(np.int64))


def continuous_section(lab: Lab, folder: Path) -> Section:
    """Numbers against the oracles, drawn perfectly and by the generator."""
    key = {**lab.rows_only(), "number_rows": N_ROWS, "donors": DONORS, "plans": N_PLANS}
    drawn = lab.stages.run("continuous-drawer", key, lambda: compare(lab, DrawerGenerator(), N_PLANS))
    found = {"drawer": drawn}
    if lab.settings.generator != "drawer":
        found[lab.settings.generator] = lab.stages.run(
            f"continuous-{lab.settings.generator}", {**key, **lab.identity}, lambda: compare(lab, lab.generator, 1)
        )
    path = folder / "continuous.png"
    series = {name: values["error"].mean(axis=0).tolist() for name, values in found.items()}
    figures.lines(list(DONORS), series, ("donors a row", "mean error of the AUROC drop, three numbers"), path)
    picture = Picture(path, "Error of the importance of numbers by donors a row")
    return Section("Continuous concepts", _sentences(found), (_table(found), _curved_table(found)), (picture,))


def compare(lab: Lab, generator: Generator, n_plans: int) -> Arrays:
    """Agreement by donors: r, slope, reliance_r, signed_r, images, error (plans, donors) and the curved model's."""
    table = number_table(min(N_ROWS, lab.settings.rows), lab.settings.seed)
    values = true_values(table)
    targets = number_targets(lab.settings.models, values, lab.settings.seed)
    found: dict[str, list[list[float]]] = {}
    for k in range(n_plans):
        plan = make_plan(table, lab.settings.seed + k, n_donors=max(DONORS))
        seen = measure(plan, generator)
        perfect = seen if isinstance(generator, DrawerGenerator) else measure(plan, DrawerGenerator())
        real = perfect[plan.reference[:, 0]]  # the drawer's reference images are the real ones
        parts = [_agreement(targets, seen, real, with_donors(plan, n), values) for n in DONORS]
        for name in parts[0]:
            found.setdefault(name, []).append([part[name] for part in parts])
        if k == 0:
            curved = _curved(seen, real, plan, values)
    return {**{name: np.array(rows) for name, rows in found.items()}, **curved}


def _agreement(targets: Targets, seen: Floats, real: Floats, plan: Plan, values: Floats) -> dict[str, float]:
    centre, scale = real.mean(axis=0), real.std(axis=0)
    z_seen, z_real = (seen - centre) / scale, (real - centre) / scale
    found = depict_exact(targets, z_seen, plan)
    oracle = bottleneck_permutation(targets.labels, z_real, targets.weights).importance
    weights = standardised_weights(targets.weights, z_real)
    signed = _signed(targets, z_seen, plan)
    numbers = slice(0, 3)
    per_deviation = found["reliance"] * np.array([1, 1, 1, values[:, 3].std()])
    used = np.unique(np.concatenate([plan.reference.ravel(), *(states.index.ravel() for states in plan.states)]))
    return {
        "images": float(len(used)),
        "r": _r(found["importance"], oracle),
        "slope": float(np.polyfit(oracle.ravel(), found["importance"].ravel(), 1)[0]),
        "error": float(np.abs(found["importance"] - oracle)[:, numbers].mean()),
        "reliance_r": _r(per_deviation, np.abs(weights)),
        "signed_r": _r(signed[:, numbers], weights[:, numbers]),
    }


def _signed(targets: Targets, seen: Floats, plan: Plan) -> Floats:
    """Signed reliance (M, D) of every model."""
    scores = seen @ targets.weights.T
    return np.array([
        [reliance(StateScores.from_states(states, column)).signed.value for states in plan.states]
        for column in scores.T
    ])  # fmt: skip


def _curved(seen: Floats, real: Floats, plan: Plan, values: Floats) -> Arrays:
    """A model that reads how far the circle is from the middle: (4,) importance, oracle, reliance and its sign."""

    def head(rows: Floats) -> Floats:
        return np.abs(rows[:, 0] - _MIDDLE)

    y = (head(values) > np.median(head(values))).astype(np.int64)
    states = [StateScores.from_states(states, head(seen)) for states in plan.states]
    model = Targets(np.ones((1, 1)), y[None])
    importance = depict_exact(model, head(seen)[:, None], plan)["importance"][0]
    changes = [reliance(state) for state in states]
    return {
        "curved_importance": importance,
        "curved_oracle": bottleneck_permutation(y, real, [head]).importance[0],
        "curved_absolute": np.array([change.absolute.value for change in changes]),
        "curved_signed": np.array([change.signed.value for change in changes]),
    }


def _r(x: Floats, y: Floats) -> float:
    return float(np.corrcoef(x.ravel(), y.ravel())[0, 1])


def _sentences(found: dict[str, Arrays]) -> tuple[str, ...]:
    parts = []
    for name, values in found.items():
        r, error = values["r"].mean(axis=0), values["error"].mean(axis=0)
        parts.append(
            f"{name}: r = {r[0]:.3f} with {DONORS[0]} donor and {r[-1]:.3f} with {DONORS[-1]}, mean error "
            f"{error[0]:.4f} and {error[-1]:.4f}"
        )
    last = found["drawer"]
    return (
        "Numbers in captions need no binarising: each row is rendered with the numbers of a few other rows (donors). "
        f"Against permuting at the bottleneck, {'; '.join(parts)}; score reliance per standard deviation agrees with "
        f"the weights at r = {last['reliance_r'].mean(axis=0)[-1]:.3f} (drawer), with its sign at "
        f"{last['signed_r'].mean(axis=0)[-1]:.3f}.",
        "A model that reads the circle's distance from the middle has no slope: its signed reliance on x is "
        f"{last['curved_signed'][0]:+.2f} against {last['curved_absolute'][0]:.2f} without sign, and its AUROC drop "
        f"{last['curved_importance'][0]:.3f} (bottleneck {last['curved_oracle'][0]:.3f}): the drop doesn't ask for a "
        "direction.",
    )


def _table(found: dict[str, Arrays]) -> Table:
    fields = {"r": "r vs bottleneck", "slope": "slope", "error": "mean error, numbers",
              "reliance_r": "reliance r vs weights", "signed_r": "signed reliance r, numbers"}  # fmt: skip
    rows: list[tuple[str, ...]] = []
    for name, values in found.items():
        for k, n in enumerate(DONORS):
            cells = [float(values[field].mean(axis=0)[k]) for field in fields]
            shown = [f"{cell:.4f}" if np.isfinite(cell) else "-" for cell in cells]
            rows.append((f"{name}, {n}", f"{values['images'].mean(axis=0)[k]:,.0f}", *shown))
    title = f"Numbers by donors a row (drawer: mean of {N_PLANS} plans; reliance needs two values a row)"
    return Table(title, ("generator, donors", "images", *fields.values()), tuple(rows))


def _curved_table(found: dict[str, Arrays]) -> Table:
    columns = ("generator", "concept", "AUROC drop", "bottleneck", "reliance, pixels", "signed")
    names = ("importance", "oracle", "absolute", "signed")
    rows = tuple(
        (generator, concept, *(f"{values[f'curved_{name}'][j]:+.3f}" for name in names))
        for generator, values in found.items()
        for j, concept in enumerate(NAMES)
    )
    return Table("A model that reads |x - 32|, by concept", columns, rows)
