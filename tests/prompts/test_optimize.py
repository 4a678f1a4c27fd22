"""The optimisation: it climbs, chooses on held-out seeds, repeats, and stops at NaN with the best in hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from genlens.classifiers.bundled import load_shapes_checker, load_shapes_concepts
from genlens.errors import UserError
from genlens.generators.diffusers import DiffusersGenerator
from genlens.prompts.objectives import Score, class_logit
from genlens.prompts.optimize import Step, held_out_noise, held_out_scores, optimize_prompt, report_seeds, spread
from genlens.prompts.soft import SoftPrompt

Folders = Callable[[str], Path]
RED = Score("redness", lambda images: images[:, 0].mean((1, 2)) - images[:, 1].mean((1, 2)))


def load(folder: Path, **options: Any) -> DiffusersGenerator:
    return DiffusersGenerator.from_pretrained(
        folder, **{"num_inference_steps": 2, "guidance_scale": 1.0, "device": "cpu", **options}
    )


def run(prompt: SoftPrompt, objective: Any = RED, **options: Any) -> list[Step]:
    small = {"steps": 6, "batch": 2, "held_out_seeds": 4, "evaluate_every": 2, "rate": 0.5, "starts": 1}
    return list(optimize_prompt(prompt, objective, **{**small, **options}))


@pytest.mark.parametrize("kind", ["sd", "sdxl", "lcm", "pixart"])
@pytest.mark.parametrize("last_steps", [1, None])
def test_the_score_climbs_on_every_kind(pipeline_folder: Folders, kind: str, last_steps: int | None) -> None:
    """On its own noise: what a random network's pictures owe to the prompt is too little for other noise."""
    prompt = SoftPrompt(load(pipeline_folder(kind)), "red {}", 2)
    steps = run(prompt, last_steps=last_steps, steps=8, rate=0.5, noise="fixed")
    assert [step.number for step in steps] == list(range(1, 9))
    assert steps[-1].score > steps[0].score
    assert steps[-1].stopped is None and steps[-1].image().shape == (16, 16, 3)


def test_the_best_is_that_of_the_held_out_seeds(pipeline_folder: Folders) -> None:
    prompt = SoftPrompt(load(pipeline_folder("pixart")), "{}", 2, restarts=2)
    start = prompt.state(0)
    steps = run(prompt)
    assert [step.held_out is not None for step in steps] == [False, True] * 3
    seen = [step.held_out for step in steps if step.held_out is not None]
    own = held_out_scores(prompt, start, RED, held_out_noise(0, 4)).mean()
    assert steps[-1].best.score == pytest.approx(max(own, *(float(each.max()) for each in seen)))
    again = held_out_scores(prompt, steps[-1].best, RED, held_out_noise(0, 4)).mean()
    assert again == pytest.approx(steps[-1].best.score, abs=1e-6)


def test_a_prompt_that_gets_worse_keeps_its_start(pipeline_folder: Folders) -> None:
    """The gradient of this objective points the wrong way, so that every step lowers what is measured."""

    class Backwards(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, scores: Tensor) -> Tensor:
            return scores.clone()

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
            return -grad

    prompt = SoftPrompt(load(pipeline_folder("pixart")), "{}", 2)
    start = prompt.state()
    steps = run(prompt, Score("backwards", lambda images: Backwards.apply(RED(images))), rate=1.0)
    assert steps[-1].best.step == 0 and torch.equal(steps[-1].best.tokens[0], start.tokens[0])
    assert not torch.equal(prompt.tokens[0][0], start.tokens[0])


def test_the_same_seed_gives_the_same_prompt_and_another_another(pipeline_folder: Folders) -> None:
    generator = load(pipeline_folder("sd"))
    one, same, other = (
        run(SoftPrompt(generator, "{}", 2, seed=start), seed=seed)[-1] for start, seed in ((0, 0), (0, 0), (0, 1))
    )
    assert torch.equal(one.best.tokens[0], same.best.tokens[0]) and one.loss == same.loss
    assert one.loss != other.loss


def test_noise_is_new_each_step_or_the_same(pipeline_folder: Folders) -> None:
    generator = load(pipeline_folder("sd"))
    fixed = run(SoftPrompt(generator, "{}"), noise="fixed", rate=1e-9)
    fresh = run(SoftPrompt(generator, "{}"), noise="fresh", rate=1e-9)
    assert np.ptp([step.score for step in fixed]) < 1e-6 < np.ptp([step.score for step in fresh])


def test_seeds_of_the_three_purposes_never_meet() -> None:
    from genlens.prompts.optimize import _seeds

    used = {seed for draw in range(20) for seed in _seeds("optimise", 0, 8, draw)}
    assert len(used) == 160
    assert not used & {*held_out_noise(0, 100)} and not {*held_out_noise(0, 100)} & {*report_seeds(0, 100)}


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_nan_stops_keeps_the_best_and_says_when(pipeline_folder: Folders, where: str) -> None:
    prompt = SoftPrompt(load(pipeline_folder("pixart")), "{}", 2)
    calls = [0]

    def score(images: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return RED(images)
        calls[0] += 1
        scores = RED(images)
        if calls[0] < 4:
            return scores
        return scores * float("nan") if where == "forward" else scores + 0 * (scores - scores).sqrt()

    steps = run(prompt, Score("breaks", score), steps=9)
    assert len(steps) == 4 and steps[-1].best.step in (0, 2)
    reason = "the loss is nan" if where == "forward" else "the gradient isn't finite"
    wanted = f"Stopped at step 4: {reason}. The best prompt is that of step {steps[-1].best.step}."
    assert steps[-1].stopped == wanted
    assert all(bool(torch.isfinite(tokens).all()) for tokens in prompt.tokens)
    with pytest.raises(UserError, match="The start scores nan on never"):
        run(prompt, Score("never", lambda images: RED(images) * float("nan")))


def test_restarts_share_noise_and_diversity_keeps_them_apart(pipeline_folder: Folders) -> None:
    generator = load(pipeline_folder("pixart"))

    def apart(weight: float) -> float:
        prompt = SoftPrompt(generator, "{}", 2, start="word:red", restarts=3)
        run(prompt, diversity=weight, steps=8, held_out_seeds=1, evaluate_every=8)
        with torch.no_grad():
            told = prompt.conditioning().rows(torch.arange(3).repeat_interleave(4))
            images = prompt.gradient_generator.render(told, report_seeds(0, 4) * 3)
        return float(spread(images.view(3, 4, 3, 16, 16)))

    assert apart(20.0) > 1.5 * apart(0.0)
    with pytest.raises(UserError, match="`diversity` needs at least two restarts"):
        optimize_prompt(SoftPrompt(generator, "{}"), RED, diversity=1.0)


def test_spread_is_the_mean_distance_of_pairs() -> None:
    images = torch.zeros(3, 2, 3, 16, 16)
    images[1], images[2] = 0.5, 1.0
    assert float(spread(images)) == pytest.approx((0.5 + 1.0 + 0.5) / 3, abs=1e-4)


def test_the_pull_brings_tokens_to_words(pipeline_folder: Folders) -> None:
    generator = load(pipeline_folder("sd"))
    distances = []
    for weight in (0.0, 5.0):
        prompt = SoftPrompt(generator, "{}", 2)
        with torch.no_grad():
            prompt.tokens[0] += 0.05
        run(prompt, vocabulary_pull=weight, steps=15, rate=0.2, evaluate_every=15)
        distances.append(float(prompt.vocabulary_distance().detach()))
    assert distances[1] < 0.3 * distances[0]


def test_bfloat16_climbs_too(pipeline_folder: Folders) -> None:
    prompt = SoftPrompt(load(pipeline_folder("pixart")), "{}", 2)
    steps = run(prompt, precision="bfloat16", steps=8, checkpointing=True)
    start = SoftPrompt(prompt.gradient_generator, "{}", 2).state()
    assert steps[-1].best.score > held_out_scores(prompt, start, RED, held_out_noise(0, 4)).mean()
    assert prompt.tokens[0].dtype == torch.float32


def test_captions_are_scored_as_soft_prompts_are(pipeline_folder: Folders) -> None:
    generator = load(pipeline_folder("sd"))
    prompt = SoftPrompt(generator, "red {}", 2, start="blue circle")
    soft = held_out_scores(prompt, prompt.state(), RED, [1, 2, 3])
    assert np.allclose(soft, held_out_scores(generator, "red blue circle", RED, [1, 2, 3]), atol=2 / 255)
    assert np.allclose(soft, held_out_scores(prompt, "red blue circle", RED, [1, 2, 3], batch_size=2), atol=2 / 255)
    with pytest.raises(UserError, match="rendered by the SoftPrompt"):
        held_out_scores(generator, prompt.state(), RED, [1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "`steps` must be an integer >= 1; got 0."),
        ({"batch": 0}, "`batch` must be an integer >= 1; got 0."),
        ({"rate": 0.0}, "`rate` must be a finite number > 0; got 0.0."),
        ({"diversity": -1.0}, "`diversity` must be a finite number >= 0; got -1.0."),
        ({"noise": "pink"}, "`noise` must be one of fresh, fixed; got 'pink'."),
        ({"precision": "float64"}, "`precision` must be one of float32, bfloat16; got 'float64'."),
        ({"held_out_seeds": 0}, "`held_out_seeds` must be an integer >= 1; got 0."),
        ({"held_out_seeds": []}, "`held_out_seeds` must be at least one seed."),
        ({"last_steps": 0}, "`last_steps` must be an integer >= 1; got 0."),
    ],
)
def test_bad_input_is_refused_before_anything_is_rendered(
    pipeline_folder: Folders, options: dict[str, Any], message: str
) -> None:
    prompt = SoftPrompt(load(pipeline_folder("sd")), "{}")
    with pytest.raises(UserError, match=re.escape(message)):
        optimize_prompt(prompt, RED, **options)


def test_a_shape_appears_on_held_out_seeds_of_the_shipped_generator(shapes_generator: DiffusersGenerator) -> None:
    net, checker = load_shapes_concepts(device="cpu"), load_shapes_checker(device="cpu")
    name = "blue rectangle"
    prompt = SoftPrompt(shapes_generator)
    seeds = report_seeds(0, 20)
    target = checker.concept_names.index(name)
    assert (checker.predict(prompt.images(prompt.state(), seeds))[:, target] > 0).mean() < 0.5
    objective = class_logit(net, net.concept_names.index(name))
    for step in optimize_prompt(prompt, objective, steps=20, held_out_seeds=8, evaluate_every=5):
        if step.best.score > 5:
            break
    assert (checker.predict(prompt.images(step.best, seeds))[:, target] > 0).mean() >= 0.95
