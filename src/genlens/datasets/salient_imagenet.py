"""Salient ImageNet: people's judgements of what the features of an ImageNet classifier look at.

The raw answers (Singla and Feizi, arXiv 2110.04301): five workers a class-feature pair, the five strongest features of
each of 1,000 classes of a robust ResNet-50. The file is `discover_spurious_features.csv` of the repository
singlasahil14/salient_imagenet; it doesn't come with genlens.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.datasets.csv_rows import csv_rows
from genlens.errors import UserError

VARIABLE = "GENLENS_SALIENT_IMAGENET"
"""Environment variable with the path of the file or of its folder."""
FILE = "discover_spurious_features.csv"
ANSWERS = ("main_object", "separate_object", "background")
"""What a worker can say that a feature looks at; the last two make it spurious."""
_NUMBERS = ("Input.class_index", "Input.feature_index", "Input.feature_rank")
_COLUMNS = ("WorkerId", "Input.wordnet_id", *_NUMBERS, "Answer.main")


@dataclass(frozen=True, eq=False)
class SalientImageNet:
    """Class-feature pairs and their answers, P pairs in the order of (class, rank).

    Attributes:
        class_index: (P,) output of the classifier.
        feature_index: (P,) neural feature.
        rank: (P,) 1 is the class's strongest feature.
        wordnet_id: (P,) of the class.
        counts: int array (P, 3): how many workers gave each of `ANSWERS`.
    """

    class_index: NDArray[np.int64]
    feature_index: NDArray[np.int64]
    rank: NDArray[np.int64]
    wordnet_id: tuple[str, ...]
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.class_index)

    @property
    def spurious(self) -> NDArray[np.bool_]:
        """(P,) whether more than half of a pair's workers say separate object or background (3 of 5)."""
        result: NDArray[np.bool_] = 2 * self.counts[:, 1:].sum(axis=1) > self.counts.sum(axis=1)
        return result

    def spurious_per_class(self) -> dict[int, int]:
        """Class -> how many of its features are spurious."""
        classes = np.unique(self.class_index)
        return {int(c): int(self.spurious[self.class_index == c].sum()) for c in classes}

    def find(self, class_index: int, feature_index: int) -> int:
        """Row of a pair.

        Raises:
            UserError: nobody judged it.
        """
        rows = np.flatnonzero((self.class_index == class_index) & (self.feature_index == feature_index))
        if not len(rows):
            own = self.feature_index[self.class_index == class_index]
            known = f"its features are {', '.join(map(str, own))}" if len(own) else "no feature of that class was"
            raise UserError(f"Feature {feature_index} of class {class_index} was not judged; {known}.")
        return int(rows[0])


def read_salient_imagenet(path: str | Path | None = None) -> SalientImageNet:
    """Read the raw answers.

    Args:
        path: the file or its folder; None: what the environment variable GENLENS_SALIENT_IMAGENET says.

    Raises:
        UserError: no path, no file, a missing column, a value that isn't allowed, a worker who judged a pair twice, or
            a pair with two ranks.
    """
    file = _find(path)
    rows = [_row(row, where) for row, where in csv_rows(file, _COLUMNS, f"Is it Salient ImageNet's {FILE}?")]
    if not rows:
        raise UserError(f"{file} has no answers.")
    return _gathered(rows, file)


def _find(path: str | Path | None) -> Path:
    given = path if path is not None else os.environ.get(VARIABLE)
    if not given:
        raise UserError(f"Salient ImageNet's answers are not here: pass the path of {FILE} or set {VARIABLE}.")
    file = Path(given) / FILE if Path(given).is_dir() else Path(given)
    if not file.is_file():
        raise UserError(f"There is no file {file}. Pass the path of Salient ImageNet's {FILE}, or its folder.")
    return file


_Row = tuple[int, int, int, str, str, int]


def _row(row: Mapping[str, str | None], where: str) -> _Row:
    """(class, feature, rank, wordnet id, worker, answer) of one line."""
    numbers = []
    for column in _NUMBERS:
        text = (row[column] or "").strip()
        if not text.isdecimal():
            raise UserError(f"{where}: {column} must be a whole number >= 0; got {text!r}.")
        numbers.append(int(text))
    answer = (row["Answer.main"] or "").strip()
    if answer not in ANSWERS:
        raise UserError(f"{where}: Answer.main must be one of {', '.join(ANSWERS)}; got {answer!r}.")
    return (*numbers, row["Input.wordnet_id"] or "", row["WorkerId"] or "", ANSWERS.index(answer))  # type: ignore[return-value]


def _gathered(rows: list[_Row], file: Path) -> SalientImageNet:
    counts: dict[tuple[int, int], list[int]] = {}
    about: dict[tuple[int, int], tuple[int, str]] = {}
    seen: set[tuple[int, int, str]] = set()
    for label, feature, rank, wordnet, worker, answer in rows:
        pair = (label, feature)
        if about.setdefault(pair, (rank, wordnet)) != (rank, wordnet):
            raise UserError(f"{file} gives feature {feature} of class {label} two ranks or two names.")
        if (*pair, worker) in seen:
            raise UserError(f"{file} has two answers of worker {worker} on feature {feature} of class {label}.")
        seen.add((*pair, worker))
        counts.setdefault(pair, [0, 0, 0])[answer] += 1
    order = sorted(counts, key=lambda pair: (pair[0], about[pair][0], pair[1]))
    labels, features = np.array(order, dtype=np.int64).T
    return SalientImageNet(
        labels,
        features,
        np.array([about[pair][0] for pair in order], dtype=np.int64),
        tuple(about[pair][1] for pair in order),
        np.array([counts[pair] for pair in order], dtype=np.int64),
    )
