"""Renders what a plan lacks, scores what a classifier hasn't seen, in batches; stopped at any moment, it goes on.

While a batch is rendered, the one before is encoded and written on a thread (`genlens.batch_writer`). Scoring has a
thread of its own only where the generator runs on a GPU of CUDA: on CPU cores that rendering keeps busy no gain could
be measured (`benchmarks/throughput.py`).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.batch_writer import Batch, BatchWriter
from genlens.classifiers.protocol import Classifier
from genlens.concepts import ConceptTable
from genlens.datasets.images import load_image
from genlens.errors import UserError, check_integer
from genlens.files import WriteError
from genlens.generators.protocol import Generator, preferred_batch
from genlens.memory import is_out_of_memory, release_memory
from genlens.overlap import Worker, ahead
from genlens.plan import Plan
from genlens.progress import Progress, SilentProgress
from genlens.run_folder import RunFolder
from genlens.scorer import Scorer
from genlens.store import image_key

REAL_BATCH = 32
"""Real images scored at once; fewer where they are large, see `REAL_BYTES`."""
REAL_BYTES = 2**27
"""A batch of real images is closed when it has so many bytes: two batches are in memory."""


def plan_keys(plan: Plan, generator: Generator) -> list[str]:
    """Key of each image of the plan, in its order."""
    fingerprint = generator.fingerprint
    return [image_key(fingerprint, caption, seed) for caption, seed in zip(plan.captions, plan.seeds, strict=True)]


class Engine:
    """Rendering and scoring into one run folder, in one process. The caller holds `folder.lock()`.

    At most two batches are in memory, one being rendered and one being scored and written, so a kill costs at most two
    batches. The images are written in order, each batch whole or not at all, and its scores after it.

    Args:
        folder: where images and scores are and go.
        batch_size: images a batch; None: what the generator prefers. Halved, for good, when memory runs out.
        progress: told what is going on.
        score_aside: score on a thread of its own while the next batch is rendered; None: where the generator says that
            it runs on a GPU of CUDA.
    """

    def __init__(
        self,
        folder: RunFolder,
        *,
        batch_size: int | None = None,
        progress: Progress | None = None,
        score_aside: bool | None = None,
    ) -> None:
        self.folder = folder
        self.batch_size = None if batch_size is None else check_integer("batch_size", batch_size, 1)
        self.progress = progress or SilentProgress()
        self._score_aside = score_aside
        self._largest: int | None = None

    def run(
        self,
        plan: Plan,
        generator: Generator,
        classifiers: Mapping[str, Classifier],
        images: Sequence[int] | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Render the images that aren't in the folder yet, and score those that a classifier hasn't seen.

        Args:
            plan: M distinct pairs of caption and seed.
            generator: renders them.
            classifiers: by name; each scores a batch while it is in memory, on one thread at a time.
            images: numbers in [0, M) of the images that are wanted; None: all. The others aren't touched.

        Returns:
            For each name float32 (M, C), in the order of the plan, or (len(images), C) in the order of `images`.

        Raises:
            IndexError: a number in `images` isn't one of the plan's.
            CaptionError: captions are too long for the generator; nothing has been rendered.
            UserError: a classifier's scores have the wrong shape or aren't finite, the memory doesn't hold a single
                image, or the disk is full.
            KeyboardInterrupt: Ctrl-C; its message says how to go on. The batch that is being rendered is lost, all
                others are kept.
        """
        keys, wanted = plan_keys(plan, generator), _numbers(plan, images)
        scorers = {name: self._scorer(name, model) for name, model in classifiers.items()}
        working = list({id(scorer.cache): scorer for scorer in scorers.values()}.values())  # one model in two roles
        names = [keys[number] for number in wanted]
        self._render(plan, keys, wanted, generator, working)
        self._score_stored(names, working)
        self._render(plan, keys, wanted, generator, working)  # what turned out damaged when read; scored at once
        return {name: scorer.cache.get(names) for name, scorer in scorers.items()}

    def score_real(self, table: ConceptTable, classifier: Classifier, name: str = "classifier") -> NDArray[np.float32]:
        """Score the table's own images; a file is scored once, wherever it lies and whatever it is called.

        Args:
            table: N rows with image files.
            classifier: scores them.
            name: what errors call it.

        Returns:
            float32 (N, C), in the order of the rows.

        Raises:
            UserError: the table has no image files, one can't be read, the scores have the wrong shape or aren't
                finite, or the disk is full.
            KeyboardInterrupt: Ctrl-C; its message says how to go on.
        """
        if table.image_paths is None:
            raise UserError(f"`table` ({table.source}) has no image files, so its real images can't be scored.")
        scorer = self._scorer(name, classifier)
        keys = [_file_key(path) for path in table.image_paths]
        missing = {key: path for key, path in zip(keys, table.image_paths, strict=True) if key not in scorer.cache}
        batches = _load_batches(missing, self.batch_size or REAL_BATCH)
        with self._task("Scoring real images", len(missing)) as task, closing(ahead(batches, "loader")) as loaded:
            for names, images in loaded:
                scorer.keep(scorer.predict(names, images))
                task.advance(len(names))
        return scorer.cache.get(keys)

    def images(self, generator: Generator, wanted: Mapping[str, tuple[str, int]]) -> dict[str, NDArray[np.uint8]]:
        """Some images; those that aren't in the folder, or turn out damaged there, are rendered.

        Args:
            generator: renders them.
            wanted: key -> caption and seed.

        Returns:
            Key -> uint8 (H, W, 3).

        Raises:
            UserError: the memory doesn't hold a single image, or the disk is full.
        """
        store, found = self.folder.images, dict[str, NDArray[np.uint8]]()
        while lacking := [key for key in wanted if key not in found]:
            missing = [key for key in lacking if key not in store]
            while missing:
                keys = missing[: self._size(generator)]
                captions, seeds = [wanted[key][0] for key in keys], [wanted[key][1] for key in keys]
                images = self._generate(generator, captions, seeds)
                if images is not None:
                    store.append(keys, captions, seeds, images)
                    missing = missing[len(keys) :]
            for names, stored in store.read(lacking):
                found.update(zip(names, stored, strict=True))
        return found

    def _scorer(self, name: str, classifier: Classifier) -> Scorer:
        return Scorer(name, classifier, self.folder.scores(classifier.fingerprint))

    def _render(
        self, plan: Plan, keys: list[str], wanted: Sequence[int], generator: Generator, scorers: list[Scorer]
    ) -> None:
        """Render what isn't stored, each image once."""
        absent = {keys[number]: number for number in wanted if keys[number] not in self.folder.images}
        if absent:
            missing = list(absent.values())
            generator.check_captions(list(dict.fromkeys(plan.captions[i] for i in missing)))
            self._render_missing(plan, keys, missing, generator, scorers)

    def _render_missing(
        self, plan: Plan, keys: list[str], missing: list[int], generator: Generator, scorers: list[Scorer]
    ) -> None:
        """Render the images of these numbers, none of which is stored, batch by batch."""
        with (
            self._task("Rendering", len(missing)) as task,
            self._scoring(generator, scorers) as score,
            BatchWriter(self.folder.images, scorers, task.advance) as writer,
        ):
            start = 0
            while start < len(missing):
                numbers = missing[start : start + self._size(generator)]
                captions, seeds = [plan.captions[i] for i in numbers], [int(plan.seeds[i]) for i in numbers]
                images = self._generate(generator, captions, seeds)
                if images is None:
                    continue
                batch = Batch([keys[i] for i in numbers], captions, seeds, images)
                writer.write(batch)
                score(batch)
                start += len(numbers)

    def _size(self, generator: Generator) -> int:
        """Images in the next batch."""
        size = self.batch_size or preferred_batch(generator)
        return size if self._largest is None else min(size, self._largest)

    def _generate(self, generator: Generator, captions: list[str], seeds: list[int]) -> NDArray[np.uint8] | None:
        """One batch; None, with smaller batches from now on, if the memory didn't hold it."""
        try:
            return checked_images(generator.generate(captions, seeds), len(captions))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(captions) == 1:
                raise UserError(
                    "The memory doesn't hold the generator with one image. Choose a smaller `size` or `dtype`, or free "
                    "some memory."
                ) from error
            self._largest = len(captions) // 2
        release_memory()
        return None

    @contextmanager
    def _scoring(self, generator: Generator, scorers: list[Scorer]) -> Iterator[Callable[[Batch], None]]:
        """How a batch gets its scores: at once, or on a thread while the next one is rendered."""

        def score(batch: Batch) -> None:
            batch.set_scores(lambda: [scorer.predict(batch.keys, batch.images) for scorer in scorers])

        aside = _runs_on_cuda(generator) if self._score_aside is None else self._score_aside
        if not (aside and scorers):
            yield score
            return
        worker = Worker("scorer")

        def score_later(batch: Batch) -> None:
            batch.claim()
            worker.submit(lambda: score(batch))

        try:
            _stay_on_this_gpu(worker)
            yield score_later
        finally:
            worker.close(wait=False)

    def _score_stored(self, keys: list[str], scorers: list[Scorer]) -> None:
        unseen = [key for key in dict.fromkeys(keys) if any(key not in scorer.cache for scorer in scorers)]
        if not unseen:
            return
        stored = ahead(self.folder.images.read(unseen), "reader")
        with self._task("Scoring", len(unseen)) as task, closing(stored) as batches:
            for names, images in batches:
                for scorer in scorers:
                    scorer.keep(scorer.predict(names, images))
                task.advance(len(names))

    @contextmanager
    def _task(self, name: str, total: int) -> Iterator[_Task]:
        """Progress of one task; what stops it becomes one line that says what is kept and how to go on."""
        task = _Task(self.progress, total)
        self.progress.start(name, total)
        try:
            yield task
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"Stopped. {name}: {task}. Repeat the command to go on.") from None
        except WriteError as error:
            raise UserError(f"{error} {name}: {task}. Repeat the command to go on.") from error
        finally:
            self.progress.done()


class _Task:
    """Counts what is done."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._count = progress, total, 0

    def advance(self, n: int) -> None:
        self._count += n
        self._progress.advance(n)

    def __str__(self) -> str:
        return f"{self._count:,} of {self._total:,} images are done and kept"


def _numbers(plan: Plan, images: Sequence[int] | None) -> Sequence[int]:
    """The images that are wanted, in their order."""
    if images is None:
        return range(plan.n_images)
    numbers = [int(number) for number in images]
    if numbers and not 0 <= min(numbers) <= max(numbers) < plan.n_images:
        raise IndexError(f"`images` must lie in [0, {plan.n_images}); got {min(numbers)} to {max(numbers)}")
    return numbers


def checked_images(images: NDArray[np.uint8], n: int) -> NDArray[np.uint8]:
    """What a generator returned for n captions; raises UserError unless it is uint8 (n, H, W, 3)."""
    array = np.asarray(images)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[0] != n or array.shape[3] != 3:
        raise UserError(
            f"The generator must return uint8 images ({n}, height, width, 3); got {array.dtype} {array.shape}."
        )
    return array


def _load_batches(paths: Mapping[str, Path], size: int) -> Iterator[tuple[list[str], list[NDArray[np.uint8]]]]:
    """Image files by key -> batches of keys and images: at most `size`, and closed at `REAL_BYTES`."""
    keys: list[str] = []
    images: list[NDArray[np.uint8]] = []
    for key, path in paths.items():
        keys.append(key)
        images.append(load_image(path))
        if len(keys) == size or sum(image.nbytes for image in images) >= REAL_BYTES:
            yield keys, images
            keys, images = [], []
    if keys:
        yield keys, images


def _runs_on_cuda(generator: Generator) -> bool:
    return str(getattr(generator, "device", "cpu")).startswith("cuda")


def _stay_on_this_gpu(worker: Worker) -> None:
    """A thread begins on the first GPU, whichever one its maker is on."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        device = torch.cuda.current_device()
        worker.submit(lambda: torch.cuda.set_device(device))


def _file_key(path: Path) -> str:
    """Key of a real image: a hash of its file's content."""
    with path.open("rb") as file:
        return f"real:{hashlib.file_digest(file, 'blake2b').hexdigest()[:32]}"
