"""Generate once, audit many: nothing is rendered, heads on one bottleneck run it once, mistakes are one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from genlens.classifiers import CallableClassifier, ConceptBottleneck, load_shapes_concepts
from genlens.cli import app
from genlens.compare import compare
from genlens.concepts import ConceptTable
from genlens.depict import permutation_importance
from genlens.errors import RunFolderError, UserError
from genlens.generators.drawer import DrawerGenerator

Images = Sequence[NDArray[np.uint8]]
MODELS = """
import numpy as np

def channel(number):
    return lambda images: (255.0 - np.asarray(images, dtype=float)).mean(axis=(1, 2))[:, number]

def many():
    return {"green": channel(1), "blue": channel(2)}

def red(images):
    return channel(0)(images)

def nothing():
    return {}
"""


def channel(number: int) -> CallableClassifier:
    return CallableClassifier(
        lambda images: (255.0 - np.asarray(images, dtype=float)).mean(axis=(1, 2))[:, number],
        fingerprint=f"channel {number}",
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, shapes_table: ConceptTable) -> Path:
    """A finished run of 64 rows."""
    folder = tmp_path_factory.mktemp("compare") / "run"
    permutation_importance(channel(0), shapes_table, DrawerGenerator(), n_repeats=2, store=folder).save(folder)
    return folder


def test_a_model_has_the_numbers_of_a_run_of_its_own(run: Path, shapes_table: ConceptTable) -> None:
    found = compare(run, {"red": channel(0), "green": channel(1)})
    alone = permutation_importance(channel(1), shapes_table, DrawerGenerator(), n_repeats=2)
    np.testing.assert_array_equal(found.importance[1], alone.importance)
    assert found.concepts == alone.concepts


def test_nothing_is_rendered_and_a_second_comparison_scores_nothing(run: Path) -> None:
    seen = []

    def counting(images: Images) -> NDArray[np.float64]:
        seen.append(len(images))
        return np.array([float(image[..., 2].mean()) for image in images])

    before = sorted(path.name for path in (run / "images").iterdir())
    models = {"counting": CallableClassifier(counting, fingerprint="counting"), "red": channel(0)}
    first = compare(run, models)
    assert sum(seen) > 64
    seen.clear()
    again = compare(run, models)
    assert not seen and sorted(path.name for path in (run / "images").iterdir()) == before
    np.testing.assert_array_equal(first.importance, again.importance)


class CountingNet:
    """A concept classifier that counts its passes."""

    def __init__(self) -> None:
        self.inner, self.seen = load_shapes_concepts(), 0
        self.concept_names, self.fingerprint = self.inner.concept_names, self.inner.fingerprint

    def predict(self, images: Images) -> NDArray[np.float32]:
        self.seen += len(images)
        return self.inner.predict(images)

    def probabilities(self, images: Images) -> NDArray[np.float32]:
        self.seen += len(images)
        return self.inner.probabilities(images)


def test_heads_on_one_bottleneck_run_it_once(run: Path) -> None:
    net: Any = CountingNet()
    weights = np.random.default_rng(0).random((5, 6))
    heads = {f"head {k}": ConceptBottleneck(net, row) for k, row in enumerate(weights)}
    found = compare(run, heads)
    n_images = len(pd.read_parquet(run / "plan_images.parquet"))
    assert net.seen == n_images
    single = compare(
        run, {"plain": CallableClassifier(heads["head 3"].predict, fingerprint="head 3"), "red": channel(0)}
    )
    np.testing.assert_allclose(single.importance[0], found.importance[3], atol=2e-3)  # float32 scores may tie otherwise


def test_a_run_that_is_not_finished_is_one_line(tmp_path: Path, run: Path) -> None:
    with pytest.raises(RunFolderError, match="is not a run folder"):
        compare(tmp_path, {"a": channel(0), "b": channel(1)})
    (tmp_path / "run.json").write_bytes((run / "run.json").read_bytes())
    with pytest.raises(RunFolderError, match="Finish the run with the command that began it"):
        compare(tmp_path, {"a": channel(0), "b": channel(1)})
    for name in ("plan_images.parquet", "plan_rows.parquet", "plan.json"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    with pytest.raises(RunFolderError, match=r"Images are missing in .* Finish the run"):
        compare(tmp_path, {"a": channel(0), "b": channel(1)})


def test_one_model_is_not_a_comparison(run: Path) -> None:
    with pytest.raises(UserError, match="at least two target models; got 1"):
        compare(run, {"a": channel(0)})


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in ("compare", *arguments)])


def test_the_command_writes_tables_a_figure_and_a_report(run: Path, tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text(MODELS)
    models = f"{tmp_path / 'models.py'}:"
    result = invoke(run, "--classifier", f"red={models}red", "--classifier", f"{models}many")
    assert result.exit_code == 0, result.output
    folder = run / "comparison"
    frame = pd.read_csv(folder / "comparison.csv")
    assert frame["model"].unique().tolist() == ["red", "green", "blue"]
    top = frame[frame["rank"] == 1].set_index("model")["concept"]
    # What is white but not red is dark in the red channel: each channel falls with the other two colours.
    assert all(not concept.startswith(model) for model, concept in top.items())
    assert len(pd.read_csv(folder / "differences.csv")) == 3 * 6
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "comparison.html").read_text()
    assert "differences stand out" in page and "genlens compare" in page and "http" not in page.split("</style>")[1]
    assert "relies on" in result.output


def test_names_in_the_report_are_text(run: Path, tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text(MODELS.replace('"green"', '"<script>alert(1)</script>"'))
    result = invoke(run, "--classifier", f"{tmp_path / 'models.py'}:many", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out" / "comparison.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["models.py:nothing", "models.py:red"], "must return models by name"),
        (["models.py:many", "models.py:many"], "gives two models the name 'green'; write NAME="),
        (["models.py:red"], "at least two target models"),
        (["models.py:gone", "models.py:red"], "has no function 'gone'"),
    ],
)
def test_mistakes_are_one_line(run: Path, tmp_path: Path, specs: list[str], message: str) -> None:
    (tmp_path / "models.py").write_text(MODELS)
    arguments = [part for spec in specs for part in ("--classifier", f"{tmp_path}/{spec}")]
    result = invoke(run, *arguments)
    assert result.exit_code == 1 and message in result.stderr and len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.output


def test_many_models_become_a_heat_map(run: Path, tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text(
        MODELS
        + "\ndef ten():\n    return {f'm{k}': (lambda images, k=k: channel(k % 3)(images) + k) for k in range(10)}\n"
    )
    result = invoke(run, "--classifier", f"{tmp_path / 'models.py'}:ten", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert len(pd.read_csv(tmp_path / "out" / "differences.csv")) == 45 * 6
