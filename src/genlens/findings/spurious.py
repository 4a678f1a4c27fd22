"""Which of a class's neural features are spurious, without a data set (DiffExplainer, arXiv 2404.02618).

For each of the class's top features a prompt is optimised, and its pictures on held-out seeds are segmented with the
class's name. DiffExplainer's rule: object absent -> spurious, present -> core. Here the share of pictures with the
object is corrected for the segmenter's errors and has an interval; and since a feature's pictures may show the object
by chance, parts of the pictures are erased to see whether the object also carries the feature.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.fingerprint import hash_module
from genlens.classifiers.gradients import DifferentiableClassifier, differentiable
from genlens.classifiers.protocol import Classifier
from genlens.errors import UserError
from genlens.findings.features import RankedFeature, rank_features
from genlens.findings.spurious_search import Search
from genlens.findings.spurious_types import Finding, Settings, SpuriousResult, Target
from genlens.generators.diffusers import DiffusersGenerator
from genlens.generators.protocol import Generator
from genlens.progress import Progress, SilentProgress
from genlens.prompts.soft import SoftPrompt
from genlens.run_folder import RunFolder
from genlens.segmenters.calibration import Calibration
from genlens.segmenters.presence import Presence
from genlens.segmenters.protocol import Segmenter


def find_spurious(
    classifier: Classifier | DifferentiableClassifier,
    *,
    target: int | str,
    generator: Generator,
    segmenter: Segmenter,
    name: str | None = None,
    caption: str | None = None,
    others: Sequence[str] = (),
    images: NDArray[np.uint8] | None = None,
    words: Sequence[str] = (),
    calibration: Calibration | None = None,
    presence: Presence | None = None,
    settings: Settings | None = None,
    features: Sequence[int] | None = None,
    store: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    done: Callable[[Finding], None] | None = None,
    pictures: MutableMapping[str, NDArray[np.uint8]] | None = None,
) -> SpuriousResult:
    """Judge the top neural features of a class.

    Args:
        classifier: with gradients and a linear head.
        target: the class, by number or name.
        generator: a diffusers pipeline with a text encoder.
        segmenter: marks the object in pictures.
        name: the object, as the segmenter is told; None: the class's name.
        caption: prompt of pictures with the object; None: the name.
        others: prompts of pictures without the object, as like it as can be had, for the segmenter's false alarms;
            (): the names of the other classes.
        images: pictures of the class, uint8 (N, H, W, 3), over which features are ranked; None: generated pictures of
            the class's name, of `others`, of `words` and of the unoptimised prompt.
        words: what else the segmenter is asked for in a feature's pictures.
        calibration: errors of the segmenter measured elsewhere; None: on generated pictures.
        presence: when an object counts as present.
        settings: how it is done.
        features: units to judge; None: the `top_k` that contribute most.
        store: run folder; a run that was stopped goes on after the last finished feature. None: nothing is kept.
        overwrite: throw away what is there.
        progress: told what is going on, in pictures of the optimisation.
        done: called with each finding.
        pictures: what was rendered, by key, kept from one call to the next: another segmenter then renders nothing.

    Raises:
        UserError: no such class, no gradients, no text encoder, a name the segmenter doesn't know, or a segmenter that
            doesn't tell pictures with the object from those without.
    """
    model, how, rule = differentiable(classifier), settings or Settings(), presence or Presence()
    wanted = _target(model, target, name, caption, others)
    folder = None if store is None else RunFolder(store)
    if not isinstance(generator, DiffusersGenerator):
        raise UserError(f"Prompts need a pipeline of diffusers; {type(generator).__name__} has no text encoder.")
    prompt = SoftPrompt(generator, n_tokens=how.n_tokens, restarts=how.restarts, seed=how.seed)
    if folder is not None:
        told = {
            "command": "spurious", "target": asdict(wanted), "words": list(words), "presence": rule.spec(),
            "classifier": _identity(classifier), "generator": generator.fingerprint, "segmenter": segmenter.fingerprint,
            "calibration": None if calibration is None else calibration.spec(), "images_given": images is not None,
            "features": None if features is None else list(features),
            **asdict(how),
        }  # fmt: skip
        folder.open_or_create(told, overwrite=overwrite)
    with nullcontext() if folder is None else folder.lock():
        search = Search(
            model, prompt, segmenter, wanted, rule, how, tuple(words), progress or SilentProgress(),
            {} if pictures is None else pictures, _identity(classifier),
        )  # fmt: skip
        generated = search.calibrate(calibration)
        ranked = rank_features(
            model, wanted.index, generated if images is None else images, by="top" if images is None else "mean",
            top_k=how.top_k if features is None else None,
        )  # fmt: skip
        chosen = ranked if features is None else _chosen(ranked, features)
        evidence, findings = [], []
        for feature in chosen:
            found = search.evidence(feature, folder)
            evidence.append(found)
            findings.append(search.judge(feature, found))
            if done is not None:
                done(findings[-1])
        return SpuriousResult(wanted, search.errors, tuple(findings), tuple(evidence), search.baseline, how)


def _target(
    model: DifferentiableClassifier, target: int | str, name: str | None, caption: str | None, others: Sequence[str]
) -> Target:
    index = model.check_class(target) if isinstance(target, int) else model.find_class(target)
    known = model.names[index] if model.names else None
    if name is None and known is None:
        raise UserError(f"The classifier's class {index} has no name: pass `name`, which the segmenter is to look for.")
    said = name or known or ""
    rest = tuple(others) or tuple(other for k, other in enumerate(model.names) if k != index)
    if not rest:
        raise UserError("Pass `others`: prompts of pictures without the object, for the segmenter's false alarms.")
    return Target(index, said, caption or said, rest)


def _chosen(ranked: list[RankedFeature], wanted: Sequence[int]) -> list[RankedFeature]:
    known = {feature.index: feature for feature in ranked}
    strange = [index for index in wanted if index not in known]
    if strange:
        listed = ", ".join(map(str, known))
        raise UserError(f"Feature {strange[0]} doesn't speak for the class. Those that do: {listed}.")
    return [known[index] for index in wanted]


def _identity(classifier: Classifier | DifferentiableClassifier) -> str:
    known = getattr(classifier, "fingerprint", None)
    return str(known) if known is not None else hash_module(classifier.module)  # type: ignore[union-attr]
