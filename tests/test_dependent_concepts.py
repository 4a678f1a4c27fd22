"""Groups, conditional importance and Shapley values from end to end, in Python and on the command line."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from genlens.captions import caption
from genlens.classifiers import CallableClassifier
from genlens.cli import app
from genlens.concepts import Concept, ConceptTable
from genlens.depict import permutation_importance
from genlens.errors import UserError
from genlens.generators.drawer import DrawerGenerator
from genlens.importance.result import Analysis, ImportanceResult
from genlens.seeds import row_seed

NAMES = ("red circle", "blue rectangle", "green circle")


def weighted(images: Any) -> np.ndarray:
    """A score in which all three shapes have a part of their own."""
    return np.array([[(255 - image.astype(float)) @ (0.1, 0.5, 0.3)] for image in images]).mean(axis=(1, 2, 3))


def model() -> CallableClassifier:
    return CallableClassifier(weighted, fingerprint="weighted")


def table_of(n: int, seed: int = 0) -> ConceptTable:
    rng = np.random.default_rng(seed)
    concepts = tuple(Concept(name, "binary", rng.permutation(np.arange(n) % 2)) for name in NAMES)
    return ConceptTable(tuple(f"row {i}" for i in range(n)), concepts, rng.permutation(np.arange(n) % 2))


def analysis(result: ImportanceResult, code: str) -> Analysis:
    (found,) = [item for item in result.analyses if item.code == code]
    return found


def drawn(table: ConceptTable, row: int, overrides: dict[str, int]) -> float:
    image = DrawerGenerator().generate([caption(table, row, overrides)], [row_seed(0, table.row_ids[row])])
    return float(weighted(image)[0])


def test_a_group_is_the_mean_over_all_joint_permutations_of_drawn_pictures() -> None:
    table = table_of(6, 3)
    result = permutation_importance(
        model(), table, DrawerGenerator(), n_repeats=2, groups={"both": NAMES[:2]}, placebo_rows=0
    )
    values = np.stack([table.concept(name).values for name in NAMES[:2]], axis=1)
    score = {
        (row, source): drawn(table, row, dict(zip(NAMES[:2], values[source].tolist(), strict=True)))
        for row, source in itertools.product(range(6), repeat=2)
    }
    reference = roc_auc_score(table.labels, [score[row, row] for row in range(6)])
    permuted = [
        roc_auc_score(table.labels, [score[row, source] for row, source in enumerate(order)])
        for order in itertools.permutations(range(6))
    ]
    (row,) = analysis(result, "groups").table
    assert row["importance"] == pytest.approx(reference - np.mean(permuted), abs=1e-12)
    assert row["alone"] == pytest.approx(result.importance[:2].sum(), abs=1e-12)
    assert result.settings["groups"] == {"both": list(NAMES[:2])}


def test_given_is_the_mean_over_permutations_within_rows_that_agree() -> None:
    table = table_of(6, 1)
    result = permutation_importance(model(), table, DrawerGenerator(), n_repeats=2, given=[NAMES[1]], placebo_rows=0)
    own, other = (table.concept(name).values for name in NAMES[:2])
    score = np.array([[drawn(table, row, {NAMES[0]: value}) for value in (0, 1)] for row in range(6)])
    rows, permuted = np.arange(6), []
    for order in itertools.permutations(range(6)):
        if (other[list(order)] == other).all():
            permuted.append(roc_auc_score(table.labels, score[rows, own[list(order)]]))
    found = {row["concept"]: row for row in analysis(result, "conditional").table}
    reference = roc_auc_score(table.labels, score[rows, own])
    assert found[NAMES[0]]["importance"] == pytest.approx(reference - np.mean(permuted), abs=1e-12)
    assert len(permuted) == 36


def test_shapley_values_add_up_and_everything_is_kept(tmp_path: Path) -> None:
    table = table_of(40)
    result = permutation_importance(
        model(), table, DrawerGenerator(), n_repeats=2, shapley=True, groups={"g": NAMES[:2]}, given="model",
        placebo_rows=0, store=tmp_path / "run",
    )  # fmt: skip
    rows = {row["concept"]: row for row in analysis(result, "shapley").table}
    assert [rows[name]["alone"] for name in NAMES] == pytest.approx(list(result.importance), abs=1e-12)
    assert result.n_images == 40 * 8  # the lattice holds all other states
    result.save(tmp_path / "run")
    kept = ImportanceResult.load(tmp_path / "run")
    assert [item.code for item in kept.analyses] == [item.code for item in result.analyses]
    assert {"groups", "conditional", "shapley", "association", "positivity"} <= {item.code for item in kept.analyses}
    assert (kept.settings["given"], kept.settings["shapley"]) == ("model", "all rows")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": {"g": ["red circle", "sofa"]}}, "Group 'g' names 'sofa', which is no concept"),
        ({"given": "rows"}, "`given` must be 'model', 'boosting', 'others'"),
        ({"given": "others", "scoring": "f1"}, "`scoring`='f1' has no closed form"),
        ({"shapley": True, "scoring": "average_precision"}, "`scoring`='average_precision' has no closed form"),
        ({"shapley_rows": 5}, "`shapley_rows`=5 has no effect without `shapley`"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_made(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        permutation_importance(model(), table_of(8), DrawerGenerator(), store=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def rank(shapes_folder: Path, tmp_path: Path) -> list[str | Path]:
    return [
        "rank", shapes_folder, "--concepts", ",".join(NAMES), "--label", "label", "--classifier",
        "bundled:shapes-target", "--generator", "drawer", "--out", tmp_path / "run", "--n-repeats", "2",
    ]  # fmt: skip


def test_the_command_line_takes_groups_given_and_shapley(rank: list[str | Path], tmp_path: Path) -> None:
    group = ["--group", "a=red circle, green circle", "--given", "blue rectangle", "--shapley", "--shapley-rows", "20"]
    result = run(*rank, *group)
    assert result.exit_code == 0, result.output
    found = {item["code"]: item for item in json.loads((tmp_path / "run" / "analyses.json").read_text())}
    assert found["groups"]["table"][0]["members"] == "red circle, green circle"
    assert {row["concept"] for row in found["conditional"]["table"]} == {"red circle", "green circle"}
    assert "(20 rows)" in found["shapley"]["message"]
    assert "Groups permuted together" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_the_plan_says_what_groups_and_shapley_values_cost(shapes_folder: Path) -> None:
    concepts = ["plan", shapes_folder, "--concepts", ",".join(NAMES)]
    plain = run(*concepts).stdout
    result = run(*concepts, "--group", "a=red circle,green circle", "--shapley", "--shapley-rows", "10").stdout
    assert "  groups: a, 4 states in 64 rows: 64 more images" in result
    assert "  lattice, 8 states in 10 rows: 40 more images" in result
    images = [int(text.split(" images to render")[0].split("\n")[-1]) for text in (plain, result)]
    assert images[1] - images[0] == 64 + 40 - 10  # one pattern of each row of the lattice is the group's


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--group", "red circle,green circle"], "`--group` must have the form name=value"),
        (["--group", "a=red circle,green circle", "--group", "a=red circle,sofa"], "`--group` names 'a' twice"),
        (["--group", "a=red circle"], "Group 'a' must have at least two concepts"),
        (["--group", "a=red circle,sofa"], "Group 'a' names 'sofa', which is no concept"),
        (["--group", "a=red circle,green circle", "--group", "b=red circle,blue rectangle"], "in groups 'a' and 'b'"),
        (["--group", "red circle=green circle,blue rectangle"], "Group 'red circle' has the name of a concept"),
        (["--given", "sofa"], "`given` names 'sofa', which is no concept"),
        (["--shapley-rows", "9"], "`shapley_rows`=9 has no effect without `shapley`"),
        (["--shapley", "--scoring", "f1"], "`scoring`='f1' has no closed form"),
    ],
)
def test_mistakes_are_one_line(rank: list[str | Path], options: list[str], line: str, tmp_path: Path) -> None:
    result = run(*rank, *options)
    assert result.exit_code == 1
    (said,) = result.stderr.splitlines()
    assert line in said
    assert not (tmp_path / "run").exists()
