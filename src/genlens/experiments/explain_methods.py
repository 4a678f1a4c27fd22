"""Pictures of a class by every method: the soft prompt, two captions, and two rivals that know no generator."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.experiments.explain_cases import Case, ExplainSettings
from genlens.experiments.planted_worlds import World
from genlens.experiments.stages import Arrays
from genlens.explain import ExplainOptions
from genlens.generators.gradients import GradientGenerator
from genlens.prompts.activation_max import FOURIER, PIXELS, maximise_pixels
from genlens.prompts.caption_scores import CaptionScores, objective_score
from genlens.prompts.feature_attack import TOP, feature_attack, most_activating
from genlens.prompts.objectives import class_log_odds, class_logit
from genlens.prompts.optimize import optimize_prompt, pictures, report_seeds
from genlens.prompts.soft import PromptState, SoftPrompt
from genlens.prompts.vocabulary import Vocabulary, tokenizer_words
from genlens.prompts.word_search import WordSearch
from genlens.prompts.word_starts import start_from_words
from genlens.seeds import row_seed

OURS, CLASS_NAME, UNOPTIMISED = "soft prompt", "class name", "unoptimised"
FOURIER_MAX, PIXEL_MAX, ATTACK = "activation max., Fourier", "activation max., pixels", "feature attack"
METHODS = (OURS, CLASS_NAME, UNOPTIMISED, FOURIER_MAX, PIXEL_MAX, ATTACK)
RIVALS = (FOURIER_MAX, PIXEL_MAX, ATTACK)
POOL = 200
"""Real pictures of which the feature attack takes the `TOP` most activating ones; other ones for every `TOP` starts."""
_POOL_SEED = 3_500_000_000
SEARCH_SEEDS = 8
"""On which words are chosen."""

Images = NDArray[np.uint8]


def class_images(case: Case, gradients: GradientGenerator, settings: ExplainSettings) -> Arrays:
    """Pictures (images, H, W, 3) of every method, the seconds each took, and the step of the best soft prompt."""
    n, size = settings.images, case.planted.planting.world.size
    seeds = report_seeds(row_seed(settings.seed, case.name), n)
    logit = class_logit(case.planted.classifier, case.target)
    found: dict[str, Any] = {}
    seconds = []

    def timed(name: str, make: Callable[[], Images]) -> None:
        start = time.perf_counter()
        found[name] = make()
        seconds.append(time.perf_counter() - start)

    def ours() -> Images:
        prompt, best = optimised(case, gradients, settings)
        found["best_step"] = np.array(best.step)
        return pictures(prompt, best, seeds)

    world, presence = case.planted.planting.world, np.zeros(len(case.planted.planting.world.words), dtype=np.int64)
    presence[world.index(case.word)] = 1
    caption = world.caption(presence)
    timed(OURS, ours)
    timed(CLASS_NAME, lambda: gradients.generator.generate([caption] * n, seeds))
    timed(UNOPTIMISED, lambda: gradients.generator.generate([""] * n, seeds))
    for name, how in ((FOURIER_MAX, FOURIER), (PIXEL_MAX, PIXELS)):
        chosen = replace(how, steps=settings.pixel_steps)
        timed(name, lambda chosen=chosen: maximise_pixels(logit, (size, size), seeds, chosen))  # type: ignore[misc]
    timed(ATTACK, lambda: feature_attack(logit, attack_starts(case, n, settings.seed), steps=settings.attack_steps))
    return {**found, "seconds": np.array(seconds)}


def optimised(
    case: Case, gradients: GradientGenerator, settings: ExplainSettings
) -> tuple[SoftPrompt, PromptState]:
    """The soft prompt as `genlens explain` makes it: words are searched, the best begin, log-odds are maximised."""
    prompt = SoftPrompt(gradients, n_tokens=ExplainOptions.n_tokens, restarts=settings.restarts, seed=settings.seed)
    objective = class_log_odds(case.planted.classifier, case.target)
    vocabulary = world_vocabulary(case.planted.planting.world, gradients)
    search = [row_seed(settings.seed, f"{case.name} words search", i) for i in range(SEARCH_SEEDS)]
    scores = CaptionScores(gradients.generator, objective_score(objective))
    options = ExplainOptions()
    found = WordSearch(
        scores, search, vocabulary, None, n_words=options.n_words, budget=options.budget, steps=1, seed=settings.seed
    ).run("exhaustive")
    start_from_words(prompt, objective, [vocabulary.text(words) for words in found.ranked], search)
    steps = optimize_prompt(prompt, objective, steps=settings.iterations, batch=settings.batch,
                            seed=row_seed(settings.seed, case.name, 1))  # fmt: skip
    for step in steps:
        best = step.best
    return prompt, best


def world_vocabulary(world: World, gradients: GradientGenerator) -> Vocabulary:
    """The world's words and phrases and all words of the generator's tokenizer."""
    own = tokenizer_words(gradients.encoders[0].tokenizer)
    return Vocabulary(tuple(dict.fromkeys((*world.words, *own))), "{}", separator=", ")


def attack_starts(case: Case, n: int, seed: int) -> Images:
    """`n` pictures, the five most activating of `POOL` real ones at a time."""
    logit = class_logit(case.planted.classifier, case.target)
    starts: list[Images] = []
    for number in range(-(-n // TOP)):
        pool = case.planted.planting.pictures(POOL, _POOL_SEED + row_seed(seed, case.name, number) % 10**9)[0]
        starts.append(pool[most_activating(logit, pool)])
    return np.concatenate(starts)[:n]
