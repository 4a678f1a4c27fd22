"""Concept bottlenecks: a target model whose reliance on each concept is known (DEPICT, section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.fingerprint import hash_parts
from genlens.classifiers.protocol import Images, Outputs
from genlens.errors import UserError

On = Literal["probabilities", "logits"]
"""What c_hat is: the concept classifier's probabilities, or its log-odds."""


class ConceptClassifier(Protocol):
    """A classifier with one independent log-odds a concept."""

    concept_names: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """See `Classifier`."""

    def predict(self, images: Images) -> NDArray[np.float32]:
        """Log-odds (B, D)."""

    def probabilities(self, images: Images) -> NDArray[np.float32]:
        """Probabilities (B, D)."""


class ConceptBottleneck:
    """The target model ``y_hat = w . c_hat + bias``, as in DEPICT's section 4.1.

    c_hat are the concept classifier's predictions: its probabilities by default, which are the paper's predictions of
    presence, or its log-odds. What the model relies on is known: the standardised weights w_j * sd(c_hat_j).

    Args:
        concept_net: the concept classifier.
        weights: (D,), one a concept, in the order of `concept_net.concept_names`.
        bias: added to every score.
        on: what c_hat is.

    Attributes:
        outputs: always "scores".
        concept_names: the D concepts.

    Raises:
        UserError: another number of weights than concepts, weights that aren't finite, or an unknown `on`.
    """

    outputs: Outputs = "scores"

    def __init__(
        self,
        concept_net: ConceptClassifier,
        weights: Sequence[float] | NDArray[np.float64],
        bias: float = 0.0,
        on: On = "probabilities",
    ) -> None:
        self.weights = np.asarray(weights, dtype=np.float64)
        self.concept_names = concept_net.concept_names
        if self.weights.shape != (len(self.concept_names),):
            raise UserError(
                f"`weights` must have one number for each of the {len(self.concept_names)} concepts "
                f"({', '.join(self.concept_names)}); got shape {self.weights.shape}."
            )
        if not np.isfinite(self.weights).all() or not np.isfinite(bias):
            raise UserError("`weights` and `bias` must be finite numbers.")
        if on not in get_args(On):
            raise UserError(f"`on` must be one of {', '.join(get_args(On))}; got {on!r}.")
        self.concept_net = concept_net
        self.bias = float(bias)
        self.on = on

    @property
    def fingerprint(self) -> str:
        """Hash of the concept classifier's fingerprint, the weights and the bias."""
        weights = self.weights.astype("<f8").tobytes()
        return hash_parts("bottleneck", self.concept_net.fingerprint, weights, repr(self.bias), self.on)

    def concepts(self, images: Images) -> NDArray[np.float32]:
        """c_hat (B, D) of B images."""
        if self.on == "probabilities":
            return self.concept_net.probabilities(images)
        return self.concept_net.predict(images)

    def predict(self, images: Images) -> NDArray[np.float32]:
        """Scores (B, 1) of B uint8 images."""
        return self.from_concepts(self.concepts(images))[:, None].astype(np.float32)

    def from_concepts(self, concepts: NDArray[np.floating]) -> NDArray[np.float64]:
        """Scores (B,) of given concept predictions (B, D)."""
        scores: NDArray[np.float64] = np.asarray(concepts, dtype=np.float64) @ self.weights + self.bias
        return scores

    def standardised_weights(self, concepts: NDArray[np.floating]) -> NDArray[np.float64]:
        """The true reliance w_j * sd(c_hat_j), (D,), from c_hat (N, D) on real images (DEPICT's oracle 1)."""
        spread: NDArray[np.float64] = np.asarray(concepts, dtype=np.float64).std(axis=0)
        return self.weights * spread
