"""Concepts that are watched and not permuted: in tables, in the checks, from the command line to the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from genlens.checks import independent_permutation
from genlens.cli.app import app
from genlens.columns import Concept
from genlens.concepts import ConceptTable
from genlens.datasets import xray
from genlens.errors import UserError
from genlens.importance.states import StateScores
from genlens.reports.check_view import check_view
from genlens.reports.plots import plot_independent_permutation


def frame() -> pd.DataFrame:
    return pd.DataFrame({"a": [0, 1, 0, 1], "b": [1, 0, 0, 1], "v": ["x", "y", "x", "y"], "label": [0, 1, 1, 0]})


def test_watched_concepts_are_detected_and_not_permuted() -> None:
    table = ConceptTable.from_frame(frame(), ["a"], "label", row_id=None, watch=["b"])
    assert (table.names, table.detected_names) == (("a",), ("a", "b"))
    np.testing.assert_array_equal(table.detected_presence(), [[0, 1], [1, 0], [0, 0], [1, 1]])
    part = table.take([0, 1, 2])
    assert part.watched[0].values.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("watch", "message"),
    [
        (["a"], "`concepts` must be unique"), (["c"], "`watch` is 'c', which is not a column"),
        (["b", "b"], "`watch` names 'b' twice"), (["v"], "`watch` 'v' is a category"),
    ],
)  # fmt: skip
def test_what_cannot_be_watched_is_refused(watch: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ConceptTable.from_frame(frame(), ["a"], "label", row_id=None, watch=watch)


def leaky(leak: float) -> tuple[np.ndarray, np.ndarray, list[StateScores]]:
    """Concept 0 is permuted; concept 1, watched, follows it in a share of the rows."""
    rng = np.random.default_rng(0)
    presence = rng.integers(0, 2, (400, 2)).astype(bool)
    follows = rng.random(400) < leak
    scores = np.empty((400, 2, 1, 2))
    for slot in (0, 1):
        scores[:, slot, 0, 0] = slot
        scores[:, slot, 0, 1] = np.where(follows & (presence[:, 0] != slot), slot, presence[:, 1])
    scores += 0.01 * rng.standard_normal(scores.shape)
    own = presence[:, 0].astype(np.int64)
    reference = scores[np.arange(400), own, 0]
    return presence, reference, [StateScores("a", scores, np.array([0, 1]), np.bincount(own), own)]


def test_a_watched_concept_that_moves_along_fails_the_check_and_is_named() -> None:
    presence, reference, states = leaky(0.6)
    check = independent_permutation(presence, reference, states, ["a", "b"])
    assert check.verdict == "failed"
    assert "Permuting a moves b" in check.message
    assert check.remedy == "Read the importance of a (moves b) as that of both: a concept that isn't permuted moves."
    assert np.shape(check.matrix) == (1, 2)
    view = check_view(check)["matrix"]
    assert [len(line["cells"]) for line in view["lines"]] == [2] and view["labels"] == ["a", "b"]
    assert len(plot_independent_permutation(check).get_yticks()) == 1


def test_a_watched_concept_that_stays_passes() -> None:
    presence, reference, states = leaky(0.0)
    assert independent_permutation(presence, reference, states, ["a", "b"]).verdict == "passed"


def test_a_watched_concept_must_not_be_repeated_among_the_concepts() -> None:
    concept = Concept("a", "binary", [0, 1])
    with pytest.raises(UserError, match="must be unique"):
        ConceptTable(("x", "y"), (concept,), watched=(concept,))


CLASSIFIER = """
import numpy as np
from genlens.datasets.xray import CONCEPTS
class Brightness:
    outputs, fingerprint, concept_names = "scores", "brightness", CONCEPTS
    def predict(self, images):
        flat = np.stack([np.asarray(image, dtype=np.float32).reshape(16, -1).mean(axis=1) for image in images])
        return flat
def concepts():
    return Brightness()
class Mean(Brightness):
    fingerprint = "mean"
    def predict(self, images):
        return super().predict(images).mean(axis=1, keepdims=True)
def target():
    return Mean()
"""


@pytest.fixture
def phantom(tmp_path: Path) -> Path:
    xray.write_imagefolder(tmp_path / "data", 40, 0)
    (tmp_path / "models.py").write_text(CLASSIFIER)
    return tmp_path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=True)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_rank_watches_and_warns_of_mentions(phantom: Path) -> None:
    run(
        "rank", str(phantom / "data"), "--concepts", "Age,BMI,Sex", "--label", "Pneumonia", "--caption", "fields",
        "--context", "report", "--section", "findings", "--watch", ",".join(xray.FINDINGS),
        "--generator", "xray-drawer", "--classifier", f"{phantom / 'models.py'}:target",
        "--concept-classifier", f"{phantom / 'models.py'}:concepts", "--out", str(phantom / "run"),
        "--placebo-rows", "0",
    )  # fmt: skip
    saved = json.loads((phantom / "run" / "analyses.json").read_text())
    analyses = {one["code"]: one for one in saved}
    assert analyses["section"]["message"] == "Captions hold the section findings of each report."
    assert "mentions Age in" in analyses["mentions"]["message"]
    check = next(c for c in json.loads((phantom / "run" / "checks.json").read_text())
                 if c["code"] == "independent-permutation")  # fmt: skip
    assert np.shape(check["matrix"]) == (3, 16)
    assert "Independent permutation" in run("check", str(phantom / "run"))


def test_plan_says_what_is_mentioned_and_masked(phantom: Path) -> None:
    common = ["plan", str(phantom / "data"), "--concepts", "Age,BMI,Sex", "--label", "Pneumonia", "--caption", "fields",
              "--context", "findings"]  # fmt: skip
    assert "The text that stays mentions Age in" in run(*common)
    masked = run(*common, "--mentions", "mask")
    assert "was rewritten by the built-in rules" in masked
    assert "No permuted concept is mentioned in the text that stays" in masked


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--long-captions", "cut"], "`--long-captions` must be refuse, select or chunks:N"),
        (["--long-captions", "chunks:1"], "`--long-captions` must be refuse, select or chunks:N"),
        (["--section", "summary", "--context", "report"], "`section` must name sections among"),
        (["--section", "findings"], "`--section` needs the column of the reports"),
        (["--section", "technique", "--context", "report"], "No report has a section technique"),
        (["--mentions", "nothing.json", "--context", "report"], "`mentions` must be report, mask or a file"),
    ],
)
def test_mistakes_in_the_text_options(phantom: Path, more: list[str], message: str) -> None:
    arguments = ["plan", str(phantom / "data"), "--concepts", "Age,BMI", "--label", "Pneumonia", *more]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1 and message in " ".join(result.output.split())
