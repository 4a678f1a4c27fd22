"""DEPICT (arXiv 2407.14509) from end to end: a table, a target model and a generator in, a ranking of concepts out.

Each step has a module of its own; this one puts them in order: plan, render and score, measure, check, keep.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.analyses import analyse
from genlens.audit import Audit
from genlens.captions import plain, reference_captions
from genlens.checks import CheckResult, effective_generation, independent_permutation, reproducible_generation
from genlens.classifiers.protocol import Classifier, target_score
from genlens.concepts import ConceptTable
from genlens.engine import Engine, plan_keys
from genlens.errors import UserError
from genlens.generators.protocol import Generator
from genlens.importance.compute import importance_from_scores
from genlens.importance.result import ImportanceResult, Picture
from genlens.metrics import Scoring, binarise_labels, get_scoring
from genlens.plan import ConceptStates, Noise, Plan, make_plan
from genlens.progress import Progress
from genlens.run_folder import RunFolder, versions
from genlens.store import encode_png, image_key

N_GALLERY_ROWS = 5
"""Rows shown in the report, the same for every concept, drawn by the seed and not by their scores."""
N_AGAIN = 16
"""Reference images rendered a second time, in another batch, to see whether a seed reproduces its image."""


def permutation_importance(
    classifier: Classifier,
    table: ConceptTable,
    generator: Generator,
    *,
    concept_classifier: Classifier | None = None,
    scoring: str | Scoring | Callable[..., float] = "roc_auc",
    store: str | Path | None = None,
    seed: int = 0,
    n_repeats: int = 500,
    n_draws: int = 1,
    n_donors: int = 2,
    noise: Noise = "common",
    target_class: int | None = None,
    label_from_classifier: bool = False,
    batch_size: int | None = None,
    confidence: float = 0.95,
    overwrite: bool = False,
    progress: Progress | None = None,
    settings: Mapping[str, Any] | None = None,
) -> ImportanceResult:
    """Rank the concepts that an image classifier relies on (DEPICT, section 3).

    Args:
        classifier: the target model.
        table: N rows with D concepts and labels; their real images, where there are any, serve the checks.
        generator: renders captions.
        concept_classifier: an independent classifier with one output a concept, for the checks: in the table's order,
            or with an attribute `concept_names` that has the table's names among it.
        scoring: name of a scikit-learn scorer, or a callable ``(y_true, y_score) -> float``.
        store: run folder, made where it isn't there; a run that was stopped goes on, and another classifier uses the
            images that are there. None: a temporary folder.
        seed: of the noise, the donors and the permutations, >= 0.
        n_repeats: sampled permutations P a concept, >= 1; the images are the same whatever P is.
        n_draws: noise draws R for each image, >= 1.
        n_donors: values carried from other rows for each row, for segments, numbers and counts of many values, >= 1.
        noise: "common" keeps a row's noise in all states, "fresh" draws it anew for each.
        target_class: output to explain where there are three or more. Labels of more than two classes then become
            "is of this class".
        label_from_classifier: take the classifier's own decision on the real images as the label: score > 0, or above
            the median for outputs that are neither logits nor probabilities.
        batch_size: images rendered at once; None: what the generator prefers.
        confidence: level of the intervals, in (0, 1).
        overwrite: throw away what is in `store`.
        progress: told what is going on.
        settings: more entries for the result's settings, such as the command.

    Returns:
        The importances with their checks and pictures. Nothing of it is written: see `ImportanceResult.save`.

    Raises:
        UserError: the arguments don't fit one another; see the modules of the steps.
        KeyboardInterrupt: Ctrl-C; the same call goes on where it stopped.
    """
    scoring = get_scoring(scoring)
    _refuse_missing_labels(table, label_from_classifier)
    plan = make_plan(table, seed, n_draws=n_draws, n_donors=n_donors, noise=noise)
    generator.check_captions(plan.captions)
    chosen = {"seed": seed, "n_draws": n_draws, "n_donors": n_donors, "noise": noise}
    with _run_folder(store) as folder:
        folder.open_or_create(chosen | _identity(table, generator), overwrite=overwrite)
        with folder.lock():
            engine = Engine(folder, batch_size=batch_size, progress=progress)
            target = _score_target(engine, table, plan, generator, classifier, concept_classifier, target_class)
            y = _labels(table, target, target_class if target.outputs.ndim == 1 else None, label_from_classifier)
            again = _rendered_twice(folder, plan, generator)
            gallery = _gallery(folder, table, plan, generator, target.shown, seed)
    audit = Audit(
        table, plan, y, scoring, target.outputs, target.real, target.concepts, target.real_concepts, confidence, seed
    )
    return importance_from_scores(
        y,
        audit.reference,
        audit.states,
        scoring,
        n_repeats,
        seed,
        real=target.real,
        clusters=table.clusters,
        confidence=confidence,
        target_class=target_class,
        n_images=plan.n_images,
        n_naive=plan.n_naive(n_repeats),
        checks=(*_checks(audit), reproducible_generation(*again)),
        analyses=analyse(audit),
        gallery=tuple(gallery),
        settings=chosen | {"data": table.source, "label": table.label_name, "versions": versions(), **(settings or {})},
    )


@dataclass(frozen=True, eq=False)
class _Scores:
    """What the models said.

    Attributes:
        outputs: (M,) target score of each image, or (M, C) where all classes are scored together.
        real: the same for the N real images, or None.
        shown: (M,) what the report writes under a picture.
        threshold: score above which a row counts as the target class.
        concepts: (M, D) concept classifier's outputs, or None.
        real_concepts: (N, D) the same for the real images, or None.
    """

    outputs: NDArray[np.float64]
    real: NDArray[np.float64] | None
    shown: NDArray[np.float64]
    threshold: float
    concepts: NDArray[np.float64] | None
    real_concepts: NDArray[np.float64] | None


def _score_target(
    engine: Engine,
    table: ConceptTable,
    plan: Plan,
    generator: Generator,
    classifier: Classifier,
    concept_classifier: Classifier | None,
    target_class: int | None,
) -> _Scores:
    """Real images first, so that a classifier that doesn't fit is found before anything is rendered."""
    models = {"target": classifier}
    if concept_classifier is not None:
        models["concepts"] = concept_classifier
    real = {} if table.image_paths is None else {name: engine.score_real(table, m, name) for name, m in models.items()}
    convert = _converter(table, classifier, target_class)
    real_target = convert(real["target"]) if real else None
    found = engine.run(plan, generator, models)
    outputs = convert(found["target"])
    reference = outputs if real_target is None else real_target
    columns = None if concept_classifier is None else _columns(concept_classifier, table, found["concepts"].shape[1])
    return _Scores(
        outputs=outputs,
        real=real_target,
        shown=outputs if outputs.ndim == 1 else outputs.max(axis=1),
        threshold=float(np.median(reference)) if classifier.outputs == "scores" else 0.0,
        concepts=None if columns is None else found["concepts"][:, columns].astype(np.float64),
        real_concepts=None if columns is None or not real else real["concepts"][:, columns].astype(np.float64),
    )


def _converter(
    table: ConceptTable, classifier: Classifier, target_class: int | None
) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """Outputs (M, C) -> target score (M,), or all C columns for labels of many classes without a target class."""

    def convert(outputs: NDArray[np.float32]) -> NDArray[np.float64]:
        if table.task == "multiclass" and target_class is None and outputs.shape[1] > 2:
            return outputs.astype(np.float64)
        return target_score(outputs, classifier.outputs, target_class)

    return convert


def _columns(concept_classifier: Classifier, table: ConceptTable, n_outputs: int) -> list[int]:
    """Output of the concept classifier for each of the table's concepts.

    Raises:
        UserError: it has other concepts, or another number of outputs.
    """
    names = getattr(concept_classifier, "concept_names", None)
    if names is None:
        if n_outputs != len(table.names):
            raise UserError(
                f"The concept classifier must have one output for each of the {len(table.names)} concepts; "
                f"got {n_outputs}. Give it an attribute `concept_names` if it knows more."
            )
        return list(range(n_outputs))
    missing = [name for name in table.names if name not in names]
    if missing:
        raise UserError(f"The concept classifier doesn't know {missing[0]!r}. It knows: {', '.join(names)}.")
    return [list(names).index(name) for name in table.names]


def _refuse_missing_labels(table: ConceptTable, label_from_classifier: bool) -> None:
    if label_from_classifier and table.image_paths is None:
        raise UserError("`label_from_classifier` needs real images; this table has none. Name a label column.")
    if table.labels is None and not label_from_classifier:
        raise UserError("`table` has no labels. Name a label column, or set `label_from_classifier`.")


def _labels(table: ConceptTable, target: _Scores, target_class: int | None, from_classifier: bool) -> NDArray[Any]:
    """Labels (N,) that the target's score is held against."""
    if from_classifier:
        real = np.asarray(target.real)
        decisions = real.argmax(axis=1) if real.ndim == 2 else (real > target.threshold).astype(np.int64)
        if len(np.unique(decisions)) < 2:
            raise UserError(
                "The classifier decides the same on every real image, so its decision can't be the label. "
                "Name a label column, or take images on which it differs."
            )
        return np.asarray(decisions)
    labels: NDArray[Any] = np.asarray(table.labels)
    if table.task == "multiclass" and target_class is not None:
        return binarise_labels(labels, target_class)
    return labels


def _identity(table: ConceptTable, generator: Generator) -> dict[str, Any]:
    """What decides, beside the numbers the user chose, which images a run has; values short enough for a message."""
    rows = [table.row_ids, reference_captions(table), [[plain(v) for v in c.values] for c in table.concepts]]
    digest = blake2b(json.dumps(rows, ensure_ascii=False).encode(), digest_size=8).hexdigest()
    return {
        "concepts": list(table.names),
        "n_rows": table.n_rows,
        "rows": digest,
        "generator": generator.fingerprint,
    }


@contextmanager
def _run_folder(store: str | Path | None) -> Iterator[RunFolder]:
    if store is not None:
        yield RunFolder(store)
        return
    with tempfile.TemporaryDirectory(prefix="genlens-") as folder:
        yield RunFolder(folder)


def _checks(audit: Audit) -> tuple[CheckResult, CheckResult]:
    """Effective generation and independent permutation."""
    presence, names, clusters = audit.table.presence(), audit.table.names, audit.table.clusters
    seen, states = audit.reference_concepts, audit.concept_states
    effective = effective_generation(
        audit.y, audit.real, audit.reference, presence, audit.real_concepts, seen, names,
        scoring=audit.scoring, clusters=clusters, confidence=audit.confidence,
    )  # fmt: skip
    if seen is None or states is None:
        independent = CheckResult(
            "independent-permutation", "Independent permutation", "not applicable", None, None,
            "Not checked: there is no independent concept classifier.",
            "Give a concept classifier that was trained apart from the target model.",
        )  # fmt: skip
    else:
        independent = independent_permutation(
            presence, seen, states, names, h_real=audit.real_concepts, clusters=clusters, confidence=audit.confidence
        )
    return effective, independent


def _rendered_twice(
    folder: RunFolder, plan: Plan, generator: Generator
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Some reference images, and the same ones rendered again in another batch; kept under keys of their own."""
    numbers = plan.reference[:N_AGAIN, 0][::-1]
    captions, seeds = [plan.captions[i] for i in numbers], [int(plan.seeds[i]) for i in numbers]
    first = [image_key(generator.fingerprint, *pair) for pair in zip(captions, seeds, strict=True)]
    again = [image_key(f"{generator.fingerprint} again", *pair) for pair in zip(captions, seeds, strict=True)]
    if any(key not in folder.images for key in again):
        folder.images.append(again, captions, seeds, generator.generate(captions, seeds))
    images = _read(folder, {*first, *again})
    return [images[key] for key in first], [images[key] for key in again]


def _gallery(
    folder: RunFolder, table: ConceptTable, plan: Plan, generator: Generator, shown: NDArray[np.float64], seed: int
) -> list[Picture]:
    """The same few rows for every concept, in the first and the last of the concept's states."""
    keys = plan_keys(plan, generator)
    rows = np.sort(np.random.default_rng(seed).permutation(table.n_rows)[:N_GALLERY_ROWS])
    wanted = [
        (states, int(row), slot) for states in plan.states for row in rows for slot in (0, states.index.shape[1] - 1)
    ]
    numbers = [int(states.index[row, slot, 0]) for states, row, slot in wanted]
    images = _read(folder, {keys[number] for number in numbers})
    return [
        Picture(
            concept=states.concept,
            row_id=table.row_ids[row],
            state=_state_name(states, row, slot),
            caption=plan.captions[number],
            score=float(shown[number]),
            png=encode_png(images[keys[number]]),
        )
        for (states, row, slot), number in zip(wanted, numbers, strict=True)
    ]


def _state_name(states: ConceptStates, row: int, slot: int) -> str:
    if states.strata == ("absent", "present"):
        return ("off", "on")[states.stratum[slot]]
    return plain(states.states[row, slot])


def _read(folder: RunFolder, keys: set[str]) -> dict[str, NDArray[np.uint8]]:
    return {key: image for names, images in folder.images.read(keys) for key, image in zip(names, images, strict=True)}
