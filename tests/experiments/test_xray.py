"""The X-ray experiment: resampling by hand, then small and end to end on the drawers; going on where it stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genlens.datasets import xray
from genlens.datasets.xray_reports import DEMOGRAPHICS
from genlens.errors import UserError
from genlens.experiments.xray import reproduce_xray
from genlens.experiments.xray_lab import Settings, phantom_table, resampled
from genlens.experiments.xray_measures import _permuted
from genlens.generators.xray_drawer import XrayDrawer
from genlens.importance.states import StateScores
from genlens.training import xray_concepts

SMALL = Settings(rows=32, train_rows=64, net_steps=2, n_repeats=3, resamples=10, generator="drawer")


@pytest.mark.parametrize("concept", DEMOGRAPHICS)
def test_resampled_rows_coincide_with_the_label(concept: str) -> None:
    rows = resampled(64, 3, concept)
    values = rows.bodies.demographics[:, DEMOGRAPHICS.index(concept)]
    np.testing.assert_array_equal(values, rows.pneumonia)
    assert values.mean() == 0.5
    others = np.delete(rows.bodies.demographics, DEMOGRAPHICS.index(concept), axis=1)
    assert 0.2 < others.mean() < 0.8


def test_an_odd_number_of_rows_is_refused() -> None:
    with pytest.raises(UserError, match="`rows` must be even"):
        resampled(33, 0, "Age")


def test_three_concepts_are_permuted_and_thirteen_watched() -> None:
    table = phantom_table(xray.sample(60, 0))
    assert (table.names, table.detected_names) == (DEMOGRAPHICS, xray.CONCEPTS)
    masked = phantom_table(xray.sample(60, 0), masked=True)
    assert masked.context != table.context and masked.names == table.names


def test_permuted_auroc_of_a_model_that_reads_the_concept_only_is_a_half_on_average() -> None:
    own = np.arange(40) % 2
    scores = np.tile(np.array([0.0, 1.0])[None, :, None], (40, 1, 1))
    states = StateScores("a", scores, np.array([0, 1]), np.bincount(own), own)
    estimate = _permuted(own, states, [np.arange(40)])
    # Two different rows get two different rows' values: a positive gets 1 and a negative 0 less often than chance.
    m, n = 20, 40
    on_on = m * (m - 1) / (n * (n - 1))
    on_off = m * (n - m) / (n * (n - 1))
    assert estimate.value == pytest.approx(on_off + 0.5 * 2 * on_on)
    assert estimate.value == pytest.approx(0.5)


def test_training_rows_are_reproducible_and_of_both_kinds() -> None:
    for make in (xray_concepts.observed_rows, xray_concepts.independent_rows):
        images, labels = make(200, 3)
        np.testing.assert_array_equal(images, make(200, 3)[0])
        assert images.shape == (200, 64, 64) and labels.shape == (200, 16)
        assert set(np.unique(labels)) == {0.0, 1.0}
        batch, of_batch = xray_concepts.pooled(images, labels, 0)(5)
        assert batch.shape == (64, 64, 64, 3) and of_batch.shape == (64, 16)
    rates = xray_concepts.independent_rows(2000, 0)[1].mean(axis=0)
    np.testing.assert_allclose(rates[4:], xray_concepts.INDEPENDENT_RATE * 7 / 8, atol=0.05)


class Never(XrayDrawer):
    """The drawer, which must not be asked for more than the few pictures of the figure."""

    def generate(self, captions: object, seeds: object) -> np.ndarray:
        assert len(list(captions)) <= 4, "an image was rendered twice"  # type: ignore[call-overload]
        return super().generate(captions, seeds)  # type: ignore[arg-type]


def test_small_and_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xray_concepts, "POOL_ROWS", 128)
    lines: list[str] = []
    result = reproduce_xray(tmp_path / "out", XrayDrawer(), SMALL, command="genlens reproduce xray", log=lines.append)
    text = result.markdown.read_text()
    for heading in ("Table 1", "Ranking", "Checks", "Where a finding moves along", "Mentions", "Command and cost"):
        assert heading in text
    assert "published, MIMIC-CXR" in text and "| drawer that fills in: Age |" in text
    assert (tmp_path / "out" / "figures" / "flips.png").exists()
    before = len(lines)
    again = reproduce_xray(tmp_path / "out", Never(), SMALL, command="genlens reproduce xray", log=lines.append)
    assert len(lines) == before and again.seconds == result.seconds


@pytest.mark.parametrize(
    ("name", "value"), [("rows", 31), ("train_rows", 1), ("net_steps", 0), ("n_repeats", 0), ("seed", -1)]
)
def test_settings_out_of_range_are_refused(name: str, value: int) -> None:
    with pytest.raises(UserError, match=f"`{name}` must be an integer"):
        Settings(**{name: value})


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="`out` must be a folder"):
        reproduce_xray(tmp_path / "out", XrayDrawer(), SMALL)
