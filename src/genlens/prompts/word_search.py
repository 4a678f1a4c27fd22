"""Which words and captions are worth a closer look: the search half of the textual explanation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from genlens.errors import UserError, check_integer
from genlens.prompts.caption_scores import CaptionScores
from genlens.prompts.vocabulary import Vocabulary

if TYPE_CHECKING:
    from genlens.prompts.caption_gradient import CaptionGradient
    from genlens.prompts.hard import Words

Method = Literal["auto", "exhaustive", "coordinate", "pez", "gumbel"]
BEAM, BREADTH = 2, 12
"""Of the exhaustive search: captions that are carried on, and words that are tried beside them."""
RESTARTS = 2
"""Runs of projection and of Gumbel-softmax for each length of words."""
CONTEXTS = 8
"""Captions over which the gradient is averaged to shortlist words of a large vocabulary."""


@dataclass(frozen=True)
class Found:
    """What a search found, on the search seeds.

    Attributes:
        method: the one used.
        alone: word -> mean score of the caption that has it alone.
        captions: words of a caption -> its mean score; those with one word are in `alone` too.
        empty: mean score of the unoptimised prompt.
    """

    method: str
    alone: dict[int, float]
    captions: dict[Words, float]
    empty: float

    @property
    def best(self) -> Words:
        """The caption of at least one word with the highest mean score; the shorter one of equals."""
        return self.ranked[0]

    @property
    def ranked(self) -> list[Words]:
        """All captions of at least one word by their mean score, the highest first; the shorter one of equals."""
        return sorted(filter(None, self.captions), key=lambda words: (-self.captions[words], len(words)))


class WordSearch:
    """One search.

    Args:
        scores: of captions.
        seeds: the search seeds; results are reported on others.
        vocabulary: the words.
        gradient: of the objective, where generator and classifier have one.
        n_words: most words of a caption.
        budget: captions whose true score may be taken.
        steps: gradient steps of a method that takes some.
        seed: of everything random.
    """

    def __init__(
        self,
        scores: CaptionScores,
        seeds: Sequence[int],
        vocabulary: Vocabulary,
        gradient: CaptionGradient | None,
        *,
        n_words: int,
        budget: int,
        steps: int,
        seed: int,
    ) -> None:
        self._scores, self._seeds, self._vocabulary, self._gradient = scores, list(seeds), vocabulary, gradient
        self._n_words = check_integer("n_words", n_words, 1)
        self._budget = check_integer("budget", budget, 8)
        self._steps, self._seed = check_integer("steps", steps, 1), check_integer("seed", seed, 0)
        self._captions: dict[Words, float] = {}

    def run(self, method: Method = "auto") -> Found:
        """Search.

        Raises:
            UserError: the method is unknown or needs a gradient that isn't there, or an exhaustive search has more
                words than its budget allows.
        """
        chosen = self._choose(method)
        if chosen == "exhaustive":
            alone = self._exhaustive()
        elif chosen == "coordinate":
            alone = self._coordinate()
        else:
            alone = self._proposed(chosen)
        self._prune()
        return Found(chosen, alone, dict(self._captions), self._score(()))

    def _choose(self, method: Method) -> str:
        if method not in get_args(Method):
            raise UserError(f"`method` must be one of {', '.join(get_args(Method))}; got {method!r}.")
        small = len(self._vocabulary.words) <= self._budget // 2
        if method == "auto":
            method = "exhaustive" if small or self._gradient is None else "coordinate"
        if method == "exhaustive" and not small:
            raise UserError(
                f"An exhaustive search takes at most {self._budget // 2} words at a budget of {self._budget} captions; "
                f"the vocabulary has {len(self._vocabulary.words):,}. Give fewer words, a larger `budget`, or a method "
                "with gradients."
            )
        if method != "exhaustive" and self._gradient is None:
            raise UserError(f"`method` {method!r} needs gradients of generator and classifier; take 'exhaustive'.")
        return method

    def _score(self, words: Words) -> float:
        if words not in self._captions:
            self._captions[words] = self._scores.mean(self._vocabulary.caption(words), self._seeds)
        return self._captions[words]

    def _alone(self, words: Sequence[int]) -> dict[int, float]:
        return {word: self._score((word,)) for word in words}

    def _exhaustive(self) -> dict[int, float]:
        """Every word alone; then captions grow by the best words, at their start or their end."""
        alone = self._alone(range(len(self._vocabulary.words)))
        good = sorted(alone, key=lambda word: -alone[word])[:BREADTH]
        beam: list[Words] = [(word,) for word in good[:BEAM]]
        for _ in range(self._n_words - 1):
            longer = {grown for words in beam for word in good for grown in ((*words, word), (word, *words))}
            room = self._budget - len(self._captions)
            tried = sorted(longer, key=lambda words: -sum(alone[word] for word in words))[: max(room, 0)]
            if not tried:
                break
            beam = sorted(tried, key=lambda words: -self._score(words))[:BEAM]
        return alone

    def _coordinate(self) -> dict[int, float]:
        """Words shortlisted by the gradient, scored alone; then coordinate search from the best of them."""
        from genlens.prompts.hard import coordinate, shortlist

        gradient = self._given_gradient()
        listed = shortlist(gradient, self._budget // 4, contexts=CONTEXTS, seed=self._seed)
        alone = self._alone(listed)
        start = sorted(alone, key=lambda word: -alone[word])[: self._n_words]
        rounds = max(1, min(self._steps, self._budget // 2 // 16))
        found = coordinate(gradient, tuple(start), self._score, steps=rounds, seed=self._seed)
        return alone | self._alone([word for word in dict.fromkeys(found[0]) if word not in alone])

    def _proposed(self, method: str) -> dict[int, float]:
        """Captions that projection or Gumbel-softmax went through, scored; then the words of the best ones alone."""
        from genlens.prompts.hard import gumbel, pez

        gradient = self._given_gradient()
        search = pez if method == "pez" else gumbel
        proposed = [
            search(gradient, group, self._n_words, steps=self._steps, seed=self._seed + restart)
            for group in gradient.groups.values()
            for restart in range(RESTARTS)
        ]
        share = max(1, self._budget // 2 // len(proposed))
        captions = sorted({words for run in proposed for words in run[:share]}, key=lambda words: -self._score(words))
        words = dict.fromkeys(word for caption in captions for word in caption)
        return self._alone(list(words)[: self._budget // 4])

    def _prune(self) -> None:
        """Shorten the best caption by words whose loss doesn't lower its score, and score it without each word."""
        best = max(filter(None, self._captions), key=self._captions.__getitem__)
        while len(best) > 1:
            shorter = max((best[:k] + best[k + 1 :] for k in range(len(best))), key=self._score)
            if self._score(shorter) < self._score(best):
                break
            best = shorter
        for word in set(best):
            self._score(tuple(other for other in best if other != word))

    def _given_gradient(self) -> CaptionGradient:
        if self._gradient is None:
            raise ValueError("refused by `run`")
        return self._gradient
