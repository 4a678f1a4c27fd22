"""The paper's synthetic setting (arXiv 2407.14509, section 4.1): data, target models, DEPICT on all of them.

All target models are linear heads on one concept net, so its outputs on each image are computed once and the heads are
a matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genlens.classifiers.bottleneck import ConceptBottleneck
from genlens.classifiers.concept_net import ConceptNet, sigmoid
from genlens.concepts import ConceptTable
from genlens.datasets.shapes import CONCEPTS, write_imagefolder
from genlens.engine import Engine
from genlens.generators.protocol import Generator
from genlens.importance.exact import expected_importance
from genlens.importance.reliance import reliance
from genlens.importance.sampled import sample_scores
from genlens.importance.states import StateScores
from genlens.metrics import get_scoring
from genlens.oracles import bottleneck_permutation, bottleneck_reliance, standardised_weights
from genlens.plan import Plan
from genlens.seeds import row_seed

Floats = NDArray[np.float64]

N_BOX_MODELS = 4
"""Models whose distribution over permutations the paper's figure 3 shows."""


@dataclass(frozen=True, eq=False)
class Targets:
    """M target models w . c_hat and their tasks on the rows of a table.

    Attributes:
        weights: (M, D) drawn from [0, 1].
        labels: (M, N) 1 where w . s lies above its median over the rows, s the true presence.
    """

    weights: Floats
    labels: NDArray[np.int64]

    def heads(self, net: ConceptNet) -> list[ConceptBottleneck]:
        """The target models as classifiers on probabilities."""
        return [ConceptBottleneck(net, weights) for weights in self.weights]


def sample_targets(n_models: int, presence: ArrayLike, seed: int, purpose: str = "test") -> Targets:
    """Draw target models with w ~ U[0, 1]^D.

    Args:
        n_models: M.
        presence: (N, D) of 0 and 1.
        seed: of the experiment.
        purpose: other purposes get other weights.
    """
    present = np.asarray(presence, dtype=np.float64)
    weights = np.random.default_rng(row_seed(seed, f"{purpose} weights")).random((n_models, present.shape[1]))
    scores = weights @ present.T  # (M, N)
    return Targets(weights, (scores > np.median(scores, axis=1, keepdims=True)).astype(np.int64))


def shapes_table(folder: Path, n: int, seed: int) -> ConceptTable:
    """The shapes data set as an imagefolder, written where it isn't there yet, and read again."""
    if not (folder / "metadata.csv").exists():
        write_imagefolder(folder, n, seed)
    return ConceptTable.from_metadata(folder, CONCEPTS, "label")


@dataclass(frozen=True, eq=False)
class ConceptOutputs:
    """Probabilities one concept net gives, in the table's order of concepts.

    Attributes:
        real: (N, D) on the real images.
        images: (K, D) on the plan's images.
    """

    real: Floats
    images: Floats


def score_concepts(
    engine: Engine, table: ConceptTable, plan: Plan, generator: Generator, nets: Sequence[ConceptNet]
) -> list[ConceptOutputs]:
    """Render what is missing and run every net on the real and on the generated images, each once."""
    real = [engine.score_real(table, net, "concept net") for net in nets]
    found = engine.run(plan, generator, {str(k): net for k, net in enumerate(nets)})
    outputs = []
    for k, net in enumerate(nets):
        columns = [net.concept_names.index(name) for name in table.names]
        outputs.append(ConceptOutputs(*(sigmoid(x[:, columns]).astype(np.float64) for x in (real[k], found[str(k)]))))
    return outputs


def oracles(targets: Targets, c_hat: Floats, presence: ArrayLike) -> dict[str, Floats]:
    """Both oracles for both measures, (M, D) each: weights, bottleneck, bottleneck_reliance; and real AUROC (M,)."""
    permuted = bottleneck_permutation(targets.labels, c_hat, targets.weights)
    return {
        "weights": standardised_weights(targets.weights, c_hat),
        "bottleneck": permuted.importance,
        "bottleneck_reliance": bottleneck_reliance(targets.weights, c_hat, presence).absolute,
        "real_auroc": permuted.reference,
    }


def depict_exact(targets: Targets, c_hat: Floats, plan: Plan) -> dict[str, Floats]:
    """DEPICT's importance (expectation over all permutations) and score reliance for every model.

    Args:
        targets: M models and their labels.
        c_hat: (K, D) concept predictions of the plan's K images.
        plan: of the table the labels belong to.

    Returns:
        importance and reliance (M, D), generated_auroc (M,).
    """
    scoring = get_scoring("roc_auc")
    scores = c_hat @ targets.weights.T  # (K, M)
    shape = (len(targets.labels), len(plan.states))
    importance, change, auroc = np.empty(shape), np.empty(shape), np.empty(shape[0])
    for m, y in enumerate(targets.labels):
        reference = scores[plan.reference, m]  # (N, R)
        auroc[m] = np.mean([scoring(y, draw) for draw in reference.T])
        for j, states in enumerate(plan.states):
            found = StateScores.from_states(states, scores[:, m])
            importance[m, j] = expected_importance(y, reference, found, scoring)
            change[m, j] = reliance(found).absolute.value
    return {"importance": importance, "reliance": change, "generated_auroc": auroc}


def depict_sampled(targets: Targets, c_hat: Floats, plan: Plan, n_repeats: int, seed: int) -> dict[str, Floats]:
    """DEPICT's importance as published, the mean over P sampled permutations.

    Returns:
        importance and std (M, D), and repeats (min(M, 4), D, P) of the first models.
    """
    scoring = get_scoring("roc_auc")
    scores = c_hat @ targets.weights.T
    drops = np.empty((*targets.weights.shape, n_repeats))
    for m, y in enumerate(targets.labels):
        reference = float(np.mean([scoring(y, draw) for draw in scores[plan.reference, m].T]))
        for j, states in enumerate(plan.states):
            found = StateScores.from_states(states, scores[:, m])
            drops[m, j] = reference - sample_scores(y, found, scoring, n_repeats, seed)
    return {"importance": drops.mean(axis=2), "std": drops.std(axis=2), "repeats": drops[:N_BOX_MODELS]}
