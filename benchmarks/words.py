"""Do the words name what a classifier relies on? `python benchmarks/words.py [--world shapes] [--methods exhaustive]`.

Classifiers with planted shortcuts (`genlens.experiments.planted`): each class's object and shortcut are known.
The vocabulary is the world's own words and phrases and all words of the generator's tokenizer. For each class: is the
object, is the shortcut among the first three words of the ranking? Chance is what a random order would give. Before
these, the six outputs of the shipped concept net, whose object is known too. Results are kept in --cache; a stopped run
goes on.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Iterator, Sequence
from math import comb
from pathlib import Path
from typing import Any

import numpy as np

from genlens.classifiers.bundled import load_shapes_concepts
from genlens.classifiers.fingerprint import hash_parts
from genlens.classifiers.gradients import differentiable
from genlens.cli.loading import load_generator
from genlens.datasets.shapes import CONCEPTS
from genlens.experiments.explain_methods import world_vocabulary
from genlens.experiments.planted import ARCHITECTURES, SUITES, planted_classifier
from genlens.experiments.planted_worlds import get_world
from genlens.files import write_atomic
from genlens.generators.gradients import GradientGenerator
from genlens.prompts.caption_gradient import CaptionGradient
from genlens.prompts.caption_scores import CaptionScores, objective_score
from genlens.prompts.objectives import class_log_odds
from genlens.prompts.words import rank_words
from genlens.proportions import wilson_interval
from genlens.seeds import row_seed

FIRST = 3


class Remembering:
    """A generator that renders each caption once, whichever classifier asks, and keeps the images in a folder."""

    def __init__(self, generator: Any, folder: Path) -> None:
        self._generator, self._folder = generator, folder
        self.fingerprint = generator.fingerprint

    def check_captions(self, captions: Sequence[str]) -> None:
        """As the generator does."""
        self._generator.check_captions(captions)

    def generate(self, captions: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        """Images of one caption on its seeds."""
        key = hash_parts(self.fingerprint, captions[0], json.dumps(list(seeds)))
        path = self._folder / f"{key}.npy"
        if not path.is_file():
            buffer = io.BytesIO()
            np.save(buffer, self._generator.generate(captions, seeds))
            write_atomic(path, buffer.getvalue(), durable=False)
        return np.asarray(np.load(path))


def cases(world: str, cache: Path, limit: int | None) -> Iterator[tuple[str, Any, int, str, str | None]]:
    """(classifier, its name first; class, its object, its shortcut or None); trained when their turn comes."""
    if world == "shapes":
        net = load_shapes_concepts(device="cpu")
        for index, concept in enumerate(CONCEPTS):
            yield "concept net", net, index, concept, None
    plantings = [(shortcuts, name) for shortcuts in SUITES[world] for name in ARCHITECTURES]
    for k, (shortcuts, name) in enumerate(plantings[:limit]):  # as `planted_suite` has them
        one = planted_classifier(world, shortcuts=shortcuts, cache=cache, architecture=name, seed=k)
        for index, concept in enumerate(one.classes):
            yield f"{name} {k}", one.classifier, index, one.core[concept], one.shortcut[concept]


def main() -> None:
    """Rank words for every class of every classifier and print how often they name what is planted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", default="shapes", help="shapes or scenes")
    parser.add_argument("--cache", type=Path, default=Path("build/words"), help="folder of the results")
    parser.add_argument("--classifiers", type=Path, default=Path("build/planted"), help="folder of the classifiers")
    parser.add_argument("--methods", default="exhaustive", help="of exhaustive, coordinate, pez, gumbel; with commas")
    parser.add_argument("--limit", type=int, help="planted classifiers, the first of the suite; all by default")
    parser.add_argument("--search", type=int, default=16, help="search seeds")
    parser.add_argument("--held-out", type=int, default=50, help="held-out seeds")
    parser.add_argument("--steps", type=int, default=30, help="gradient steps of pez and gumbel")
    arguments = parser.parse_args()
    generator = load_generator(arguments.world, device="cpu")
    gradients, remembering = GradientGenerator(generator), Remembering(generator, arguments.cache / "images")
    vocabulary = world_vocabulary(get_world(arguments.world), gradients)
    words = vocabulary.words
    search, held = ([row_seed(0, f"words benchmark {kind}", i) for i in range(n)]
                    for kind, n in (("search", arguments.search), ("held out", arguments.held_out)))  # fmt: skip
    path = arguments.cache / f"words-{arguments.world}.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    for method in arguments.methods.split(","):
        found = []
        for name, classifier, index, core, shortcut in cases(arguments.world, arguments.classifiers, arguments.limit):
            numbers = [arguments.search, arguments.held_out, arguments.steps]
            key = json.dumps(["log-odds", method, *numbers, words, classifier.fingerprint, index])
            if key not in results:
                begun = time.process_time()
                objective = class_log_odds(differentiable(classifier), index)
                ranking = rank_words(
                    CaptionScores(remembering, objective_score(objective)), vocabulary, search, held,
                    gradient=CaptionGradient(gradients, objective, vocabulary), method=method, n_words=2,
                    steps=arguments.steps,
                )  # fmt: skip
                listed = [(one.word, one.gain, one.low, one.high) for one in ranking.words]
                results[key] = {"words": listed, "best": ranking.best.caption, "seconds": time.process_time() - begun}
                write_atomic(path, json.dumps(results).encode())
            one = results[key]
            told = ", ".join(
                f"{word} {gain:+.2f} [{low:.2f}, {high:.2f}]" for word, gain, low, high in one["words"][:FIRST]
            )
            print(f"{method:10} {name:15} {core} + {shortcut}: {told}; best: {one['best']!r}", flush=True)
            found.append({**one, "planted": shortcut is not None, "core": core, "shortcut": shortcut})
        _summary(method, found, len(words))


def _summary(method: str, found: list[dict[str, Any]], n_words: int) -> None:
    """Shares of cases, with Wilson intervals, and what a random order gives."""
    for title, some in (("concept net", [one for one in found if not one["planted"]]),
                        ("planted shortcuts", [one for one in found if one["planted"]])):  # fmt: skip
        if not some:
            continue
        top = [[word for word, *_ in one["words"][:FIRST]] for one in some]
        core = [one["core"] in words for one, words in zip(some, top, strict=True)]
        tied = [one["shortcut"] in words for one, words in zip(some, top, strict=True)]
        first = [words[0] in (one["core"], one["shortcut"]) for one, words in zip(some, top, strict=True)]
        both = 2 if some[0]["planted"] else 1
        chance = {1: FIRST / n_words, 2: 1 - comb(n_words - 2, FIRST) / comb(n_words, FIRST)}
        print(f"\n{method}, {title}: {len(some)} classes, a vocabulary of {n_words} words")
        _share(
            f"object or shortcut among the first {FIRST}",
            [a or b for a, b in zip(core, tied, strict=True)],
            chance[both],
        )
        _share(f"object among the first {FIRST}", core, chance[1])
        if both == 2:
            joint = comb(n_words - 2, FIRST - 2) / comb(n_words, FIRST)
            _share(f"shortcut among the first {FIRST}", tied, chance[1])
            _share(f"both among the first {FIRST}", [a and b for a, b in zip(core, tied, strict=True)], joint)
        _share("the first word is object or shortcut", first, both / n_words)
        print(f"  seconds of one core a class: {np.mean([one['seconds'] for one in some]):.1f}")


def _share(title: str, hits: list[bool], chance: float) -> None:
    low, high = wilson_interval(sum(hits), len(hits))
    print(f"  {title}: {sum(hits)} of {len(hits)} ({np.mean(hits):.0%} [{low:.0%}, {high:.0%}]; chance {chance:.0%})")


if __name__ == "__main__":
    main()
