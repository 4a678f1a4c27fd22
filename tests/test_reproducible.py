"""The same seed gives the same ranking.csv: whatever the batch size, resumed or not, scored aside or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from genlens.classifiers.callable import CallableClassifier
from genlens.concepts import ConceptTable
from genlens.depict import permutation_importance
from genlens.engine import Engine
from genlens.generators.drawer import DrawerGenerator


def redness(images: Sequence[NDArray[np.uint8]]) -> Any:
    return [[float(image[..., 0].mean()), float(image[..., 1].mean())] for image in images]


class Stopping(DrawerGenerator):
    """Stops in its third batch."""

    calls = 0

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
        self.calls += 1
        if self.calls == 3:
            raise KeyboardInterrupt
        return super().generate(captions, seeds)


def ranking(table: ConceptTable, generator: Any, out: Path, batch_size: int) -> bytes:
    result = permutation_importance(
        CallableClassifier(redness), table, generator, store=out, batch_size=batch_size, n_repeats=10, target_class=0
    )
    result.save(out)
    return (out / "ranking.csv").read_bytes()


@pytest.fixture(scope="module")
def table(shapes_table: ConceptTable) -> ConceptTable:
    return shapes_table.take(np.arange(16))


@pytest.fixture(scope="module")
def calm(table: ConceptTable, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return ranking(table, DrawerGenerator(), tmp_path_factory.mktemp("calm") / "run", 64)


@pytest.mark.parametrize("batch_size", [1, 7])
def test_batch_size(table: ConceptTable, calm: bytes, tmp_path: Path, batch_size: int) -> None:
    assert ranking(table, DrawerGenerator(), tmp_path / "run", batch_size) == calm


@pytest.mark.parametrize("batch_size", [1, 7])
def test_stopped_and_resumed_with_another_batch_size(
    table: ConceptTable, calm: bytes, tmp_path: Path, batch_size: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        ranking(table, Stopping(), tmp_path / "run", batch_size)
    assert ranking(table, DrawerGenerator(), tmp_path / "run", 64) == calm


def test_scored_on_a_thread_of_its_own(
    table: ConceptTable, calm: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Engine.__init__

    def aside(self: Engine, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **{**options, "score_aside": True})

    monkeypatch.setattr(Engine, "__init__", aside)
    assert ranking(table, DrawerGenerator(), tmp_path / "run", 7) == calm


def test_the_shipped_generator_differs_by_rounding_only(table: ConceptTable, tmp_path: Path) -> None:
    """Matrix products of another batch round differently: one grey level, 1/255, in some pixels; scores are means."""
    from genlens.cli.loading import shipped_pipeline
    from genlens.generators.diffusers import DiffusersGenerator

    generator = DiffusersGenerator.from_pretrained(shipped_pipeline("shapes"), device="cpu", num_inference_steps=2)
    captions, seeds = [f"red circle ({20 + k}, 30) 8" for k in range(7)], list(range(7))
    together = generator.generate(captions, seeds)
    single = np.concatenate([generator.generate([c], [s]) for c, s in zip(captions, seeds, strict=True)])
    assert np.abs(together.astype(int) - single.astype(int)).max() <= 1
    np.testing.assert_allclose(redness(list(together)), redness(list(single)), atol=0.05)
