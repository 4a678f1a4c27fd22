"""Hard prompts with gradients, on a toy generator whose best captions are known by enumeration."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from genlens.errors import UserError
from genlens.prompts.caption_gradient import CaptionGradient
from genlens.prompts.caption_scores import CaptionScores, objective_score
from genlens.prompts.hard import coordinate, gumbel, pez, shortlist
from genlens.prompts.vocabulary import Vocabulary
from genlens.prompts.words import rank_words

WORDS = ("red", "green", "blue", "circle", "square", "cat", "dog", "a", "picture", "of", ",")
LENGTH = 12


class Tokenizer:
    """Splits at spaces, cuts commas off; one token before and ends after."""

    def __init__(self) -> None:
        self.ids = {word: i + 2 for i, word in enumerate(WORDS)}

    def __call__(self, texts: Any, add_special_tokens: bool = True) -> dict[str, Any]:
        rows = [
            [self.ids[word] for word in text.replace(",", " ,").split()]
            for text in ([texts] if isinstance(texts, str) else texts)
        ]
        rows = [[0, *row, 1] for row in rows] if add_special_tokens else rows
        return {"input_ids": rows[0] if isinstance(texts, str) else rows}


class Toy:
    """Pictures of 2 x 2 pixels whose colour is a sum over the caption's tokens: linear in the embeddings.

    With two encoders the picture is the mean of what both say.
    """

    fingerprint = "toy"
    device = torch.device("cpu")

    def __init__(self, encoders: int = 1) -> None:
        torch.manual_seed(0)
        tables = [torch.randn(len(WORDS) + 2, 6) * 0.1 for _ in range(encoders)]
        for table in tables:
            table[[0, 1]] = 0
        self.encoders = [SimpleNamespace(tokenizer=Tokenizer(), table=table, max_tokens=LENGTH) for table in tables]

    def token_ids(self, texts: Sequence[str]) -> list[Tensor]:
        rows = self.encoders[0].tokenizer(list(texts))["input_ids"]
        return [torch.tensor([row + [1] * (LENGTH - len(row)) for row in rows]) for _ in self.encoders]

    def embed(self, ids: Sequence[Tensor]) -> list[Tensor]:
        return [encoder.table[rows] for encoder, rows in zip(self.encoders, ids, strict=True)]

    def condition(self, embeddings: Sequence[Tensor], ids: Sequence[Tensor]) -> Any:
        told = torch.stack([one.sum(1)[:, :3] for one in embeddings]).mean(0)  # (B, 3)
        return SimpleNamespace(rows=lambda index: told[index])

    def render(self, told: Tensor, seeds: Sequence[int], *, last_steps: int | None, checkpointing: bool) -> Tensor:
        shift = torch.tensor([0.001 * (seed % 7) for seed in seeds])
        return (0.5 + told + shift[:, None])[:, :, None, None].expand(-1, -1, 2, 2)

    def check_captions(self, captions: Sequence[str]) -> None:
        pass

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        ids = self.token_ids(captions)
        images = self.render(self.condition(self.embed(ids), ids).rows(torch.arange(len(captions))), seeds,
                             last_steps=1, checkpointing=False)  # fmt: skip
        return (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()


def redness(images: Tensor) -> Tensor:
    return images[:, 0].mean((1, 2)) - images[:, 1].mean((1, 2))


SINGLE = Vocabulary(WORDS[:7], "a picture of {}")


def truth(toy: Toy, vocabulary: Vocabulary, words: Sequence[int]) -> float:
    ids = toy.token_ids([vocabulary.caption(words)])
    return float(
        redness(
            toy.render(
                toy.condition(toy.embed(ids), ids).rows(torch.tensor([0])), [0], last_steps=1, checkpointing=False
            )
        )
    )


@pytest.mark.parametrize("encoders", [1, 2])
@pytest.mark.parametrize("words", [(0,), (3, 5), (1, 1, 6)])
def test_gains_are_exact_where_pictures_are_linear(encoders: int, words: tuple[int, ...]) -> None:
    toy = Toy(encoders)
    gradient = CaptionGradient(toy, redness, SINGLE)  # type: ignore[arg-type]
    gains = gradient.gains(words, [0, 7]).numpy()
    now = truth(toy, SINGLE, words)
    for k, word in itertools.product(range(len(words)), range(7)):
        other = (*words[:k], word, *words[k + 1 :])
        assert gains[k, word] == pytest.approx(truth(toy, SINGLE, other) - now, abs=1e-5)


def test_gains_of_phrases_are_exact_among_phrases_of_equal_length() -> None:
    toy, phrases = Toy(), Vocabulary(("red circle", "blue square", "green cat", "dog"), "a {}")
    gains = CaptionGradient(toy, redness, phrases).gains((0, 1), [0]).numpy()  # type: ignore[arg-type]
    for k, word in itertools.product(range(2), range(3)):
        other = [0, 1]
        other[k] = word
        assert gains[k, word] == pytest.approx(truth(toy, phrases, other) - truth(toy, phrases, (0, 1)), abs=1e-5)
    assert np.isfinite(gains[:, 3]).all()


def test_the_words_of_a_layout_stand_where_the_caption_has_them() -> None:
    toy, phrases = Toy(), Vocabulary(("red circle", "dog", "cat"), "a {} of a picture")
    layout = CaptionGradient(toy, redness, phrases).layout((1, 0, 2))  # type: ignore[arg-type]
    caption = "a dog, red circle, cat of a picture"
    ids = toy.encoders[0].tokenizer(caption)["input_ids"]
    assert layout.ids[0][0, : len(ids)].tolist() == ids
    assert [WORDS[ids[k] - 2] for k in layout.places[0].tolist()] == ["dog", "red", "circle", "cat"]
    assert layout.lengths == ((1,), (2,), (1,))


def test_a_word_that_is_read_differently_in_the_caption_is_refused() -> None:
    toy = Toy()

    class Joining(Tokenizer):
        def __call__(self, texts: Any, add_special_tokens: bool = True) -> dict[str, Any]:
            told = texts if isinstance(texts, list) else texts.replace("red cat", "dog blue")
            return super().__call__(told, add_special_tokens)

    toy.encoders[0].tokenizer = Joining()
    toy.token_ids = lambda texts: [torch.tensor([toy.encoders[0].tokenizer(texts[0])["input_ids"]])]  # type: ignore[method-assign]
    with pytest.raises(UserError, match="differently"):
        CaptionGradient(toy, redness, Vocabulary(("red", "cat"), "a {}")).layout((0, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize("encoders", [1, 2])
@pytest.mark.parametrize("search", [pez, gumbel])
def test_projection_and_gumbel_softmax_propose_the_best_caption(search: Any, encoders: int) -> None:
    toy = Toy(encoders)
    gradient = CaptionGradient(toy, redness, SINGLE)  # type: ignore[arg-type]
    best = max(itertools.product(range(7), repeat=2), key=lambda words: truth(toy, SINGLE, words))
    proposed = search(gradient, range(7), 2, steps=60, seed=1, batch=2)
    assert best in [tuple(sorted(words)) for words in proposed[:3]] or tuple(sorted(best)) in [
        tuple(sorted(w)) for w in proposed[:3]
    ]
    assert len(set(proposed)) == len(proposed) and gradient.n_images == 120


def test_coordinate_search_finds_the_best_of_all_captions() -> None:
    """A target picture that only one pair of words makes: the true best is found by enumeration."""
    toy = Toy()
    goal = toy.encoders[0].table[[2, 6]].sum(0)[:3] + 0.5  # "red" and "square"

    def near(images: Tensor) -> Tensor:
        return -(images.mean((2, 3)) - goal).square().sum(1)

    words = Vocabulary(WORDS[:7], "{}")
    gradient = CaptionGradient(toy, near, words)  # type: ignore[arg-type]
    scores = CaptionScores(toy, objective_score(near))

    def true_score(chosen: tuple[int, ...]) -> float:
        return scores.mean(words.caption(chosen), [0, 7])

    found = coordinate(gradient, (1, 2), true_score, steps=10, seed=0, width=8)
    best = max(itertools.product(range(7), repeat=2), key=true_score)
    assert set(found[0]) == set(best) == {0, 4}
    assert true_score(found[0]) == true_score(best)


def test_the_shortlist_is_the_order_of_the_words_alone_where_pictures_are_linear() -> None:
    toy = Toy()
    gradient = CaptionGradient(toy, redness, SINGLE)  # type: ignore[arg-type]
    order = sorted(range(7), key=lambda word: -truth(toy, SINGLE, (word,)))
    assert shortlist(gradient, 4, contexts=3, seed=0) == order[:4]


@pytest.mark.parametrize("method", ["exhaustive", "coordinate", "pez", "gumbel"])
def test_every_method_ranks_the_same_word_first(method: Any) -> None:
    toy = Toy()
    gradient = CaptionGradient(toy, redness, SINGLE)  # type: ignore[arg-type]
    ranking = rank_words(
        CaptionScores(toy, objective_score(redness)), SINGLE, range(4), range(10, 16), gradient=gradient, method=method,
        steps=40, n_words=2,
    )  # fmt: skip
    best = max(range(7), key=lambda word: truth(toy, SINGLE, (word,)))
    assert ranking.method == method and ranking.words[0].word == WORDS[best]


@pytest.mark.parametrize("search", [pez, gumbel])
def test_the_same_seed_gives_the_same_proposals(search: Any) -> None:
    runs = [search(CaptionGradient(Toy(), redness, SINGLE), range(7), 2, steps=8, seed=3) for _ in range(2)]  # type: ignore[arg-type]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("search", [pez, gumbel])
def test_a_score_that_is_nan_ends_the_search_and_keeps_what_was_seen(search: Any) -> None:
    calls = iter([False, False, True, True, True])

    def breaking(images: Tensor) -> Tensor:
        return redness(images) * (float("nan") if next(calls) else 1.0)

    gradient = CaptionGradient(Toy(), breaking, SINGLE)  # type: ignore[arg-type]
    assert 1 <= len(search(gradient, range(7), 1, steps=5, seed=0)) <= 3
