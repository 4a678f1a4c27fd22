"""The same plan over Ray: actors render and score, the driver plans, keeps the books and shows progress.

Every actor has a generator and the classifiers of its own (one actor a GPU, or a number of them on CPUs) and writes its
batches itself, to the run's image store: a folder that all machines share, or an fsspec URL. Only scores travel. The
batches are those of one process, so the images and the numbers are too. An actor that dies is started again by Ray and
its batch repeated; a driver that dies leaves whole batches, and the same command goes on with them.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from pickle import PickleError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.protocol import Classifier
from genlens.engine import Engine, checked_images
from genlens.errors import GenlensError, UserError, check_integer
from genlens.generators.protocol import Generator
from genlens.memory import is_out_of_memory, release_memory
from genlens.plan import Plan
from genlens.progress import Progress
from genlens.run_folder import RunFolder
from genlens.score_cache import ScoreCache
from genlens.scorer import Scorer
from genlens.store import ImageStore

RETRIES = 3
"""Times that Ray starts an actor again, and repeats a batch, before the run gives up."""
IN_FLIGHT = 2
"""Batches that an actor has at once: one it works on, one that waits."""

CONNECT_SECONDS = 10.0
"""How long a cluster may take to answer."""

Models = tuple[Generator, Mapping[str, Classifier]]
Job = tuple[str, tuple[Any, ...]]
"""Method of an actor and its arguments."""


@dataclass(frozen=True)
class RayWorkers:
    """Who renders.

    Attributes:
        n_workers: actors, >= 1.
        gpus: GPUs an actor, >= 0, may be a fraction.
        cpus: CPU cores an actor, >= 1; also its threads.
        address: of a running cluster, such as "auto"; None: a cluster of this machine, made and ended with the run.
        load: makes the generator and the classifiers (by the names "target" and "concepts") in each actor, on its own
            device; None: those of the driver are sent.

    Raises:
        UserError: a number is out of range, or Ray isn't installed.
    """

    n_workers: int
    gpus: float = 0.0
    cpus: int = 1
    address: str | None = None
    load: Callable[[], Models] | None = None

    def __post_init__(self) -> None:
        """Check the numbers, and that Ray is there, before any weights are loaded."""
        check_integer("n_workers", self.n_workers, 1)
        check_integer("cpus", self.cpus, 1)
        if not self.gpus >= 0:
            raise UserError(f"`gpus` must be a number >= 0; got {self.gpus!r}.")
        if find_spec("ray") is None:
            raise UserError("Ray isn't installed: pip install 'genlens[ray]'.")


class RayEngine(Engine):
    """An engine whose images are rendered, and scored, by Ray actors. The caller holds `folder.lock()`.

    Args:
        folder: as for `Engine`; its images lie where every actor can write.
        workers: who renders.
        batch_size: images a batch.
        progress: told what is going on.
    """

    def __init__(
        self,
        folder: RunFolder,
        workers: RayWorkers,
        *,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(folder, batch_size=batch_size, progress=progress)
        self.workers = workers

    def _render_missing(
        self, plan: Plan, keys: list[str], missing: list[int], generator: Generator, scorers: list[Scorer]
    ) -> None:
        size = self._size(generator)
        batches = [missing[start : start + size] for start in range(0, len(missing), size)]
        jobs = (
            ("render", ([keys[i] for i in part], [plan.captions[i] for i in part], [int(plan.seeds[i]) for i in part]))
            for part in batches
        )
        with self._task("Rendering", len(missing)) as task, self._actors(generator, scorers) as run:
            for number, scores in run(jobs):
                names = [keys[i] for i in batches[number]]
                self.folder.images.adopt(names)
                self._keep(names, scores, scorers)
                task.advance(len(names))

    def _score_stored(self, keys: list[str], scorers: list[Scorer]) -> None:
        unseen = [key for key in dict.fromkeys(keys) if any(key not in scorer.cache for scorer in scorers)]
        if not unseen:
            return
        files = list(self.folder.images.files(unseen).items())
        jobs = (("score", (names, file)) for file, names in files)
        with self._task("Scoring", len(unseen)) as task, self._actors(None, scorers) as run:
            for number, (names, scores) in run(jobs):
                self.folder.images.forget(set(files[number][1]) - set(names))  # the file is damaged
                self._keep(names, scores, scorers)
                task.advance(len(files[number][1]))

    def _keep(self, names: list[str], scores: Sequence[NDArray[np.float32]], scorers: list[Scorer]) -> None:
        """What the actors said, but for images whose scores are known."""
        for scorer, found in zip(scorers, scores, strict=True):
            new = [row for row, name in enumerate(names) if name not in scorer.cache]
            if new:
                scorer.keep(([names[row] for row in new], found[new]))

    @contextmanager
    def _actors(
        self, generator: Generator | None, scorers: list[Scorer]
    ) -> Iterator[Callable[[Iterable[Job]], Iterator[tuple[int, Any]]]]:
        """A function that carries out jobs on the actors, and yields (number of the job, result) as they end."""
        import ray

        began = _connect(ray, self.workers)
        actors: list[Any] = []
        try:
            models = _models(ray, self.workers.load, generator, scorers)
            expected = {scorer.name: scorer.classifier.fingerprint for scorer in scorers}
            options = {
                "num_cpus": self.workers.cpus,
                "num_gpus": self.workers.gpus,
                "max_restarts": RETRIES,
                "max_task_retries": RETRIES,
                "runtime_env": {"env_vars": {"OMP_NUM_THREADS": str(self.workers.cpus)}},
            }
            actor = ray.remote(Actor).options(**options)
            fingerprint = None if generator is None else generator.fingerprint
            place = self.folder.images.place
            try:
                actors = [actor.remote(models, fingerprint, expected, place) for _ in range(self.workers.n_workers)]
            except (TypeError, ValueError, AttributeError, PickleError) as error:
                reason = next(iter(str(error).splitlines()), type(error).__name__)
                raise UserError(
                    f"The models can't be sent to the workers ({reason}). Give `RayWorkers(load=...)`, a function that "
                    "makes them."
                ) from error
            yield lambda jobs: _run(ray, actors, iter(jobs))
        finally:
            if began:
                ray.shutdown()
            else:
                for one in actors:
                    ray.kill(one)


class Actor:
    """Renders and scores batches in a process of its own.

    Args:
        models: a function that makes generator and classifiers, or these themselves.
        generator: fingerprint that the generator must have; None: nothing is rendered.
        classifiers: fingerprints that the classifiers must have, by name, in the order of the scores.
        place: of the image store.

    Raises:
        UserError: a fingerprint differs, as with another dtype on another device.
    """

    def __init__(
        self,
        models: Callable[[], Models] | tuple[Generator | None, Mapping[str, Classifier]],
        generator: str | None,
        classifiers: Mapping[str, str],
        place: str,
    ) -> None:
        self._generator, found = models() if callable(models) else models
        for name, wanted in classifiers.items():
            _check_same(f"classifier '{name}'", found[name].fingerprint, wanted)
        if generator is not None and self._generator is not None:
            _check_same("generator", self._generator.fingerprint, generator)
        nothing = ScoreCache(Path(place.rpartition("://")[2]) / "no scores")  # an actor keeps none: the driver does
        self._scorers = [Scorer(name, found[name], nothing) for name in classifiers]
        self._images = ImageStore(place, scan=False)

    def render(self, keys: list[str], captions: list[str], seeds: list[int]) -> list[NDArray[np.float32]]:
        """Render, store and score one batch; returns (B, C) of each classifier."""
        if self._generator is None:
            raise RuntimeError("an actor without a generator can't render")
        images = _generate(self._generator, captions, seeds)
        self._images.append(keys, captions, seeds, images)
        return self._scores(keys, images)

    def score(self, keys: list[str], file: str) -> tuple[list[str], list[NDArray[np.float32]]]:
        """Score stored images of one file; returns the keys that could be read and their scores."""
        self._images.adopt(keys, file)
        read = list(self._images.read(keys))
        self._images.forget(keys)
        if not read:
            return [], [np.zeros((0, 1), np.float32) for _ in self._scorers]
        ((names, images),) = read
        return names, self._scores(names, images)

    def _scores(self, keys: Sequence[str], images: Any) -> list[NDArray[np.float32]]:
        found = [scorer.predict(keys, images) for scorer in self._scorers]
        return [scored[1] for scored in found if scored is not None]


def _generate(generator: Generator, captions: Sequence[str], seeds: Sequence[int]) -> NDArray[np.uint8]:
    """One batch, in halves where the memory doesn't hold it."""
    try:
        return checked_images(generator.generate(captions, seeds), len(captions))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        if len(captions) == 1:
            raise UserError("The memory of a worker doesn't hold the generator with one image.") from error
    release_memory()
    half = len(captions) // 2
    parts = [slice(0, half), slice(half, None)]
    return np.concatenate([_generate(generator, captions[part], seeds[part]) for part in parts])


def _check_same(what: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise UserError(
            f"The {what} of a worker isn't the driver's. Name the dtype (for hub ids, the revision too), and give all "
            "machines the same files."
        )


def _connect(ray: Any, workers: RayWorkers) -> bool:
    """Join the cluster; whether it was begun here and must be ended."""
    if ray.is_initialized():
        return False
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    if workers.address is None:
        options |= {"num_cpus": workers.n_workers * workers.cpus, "include_dashboard": False}
    _check_address(workers.address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody unless the user asks for it
    try:
        ray.init(address=workers.address, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_cluster(workers.address, error) from error
    return True


def _check_address(address: str | None) -> None:
    """Ray itself tries an address that nobody answers for many minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str | None, error: Exception) -> UserError:
    return UserError(
        f"No Ray cluster answers at {address!r}: {' '.join(str(error).split())}. Start one with `ray start --head`, or "
        "leave the address out for a cluster of this machine."
    )


def _models(
    ray: Any, load: Callable[[], Models] | None, generator: Generator | None, scorers: Sequence[Scorer]
) -> Callable[[], Models] | tuple[Generator | None, Mapping[str, Classifier]]:
    """What the actors are made of; code of the user's own file travels with it, since no worker could import that."""
    for name, module in list(sys.modules.items()):
        if name.startswith("genlens_user_"):
            ray.cloudpickle.register_pickle_by_value(module)
    return load or (generator, {scorer.name: scorer.classifier for scorer in scorers})


def _run(ray: Any, actors: Sequence[Any], jobs: Iterator[Job]) -> Iterator[tuple[int, Any]]:
    """Carry out jobs, `IN_FLIGHT` an actor at most, and yield them as they end."""
    waiting: dict[Any, tuple[int, Any]] = {}
    number = 0

    def submit(actor: Any) -> None:
        nonlocal number
        for method, arguments in jobs:
            waiting[getattr(actor, method).remote(*arguments)] = (number, actor)
            number += 1
            return

    for actor in [actor for _ in range(IN_FLIGHT) for actor in actors]:
        submit(actor)
    while waiting:
        (done,), _ = ray.wait(list(waiting), num_returns=1)
        which, actor = waiting.pop(done)
        yield which, _result(ray, done)
        submit(actor)


def _result(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, GenlensError):
            raise error.cause from None
        raise
    except ray.exceptions.RayActorError as error:
        cause = getattr(error, "cause", None) or getattr(error, "__cause__", None)
        text = " ".join(str(error).split())
        if "UserError" in text:  # an actor that couldn't be made: Ray keeps the text only
            raise UserError(text.rpartition("UserError:")[2].strip()) from cause
        raise UserError(
            f"A worker died {RETRIES + 1} times. Its machine may lack memory for the models: see `ray logs`. "
            "The batches that are done are kept; repeat the command to go on."
        ) from error
