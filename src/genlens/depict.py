"""DEPICT (arXiv 2407.14509) from end to end: a table, a target model and a generator in, a ranking of concepts out.

Each step has a module of its own; this one puts them in order: plan, render and score, measure, check, keep.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.adaptive import MIN_IMPORTANCE, Flips, flip_budget, flips_analysis, render_flips, restricted
from genlens.analyses import analyse
from genlens.analyses.settings import asked
from genlens.audit import Audit
from genlens.audit_checks import check_effective, check_independent
from genlens.captions import plain, reference_captions
from genlens.checks import CheckResult, reproducible_generation
from genlens.classifiers.protocol import Classifier
from genlens.concepts import ConceptTable
from genlens.engine import Engine
from genlens.errors import UserError
from genlens.gallery import pictures, rendered_twice
from genlens.generators.protocol import Generator
from genlens.importance.compute import importance_from_scores
from genlens.importance.conditional import refuse_open_form
from genlens.importance.given import GivenBy, check_given
from genlens.importance.partial import importance_from_partial_scores
from genlens.importance.result import Analysis, ImportanceResult
from genlens.leakage import MentionRule
from genlens.metrics import Scoring, get_scoring, refuse_uncertain
from genlens.plan import Noise, Plan, make_plan
from genlens.plan_file import FinishedPlan
from genlens.plans.dependence import dependence_extras
from genlens.plans.doses import Doses
from genlens.plans.groups import Groups
from genlens.plans.placebo import PLACEBO_ROWS
from genlens.plans.probes import asked_probes, probe_extras
from genlens.progress import Progress
from genlens.ray_engine import RayEngine, RayWorkers
from genlens.run_folder import RunFolder, versions
from genlens.target_scores import labels_of, refuse_missing_labels, score_target


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
    flip_rows: int | None = None,
    stop_when_separated: bool = False,
    min_importance: float = MIN_IMPORTANCE,
    groups: Groups | None = None,
    given: GivenBy | None = None,
    shapley: bool = False,
    shapley_rows: int | None = None,
    placebo_rows: int = PLACEBO_ROWS,
    doses: Doses | None = None,
    dose_rows: int | None = None,
    target_class: int | None = None,
    label_from_classifier: bool = False,
    batch_size: int | None = None,
    images: str | None = None,
    workers: RayWorkers | None = None,
    confidence: float = 0.95,
    overwrite: bool = False,
    progress: Progress | None = None,
    settings: Mapping[str, Any] | None = None,
    mention_rules: Sequence[MentionRule] = (),
    notes: Sequence[Analysis] = (),
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
        flip_rows: render flips for this many random rows only (reference images for all), and let a surrogate that
            they correct predict the others: `genlens.importance.difference`. None: for all rows. Further images (those
            of `groups`, `shapley`, `doses`, the placebo) are left out then.
        stop_when_separated: render flips block after block, of each concept until its place in the ranking is certain:
            `genlens.importance.sequential`.
        min_importance: importance below which that needs no further certainty, >= 0.
        groups: name -> concepts to permute together as well, at least two each; costs further images.
        given: also permute each concept given others, from the same images: "model" or "boosting" (of the concept given
            all others), "others" (within rows that agree on them), names of concepts (within rows that agree on those),
            or a scikit-learn classifier. Needs a score with a closed form.
        shapley: Shapley values, for up to eight binary concepts; takes 2^D images a row.
        shapley_rows: rows that take part in them, >= 2, drawn by the seed; None: all.
        placebo_rows: rows whose caption is edited so that it says the same, for the generator's noise floor; 0: none.
        doses: values that each number and count is set to for its dose-response curve: how many, or for each concept
            named how many or which; costs further images.
        dose_rows: rows that take part in them, >= 2, drawn by the seed; None: all.
        target_class: output to explain where there are three or more. Labels of more than two classes then become
            "is of this class".
        label_from_classifier: take the classifier's own decision on the real images as the label: score > 0, or above
            the median for outputs that are neither logits nor probabilities.
        batch_size: images rendered at once; None: what the generator prefers.
        images: fsspec URL or path where the images lie, such as ``s3://bucket/images``, which several runs and machines
            may share; None: in the run folder.
        workers: Ray actors that render and score; None: this process does.
        confidence: level of the intervals, in (0, 1).
        overwrite: throw away what is in `store`.
        progress: told what is going on.
        settings: more entries for the result's settings, such as the command.
        mention_rules: what counts as a mention of a permuted concept in the context, beside the built-in rules.
        notes: what was done to the table before, such as sentences left out; the report begins its analyses with it.

    Returns:
        The importances with their checks and pictures. Nothing of it is written: see `ImportanceResult.save`.

    Raises:
        UserError: the arguments don't fit one another; see the modules of the steps.
        KeyboardInterrupt: Ctrl-C; the same call goes on where it stopped.
    """
    scoring = get_scoring(scoring)
    refuse_uncertain(scoring, classifier.outputs)
    refuse_missing_labels(table, label_from_classifier)
    budget = flip_budget(flip_rows, stop_when_separated, min_importance, table.n_rows, scoring, confidence)
    if budget is not None:
        _refuse_further_images(groups=groups, shapley=shapley, doses=doses)
        placebo_rows = 0
    extras = dependence_extras(table, groups, shapley, shapley_rows)
    extras |= probe_extras(table, placebo_rows, doses, dose_rows)
    if given is not None:
        check_given(given, table.concepts)
    if given is not None or shapley:
        refuse_open_form(scoring)
    plan = make_plan(table, seed, n_draws=n_draws, n_donors=n_donors, noise=noise, extras=extras)
    generator.check_captions(plan.captions)
    chosen = {"seed": seed, "n_draws": n_draws, "n_donors": n_donors, "noise": noise}
    with _run_folder(store, images) as folder:
        folder.open_or_create(chosen | _identity(table, generator), overwrite=overwrite)
        with folder.lock():
            engine = _engine(folder, workers, batch_size, progress)
            score = partial(
                score_target, engine, table, plan, generator, classifier, concept_classifier, target_class
            )
            target = score(None if budget is None else plan.reference.ravel())
            y = labels_of(table, target, target_class if target.outputs.ndim == 1 else None, label_from_classifier)
            flips = None
            if budget is not None:
                flips = render_flips(
                    budget, table, plan, y, scoring, target.real, lambda images: score(images).outputs[images],
                    seed=seed, confidence=confidence,
                )  # fmt: skip
                target = score(flips.images)
            again = rendered_twice(engine, plan, generator)
            whole = np.arange(table.n_rows) if flips is None else flips.common
            gallery = pictures(engine, table, plan, generator, target.shown, seed, whole)
            held = {"scoring": scoring.name, "target_class": target_class, "confidence": confidence}
            _finished(plan, y, table, generator, held, flips).save(folder.path)
    audit = Audit(
        table, plan, y, scoring, target.outputs, target.real, target.concepts, target.real_concepts, confidence, seed,
        threshold=target.threshold, log_odds=target.log_odds, n_repeats=n_repeats, groups=groups or {}, given=given,
        mention_rules=tuple(mention_rules),
    )  # fmt: skip
    described = chosen | asked(groups, given, shapley, shapley_rows) | asked_probes(placebo_rows, doses, dose_rows)
    fields: dict[str, Any] = {
        **_fields(table, plan, n_repeats, target_class, confidence),
        "real": target.real,
        "gallery": tuple(gallery),
        "settings": described
        | {"data": table.source, "label": table.label_name, "versions": versions(), **(settings or {})},
    }
    if flips is not None:
        return _partial_result(audit, flips, reproducible_generation(*again), fields, notes)
    return importance_from_scores(
        y,
        audit.reference,
        audit.states,
        scoring,
        n_repeats,
        seed,
        n_images=plan.n_images,
        checks=(check_effective(audit), check_independent(audit), reproducible_generation(*again)),
        analyses=(*notes, *analyse(audit)),
        **fields,
    )


def _engine(
    folder: RunFolder, workers: RayWorkers | None, batch_size: int | None, progress: Progress | None
) -> Engine:
    if workers is None:
        return Engine(folder, batch_size=batch_size, progress=progress)
    return RayEngine(folder, workers, batch_size=batch_size, progress=progress)


def _fields(
    table: ConceptTable, plan: Plan, n_repeats: int, target_class: int | None, confidence: float
) -> dict[str, Any]:
    """What a result has from the table and the arguments."""
    return {
        "clusters": table.clusters,
        "confidence": confidence,
        "target_class": target_class,
        "n_naive": plan.n_naive(n_repeats),
        "row_ids": table.row_ids,
        "own": _own_states(table),
    }


def _partial_result(
    audit: Audit, flips: Flips, again: CheckResult, fields: dict[str, Any], notes: Sequence[Analysis]
) -> ImportanceResult:
    """The result where some rows' flips were rendered; what needs all states of a row takes the rows that have them."""
    whole = flips.audit(audit)
    looks = flips.looks
    rows = len(flips.rows[0]) if looks is None else {"looks": list(looks.sizes), "min_importance": looks.bound}
    fields["settings"] |= {"flip_rows" if looks is None else "stop_when_separated": rows}
    summary = flips_analysis(flips, audit.plan, audit.reference)
    return importance_from_partial_scores(
        audit.y,
        audit.reference,
        flips.partials,
        audit.scoring,
        audit.n_repeats,
        audit.seed,
        levels=flips.levels,
        n_looks=flips.n_looks,
        n_images=len(flips.images),
        checks=(check_effective(audit), check_independent(whole), again),
        analyses=(*notes, summary, *analyse(whole)),
        **fields,
    )


def _finished(
    plan: Plan, y: NDArray[Any], table: ConceptTable, generator: Generator, held: dict[str, Any], flips: Flips | None
) -> FinishedPlan:
    """What other classifiers can be scored on: the rows that have all flips."""
    rows = np.arange(table.n_rows) if flips is None else flips.common
    ids = tuple(table.row_ids[row] for row in rows)
    clusters = None if table.clusters is None else table.clusters[rows]
    kept = plan if flips is None else restricted(plan, rows)[0]
    return FinishedPlan(kept, y[rows], ids, clusters, generator.fingerprint, held)


def _refuse_further_images(**asked: object) -> None:
    for name, value in asked.items():
        if value:
            raise UserError(f"`{name}` needs the images of all rows; leave out `flip_rows` and `stop_when_separated`.")


def _own_states(table: ConceptTable) -> NDArray[Any]:
    """(D, N) the state that each row has of each concept, as text."""
    words = [
        [("off", "on")[value] for value in concept.values]
        if concept.kind == "binary"
        else [plain(value) for value in concept.values]
        for concept in table.concepts
    ]
    return np.array(words, dtype=object)


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
def _run_folder(store: str | Path | None, images: str | None) -> Iterator[RunFolder]:
    if store is not None:
        yield RunFolder(store, images)
        return
    with tempfile.TemporaryDirectory(prefix="genlens-") as folder:
        yield RunFolder(folder, images)
