"""Two actors of a real local Ray cluster give one process's ranking: undisturbed, with one killed, and resumed.

Ray opens sockets, so the cluster runs in a process of its own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from genlens.classifiers import CallableClassifier
from genlens.errors import UserError
from genlens.generators.drawer import DrawerGenerator
from genlens.ray_engine import Actor, RayWorkers

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'genlens[ray]'")

SCRIPT = '''
import json, os, signal, sys
from pathlib import Path
import numpy as np
from genlens.classifiers import CallableClassifier
from genlens.concepts import ConceptTable
from genlens.datasets.shapes import CONCEPTS, write_imagefolder
from genlens.depict import permutation_importance
from genlens.errors import GenlensError
from genlens.generators.drawer import DrawerGenerator
from genlens.progress import SilentProgress
from genlens.ray_engine import RayWorkers

here = Path(sys.argv[1])
driver = os.getpid()

class Drawer(DrawerGenerator):
    """Dies once, in an actor, after a few batches; fingerprint and images are the drawer's."""
    mark, after, seen = "", 0, 0

    def generate(self, captions, seeds):
        self.seen += 1
        if self.mark and os.getpid() != driver and self.seen > self.after and not os.path.exists(self.mark):
            open(self.mark, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().generate(captions, seeds)

def red(images):
    return (255.0 - np.asarray(images, dtype=float)).mean(axis=(1, 2))[:, 0]

def broken(images):
    return np.full(len(images), np.nan) if os.getpid() != driver else red(images)

def killer(mark, after):
    drawer = Drawer()
    drawer.mark, drawer.after = str(mark), after
    return drawer

class Stopping(SilentProgress):
    """A driver that is killed after some images."""
    left = 150
    def advance(self, n):
        self.left -= n
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

if not (here / "data").exists():
    write_imagefolder(here / "data", 48, 0)
table = ConceptTable.from_metadata(here / "data", list(CONCEPTS), "label")

def run(name, generator, classifier=None, **options):
    model = classifier or CallableClassifier(red, fingerprint="red")
    result = permutation_importance(model, table, generator, n_repeats=3, batch_size=8, store=here / name, **options)
    result.save(here / name)

def count():
    import pyarrow.parquet as pq
    return sum(pq.ParquetFile(path).metadata.num_rows for path in (here / "resumed" / "images").glob("*.parquet"))

if sys.argv[2] == "stop":
    run("resumed", Drawer(), workers=RayWorkers(2), progress=Stopping())
else:
    found = {"kept": count()}
    import ray
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    run("two", Drawer(), workers=RayWorkers(2))
    run("killed", killer(here / "mark", 3), workers=RayWorkers(2))
    found["died"] = (here / "mark").exists()
    run("resumed", Drawer(), workers=RayWorkers(2))
    run("url", Drawer(), images="file://" + str(here / "shared"), workers=RayWorkers(2))
    images = here / "two" / "images"
    before = sorted(path.name for path in images.iterdir())
    other = CallableClassifier(lambda images: red(images) * 2, fingerprint="twice")
    run("two", Drawer(), other, workers=RayWorkers(1))  # the same images, another classifier: only scores
    found["rendered nothing"] = before == sorted(path.name for path in images.iterdir())
    try:
        run("broken", Drawer(), CallableClassifier(broken, fingerprint="broken"), workers=RayWorkers(1))
    except GenlensError as error:
        found["broken"] = str(error)
    class Other(Drawer):
        @property
        def fingerprint(self):
            return f"{super().fingerprint} {os.getpid() == driver}"
    try:
        run("other", Other(), workers=RayWorkers(1))
    except GenlensError as error:
        found["other"] = str(error)
    (here / "found.json").write_text(json.dumps(found))
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every run of the script, and one of a single process."""
    here = tmp_path_factory.mktemp("ray")
    (here / "script.py").write_text(SCRIPT)
    environment = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    command = [sys.executable, str(here / "script.py"), str(here)]
    stopped = subprocess.run([*command, "stop"], env=environment, capture_output=True, text=True, timeout=200)
    assert stopped.returncode == -9, stopped.stderr[-2000:]
    done = subprocess.run([*command, "all"], env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    return here


@pytest.fixture(scope="module")
def single(folder: Path) -> str:
    from genlens.concepts import ConceptTable
    from genlens.datasets.shapes import CONCEPTS
    from genlens.depict import permutation_importance

    def red(images: object) -> np.ndarray:
        return np.asarray((255.0 - np.asarray(images, dtype=float)).mean(axis=(1, 2))[:, 0])

    table = ConceptTable.from_metadata(folder / "data", list(CONCEPTS), "label")
    model = CallableClassifier(red, fingerprint="red")
    result = permutation_importance(model, table, DrawerGenerator(), n_repeats=3, store=folder / "single")
    return (result.save(folder / "single") / "ranking.csv").read_text()


@pytest.mark.parametrize("name", ["killed", "resumed", "url"])
def test_the_ranking_is_that_of_one_process(folder: Path, single: str, name: str) -> None:
    assert (folder / name / "ranking.csv").read_text() == single


def test_faults_really_happened(folder: Path) -> None:
    found = json.loads((folder / "found.json").read_text())
    assert found["died"], "no actor was killed"
    assert 100 <= found["kept"] < 336, "the driver wasn't killed in mid-run"


def test_another_classifier_is_scored_by_actors_and_renders_nothing(folder: Path) -> None:
    assert json.loads((folder / "found.json").read_text())["rendered nothing"]


def test_images_may_lie_at_a_url(folder: Path) -> None:
    assert list((folder / "shared").glob("*.parquet")) and not (folder / "url" / "images").exists()


def test_what_goes_wrong_in_an_actor_is_the_same_line(folder: Path) -> None:
    found = json.loads((folder / "found.json").read_text())
    assert "The classifier 'broken' returned NaN for 8 of 8 images" in found["broken"]
    assert "The generator of a worker isn't the driver's" in found["other"]


def test_an_actor_halves_a_batch_that_its_memory_does_not_hold(tmp_path: Path) -> None:
    class Small(DrawerGenerator):
        sizes: list[int] = []  # noqa: RUF012

        def generate(self, captions, seeds):  # type: ignore[no-untyped-def]
            self.sizes.append(len(captions))
            if len(captions) > 2:
                raise RuntimeError("CUDA out of memory")
            return super().generate(captions, seeds)

    model = CallableClassifier(lambda images: np.asarray(images, dtype=float).mean(axis=(1, 2, 3)), fingerprint="m")
    generator = Small()
    actor = Actor((generator, {"target": model}), generator.fingerprint, {"target": model.fingerprint}, str(tmp_path))
    (scores,) = actor.render([f"k{i}" for i in range(5)], ["red circle"] * 5, list(range(5)))
    assert (
        scores.shape == (5, 1) and max(generator.sizes) == 5 and generator.sizes.count(1) + generator.sizes.count(2) > 1
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [({"n_workers": 0}, "`n_workers` must be an integer >= 1"), ({"n_workers": 1, "gpus": -1.0}, "`gpus` must be"),
     ({"n_workers": 1, "cpus": 0}, "`cpus` must be an integer >= 1")],
)  # fmt: skip
def test_numbers_out_of_range_are_one_line(options, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=message):
        RayWorkers(**options)


def test_a_cluster_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    """In a process of its own, since sockets are blocked here; port 1 of this machine is nobody's."""
    code = (
        "from genlens.errors import UserError\nfrom genlens.ray_engine import RayWorkers, _connect\nimport ray\n"
        "try:\n    _connect(ray, RayWorkers(1, address='127.0.0.1:1'))\nexcept UserError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("No Ray cluster answers at '127.0.0.1:1'") and done.stdout.count("\n") == 1


def test_without_ray_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genlens.ray_engine.find_spec", lambda _: None)
    with pytest.raises(UserError, match="Ray isn't installed: pip install"):
        RayWorkers(2)
