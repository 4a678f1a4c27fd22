"""The ranked list of words: chosen and reported on different seeds, its intervals, and any generator or classifier."""

from __future__ import annotations

import json

import numpy as np
import pytest

from genlens.classifiers import CallableClassifier
from genlens.datasets.shapes import CONCEPTS
from genlens.errors import UserError
from genlens.generators.drawer import DrawerGenerator
from genlens.prompts.caption_scores import CaptionScores, class_score
from genlens.prompts.vocabulary import Vocabulary
from genlens.prompts.word_search import WordSearch
from genlens.prompts.words import WordRanking, rank_words, simultaneous_intervals
from genlens.score_cache import ScoreCache

SEARCH, HELD_OUT = range(100, 108), range(200, 230)
PHRASES = Vocabulary(CONCEPTS, "{}")


def redness(images: np.ndarray) -> np.ndarray:
    """Share of red pixels in percent: no gradient anywhere."""
    pixels = np.asarray(images, dtype=np.float32)
    return 100 * ((pixels[..., 0] > pixels[..., 1] + 80) & (pixels[..., 0] > pixels[..., 2] + 80)).mean((1, 2))


def drawn_scores() -> CaptionScores:
    return CaptionScores(DrawerGenerator(32), class_score(CallableClassifier(redness), 0))


def test_words_that_raise_the_score_come_first_with_any_generator_and_classifier() -> None:
    ranking = rank_words(drawn_scores(), PHRASES, SEARCH, HELD_OUT, n_words=2)
    assert {one.word for one in ranking.words[:2]} == {"red circle", "red rectangle"}
    assert all(one.stands_out for one in ranking.words[:2])
    assert not any(one.stands_out for one in ranking.words[2:])
    assert set(ranking.best.words) == {"red circle", "red rectangle"}
    assert ranking.method == "exhaustive" and ranking.empty == "" and ranking.empty_score == 0


def test_figures_are_those_of_the_held_out_seeds_alone() -> None:
    scores = drawn_scores()
    ranking = rank_words(scores, PHRASES, SEARCH, HELD_OUT, n_words=1)
    for one in ranking.words:
        gap = scores(one.caption, list(HELD_OUT)) - scores(one.without, list(HELD_OUT))
        assert one.gain == pytest.approx(gap.mean()) and one.low <= one.gain <= one.high
        assert one.searched == pytest.approx(scores.mean(one.caption, SEARCH) - scores.mean(one.without, SEARCH))
    assert [one.gain for one in ranking.words] == sorted((one.gain for one in ranking.words), reverse=True)


def test_the_choice_on_search_seeds_does_not_flatter_the_words() -> None:
    """Fifty words that mean nothing: the gain on the search seeds is large, the one on held-out seeds is not."""

    class Noise:
        fingerprint = "noise"

        def check_captions(self, captions: object) -> None:
            pass

        def generate(self, captions: list[str], seeds: list[int]) -> np.ndarray:
            draws = [
                np.random.default_rng([seed, *caption.encode()]) for caption, seed in zip(captions, seeds, strict=True)
            ]
            return np.stack([draw.integers(0, 256, (4, 4, 3), dtype=np.uint8) for draw in draws])

    def mean(images: np.ndarray) -> np.ndarray:
        return np.asarray(images, dtype=np.float64).mean((1, 2, 3))

    words = Vocabulary(tuple(f"word{i}" for i in range(50)), "{}")
    ranking = rank_words(CaptionScores(Noise(), mean), words, SEARCH, range(200, 260), n_words=1, top=5)
    assert min(one.searched for one in ranking.words) > 3
    assert abs(np.mean([one.gain for one in ranking.words])) < 2.5
    assert not any(one.stands_out for one in ranking.words)


def test_a_word_that_only_works_beside_another_is_found_in_the_caption() -> None:
    """Score 1 where a red and a blue shape meet, 0 otherwise: alone, neither does anything."""

    def both(images: np.ndarray) -> np.ndarray:
        pixels = np.asarray(images, dtype=np.float32)
        red, blue = (pixels[..., 0] > pixels[..., 2] + 80), (pixels[..., 2] > pixels[..., 0] + 80)
        return (red.any((1, 2)) & blue.any((1, 2))).astype(np.float64)

    words = Vocabulary(("red circle", "green circle", "blue circle"), "{}")
    scores = CaptionScores(DrawerGenerator(32), class_score(CallableClassifier(both), 0))
    ranking = rank_words(scores, words, SEARCH, HELD_OUT, n_words=2)
    assert [one.gain for one in ranking.words] == [1, 1, 0]
    assert {one.word for one in ranking.words[:2]} == {"red circle", "blue circle"}
    assert ranking.words[0].caption == ranking.best.caption and ranking.words[0].without in (
        "red circle",
        "blue circle",
    )


def test_words_that_add_nothing_are_cut_from_the_best_caption() -> None:
    words = Vocabulary(("red circle", "green circle"), "{}")
    assert rank_words(drawn_scores(), words, SEARCH, HELD_OUT, n_words=3).best.words == ("red circle",)


def test_simultaneous_intervals_hold_together_and_those_of_one_by_one_do_not() -> None:
    rng = np.random.default_rng(0)
    together, apart = [], []
    for repeat in range(150):
        values = rng.standard_normal((10, 40))
        low, high = simultaneous_intervals(values, 0.9, repeat)
        together.append(all(np.array(low) <= 0) and all(np.array(high) >= 0))
        reach = 1.645 * values.std(1, ddof=1) / np.sqrt(40)
        apart.append(bool((np.abs(values.mean(1)) <= reach).all()))
    assert 0.83 <= np.mean(together) <= 0.96
    assert np.mean(apart) < 0.55


def test_intervals_of_means_without_spread_are_points() -> None:
    values = np.stack([np.full(8, 2.0), np.arange(8.0)])
    low, high = simultaneous_intervals(values, 0.95, 0)
    assert low[0] == high[0] == 2 and low[1] < 3.5 < high[1]
    assert simultaneous_intervals(values[:1], 0.95, 0) == ([2.0], [2.0])


def test_scores_are_kept_on_disk_and_nothing_is_rendered_twice(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("scores")

    def run() -> tuple[WordRanking, int]:
        scores = CaptionScores(
            DrawerGenerator(32),
            class_score(CallableClassifier(redness), 0),
            cache=lambda n: ScoreCache(folder / str(n)),
        )
        return rank_words(scores, PHRASES, SEARCH, HELD_OUT, n_words=1), scores.n_images

    (first, rendered), (second, again) = run(), run()
    assert rendered == 7 * (len(SEARCH) + len(HELD_OUT)) and again == 0
    assert first == second


def test_a_ranking_survives_json() -> None:
    ranking = rank_words(drawn_scores(), PHRASES, SEARCH, HELD_OUT, n_words=2, top=3)
    assert WordRanking.from_dict(json.loads(json.dumps(ranking.to_dict()))) == ranking


def test_bad_arguments_are_refused() -> None:
    for search, held, says in ((SEARCH, SEARCH, "no seed"), ([1], HELD_OUT, "at least two")):
        with pytest.raises(UserError, match=says):
            rank_words(drawn_scores(), PHRASES, search, held)
    with pytest.raises(UserError, match="confidence"):
        rank_words(drawn_scores(), PHRASES, SEARCH, HELD_OUT, confidence=1.0)
    many = Vocabulary(tuple(f"word{i}" for i in range(9)), "{}")
    for method, says in (
        ("auto", "at most 4 words"),
        ("exhaustive", "at most 4 words"),
        ("pez", "needs gradients"),
        ("x", "one of"),
    ):
        search_words = WordSearch(drawn_scores(), SEARCH, many, None, n_words=1, budget=8, steps=1, seed=0)
        with pytest.raises(UserError, match=says):
            search_words.run(method)  # type: ignore[arg-type]


def test_scores_that_are_no_numbers_are_refused() -> None:
    scores = CaptionScores(DrawerGenerator(32), lambda images: np.full(len(images), np.nan))
    with pytest.raises(UserError, match="finite"):
        scores("red circle", [1, 2])
