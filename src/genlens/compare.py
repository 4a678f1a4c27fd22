"""Generate once, audit many: other target models on the images of a finished run, side by side. Nothing is rendered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.bottleneck import ConceptBottleneck
from genlens.classifiers.fingerprint import hash_parts
from genlens.classifiers.protocol import Classifier, Images, Outputs, target_score
from genlens.engine import Engine
from genlens.errors import RunFolderError, UserError
from genlens.importance.comparison import Comparison, compare_scores
from genlens.metrics import get_scoring
from genlens.plan_file import FinishedPlan
from genlens.progress import Progress
from genlens.run_folder import RunFolder


def compare(
    run: str | Path,
    classifiers: Mapping[str, Classifier],
    *,
    target_class: int | None = None,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Rank the concepts of several target models on the images of a finished run.

    Labels, score, clusters and confidence are those of the run. Scores are kept in the run folder: a second comparison
    computes only what is new. Heads on one bottleneck (`ConceptBottleneck`s with the same concept classifier) cost one
    pass of that classifier over the images, and a matrix product each.

    Args:
        run: folder of a finished `genlens rank` or `permutation_importance`.
        classifiers: at least two target models by name.
        target_class: output to explain where there are three or more; None: the run's.
        batch_size: images scored at once.
        progress: told what is going on.

    Raises:
        RunFolderError: the run isn't finished, is damaged, or another process writes it.
        UserError: fewer than two models, a model doesn't fit, or the run's score can't be compared.
        KeyboardInterrupt: Ctrl-C; the same call goes on where it stopped.
    """
    if len(classifiers) < 2:
        raise UserError(f"A comparison needs at least two target models; got {len(classifiers)}.")
    folder = RunFolder(run)
    folder.read()
    finished = FinishedPlan.load(folder.path)
    scoring = get_scoring(str(finished.settings["scoring"]))
    chosen = finished.settings["target_class"] if target_class is None else target_class
    with folder.lock():
        engine = Engine(folder, batch_size=batch_size, progress=progress)
        outputs = _scores(engine, finished, classifiers, chosen)
    return compare_scores(
        finished.y, outputs, finished.plan.reference, finished.plan.states, scoring,
        clusters=finished.clusters, confidence=float(finished.settings["confidence"]),
    )  # fmt: skip


def _scores(
    engine: Engine, finished: FinishedPlan, classifiers: Mapping[str, Classifier], target_class: int | None
) -> dict[str, NDArray[np.float64]]:
    """Target scores (M,) of every model; each concept classifier that several heads share runs once."""
    heads = {name: model for name, model in classifiers.items() if isinstance(model, ConceptBottleneck)}
    shared = {_Bottleneck(model).fingerprint: _Bottleneck(model) for model in heads.values()}
    models: dict[str, Classifier] = {name: model for name, model in classifiers.items() if name not in heads}
    stored = _StoredImages(finished.generator, engine.folder.path)
    found = engine.run(finished.plan, stored, {**models, **{f"bottleneck {key}": net for key, net in shared.items()}})
    result = {}
    for name, model in classifiers.items():
        if name in heads:
            result[name] = heads[name].from_concepts(found[f"bottleneck {_Bottleneck(heads[name]).fingerprint}"])
        else:
            result[name] = target_score(found[name], model.outputs, target_class)
    return result


@dataclass(frozen=True)
class _Bottleneck:
    """The concepts under a head, as a classifier of D outputs."""

    head: ConceptBottleneck
    outputs: Outputs = "scores"

    @property
    def fingerprint(self) -> str:
        return hash_parts("concepts", self.head.concept_net.fingerprint, self.head.on)

    def predict(self, images: Images) -> NDArray[np.float32]:
        return self.head.concepts(images)


@dataclass(frozen=True)
class _StoredImages:
    """The generator of a finished run: knows its images' keys, and renders nothing."""

    fingerprint: str
    folder: Path

    def check_captions(self, captions: Sequence[str]) -> None:
        """They were checked when the run began."""

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> Any:
        raise RunFolderError(
            f"Images are missing in {self.folder}: {len(captions)} or more. Finish the run with the command that began "
            "it, then compare."
        )
