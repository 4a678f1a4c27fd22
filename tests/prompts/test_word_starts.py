"""Starts from words: the best text wins, texts that don't fit are left out, what was given is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genlens.classifiers.bundled import load_shapes_concepts
from genlens.generators.diffusers import DiffusersGenerator
from genlens.prompts.objectives import Score, class_logit
from genlens.prompts.optimize import held_out_scores, optimize_prompt
from genlens.prompts.soft import SoftPrompt
from genlens.prompts.word_starts import TRIED, start_from_words

SEEDS = [11, 12, 13]
NAME = "blue rectangle"


@pytest.fixture(scope="module")
def objective() -> Score:
    net = load_shapes_concepts(device="cpu")
    return class_logit(net, net.concept_names.index(NAME))


def test_the_best_text_starts_the_first_restart(shapes_generator: DiffusersGenerator, objective: Score) -> None:
    prompt = SoftPrompt(shapes_generator, n_tokens=4, restarts=3, seed=3)
    untouched = prompt.state(2)
    told = start_from_words(prompt, objective, ["red circle", NAME, "green circle", NAME], SEEDS, 2)
    assert told[0] == NAME and len(told) == 2
    assert torch.equal(prompt.state(0).tokens[0], prompt.state_of(NAME).tokens[0])
    assert torch.equal(prompt.state(2).tokens[0], untouched.tokens[0])
    assert prompt.random_start == [False, False, True]
    scores = [held_out_scores(prompt, prompt.state(k), objective, SEEDS).mean() for k in (0, 1)]
    assert scores[0] > scores[1]


def test_a_text_is_repeated_until_the_tokens_are_filled(shapes_generator: DiffusersGenerator) -> None:
    prompt = SoftPrompt(shapes_generator, n_tokens=5)
    (rows,) = prompt.state_of("blue rectangle").tokens
    (pair,) = SoftPrompt(shapes_generator, n_tokens=2).state_of("blue rectangle").tokens
    assert torch.equal(rows, torch.cat([pair, pair, pair[:1]]))


def test_texts_that_do_not_fit_are_left_out(shapes_generator: DiffusersGenerator, objective: Score) -> None:
    prompt = SoftPrompt(shapes_generator, n_tokens=1, restarts=2)
    before = prompt.state(0)
    assert start_from_words(prompt, objective, ["red circle", "zebra"], SEEDS) == ()
    assert torch.equal(prompt.state(0).tokens[0], before.tokens[0]) and prompt.random_start == [True, True]
    assert start_from_words(prompt, objective, ["zebra", "blue"], SEEDS) == ("blue",)
    assert prompt.random_start == [False, True]


def test_only_the_first_texts_are_tried(shapes_generator: DiffusersGenerator, objective: Score) -> None:
    others = ["red", "green", "blue", "circle", "rectangle", "red circle", "green circle", "blue circle"]
    assert len(others) == TRIED
    prompt = SoftPrompt(shapes_generator, n_tokens=2)
    assert start_from_words(prompt, objective, [*others, NAME], SEEDS) != (NAME,)
    assert start_from_words(prompt, objective, [NAME, *others], SEEDS) == (NAME,)


@pytest.mark.parametrize("given", [True, False])
def test_a_given_start_is_kept_and_a_random_one_is_drawn_again(
    shapes_generator: DiffusersGenerator, objective: Score, given: bool
) -> None:
    """A prompt for another shape is a bad start, which sixteen random ones beat; it is kept all the same."""
    prompt = SoftPrompt(shapes_generator, n_tokens=2)
    state = prompt.state_of("red circle")
    prompt.set_state(state, random=not given)
    step = next(optimize_prompt(prompt, objective, steps=1, batch=2, rate=1e-9, held_out_seeds=2, starts=16))
    kept = bool(np.isclose(step.best.tokens[0], state.tokens[0], atol=1e-6).all())
    assert kept == given


def test_a_start_from_a_word_reaches_the_optimisation(
    shapes_generator: DiffusersGenerator, objective: Score
) -> None:
    prompt = SoftPrompt(shapes_generator, n_tokens=2, start="red circle", restarts=2)
    before = [prompt.state(k).tokens[0] for k in (0, 1)]
    assert prompt.random_start == [False, False] and not torch.equal(before[0], before[1])
    next(optimize_prompt(prompt, objective, steps=1, batch=1, rate=1e-9, held_out_seeds=1))
    assert all(torch.allclose(prompt.state(k).tokens[0], before[k], atol=1e-6) for k in (0, 1))
