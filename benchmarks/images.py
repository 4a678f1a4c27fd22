"""Error against images: the published scheme, the exact table, donors, the difference estimator.

`python benchmarks/images.py` simulates score models like those of the shapes drawer (N = 250 rows, six concepts) and
prints the root mean squared error of the importance against the expectation at infinite N; with `--figure FOLDER` it
draws the curves. `--demo FOLDER` takes the scores of a finished `genlens demo --out FOLDER` instead and measures the
error against that run's own full table, over random choices of rows and permutations.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from genlens.importance.difference import PartialStates, difference_importance
from genlens.importance.exact import expected_importance
from genlens.importance.sampled import permutation_sources, sample_scores
from genlens.importance.states import StateScores
from genlens.importance.surrogate import predict_states
from genlens.metrics import get_scoring

N_ROWS, WEIGHTS = 250, np.array([1.0, 0.65, 0.4, 0.25, 0.12, 0.0])
ROW_NOISE, SEED_NOISE, IMAGE_NOISE = 0.25, 0.25, 0.05
"""Standard deviations of the score over rows, over noise seeds, and over images of the same seed."""
SHOWN = (0, 2, 5)
"""Concepts in the table: strong, weak, none."""
SCORING = get_scoring("roc_auc")
Estimate = tuple[str, str, int, np.ndarray]
"""Curve, point on it, images, importances (D,)."""


class World:
    """N rows drawn at random, and a generator and model that score any state of them.

    Args:
        rng: source of randomness.
        n_rows: N.
        valued: concepts have a value where they are present (a position, a size), which the score depends on.
    """

    def __init__(self, rng: np.random.Generator, n_rows: int, valued: bool = False) -> None:
        self.rng, self.n_rows, self.valued = rng, n_rows, valued
        self.present = rng.integers(0, 2, (n_rows, len(WEIGHTS)))
        self.values = self.present * (rng.uniform(0, 2, self.present.shape) if valued else 1.0)
        row = rng.normal(0, ROW_NOISE, n_rows)
        self.y = (self.values @ WEIGHTS + row + rng.normal(0, 0.3, n_rows) > WEIGHTS.sum() / 2).astype(np.int64)
        self._base = row + self.values @ WEIGHTS
        self._seeds = rng.normal(0, SEED_NOISE, n_rows)
        self.reference = self.images(0.0)

    def images(self, change: np.ndarray | float, fresh: bool = False) -> np.ndarray:
        """(N,) scores of images of every row whose score is changed by `change`; fresh: with a new noise seed."""
        seeds = self.rng.normal(0, SEED_NOISE, self.n_rows) if fresh else self._seeds
        return np.asarray(self._base + change + seeds + self.rng.normal(0, IMAGE_NOISE, self.n_rows))

    def states(self, j: int, n_donors: int = 1, fresh: bool = False) -> StateScores:
        """Scores of the states of concept j: absent and present, or with `n_donors` donors' values for present."""
        own, value = self.present[:, j], self.values[:, j]
        absent, given = self.images(-WEIGHTS[j] * value, fresh), [self.images(WEIGHTS[j] * (1 - value), fresh)]
        if not fresh:
            absent = np.where(own == 0, self.reference, absent)
            given = [np.where(own == 1, self.reference, given[0])]
        if not self.valued:
            present = given
        else:
            pool = np.flatnonzero(own)
            circle = np.empty(self.n_rows, dtype=np.int64)  # where a row's first donor stands in the pool
            circle[pool] = np.arange(len(pool)) + 1
            circle[own == 0] = self.rng.permutation(np.arange(int((own == 0).sum())) * n_donors)
            donors = [pool[(circle + k) % len(pool)] for k in range(n_donors)]
            present = [self.images(WEIGHTS[j] * (value[donor] - value), fresh) for donor in donors]
        scores = np.stack([absent, *present], axis=1)[:, :, None]  # (N, 1 + donors, 1)
        stratum = np.array([0] + [1] * len(present))
        return StateScores(str(j), scores, stratum, np.bincount(own, minlength=2), own)

    def published(self, j: int, n_repeats: int, fresh: bool) -> np.ndarray:
        """(P,) permuted AUROCs, every image of every permutation rendered."""
        scores = []
        for sources in permutation_sources(self.n_rows, n_repeats, int(self.rng.integers(2**31)), 1):
            change = WEIGHTS[j] * (self.values[sources[0], j] - self.values[:, j])
            scores.append(SCORING(self.y, self.images(change, fresh)))
        return np.array(scores)


def estimates(world: World) -> Iterator[Estimate]:
    """Every scheme on one sample of rows with concepts that are on or off."""
    n, d = world.n_rows, len(WEIGHTS)
    own = SCORING(world.y, world.reference)
    for fresh, name in ((True, "published, fresh noise"), (False, "published, common noise")):
        drops = own - np.stack([world.published(j, 25, fresh) for j in range(d)])  # (D, 25)
        for repeats in (1, 3, 10, 25):
            yield name, f"P = {repeats}", n * (1 + d * repeats), drops[:, :repeats].mean(axis=1)
    reference = world.reference[:, None]
    table = [world.states(j, fresh=True) for j in range(d)]
    found = [expected_importance(world.y, reference, states, SCORING) for states in table]
    yield "exact table, fresh noise", "", n * (1 + 2 * d), np.array(found)
    table = [world.states(j) for j in range(d)]
    found = [expected_importance(world.y, reference, states, SCORING) for states in table]
    yield "exact table, common noise", "", n * (1 + d), np.array(found)
    order = world.rng.permutation(n)
    for size in (25, 50, 100, 150):
        found = [_difference(world.y, reference, world.present, states, order[:size]) for states in table]
        yield "difference estimator", f"n = {size}", n + size * d, np.array(found)
    for size in (50, 100, 150):
        found = [_some_rows(world.y, reference, states, order[:size]) for states in table]
        yield "exact table of fewer rows", f"N = {size}", size * (1 + d), np.array(found)


def valued_estimates(world: World) -> Iterator[Estimate]:
    """The published scheme and donors on one sample of rows with concepts that carry a value."""
    n, d = world.n_rows, len(WEIGHTS)
    own = SCORING(world.y, world.reference)
    drops = own - np.stack([world.published(j, 25, False) for j in range(d)])
    for repeats in (1, 3, 10, 25):
        yield "published, common noise", f"P = {repeats}", n * (1 + d * repeats), drops[:, :repeats].mean(axis=1)
    for donors in (1, 2, 4):
        table = [world.states(j, donors) for j in range(d)]
        found = [expected_importance(world.y, world.reference[:, None], states, SCORING) for states in table]
        images = n + int(sum(n * donors + (world.present[:, j] == 1).sum() for j in range(d)))
        yield "donors", f"m = {donors}", images, np.array(found)


def _difference(
    y: np.ndarray, reference: np.ndarray, features: np.ndarray, states: StateScores, rows: np.ndarray
) -> float:
    known = states.own[:, None] == np.arange(2)
    guess = predict_states(features.astype(np.float64), reference, rows, states.scores[rows], known)
    surrogate = StateScores(states.concept, guess, states.stratum, states.counts, states.own)
    return difference_importance(y, reference, PartialStates(surrogate, rows, states.scores[rows]), SCORING)


def _some_rows(y: np.ndarray, reference: np.ndarray, states: StateScores, rows: np.ndarray) -> float:
    own = states.own[rows]
    part = StateScores(states.concept, states.scores[rows], states.stratum, np.bincount(own, minlength=2), own)
    return expected_importance(y[rows], reference[rows], part, SCORING)


def measure(valued: bool, n_samples: int, n_population: int) -> tuple[np.ndarray, dict[tuple[str, str], np.ndarray]]:
    """True importances (D,), and for each scheme (1 + D,) images and errors."""
    rng = np.random.default_rng(0)
    whole = World(rng, n_population, valued)
    tables = (whole.states(j, 4) for j in range(len(WEIGHTS)))
    truth = np.array([expected_importance(whole.y, whole.reference[:, None], states, SCORING) for states in tables])
    sums: dict[tuple[str, str], list[np.ndarray]] = {}
    for _ in range(n_samples):
        world = World(rng, N_ROWS, valued)
        for curve, point, images, found in valued_estimates(world) if valued else estimates(world):
            sums.setdefault((curve, point), []).append(np.append(images, (found - truth) ** 2))
    means = {key: np.mean(values, axis=0) for key, values in sums.items()}
    return truth, {key: np.append(mean[0], np.sqrt(mean[1:])) for key, mean in means.items()}


def print_table(title: str, truth: np.ndarray, found: dict[tuple[str, str], np.ndarray]) -> None:
    """One line a scheme, in Markdown."""
    print(f"\n{title}\n\n| scheme | | images |" + "".join(f" RMSE at {truth[j]:.3f} |" for j in SHOWN) + " mean RMSE |")
    print("|---|---|---|" + "---|" * (len(SHOWN) + 1))
    for (curve, point), row in found.items():
        errors = "".join(f" {row[1 + j]:.4f} |" for j in SHOWN)
        print(f"| {curve} | {point} | {row[0]:,.0f} |{errors} {row[1:].mean():.4f} |", flush=True)


def draw_figure(panels: dict[str, dict[tuple[str, str], np.ndarray]], path: Path) -> None:
    """Mean error against images, one panel a table."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), 4), constrained_layout=True, squeeze=False)
    for ax, (title, found) in zip(axes[0], panels.items(), strict=True):
        for number, curve in enumerate(dict.fromkeys(name for name, _ in found)):
            points = np.array([(row[0], row[1:].mean()) for (name, _), row in found.items() if name == curve])
            ax.plot(points[:, 0], points[:, 1], "o-", label=curve, color=f"C{number}", markersize=4)
        ax.set(xscale="log", title=title, xlabel="images", ylabel="RMSE, mean over concepts", ylim=(0, None))
        ax.set_xticks([300, 1000, 3000, 10_000, 30_000], ["300", "1,000", "3,000", "10,000", "30,000"])
        ax.set_xticks([], minor=True)
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def demo_errors(folder: Path, n_samples: int) -> tuple[np.ndarray, dict[tuple[str, str], np.ndarray]]:
    """Errors on the scores of a finished demo against its own full table of N rows."""
    from genlens.classifiers import load_demo_target
    from genlens.concepts import ConceptTable
    from genlens.datasets.shapes import CONCEPTS
    from genlens.plan import make_plan
    from genlens.run_folder import RunFolder
    from genlens.store import image_key

    run = RunFolder(folder / "run")
    settings = run.settings
    table = ConceptTable.from_metadata(folder / f"data-{settings['n_rows']}-{settings['seed']}", CONCEPTS, "label")
    plan = make_plan(table, settings["seed"])
    keys = [image_key(settings["generator"], *pair) for pair in zip(plan.captions, plan.seeds, strict=True)]
    outputs = run.scores(load_demo_target().fingerprint).get(keys)[:, 0].astype(np.float64)
    y, reference, present = np.asarray(table.labels), outputs[plan.reference], table.presence()
    tables = [StateScores.from_states(states, outputs) for states in plan.states]
    truth = np.array([expected_importance(y, reference, states, SCORING) for states in tables])
    rng, n, d = np.random.default_rng(0), table.n_rows, len(tables)
    sums: dict[tuple[str, str, int], list[np.ndarray]] = {}
    own = SCORING(y, reference[:, 0])
    for _ in range(n_samples):
        seed, order = int(rng.integers(2**31)), rng.permutation(n)
        drops = own - np.stack([sample_scores(y, states, SCORING, 25, seed) for states in tables])
        name = "published, common noise"
        found = [(name, f"P = {p}", n * (1 + d * p), drops[:, :p].mean(axis=1)) for p in (1, 5, 25)]
        for size in (20, 50, 100, 250, 500):
            values = [_difference(y, reference, present, states, order[:size]) for states in tables]
            found.append(("difference estimator", f"n = {size}", n + d * size, np.array(values)))
        for size in (250, 500):
            values = [_some_rows(y, reference, states, order[:size]) for states in tables]
            found.append(("exact table of fewer rows", f"N = {size}", size * (1 + d), np.array(values)))
        for curve, point, images, values in found:
            sums.setdefault((curve, point, images), []).append((np.asarray(values) - truth) ** 2)
    found = {key[:2]: np.append(key[2], np.sqrt(np.mean(errors, axis=0))) for key, errors in sums.items()}
    return truth, found


def main() -> None:
    """Print tables, draw curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=200, help="samples drawn from the population")
    parser.add_argument("--quick", action="store_true", help="few samples, a small population")
    parser.add_argument("--figure", type=Path, help="folder for error-against-images.png")
    parser.add_argument("--demo", type=Path, help="folder of a finished demo whose scores are used instead")
    chosen = parser.parse_args()
    n_samples, n_population = (20, 20_000) if chosen.quick else (chosen.samples, 200_000)
    if chosen.demo is not None:
        print_table(f"Scores of {chosen.demo.name}, {n_samples} choices", *demo_errors(chosen.demo, n_samples))
        return
    panels = {}
    for title, valued in (("concepts that are on or off", False), ("concepts with a value", True)):
        truth, found = measure(valued, n_samples, n_population)
        print_table(f"N = {N_ROWS}, {n_samples} samples, {title}", truth, found)
        panels[title] = found
    if chosen.figure is not None:
        draw_figure(panels, chosen.figure / "error-against-images.png")


if __name__ == "__main__":
    main()
