"""From a classifier and a generator to a finding of bias: optimise, render, score, label, judge, keep.

Pictures that maximise the class come from several restarts of a soft prompt, as many prompts are optimised for other
classes (or against the class), and neutral and class-name captions are rendered; see `genlens.findings.bias`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genlens.classifiers.fingerprint import hash_parts
from genlens.classifiers.protocol import Classifier, target_score
from genlens.errors import UserError, check_integer
from genlens.files import write_atomic
from genlens.findings.bias import CONTROL, NAMED, NEUTRAL, OPTIMISED, Attribute, PictureSet, analyse_bias
from genlens.findings.bias_result import BiasResult
from genlens.generators.protocol import Generator, preferred_batch
from genlens.progress import Progress, SilentProgress
from genlens.run_folder import RunFolder, versions
from genlens.seeds import row_seed

RESULT_FILE, PICTURES_FILE, PROMPTS = "bias.json", "pictures.csv", "prompts"
REACHED = 0.5
"""Share of a restart's pictures that must be given to the class for the restart to count."""


@dataclass(frozen=True)
class BiasOptions:
    """Everything about a search for bias that isn't a model, a prompt or an attribute.

    Attributes:
        direct: no optimiser: only the target score of neutral pictures by attribute. Works for any classifier.
        controls: also optimise as many prompts for other classes (with two classes, for the other one).
        restarts: prompts optimised for the class, each one observation; at least 5.
        iterations: most steps of the optimisation.
        batch: pictures a step and restart.
        rate: see `genlens.prompts.optimize.optimize_prompt`.
        n_tokens: free tokens of a prompt.
        template: see `genlens.prompts.soft.SoftPrompt`.
        last_steps: denoising steps with a gradient; None: all.
        n_images: pictures of each restart.
        n_neutral: pictures of the neutral captions, and as many of the class-name captions.
        alpha: level, after Holm's correction over attributes.
        seed: of everything random.
    """

    direct: bool = False
    controls: bool = True
    restarts: int = 8
    iterations: int = 60
    batch: int = 2
    rate: float = 0.1
    n_tokens: int = 3
    template: str | None = None
    last_steps: int | None = 1
    n_images: int = 24
    n_neutral: int = 400
    alpha: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        for name, least in (("restarts", 5), ("iterations", 1), ("batch", 1), ("n_tokens", 1), ("n_images", 1),
                            ("n_neutral", 20), ("seed", 0)):  # fmt: skip
            check_integer(name, getattr(self, name), least)
        if not 0 < self.alpha < 1:
            raise UserError(f"`alpha` must be a number in (0, 1); got {self.alpha!r}.")


def find_bias(
    classifier: Classifier,
    generator: Generator,
    target: int | str,
    attributes: Sequence[Attribute],
    out: str | Path,
    *,
    neutral: Sequence[str],
    class_captions: Sequence[str] = (),
    options: BiasOptions | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> BiasResult:
    """Ask whether a class goes with attributes that have nothing to do with it.

    Args:
        classifier: the target model; with gradients, unless `options.direct`.
        generator: a diffusers pipeline with text encoders; any generator for `options.direct`.
        target: index of the class, or its name where the classifier has names.
        attributes: each with a classifier that labels pictures.
        out: run folder; optimised prompts that are there are used again.
        neutral: caption, or captions, that say nothing about class or attribute, or say every value equally often;
            each is rendered equally often.
        class_captions: captions with the class's name, rendered likewise.
        options: the rest.
        overwrite: throw away what is in `out`.
        progress: told what is going on.

    Returns:
        The result, which is in `out` as well: bias.json, pictures.csv and prompts/.

    Raises:
        UserError: an unknown class, no neutral caption, a classifier without gradients, a generator without text
            encoder, an attribute whose classifier doesn't fit, or other settings than those in `out`.
        KeyboardInterrupt: Ctrl-C; the same call goes on where it stopped.
    """
    run = _Run(classifier, generator, target, tuple(attributes), neutral, class_captions, options or BiasOptions())
    folder = RunFolder(out)
    folder.open_or_create(run.settings, overwrite=overwrite)
    with folder.lock():
        if overwrite:
            for old in (folder.path / PROMPTS).glob("*.safetensors"):
                old.unlink()
        try:
            result = run(folder.path, progress or SilentProgress())
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(f"Stopped. The same command goes on in {folder.path}.") from stop
        write_atomic(folder.path / PICTURES_FILE, result.to_csv().encode())
        write_atomic(folder.path / RESULT_FILE, result.to_json().encode())
    return result


class _Run:
    """A search whose arguments fit one another; nothing has been written yet."""

    def __init__(
        self, classifier: Classifier, generator: Generator, target: int | str, attributes: tuple[Attribute, ...],
        neutral: Sequence[str], class_captions: Sequence[str], options: BiasOptions,
    ) -> None:  # fmt: skip
        self.classifier, self.generator, self.options = classifier, generator, options
        self.attributes = attributes
        given = {NEUTRAL: neutral, NAMED: class_captions}
        self.captions = {kind: (one,) if isinstance(one, str) else tuple(one) for kind, one in given.items()}
        if not self.captions[NEUTRAL]:
            raise UserError("Bias is a difference from neutral pictures; give a neutral caption with --neutral.")
        if not attributes or len({one.name for one in attributes}) != len(attributes):
            raise UserError(f"Give attributes with different names; got {[one.name for one in attributes]}.")
        generator.check_captions([*self.captions[NEUTRAL], *self.captions[NAMED]])
        self.search = None
        if options.direct:
            self.target, self.name = _direct_class(classifier, target)
        else:
            from genlens.bias_prompts import PromptSearch

            self.search = PromptSearch(classifier, generator, target, options)
            self.target, self.name = self.search.target, self.search.name

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the result."""
        return {
            "kind": "bias",
            "target": self.target,
            "classifier": self.classifier.fingerprint,
            "generator": self.generator.fingerprint,
            "attributes": [[one.name, *one.values, one.classifier.fingerprint] for one in self.attributes],
            "captions": hash_parts(*self.captions[NEUTRAL], "|", *self.captions[NAMED]),
        } | asdict(self.options)

    def __call__(self, folder: Path, progress: Progress) -> BiasResult:
        pictures: dict[str, PictureSet] = {}
        if self.search is not None:
            prompts = self.search.optimise(folder / PROMPTS, progress)
            for kind in (OPTIMISED, CONTROL):
                if prompts[kind]:
                    pictures[kind] = self._maximising(kind, prompts[kind], progress)
        for kind, captions in self.captions.items():
            if captions:
                pictures[kind] = self._rendered(kind, captions, progress)
        findings = analyse_bias(self.attributes, pictures, alpha=self.options.alpha, seed=self.options.seed)
        labels = {
            one.name: {kind: one.label(part.images) for kind, part in pictures.items()} for one in self.attributes
        }
        told = {kind: list(captions) for kind, captions in self.captions.items() if captions}
        settings = self.settings | {"captions": told, "versions": versions()}
        return BiasResult(self.target, self.name, tuple(findings), pictures, labels, self.attributes, settings)

    def _maximising(self, kind: str, prompts: Sequence[Any], progress: Progress) -> PictureSet:
        """Pictures of the restarts that reached their class; all restarts see the same noise."""
        assert self.search is not None
        seeds = [row_seed(self.options.seed, f"bias picture {i}") for i in range(self.options.n_images)]
        images, scores, restarts = [], [], []
        progress.start(f"Rendering, {kind}", len(prompts) * len(seeds))
        for restart, prompt in enumerate(prompts):
            rendered = prompt.images(seeds)
            progress.advance(len(seeds))
            outputs = self.classifier.predict(rendered)
            if (prompt.reached(outputs)).mean() >= REACHED:
                images.append(rendered)
                scores.append(target_score(outputs, self.classifier.outputs, self.target))
                restarts.append(np.full(len(seeds), restart))
        progress.done()
        if not images:
            empty = np.zeros((0, *rendered.shape[1:]), dtype=np.uint8)
            return PictureSet(empty, np.zeros(0), np.zeros(0, dtype=np.int64))
        return PictureSet(np.concatenate(images), np.concatenate(scores), np.concatenate(restarts))

    def _rendered(self, kind: str, captions: tuple[str, ...], progress: Progress) -> PictureSet:
        n, size = self.options.n_neutral, preferred_batch(self.generator)
        told = [captions[i % len(captions)] for i in range(n)]
        seeds = [row_seed(self.options.seed, f"bias {kind} {i}") for i in range(n)]
        images, scores = [], []
        progress.start(f"Rendering, {kind}", n)
        for first in range(0, n, size):
            some = self.generator.generate(told[first : first + size], seeds[first : first + size])
            images.append(some)
            scores.append(target_score(self.classifier.predict(some), self.classifier.outputs, self.target))
            progress.advance(len(some))
        progress.done()
        return PictureSet(np.concatenate(images), np.concatenate(scores))


def _direct_class(classifier: Classifier, target: int | str) -> tuple[int, str]:
    """Index and name of a class of any classifier; the index is checked when its outputs are seen."""
    names = tuple(getattr(classifier, "class_names", ()) or getattr(classifier, "concept_names", ()))
    text = str(target)
    if text in names:
        return names.index(text), text
    if not text.isdecimal():
        known = f"one of {', '.join(names[:12])}" if names else "the number of an output"
        raise UserError(f"The class must be {known}; got {text!r}.")
    return int(text), names[int(text)] if int(text) < len(names) else f"class {text}"
