"""A ranked list of words that say what a classifier or a feature looks for, with held-out scores and intervals.

Words are chosen on search seeds and reported on held-out seeds, so the choice doesn't flatter them. A word's **gain**
is the mean difference, seed by seed, between the caption with the word and the same caption without it: alone, against
the unoptimised prompt, or inside the best caption, whichever showed more on the search seeds. The intervals of the list
hold together (largest studentised deviation over a bootstrap of seeds), so the reader may pick from it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genlens.errors import UserError
from genlens.importance.bootstrap import resample_weights
from genlens.prompts.caption_scores import CaptionScores
from genlens.prompts.vocabulary import Vocabulary
from genlens.prompts.word_search import Found, Method, WordSearch

if TYPE_CHECKING:
    from genlens.prompts.caption_gradient import CaptionGradient

N_RESAMPLES = 2000
_CHUNK = 500


@dataclass(frozen=True)
class RankedWord:
    """One word of the list; scores and gain are means over the held-out seeds.

    Attributes:
        word: a word or phrase of the vocabulary.
        caption: the caption it was judged in.
        without: the same caption without it.
        score: of `caption`.
        gain: score of `caption` minus that of `without`.
        low: lower end of the gain's interval, simultaneous over the list.
        high: its upper end.
        searched: the gain on the search seeds; larger on average, since the word was chosen by it.
    """

    word: str
    caption: str
    without: str
    score: float
    gain: float
    low: float
    high: float
    searched: float

    @property
    def stands_out(self) -> bool:
        """Whether the interval lies above 0."""
        return self.low > 0


@dataclass(frozen=True)
class RankedCaption:
    """A caption of words; everything but `searched` is on the held-out seeds, see `RankedWord`."""

    caption: str
    words: tuple[str, ...]
    score: float
    gain: float
    low: float
    high: float
    searched: float


@dataclass(frozen=True)
class WordRanking:
    """What words say about a target.

    Attributes:
        words: by gain, largest first.
        captions: the best captions of the search, in its order; gains against the unoptimised prompt.
        empty: the unoptimised prompt.
        empty_score: its mean score on the held-out seeds.
        method: how they were searched.
        n_vocabulary: words of the vocabulary.
        n_search: search seeds.
        n_held_out: held-out seeds.
        n_captions: captions scored in the search.
        confidence: level of the intervals.
    """

    words: tuple[RankedWord, ...]
    captions: tuple[RankedCaption, ...]
    empty: str
    empty_score: float
    method: str
    n_vocabulary: int
    n_search: int
    n_held_out: int
    n_captions: int
    confidence: float

    @property
    def best(self) -> RankedCaption:
        """The caption that was best on the search seeds."""
        return self.captions[0]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> WordRanking:
        """What `to_dict` gave, also after a trip through JSON."""
        captions = tuple(RankedCaption(**one | {"words": tuple(one["words"])}) for one in content["captions"])
        return cls(**content | {"words": tuple(RankedWord(**one) for one in content["words"]), "captions": captions})


def rank_words(
    scores: CaptionScores,
    vocabulary: Vocabulary,
    search_seeds: Sequence[int],
    held_out_seeds: Sequence[int],
    *,
    gradient: CaptionGradient | None = None,
    method: Method = "auto",
    n_words: int = 2,
    top: int = 10,
    budget: int = 256,
    steps: int = 60,
    confidence: float = 0.95,
    seed: int = 0,
) -> WordRanking:
    """Search words for a target and rank them.

    Args:
        scores: scores captions; any generator and classifier will do for the exhaustive search.
        vocabulary: the words.
        search_seeds: on which words are chosen.
        held_out_seeds: others, on which they are reported.
        gradient: of the same score, for the methods that need it.
        method: "exhaustive" scores every word; "coordinate", "pez" and "gumbel" use the gradient; "auto" is exhaustive
            where the budget allows it, else coordinate search.
        n_words: most words of a caption.
        top: words listed.
        budget: captions scored in the search.
        steps: gradient steps of a run of "pez" and "gumbel".
        confidence: level of the intervals, in (0, 1).
        seed: of everything random.

    Raises:
        UserError: seeds overlap, there are fewer than two of a kind, or the method can't be used.
    """
    if min(len(search_seeds), len(held_out_seeds)) < 2 or set(search_seeds) & set(held_out_seeds):
        raise UserError("Search and held-out seeds must be at least two each, and no seed may be in both.")
    if not 0 < confidence < 1:
        raise UserError(f"`confidence` must be a number in (0, 1); got {confidence}.")
    search = WordSearch(
        scores, search_seeds, vocabulary, gradient, n_words=n_words, budget=budget, steps=steps, seed=seed
    )
    found = search.run(method)
    chosen = _chosen(found, vocabulary)[:top]
    held = list(held_out_seeds)
    empty = vocabulary.caption()
    gains = np.stack([scores(caption, held) - scores(without, held) for _, caption, without, _ in chosen])  # (k, S)
    low, high = simultaneous_intervals(gains, confidence, seed)
    words = [
        RankedWord(word, caption, without, scores.mean(caption, held), float(gains[i].mean()), low[i], high[i], seen)
        for i, (word, caption, without, seen) in enumerate(chosen)
    ]
    return WordRanking(
        words=tuple(sorted(words, key=lambda one: -one.gain)),
        captions=_captions(scores, found, vocabulary, held, top, confidence, seed),
        empty=empty,
        empty_score=scores.mean(empty, held),
        method=found.method,
        n_vocabulary=len(vocabulary.words),
        n_search=len(search_seeds),
        n_held_out=len(held),
        n_captions=len(found.captions),
        confidence=confidence,
    )


def simultaneous_intervals(
    values: NDArray[np.float64], confidence: float, seed: int
) -> tuple[list[float], list[float]]:
    """Intervals of k means that hold together with this confidence.

    The same seeds are drawn again for all of them; the quantile is that of the largest studentised deviation (Romano
    and Wolf 2005, "Exact and approximate stepdown methods", algorithm of max-t). A mean without spread is its own
    interval.

    Args:
        values: (k, S), one column a seed.
        confidence: level in (0, 1).
        seed: of the resamples.

    Returns:
        k lower and k upper ends.
    """
    n = values.shape[1]
    mean, error = values.mean(1), values.std(1, ddof=1) / np.sqrt(n)
    varies = error > 1e-12 * np.maximum(np.abs(mean), 1)
    if not varies.any():
        return mean.tolist(), mean.tolist()
    shown, rng, largest = values[varies], np.random.default_rng([seed, 4]), []
    for weights in resample_weights(n, N_RESAMPLES, rng, None, _CHUNK):  # (K, S)
        drawn = weights @ shown.T / n  # (K, k)
        spread = np.sqrt(np.maximum(weights @ (shown**2).T / n - drawn**2, 0) / (n - 1))
        spread = np.maximum(spread, 0.1 * error[varies])  # a resample of hardly any spread says nothing
        largest.append((np.abs(drawn - mean[varies]) / spread).max(1))
    wide = float(np.quantile(np.concatenate(largest), confidence)) * np.where(varies, error, 0.0)
    return (mean - wide).tolist(), (mean + wide).tolist()


def _chosen(found: Found, vocabulary: Vocabulary) -> list[tuple[str, str, str, float]]:
    """(word, caption, caption without it, gain on the search seeds), largest gain first."""
    best = found.best
    judged: dict[int, tuple[str, str, float]] = {
        word: (vocabulary.caption((word,)), vocabulary.caption(), score - found.empty)
        for word, score in found.alone.items()
    }
    for word in dict.fromkeys(best):
        rest = tuple(other for other in best if other != word)
        if rest in found.captions and (gain := found.captions[best] - found.captions[rest]) > judged[word][2]:
            judged[word] = (vocabulary.caption(best), vocabulary.caption(rest), gain)
    order = sorted(judged, key=lambda word: -judged[word][2])
    return [(vocabulary.words[word], *judged[word]) for word in order]


def _captions(
    scores: CaptionScores, found: Found, vocabulary: Vocabulary, held: list[int], top: int, confidence: float, seed: int
) -> tuple[RankedCaption, ...]:
    kept = found.ranked[: max(1, top // 2)]
    empty = scores(vocabulary.caption(), held)
    gains = np.stack([scores(vocabulary.caption(words), held) - empty for words in kept])
    low, high = simultaneous_intervals(gains, confidence, seed)
    return tuple(
        RankedCaption(
            vocabulary.caption(words), tuple(vocabulary.words[word] for word in words),
            float(gains[i].mean() + empty.mean()), float(gains[i].mean()), low[i], high[i], found.captions[words],
        )
        for i, words in enumerate(kept)
    )  # fmt: skip
