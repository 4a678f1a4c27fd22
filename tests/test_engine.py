"""The engine: every image once, every score once, and a clear line for whatever goes wrong."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genlens.concepts import ConceptTable
from genlens.engine import Engine, plan_keys
from genlens.errors import CaptionError, UserError
from genlens.generators.drawer import DrawerGenerator
from genlens.plan import Plan, make_plan
from genlens.run_folder import RunFolder


class Colours:
    """Mean red, green and blue of an image; counts what it has seen."""

    outputs = "scores"

    def __init__(self, fingerprint: str = "colours") -> None:
        self.fingerprint = fingerprint
        self.seen: list[int] = []

    def predict(self, images: Sequence[np.ndarray]) -> np.ndarray:
        self.seen.append(len(images))
        return np.stack([image.mean(axis=(0, 1)) for image in images]).astype(np.float32)


class CountingDrawer(DrawerGenerator):
    """Remembers what it drew; stops at the image number `stop`."""

    def __init__(self, stop: int | None = None, error: BaseException | None = None) -> None:
        super().__init__(16)
        self.drawn: list[tuple[str, int]] = []
        self.batches: list[int] = []
        self._stop, self._error = stop, error

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        self.drawn += zip(captions, seeds, strict=True)
        self.batches.append(len(captions))
        if self._stop is not None and len(self.drawn) > self._stop and self._error is not None:
            raise self._error
        return super().generate(captions, seeds)


class Log:
    """A progress that writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def start(self, task: str, total: int) -> None:
        self.events.append((task, total))

    def advance(self, n: int) -> None:
        self.events.append(n)

    def done(self) -> None:
        self.events.append("done")


@pytest.fixture(params=[False, True], ids=["", "scored aside"], autouse=True)
def scored_aside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Every test twice: as on a CPU, and as on a GPU, where scoring has a thread of its own."""
    monkeypatch.setattr("genlens.engine._runs_on_cuda", lambda _: request.param)
    return bool(request.param)


@pytest.fixture
def plan(shapes_table: ConceptTable) -> Plan:
    """20 rows with six concepts: 140 images."""
    return make_plan(shapes_table.take(np.arange(20)), seed=0)


def engine(path: Path, **options: Any) -> Engine:
    folder = RunFolder(path)
    folder.open_or_create({"seed": 0})
    return Engine(folder, **options)


def expected(plan: Plan) -> np.ndarray:
    images = DrawerGenerator(16).generate(plan.captions, plan.seeds.tolist())
    return images.mean(axis=(1, 2))


def test_scores_come_in_the_order_of_the_plan(run_folder: Path, plan: Plan) -> None:
    assert plan.n_images == 140
    drawer, colours, log = CountingDrawer(), Colours(), Log()
    found = engine(run_folder, batch_size=32, progress=log).run(plan, drawer, {"target": colours})
    assert found["target"].dtype == np.float32
    np.testing.assert_allclose(found["target"], expected(plan), rtol=1e-6)
    assert drawer.batches == colours.seen == [32, 32, 32, 32, 12]
    assert log.events == [("Rendering", 140), 32, 32, 32, 32, 12, "done"]
    assert len(set(drawer.drawn)) == 140


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_batch_size_changes_nothing(tmp_path: Path, plan: Plan, batch_size: int) -> None:
    found = engine(tmp_path / "run", batch_size=batch_size).run(plan, CountingDrawer(), {"target": Colours()})
    np.testing.assert_allclose(found["target"], expected(plan), rtol=1e-6)


def test_generator_chooses_the_batch_unless_told(run_folder: Path, plan: Plan) -> None:
    drawer = CountingDrawer()
    drawer.batch_size = 50  # type: ignore[attr-defined]
    engine(run_folder).run(plan, drawer, {})
    assert drawer.batches == [50, 50, 40]


def test_second_run_renders_and_scores_nothing(run_folder: Path, plan: Plan) -> None:
    first = engine(run_folder).run(plan, CountingDrawer(), {"target": Colours()})
    drawer, colours, log = CountingDrawer(), Colours(), Log()
    again = engine(run_folder, progress=log).run(plan, drawer, {"target": colours})
    np.testing.assert_array_equal(again["target"], first["target"])
    assert drawer.drawn == [] and colours.seen == [] and log.events == []


def test_second_classifier_renders_nothing(run_folder: Path, plan: Plan) -> None:
    engine(run_folder).run(plan, CountingDrawer(), {"target": Colours()})
    drawer, old, new, log = CountingDrawer(), Colours(), Colours("other"), Log()
    found = engine(run_folder, progress=log).run(plan, drawer, {"target": old, "concepts": new})
    assert drawer.drawn == [] and old.seen == [] and sum(new.seen) == 140
    np.testing.assert_array_equal(found["concepts"], found["target"])
    assert log.events[0] == ("Scoring", 140)


def test_one_model_in_two_roles_scores_once(run_folder: Path, plan: Plan) -> None:
    colours = Colours()
    found = engine(run_folder).run(plan, CountingDrawer(), {"target": colours, "concepts": colours})
    assert sum(colours.seen) == 140
    np.testing.assert_array_equal(found["concepts"], found["target"])


def test_bigger_plan_renders_the_difference(run_folder: Path, shapes_table: ConceptTable, plan: Plan) -> None:
    engine(run_folder).run(plan, CountingDrawer(), {"target": Colours()})
    bigger = make_plan(shapes_table.take(np.arange(30)), seed=0)
    drawer = CountingDrawer()
    engine(run_folder).run(bigger, drawer, {"target": Colours()})
    assert len(drawer.drawn) == 70


def test_other_settings_of_the_generator_are_other_images(run_folder: Path, plan: Plan) -> None:
    engine(run_folder).run(plan, CountingDrawer(), {})
    drawer = CountingDrawer()
    drawer.blur = 1.0
    engine(run_folder).run(plan, drawer, {})
    assert len(drawer.drawn) == 140


@pytest.mark.parametrize("damage", ["at opening", "while reading"])
def test_damaged_file_is_rendered_again(run_folder: Path, plan: Plan, damage: str) -> None:
    first = engine(run_folder, batch_size=20).run(plan, CountingDrawer(), {"target": Colours()})
    path = sorted((run_folder / "images").glob("*.parquet"))[2]
    data = path.read_bytes()
    spot = data.index(b"IDAT") + 10
    path.write_bytes(data[:-9] if damage == "at opening" else data[:spot] + b"?" + data[spot + 1 :])
    drawer, new = CountingDrawer(), Colours("other")
    found = engine(run_folder, batch_size=20).run(plan, drawer, {"target": Colours(), "other": new})
    assert len(drawer.drawn) == 20
    assert sum(new.seen) == 140
    np.testing.assert_array_equal(found["target"], first["target"])
    np.testing.assert_array_equal(found["other"], first["target"])


def test_ctrl_c_keeps_what_is_done(run_folder: Path, plan: Plan) -> None:
    log = Log()
    message = r"^Stopped\. Rendering: 40 of 140 images are done and kept\. Repeat the command to go on\.$"
    with pytest.raises(KeyboardInterrupt, match=message):
        engine(run_folder, batch_size=20, progress=log).run(
            plan, CountingDrawer(stop=40, error=KeyboardInterrupt()), {"target": Colours()}
        )
    assert log.events[-1] == "done"
    drawer = CountingDrawer()
    found = engine(run_folder, batch_size=20).run(plan, drawer, {"target": Colours()})
    assert len(drawer.drawn) == 100
    np.testing.assert_allclose(found["target"], expected(plan), rtol=1e-6)


def test_full_disk_says_what_is_kept(run_folder: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = engine(run_folder, batch_size=20)
    real, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    message = (
        f"The disk is full: can't write to {run_folder / 'images'}. Free some space. Rendering: 60 of 140 images are "
        "done and kept. Repeat the command to go on."
    )
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        runner.run(plan, CountingDrawer(), {"target": Colours()})
    monkeypatch.undo()
    assert not list(run_folder.rglob("*tmp*"))
    drawer = CountingDrawer()
    engine(run_folder, batch_size=20).run(plan, drawer, {"target": Colours()})
    assert len(drawer.drawn) == 80


def test_captions_are_checked_before_anything_is_rendered(run_folder: Path, plan: Plan) -> None:
    class Short(CountingDrawer):
        def check_captions(self, captions: Sequence[str]) -> None:
            assert len(captions) == len(set(captions)) == len(set(plan.captions))
            raise CaptionError("too long")

    drawer = Short()
    with pytest.raises(CaptionError, match=r"^too long$"):
        engine(run_folder).run(plan, drawer, {"target": Colours()})
    assert drawer.drawn == []


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (
            np.zeros((19, 2)),
            r"^Classifier 'mine' must return an array \(images, outputs\), here \(20, C\); got \(19, 2\)\.$",
        ),
        (np.zeros(20), r"here \(20, C\); got \(20,\)\.$"),
        (np.zeros((20, 0)), r"here \(20, C\); got \(20, 0\)\.$"),
        (np.full((20, 2), np.nan), r"^Classifier 'mine' returned NaN or infinity for 20 of a batch of 20 images\.$"),
        (np.where(np.eye(20, 2) > 0, np.inf, 0), r"returned NaN or infinity for 2 of a batch of 20 images\.$"),
        ("cat", r"^Classifier 'mine' must return numbers; got str\.$"),
        (None, r"here \(20, C\); got \(\)\.$"),
    ],
)
def test_unfit_scores(run_folder: Path, plan: Plan, returned: Any, message: str) -> None:
    class Broken(Colours):
        def predict(self, images: Sequence[np.ndarray]) -> Any:
            return returned

    with pytest.raises(UserError, match=message):
        engine(run_folder, batch_size=20).run(plan, CountingDrawer(), {"mine": Broken()})
    drawer = CountingDrawer()
    engine(run_folder, batch_size=20).run(plan, drawer, {"mine": Colours()})
    assert len(drawer.drawn) == 120  # the first batch was kept


def test_scores_that_change_their_width(run_folder: Path, plan: Plan) -> None:
    class Growing(Colours):
        def predict(self, images: Sequence[np.ndarray]) -> np.ndarray:
            self.seen.append(len(images))
            return np.zeros((len(images), len(self.seen)), np.float32)

    with pytest.raises(
        UserError, match=r"^Classifier 'mine' gave 2 outputs an image, and 1 before\. Its fingerprint must"
    ):
        engine(run_folder, batch_size=20).run(plan, CountingDrawer(), {"mine": Growing()})


@pytest.mark.parametrize(
    "returned", [np.zeros((20, 4, 4, 3)), np.zeros((19, 4, 4, 3), np.uint8), np.zeros((20, 4, 4), np.uint8)]
)
def test_unfit_images(run_folder: Path, plan: Plan, returned: np.ndarray) -> None:
    class Broken(CountingDrawer):
        def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
            return returned

    with pytest.raises(
        UserError, match=r"^The generator must return uint8 images \(20, height, width, 3\); got .*\)\.$"
    ):
        engine(run_folder, batch_size=20).run(plan, Broken(), {})


def test_real_images_are_scored_once(run_folder: Path, shapes_table: ConceptTable) -> None:
    colours, log = Colours(), Log()
    scores = engine(run_folder, batch_size=10, progress=log).score_real(shapes_table, colours)
    assert scores.shape == (64, 3) and scores.dtype == np.float32
    assert max(colours.seen) == 10 and log.events[0] == ("Scoring real images", sum(colours.seen))
    np.testing.assert_array_equal(engine(run_folder).score_real(shapes_table, again := Colours()), scores)
    assert again.seen == []
    backwards = np.arange(64)[::-1]
    np.testing.assert_array_equal(engine(run_folder).score_real(shapes_table.take(backwards), again), scores[::-1])
    assert again.seen == []


def test_table_without_images(run_folder: Path, shapes_table: ConceptTable) -> None:
    from dataclasses import replace

    with pytest.raises(UserError, match=r"^`table` \(.*\) has no image files, so its real images can't be scored\.$"):
        engine(run_folder).score_real(replace(shapes_table, image_paths=None), Colours())


def test_only_the_images_asked_for(run_folder: Path, plan: Plan) -> None:
    drawer, numbers = CountingDrawer(), [7, 139, 7, 0]
    found = engine(run_folder, batch_size=20).run(plan, drawer, {"target": Colours()}, images=numbers)
    np.testing.assert_allclose(found["target"], expected(plan)[numbers], rtol=1e-6)
    assert len(drawer.drawn) == 3
    found = engine(run_folder).run(plan, drawer, {"target": Colours()}, np.arange(5))  # type: ignore[arg-type]
    np.testing.assert_allclose(found["target"], expected(plan)[:5], rtol=1e-6)
    assert len(drawer.drawn) == 7
    assert engine(run_folder).run(plan, drawer, {"target": Colours()}, images=[])["target"].shape == (0, 3)
    with pytest.raises(IndexError, match=r"^`images` must lie in \[0, 140\); got -1 to 3$"):
        engine(run_folder).run(plan, drawer, {}, images=[3, -1])


class Sequential:
    """What the engine does without any thread: the reference for the bits."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    def run(self, plan: Plan, generator: DrawerGenerator, classifier: Colours) -> np.ndarray:
        parts = []
        for start in range(0, plan.n_images, self.batch_size):
            part = slice(start, start + self.batch_size)
            parts.append(classifier.predict(generator.generate(plan.captions[part], plan.seeds[part].tolist())))
        return np.concatenate(parts)


@pytest.mark.parametrize("batch_size", [9, 64])
def test_the_same_bits_as_without_threads(run_folder: Path, plan: Plan, batch_size: int) -> None:
    found = engine(run_folder, batch_size=batch_size).run(plan, DrawerGenerator(16), {"target": Colours()})
    np.testing.assert_array_equal(found["target"], Sequential(batch_size).run(plan, DrawerGenerator(16), Colours()))


def test_at_most_two_batches_are_under_way(run_folder: Path, plan: Plan) -> None:
    runner = engine(run_folder, batch_size=10)
    waiting = []

    class Watching(CountingDrawer):
        def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
            waiting.append(len(self.drawn) + len(captions) - len(runner.folder.images))
            return super().generate(captions, seeds)

    runner.run(plan, Watching(), {"target": Colours()})
    assert len(waiting) == 14 and max(waiting) <= 20


def test_memory_of_the_generator_runs_out(run_folder: Path, plan: Plan) -> None:
    class Small(CountingDrawer):
        def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
            if len(captions) > 12:
                self.batches.append(-len(captions))
                raise RuntimeError("CUDA error: out of memory")
            return super().generate(captions, seeds)

    drawer = Small()
    found = engine(run_folder, batch_size=40).run(plan, drawer, {"target": Colours()})
    assert drawer.batches == [-40, -20, *[10] * 14]
    np.testing.assert_allclose(found["target"], expected(plan), rtol=1e-6)


def test_memory_that_holds_no_image(run_folder: Path, plan: Plan) -> None:
    drawer = CountingDrawer(stop=0, error=MemoryError())
    with pytest.raises(UserError, match=r"^The memory doesn't hold the generator with one image\. Choose a smaller"):
        engine(run_folder, batch_size=8).run(plan, drawer, {"target": Colours()})
    assert drawer.batches == [8, 4, 2, 1]


def test_other_errors_of_the_generator_come_through(run_folder: Path, plan: Plan) -> None:
    with pytest.raises(RuntimeError, match=r"^shapes differ$"):
        engine(run_folder, batch_size=20).run(plan, CountingDrawer(40, RuntimeError("shapes differ")), {})
    drawer = CountingDrawer()
    engine(run_folder).run(plan, drawer, {})
    assert len(drawer.drawn) == 100  # two batches had been rendered, and both were kept


def test_ctrl_c_in_a_classifier(run_folder: Path, plan: Plan) -> None:
    class Stopped(Colours):
        def predict(self, images: Sequence[np.ndarray]) -> np.ndarray:
            if len(self.seen) == 2:
                raise KeyboardInterrupt
            return super().predict(images)

    message = r"^Stopped\. Rendering: 40 of 140 images are done and kept\. Repeat the command to go on\.$"
    runner = engine(run_folder, batch_size=20, score_aside=False)
    with pytest.raises(KeyboardInterrupt, match=message):
        runner.run(plan, CountingDrawer(), {"target": Stopped()})
    drawer, colours = CountingDrawer(), Colours()
    engine(run_folder, batch_size=20).run(plan, drawer, {"target": colours})
    assert len(drawer.drawn) == 80 and sum(colours.seen) == 100  # the third batch was kept, without scores


def test_an_earlier_batch_fails_first(run_folder: Path, plan: Plan) -> None:
    """The generator fails in batch 3 while a classifier fails on batch 2: the message is that of batch 2."""

    class Broken(Colours):
        def predict(self, images: Sequence[np.ndarray]) -> np.ndarray:
            if len(self.seen) == 1:
                raise UserError("batch 2")
            return super().predict(images)

    with pytest.raises(UserError, match=r"^batch 2$"):
        engine(run_folder, batch_size=20).run(plan, CountingDrawer(40, RuntimeError("batch 3")), {"t": Broken()})


def test_large_photographs_come_in_smaller_batches(
    run_folder: Path, shapes_table: ConceptTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genlens.engine.REAL_BYTES", 3 * 64 * 64 * 3)
    colours = Colours()
    engine(run_folder, batch_size=10).score_real(shapes_table, colours)
    assert max(colours.seen) == 3


def test_bad_batch_size(run_folder: Path) -> None:
    with pytest.raises(UserError, match=r"^`batch_size` must be an integer >= 1; got 0\.$"):
        engine(run_folder, batch_size=0)


def test_keys_depend_on_generator_caption_and_seed(plan: Plan) -> None:
    keys = plan_keys(plan, DrawerGenerator(16))
    assert len(set(keys)) == 140
    assert not set(keys) & set(plan_keys(plan, DrawerGenerator(32)))
