"""Renders what a plan lacks, scores what a classifier hasn't seen, in batches; stopped at any moment, it goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.protocol import Classifier
from genlens.concepts import ConceptTable
from genlens.datasets.images import load_image
from genlens.errors import UserError, check_integer
from genlens.files import WriteError
from genlens.generators.protocol import Generator, preferred_batch
from genlens.plan import Plan
from genlens.progress import Progress, SilentProgress
from genlens.run_folder import RunFolder
from genlens.score_cache import ScoreCache
from genlens.store import image_key

REAL_BATCH = 32
"""Real images scored at once: photographs are large, and a batch of them is in memory."""

_T = TypeVar("_T")
Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]


def plan_keys(plan: Plan, generator: Generator) -> list[str]:
    """Key of each image of the plan, in its order."""
    fingerprint = generator.fingerprint
    return [image_key(fingerprint, caption, seed) for caption, seed in zip(plan.captions, plan.seeds, strict=True)]


class Engine:
    """Rendering and scoring into one run folder, in one process. The caller holds `folder.lock()`.

    At most one batch of images is in memory. Each batch is written before the next begins, so a kill costs one batch.

    Args:
        folder: where images and scores are and go.
        batch_size: images a batch; None: what the generator prefers.
        progress: told what is going on.
    """

    def __init__(self, folder: RunFolder, *, batch_size: int | None = None, progress: Progress | None = None) -> None:
        self.folder = folder
        self.batch_size = None if batch_size is None else check_integer("batch_size", batch_size, 1)
        self.progress = progress or SilentProgress()

    def run(
        self, plan: Plan, generator: Generator, classifiers: Mapping[str, Classifier]
    ) -> dict[str, NDArray[np.float32]]:
        """Render the images that aren't in the folder yet, and score those that a classifier hasn't seen.

        Args:
            plan: M distinct pairs of caption and seed.
            generator: renders them.
            classifiers: by name; each scores a batch while it is in memory.

        Returns:
            For each name float32 (M, C), in the order of the plan.

        Raises:
            CaptionError: captions are too long for the generator; nothing has been rendered.
            UserError: a classifier's scores have the wrong shape or aren't finite, or the disk is full.
            KeyboardInterrupt: Ctrl-C; its message says how to go on. The batch in hand is lost, all others are kept.
        """
        keys = plan_keys(plan, generator)
        models = [_Scorer(name, model, self.folder.scores(model.fingerprint)) for name, model in classifiers.items()]
        self._render(plan, keys, generator, models)
        self._score_stored(keys, models)
        self._render(plan, keys, generator, models)  # what turned out damaged when it was read; scored at once
        return {scorer.name: scorer.cache.get(keys) for scorer in models}

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
        scorer = _Scorer(name, classifier, self.folder.scores(classifier.fingerprint))
        keys = [_file_key(path) for path in table.image_paths]
        missing = {key: path for key, path in zip(keys, table.image_paths, strict=True) if key not in scorer.cache}
        size = self.batch_size or REAL_BATCH
        with self._task("Scoring real images", len(missing)) as task:
            for batch in _batches(list(missing), size):
                scorer.score(batch, [load_image(missing[key]) for key in batch])
                task.advance(len(batch))
        return scorer.cache.get(keys)

    def _render(self, plan: Plan, keys: list[str], generator: Generator, models: list[_Scorer]) -> None:
        store = self.folder.images
        missing = list({key: i for i, key in enumerate(keys) if key not in store}.values())
        if not missing:
            return
        generator.check_captions(list(dict.fromkeys(plan.captions[i] for i in missing)))
        with self._task("Rendering", len(missing)) as task:
            for batch in _batches(missing, self.batch_size or preferred_batch(generator)):
                captions = [plan.captions[i] for i in batch]
                seeds = [int(plan.seeds[i]) for i in batch]
                images = _checked_images(generator.generate(captions, seeds), len(batch))
                names = [keys[i] for i in batch]
                store.append(names, captions, seeds, images)
                for scorer in models:
                    scorer.score(names, images)
                task.advance(len(batch))

    def _score_stored(self, keys: list[str], models: list[_Scorer]) -> None:
        unseen = [key for key in dict.fromkeys(keys) if any(key not in scorer.cache for scorer in models)]
        if not unseen:
            return
        with self._task("Scoring", len(unseen)) as task:
            for names, images in self.folder.images.read(unseen):
                for scorer in models:
                    scorer.score(names, images)
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


class _Scorer:
    """A classifier with its name and its cache."""

    def __init__(self, name: str, classifier: Classifier, cache: ScoreCache) -> None:
        self.name, self.cache = name, cache
        self._classifier = classifier

    def score(self, keys: Sequence[str], images: Images) -> None:
        """Score and keep those of a batch that aren't scored yet."""
        new = [i for i, key in enumerate(keys) if key not in self.cache]
        if new:
            scores = self._classifier.predict([images[i] for i in new])
            self.cache.append([keys[i] for i in new], self._checked(scores, len(new)))

    def _checked(self, scores: object, n: int) -> NDArray[np.float32]:
        """Scores as float32 (n, C); raises UserError if they are anything else, or not finite."""
        try:
            array = np.asarray(scores, dtype=np.float32)
        except (TypeError, ValueError):
            raise UserError(f"Classifier '{self.name}' must return numbers; got {type(scores).__name__}.") from None
        if array.ndim != 2 or array.shape[0] != n or array.shape[1] == 0:
            raise UserError(
                f"Classifier '{self.name}' must return an array (images, outputs), here ({n}, C); got {array.shape}."
            )
        columns = self.cache.n_outputs
        if columns is not None and array.shape[1] != columns:
            raise UserError(
                f"Classifier '{self.name}' gave {array.shape[1]} outputs an image, and {columns} before. "
                "Its fingerprint must change when the model does."
            )
        bad = int((~np.isfinite(array)).any(axis=1).sum())
        if bad:
            raise UserError(f"Classifier '{self.name}' returned NaN or infinity for {bad} of a batch of {n} images.")
        return array


def _checked_images(images: NDArray[np.uint8], n: int) -> NDArray[np.uint8]:
    array = np.asarray(images)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[0] != n or array.shape[3] != 3:
        raise UserError(
            f"The generator must return uint8 images ({n}, height, width, 3); got {array.dtype} {array.shape}."
        )
    return array


def _batches(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _file_key(path: Path) -> str:
    """Key of a real image: a hash of its file's content."""
    with path.open("rb") as file:
        return f"real:{hashlib.file_digest(file, 'blake2b').hexdigest()[:32]}"
