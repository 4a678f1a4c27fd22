"""DiffExplainer (arXiv 2404.02618) from end to end: a class or a neural feature in, an optimised prompt and words out.

Four steps, each kept when it is done: search words; optimise a soft prompt, by default from the best of them; render
the soft prompt, the best words, the class's name and the unoptimised prompt on the same held-out seeds; score them. A
run that was stopped goes on after the last step of the optimisation, the last caption or the last pictures that were
finished, and ends as if never stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.fingerprint import hash_parts
from genlens.classifiers.gradients import PENULTIMATE, DifferentiableClassifier, differentiable
from genlens.classifiers.protocol import Classifier
from genlens.errors import UserError, check_integer
from genlens.explain_steps import Found, assigned, decision, left, optimise, render
from genlens.files import write_atomic
from genlens.generators.gradients import GradientGenerator
from genlens.generators.protocol import Generator
from genlens.progress import Progress, SilentProgress
from genlens.prompts.candidates import CANDIDATES_FILE, Candidate, write_candidates
from genlens.prompts.caption_gradient import CaptionGradient
from genlens.prompts.caption_scores import CaptionScores, objective_score
from genlens.prompts.explanation import (
    CLASS_NAME,
    EXPLANATION_FILE,
    SOFT,
    UNOPTIMISED,
    WORDS,
    WORDS_START,
    Difference,
    Explanation,
    PromptResult,
)
from genlens.prompts.objectives import FEATURE, Score, parse_objective
from genlens.prompts.optimize import check_weights, report_seeds
from genlens.prompts.soft import SoftPrompt
from genlens.prompts.vocabulary import Vocabulary, tokenizer_words
from genlens.prompts.word_search import Method
from genlens.prompts.word_starts import start_from_words
from genlens.prompts.words import WordRanking, rank_words, simultaneous_intervals
from genlens.run_folder import RunFolder, versions
from genlens.seeds import row_seed

if TYPE_CHECKING:
    from genlens.generators.diffusers import DiffusersGenerator

SOFT_PROMPT_FILE = "soft_prompt.safetensors"
CHECKPOINT_FILE = "checkpoint.safetensors"
IMAGES = "images"


@dataclass(frozen=True)
class ExplainOptions:
    """Everything about an explanation that isn't the models, the target or the words.

    Attributes:
        template: caption with one `{}`; None: "a picture of a {}", or "{}" where the tokenizer doesn't know its words.
        n_tokens: free tokens of the soft prompt.
        start: of the soft prompt: "words" (the best captions of the word search, one a restart), "random", "word:W" or
            a text.
        restarts: soft prompts optimised side by side.
        iterations: steps of the optimisation.
        rate: its rate, in standard deviations of the vocabulary's embeddings.
        batch: pictures a step and restart.
        last_steps: denoising steps that gradients go through, the last ones; None: all.
        pull: weight of the pull towards the vocabulary's embeddings.
        diversity: weight of the distance between restarts.
        method: of the word search.
        n_words: most words of a caption.
        budget: captions scored in the word search.
        search_seeds: seeds on which words are chosen.
        top: words listed.
        n_images: pictures of each prompt, on held-out seeds.
        confidence: level of the intervals.
        seed: of everything random.
    """

    template: str | None = None
    n_tokens: int = 5
    start: str = WORDS_START
    restarts: int = 2
    iterations: int = 100
    rate: float = 0.1
    batch: int = 8
    last_steps: int | None = 1
    pull: float = 0.0
    diversity: float = 0.0
    method: Method = "auto"
    n_words: int = 2
    budget: int = 256
    search_seeds: int = 16
    top: int = 10
    n_images: int = 100
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_tokens", "restarts", "iterations", "batch", "n_words", "top"):
            check_integer(name, getattr(self, name), 1)
        for name in ("search_seeds", "n_images"):
            check_integer(name, getattr(self, name), 2)
        check_integer("budget", self.budget, 8)
        check_weights(self.rate, self.diversity, self.pull, self.restarts)
        check_integer("seed", self.seed, 0)
        if not 0 < self.confidence < 1:
            raise UserError(f"`confidence` must be a number in (0, 1); got {self.confidence!r}.")


def explain(
    classifier: Classifier,
    generator: Generator,
    target: str,
    out: str | Path,
    *,
    words: Sequence[str] | None = None,
    class_name: str | None = None,
    options: ExplainOptions | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Explanation:
    """Explain a class or a neural feature by a prompt that maximises it, and by words.

    Args:
        classifier: with gradients: a torch, timm or transformers one.
        generator: a diffusers pipeline with text encoders.
        target: a class by number or name, or "feature:LAYER:INDEX".
        out: run folder; a run that was stopped there goes on.
        words: the vocabulary; None: the words of the tokenizer.
        class_name: for the prompt that is compared with; None: the classifier's own name of the class. For a feature of
            the penultimate layer, of the class to which it has the largest weight.
        options: the rest.
        overwrite: throw away what is in `out`.
        progress: told what is going on.

    Returns:
        The explanation, which is in `out` as well: explanation.json, soft_prompt.safetensors, candidates.json, images/.

    Raises:
        UserError: an unknown class, layer or word, a classifier without gradients, a generator without text encoder, an
            empty vocabulary, other settings than the run in `out` was begun with.
        KeyboardInterrupt: Ctrl-C; the same call goes on where it stopped.
    """
    run = _Run(classifier, generator, target, words, class_name, options or ExplainOptions())
    folder = RunFolder(out)
    folder.open_or_create(run.settings, overwrite=overwrite)
    with folder.lock():
        if overwrite:
            _clear(folder.path)
        try:
            return run(folder, progress or SilentProgress())
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(f"Stopped. The same command goes on in {folder.path}.") from stop


class _Run:
    """An explanation whose arguments fit one another; nothing has been written yet."""

    def __init__(
        self, classifier: Classifier, generator: Generator, target: str, words: Sequence[str] | None,
        class_name: str | None, options: ExplainOptions,
    ) -> None:  # fmt: skip
        self.target, self.options = target, options
        self.classifier, self.model = classifier, differentiable(classifier)
        self.objective = parse_objective(target, self.model)
        self.gradients = GradientGenerator(generator)  # type: ignore[arg-type]  # it says what is wrong with others
        self.generator: DiffusersGenerator = self.gradients.generator
        start = "random" if options.start == WORDS_START else options.start
        self.prompt = SoftPrompt(
            self.gradients, options.template, options.n_tokens, start=start, restarts=options.restarts,
            seed=options.seed,
        )  # fmt: skip
        told = tokenizer_words(self.gradients.encoders[0].tokenizer) if words is None else tuple(words)
        self.vocabulary = Vocabulary(told, self.prompt.template)
        self.class_index, self.class_name = _class(self.model, self.objective, target, class_name)
        if self.class_name is not None:
            self.generator.check_captions([self.vocabulary.fill([self.class_name])])

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the result."""
        return {
            "kind": "explain",
            "target": self.target,
            "class_name": self.class_name,
            "classifier": self.classifier.fingerprint,
            "generator": self.generator.fingerprint,
            "words": hash_parts(*self.vocabulary.words),
        } | asdict(self.options)

    def __call__(self, folder: RunFolder, progress: Progress) -> Explanation:
        ranking = self._words(folder, progress)
        starts = self._starts(ranking) if self.options.start == WORDS_START else ()
        found = optimise(self.prompt, self.objective, self.options, folder.path / CHECKPOINT_FILE, progress, starts)
        found.best.save(folder.path / SOFT_PROMPT_FILE)
        prompts = self._prompts(folder, found, ranking, progress)
        explanation = Explanation(
            target=self.target,
            objective=self.objective.name,
            class_index=self.class_index if self.objective.target is not None else None,
            class_name=self.class_name,
            decision=None if self.objective.target is None else decision(self.model),
            prompts=prompts,
            differences=self._differences(prompts),
            ranking=ranking,
            optimisation=found.summary(self.prompt),
            confidence=self.options.confidence,
            settings=self.settings | {"template": self.prompt.template, "versions": versions()},
        )
        write_candidates(folder.path / CANDIDATES_FILE, candidates(explanation))
        write_atomic(folder.path / EXPLANATION_FILE, explanation.to_json().encode())
        return explanation

    def _words(self, folder: RunFolder, progress: Progress) -> WordRanking:
        options, fingerprint = self.options, hash_parts(self.classifier.fingerprint, self.objective.name)
        searched = min(options.budget, len(self.vocabulary.words) + 48 * (options.n_words - 1))
        reported = (2 * min(options.top, len(self.vocabulary.words)) + options.top // 2 + 1) * options.n_images
        progress.start("Searching words", searched * options.search_seeds + reported)
        scores = CaptionScores(
            self.generator, objective_score(self.objective), done=progress.advance,
            cache=lambda count: folder.scores(f"{fingerprint}-{count}"),
        )  # fmt: skip
        gradient = CaptionGradient(self.gradients, self.objective, self.vocabulary, last_steps=options.last_steps)
        try:
            return rank_words(
                scores, self.vocabulary, self.search_seeds, self.report_seeds, gradient=gradient, method=options.method,
                n_words=options.n_words, top=options.top, budget=options.budget, confidence=options.confidence,
                seed=options.seed,
            )  # fmt: skip
        finally:
            progress.done()

    def _starts(self, ranking: WordRanking) -> tuple[str, ...]:
        """Start the restarts from the best captions; the texts they start from."""
        texts = [self.vocabulary.joint.join(caption.words) for caption in ranking.captions]
        return start_from_words(self.prompt, self.objective, texts, self.search_seeds)

    @property
    def search_seeds(self) -> list[int]:
        """Seeds on which words are chosen."""
        return [row_seed(self.options.seed, "words search", i) for i in range(self.options.search_seeds)]

    @property
    def report_seeds(self) -> list[int]:
        """The held-out seeds: neither a prompt nor a word was chosen on them."""
        return report_seeds(self.options.seed, self.options.n_images)

    def _prompts(
        self, folder: RunFolder, found: Found, ranking: WordRanking, progress: Progress
    ) -> tuple[PromptResult, ...]:
        captions = {SOFT: None, WORDS: ranking.best.caption}
        if self.class_name is not None:
            captions[CLASS_NAME] = self.vocabulary.fill([self.class_name])
        captions[UNOPTIMISED] = self.vocabulary.caption()
        score, seeds, results = objective_score(self.objective), self.report_seeds, []
        places = {name: folder.path / IMAGES / name.replace(" ", "-") for name in captions}
        progress.start("Rendering", sum(left(seeds, place) for place in places.values()))
        try:
            for name, caption in captions.items():
                shown = found.best if caption is None else caption
                images = render(self.prompt, shown, seeds, places[name], progress)
                scores = score(images)
                ((low,), (high,)) = simultaneous_intervals(scores[None], self.options.confidence, self.options.seed)
                given = assigned(self.classifier, self.objective.target, images)
                results.append(PromptResult(name, caption, tuple(map(float, scores)), given, low, high))
        finally:
            progress.done()
        return tuple(results)

    def _differences(self, prompts: tuple[PromptResult, ...]) -> tuple[Difference, ...]:
        """The soft prompt against the others, intervals that hold together."""
        own: NDArray[np.float64] = np.array(prompts[0].scores)
        gaps = np.stack([own - np.array(other.scores) for other in prompts[1:]])  # (k, n)
        low, high = simultaneous_intervals(gaps, self.options.confidence, self.options.seed)
        return tuple(
            Difference(other.name, float(gap.mean()), low[k], high[k])
            for k, (other, gap) in enumerate(zip(prompts[1:], gaps, strict=True))
        )


def candidates(explanation: Explanation) -> list[Candidate]:
    """Words whose gain stands out, as candidate concepts."""
    return [
        Candidate(one.word, one.word, explanation.objective, "explain", one.gain, one.low, one.high)
        for one in explanation.ranking.words
        if one.stands_out
    ]


def _class(
    model: DifferentiableClassifier, objective: Score, target: str, given: str | None
) -> tuple[int | None, str | None]:
    """The class that the class-name prompt is about, and its name.

    Raises:
        UserError: a class without a name.
    """
    index = objective.target
    if index is None:
        layer, _, unit = target.removeprefix(FEATURE).rpartition(":")
        index = _class_of_feature(model, layer, int(unit))
    name = given or (model.names[index] if index is not None and model.names else None)
    if name is None and objective.target is not None:
        raise UserError(f"The classifier has no name for class {index}; give it with --class-name, such as 'tiger'.")
    return index, name


def _class_of_feature(model: DifferentiableClassifier, layer: str, unit: int) -> int | None:
    """The class to which a penultimate feature has the largest weight; None for other layers."""
    try:
        own = model.penultimate()
        return int(model.head_weights()[:, unit].argmax()) if layer in (PENULTIMATE, own) else None
    except UserError:  # the outputs aren't those of a linear layer
        return None


def _clear(path: Path) -> None:
    """Remove what an earlier explanation left; `images/` and `scores/` are gone already."""
    import shutil

    for name in (EXPLANATION_FILE, SOFT_PROMPT_FILE, CHECKPOINT_FILE, CANDIDATES_FILE):
        (path / name).unlink(missing_ok=True)
    shutil.rmtree(path / "figures", ignore_errors=True)
