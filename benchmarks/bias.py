"""Does the bias that is found grow with the bias that was planted, and stay silent where there is none?

    python benchmarks/bias.py --out build/bias                 # everything, about an hour on one core
    python benchmarks/bias.py --out build/bias --nulls 20 --models 4

Classifiers of kind (circle or rectangle) are trained with labels that tie red to circle and blue to rectangle at
strengths 0, .25, .5, .75 and 1 (`genlens.experiments.planted_bias`). Each is searched for bias with the shipped shapes
generator, the class circle, and two attributes: colour (planted) and side of the picture (never planted). What is done
is kept; the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genlens.bias_run import BiasOptions, find_bias
from genlens.cli.loading import load_generator
from genlens.experiments.planted_bias import CLASSES, FAVOURED, NEUTRAL, kind_attributes, kind_classifier
from genlens.findings.bias import CONTROL, OPTIMISED
from genlens.proportions import wilson_interval

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
Record = dict[str, Any]


def measured(strength: float, seed: int, out: Path, generator: Any, options: BiasOptions) -> Record:
    """One classifier: trained, searched and summed up."""
    start = time.process_time()
    model = kind_classifier(strength, seed=seed, cache=out / "classifiers")
    result = find_bias(
        model, generator, CLASSES[0], kind_attributes(), out / "runs" / f"{strength:g}-{seed}", neutral=NEUTRAL,
        options=options,
    )  # fmt: skip
    colour, side = result.findings
    red = next(value for value in colour.values if value.value == FAVOURED)
    return {
        "strength": strength, "seed": seed, "difference": red.difference, "low": red.low, "high": red.high,
        "effect": red.effect.d, "restarts": colour.n_restarts, "colour": colour.verdict, "side": side.verdict,
        "favoured": colour.favoured, "p": {one.attribute: [one.p_neutral, one.p_control, one.p_direct, one.adjusted]
                                           for one in result.findings},
        "seconds": time.process_time() - start,
    }  # fmt: skip


def read(path: Path) -> list[Record]:
    """What is done."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def contrast(out: Path, record: Record) -> float:
    """Share of red in pictures that maximise the circle minus that in pictures that maximise the rectangle."""
    content = json.loads((out / "runs" / f"{record['strength']:g}-{record['seed']}" / "bias.json").read_text())
    shares = next(v["shares"] for v in content["findings"][0]["values"] if v["value"] == FAVOURED)
    return float(shares[OPTIMISED] - shares[CONTROL]) if CONTROL in shares else float("nan")


def report(records: Sequence[Record], out: Path) -> str:
    """The curve and the false alarms."""
    columns = ("red, optimised - neutral", "red, circle - rectangle", "effect of red on score")
    lines = [f"strength  classifiers  {'  '.join(f'{name:>24s}' for name in columns)}  colour biased  side biased"]
    records = [{**record, "contrast": contrast(out, record)} for record in records]
    rng = np.random.default_rng(0)
    for strength in STRENGTHS:
        own = [r for r in records if r["strength"] == strength]
        if not own:
            continue
        cells = []
        for name in ("difference", "contrast", "effect"):
            values = np.array([r[name] for r in own], dtype=float)
            values = values[np.isfinite(values)]
            means = values[rng.integers(0, len(values), (2000, len(values)))].mean(axis=1)
            low, high = np.quantile(means, [0.025, 0.975])
            cells.append(f"{values.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
        said = [f"{sum(r[a] == 'biased' for r in own)} of {len(own)}" for a in ("colour", "side")]
        figures = "  ".join(f"{cell:>24s}" for cell in cells)
        lines.append(f"{strength:8.2f}  {len(own):11d}  {figures}  {said[0]:>13s}  {said[1]:>11s}")
    nulls = [r for r in records if r["strength"] == 0]
    for name, tests, alarms in (
        ("classifiers without bias, any attribute", len(nulls),
         sum("biased" in (r["colour"], r["side"]) for r in nulls)),
        ("tests of an attribute that isn't biased", len(nulls) + len(records),
         sum(r["colour"] == "biased" for r in nulls) + sum(r["side"] == "biased" for r in records)),
    ):  # fmt: skip
        share = alarms / max(tests, 1)
        low, high = wilson_interval(alarms, tests)
        lines.append(f"False alarms, {name}: {alarms} of {tests} ({share:.1%} [{low:.1%}, {high:.1%}])")
    for text, parts in (("optimised against neutral pictures", (0,)), ("that and against other classes", (0, 1))):
        alone = sum(max(r["p"]["colour"][part] for part in parts) <= 0.05 for r in nulls)
        lines.append(f"On one of the tests alone, {text}, colour would be called biased in {alone} of {len(nulls)}")
    lines.append(f"Processor time: {sum(r['seconds'] for r in records) / 60:.1f} minutes")
    return "\n".join(lines)


def main() -> None:
    """Measure what isn't measured yet, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of classifiers, runs and results")
    parser.add_argument("--nulls", type=int, default=20, help="classifiers without bias")
    parser.add_argument("--models", type=int, default=4, help="classifiers of each other strength")
    parser.add_argument("--iterations", type=int, default=30, help="most steps of an optimisation")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "results.jsonl"
    done = {(r["strength"], r["seed"]) for r in read(path)}
    counts = {s: arguments.nulls if s == 0 else arguments.models for s in STRENGTHS}
    jobs = [(s, k) for k in range(max(counts.values())) for s in STRENGTHS if k < counts[s]]
    generator = load_generator("shapes")
    for strength, seed in jobs:
        if (strength, seed) not in done:
            options = BiasOptions(
                iterations=arguments.iterations, batch=1, n_images=8, n_neutral=240, seed=seed
            )
            record = measured(strength, seed, arguments.out, generator, options)
            with path.open("a") as file:
                file.write(json.dumps(record) + "\n")
            said = f"{record['difference']:+.2f}, {record['effect']:+.2f}, {record['colour']}, {record['side']}"
            print(f"{strength:g} {seed}: {said}, {record['restarts']} restarts, {record['seconds']:.0f} s", flush=True)
    print(report(read(path), arguments.out))


if __name__ == "__main__":
    main()
