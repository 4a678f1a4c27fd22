"""Invented results to report on: of any size, with or without checks, pictures, intervals."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genlens.datasets.shapes import CONCEPTS, draw, presence_caption, sample_presence, sample_slots, segment_caption
from genlens.importance.result import Analysis, CheckResult, ImportanceResult, Picture

WEIGHTS = (0.95, 0.31, 0.12, 0.62, 0.02, 0.45)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def shapes_gallery(names: Sequence[str], n_rows: int, weights: Sequence[float]) -> tuple[Picture, ...]:
    """Drawings of the first six concepts, off and on, scored by a linear model."""
    presence, slots = sample_presence(n_rows, 5), sample_slots(n_rows, 5)
    pictures = []
    for j, name in list(enumerate(names))[: len(CONCEPTS)]:
        for i in range(n_rows):
            for state in (1, 0):
                bits = presence[i].copy()
                bits[j] = state
                image = draw(bits[None], slots.params[i : i + 1])[0]
                text = segment_caption(bits, slots.params[i]) if i % 2 else presence_caption(bits)
                score = float(np.dot(np.resize(weights, 6), bits) * 3 - 3.4)
                pictures.append(Picture(name, f"{i:06d}.png", ("off", "on")[state], text, score, png(image)))
    return tuple(pictures)


def make_checks(names: Sequence[str], verdicts: Sequence[str]) -> tuple[CheckResult, ...]:
    """The three checks with the verdicts asked for, with tables like those of `genlens.checks`."""
    rng = np.random.default_rng(3)
    real = rng.uniform(0.985, 0.999, len(names) + 1)
    gap = rng.uniform(0.001, 0.012, len(names) + 1) + 0.15 * (verdicts[0] == "failed")
    effective = [
        {
            "name": name, "real": float(a), "generated": float(a - d), "difference": float(d),
            "difference_low": float(d - 0.01), "difference_high": float(d + 0.012), "verdict": verdicts[0],
        }
        for name, a, d in zip(("target", *names), real, gap, strict=True)
    ]  # fmt: skip
    matrix = rng.normal(0, 0.006, (len(names), len(names)))
    if verdicts[1] == "failed" and len(names) > 1:
        matrix[0, 1], matrix[0, 0] = -0.31, -0.12
    flips = [
        {
            "concept": name, "reference_auroc": 0.99, "own_change": -0.004, "own_change_low": -0.011,
            "own_change_high": 0.002, "flips_shown": 0.98, "flips_expected": 0.985, "others_stayed": 0.991,
            "most_moved": names[k - 1], "its_change": -0.006, "its_change_low": -0.01, "its_change_high": 0.001,
            "verdict": verdicts[1],
        }
        for k, name in enumerate(names)
    ]  # fmt: skip
    remedy = "Train the generator longer, or leave out the concepts it does not draw."
    return (
        CheckResult(
            "effective-generation", "Effective generation", verdicts[0],  # type: ignore[arg-type]
            float(gap.max()), 0.10, "AUROC falls by at most .162 [.151, .174] from real to generated images (tv).",
            remedy, effective,
        ),
        CheckResult(
            "independent-permutation", "Independent permutation", verdicts[1],  # type: ignore[arg-type]
            float(np.abs(matrix).max()), 0.05, "Permuting red circle moves green circle by -.310; 98% of flips show.",
            "Permute the two as a group.", flips, matrix.tolist(), list(names),
        ),
        CheckResult(
            "reproducible-generation", "Reproducible generation", verdicts[2],  # type: ignore[arg-type]
            0.0, 1.0, "32 images rendered again differ by .000 grey levels on average.", "",
        ),
    )  # fmt: skip


def make_result(names: Sequence[str] = CONCEPTS, **changes: Any) -> ImportanceResult:
    """A result whose importances follow made-up weights; any field can be replaced."""
    rng = np.random.default_rng(0)
    n, n_rows, n_repeats = len(names), 1000, 500
    weights = np.resize(WEIGHTS, n) * np.repeat(np.linspace(1, 0.3, -(-n // 6)), 6)[:n]
    importance = 0.27 * weights**2 + rng.normal(0, 0.0015, n)
    se = 0.004 + 0.03 * importance.clip(0)
    p = np.where(importance > 2 * se, 0.0004, 0.31)
    reliance = 3 * weights + 0.02
    settings = {
        "seed": 0, "n_draws": 1, "noise": "common", "classifier": "mine.py:load", "generator": "./shapes_generator",
        "concepts": list(names), "versions": {"genlens": "0.1.0", "torch": "2.13.0", "diffusers": "0.42.1"},
        "command": "genlens rank data/test --concepts 'red circle,…' --label label --out runs/shapes --seed 0",
    }  # fmt: skip
    fields: dict[str, Any] = {
        "concepts": tuple(names),
        "importance": importance,
        "std": np.full(n, 0.008),
        "se": se,
        "ci_low": importance - 1.96 * se,
        "ci_high": importance + 1.96 * se,
        "p_value": p,
        "q_value": p * 1.5,
        "reliance": reliance,
        "reliance_ci": np.stack([reliance - 0.06, reliance + 0.06], axis=1),
        "reliance_signed": reliance * np.where(np.arange(n) % 4 == 3, -1, 1),
        "reliance_signed_ci": np.stack([reliance - 0.06, reliance + 0.06], axis=1),
        "repeats": importance[:, None] + rng.normal(0, 0.008, (n, n_repeats)),
        "effects": rng.normal(reliance[:, None], 0.2, (n, n_rows)),
        "reference_score": 0.981,
        "reference_ci": (0.972, 0.988),
        "real_score": 0.987,
        "real_ci": (0.980, 0.993),
        "n_rows": n_rows,
        "n_images": n_rows * (1 + n),
        "n_naive": n_rows * (1 + n * n_repeats),
        "settings": settings,
        "checks": make_checks(names, ("passed", "passed", "passed")),
        "gallery": shapes_gallery(names, 4, weights),
    }
    return ImportanceResult(**{**fields, **changes})


@pytest.fixture(scope="session")
def invent() -> Callable[..., ImportanceResult]:
    """`make_result`: a result to report on, with any field replaced."""
    return make_result


@pytest.fixture(scope="session")
def invent_checks() -> Callable[..., tuple[CheckResult, ...]]:
    """`make_checks`: three checks with given verdicts."""
    return make_checks


def make_analyses(names: Sequence[str]) -> tuple[Analysis, ...]:
    """One analysis of each form: strips, curves, distributions, a matrix, a line."""
    rng = np.random.default_rng(4)
    strips = [
        {"concept": name, "reliance": 1 - k / 4, "above": 0.8 - k / 4, "above_low": 0.6 - k / 4,
         "above_high": 1 - k / 4, "q_value": 0.01, "share_flipped": 0.2, "above_the_floor": k < 3}
        for k, name in enumerate(names)
    ]  # fmt: skip
    curves = [
        {"concept": name, "value": float(x), "score": y, "score_low": y - 0.2, "score_high": y + 0.2}
        for name in names[:3]
        for x, y in zip(range(20, 90, 10), rng.normal(0, 1, 7).cumsum().tolist(), strict=True)
    ]
    spreads = [{"concept": name, "mean": 0.1, "effects": rng.normal(0, 1, 101).tolist()} for name in names]
    matrix = rng.normal(0, 0.1, (len(names), len(names))).tolist()
    return (
        Analysis("placebo", "Placebo", "Reversing moves the score by .021.", "Train longer.", strips, chart="interval",
                 reading="Above: reliance minus the placebo's."),
        Analysis("doses", "Dose-response", "The score rises with age.", table=curves, chart="curve"),
        Analysis("effects", "Effects by row", "The effects differ between rows.", table=spreads),
        Analysis("interactions", "Interactions", "None stands out.", matrix=matrix, labels=list(names),
                 guide="Row: the concept switched."),
        Analysis("variance", "Where the error comes from", "One draw: can\u2019t split.", "Set `n_draws` to 2."),
    )  # fmt: skip


@pytest.fixture(scope="session")
def invent_analyses() -> Callable[[Sequence[str]], tuple[Analysis, ...]]:
    """`make_analyses`: an analysis of each form."""
    return make_analyses
