"""`genlens explain`: a class or a neural feature as an optimised prompt and as words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from genlens.cli import options
from genlens.cli.groups import grouped
from genlens.cli.loading import progress_bar
from genlens.cli.options import PROMPT
from genlens.cli.render_options import RenderOptions

WORDS = "Words"


class Method(StrEnum):
    """How words are searched."""

    auto = "auto"
    exhaustive = "exhaustive"
    coordinate = "coordinate"
    pez = "pez"
    gumbel = "gumbel"


@dataclass(frozen=True)
class PromptOptions:
    """How the soft prompt is optimised."""

    iterations: Annotated[int, typer.Option(min=1, help="Steps of the optimisation.", rich_help_panel=PROMPT)] = 100
    tokens: options.Tokens = 5
    start: Annotated[
        str,
        typer.Option(help="words (the best of the word search), random, word:W, or a text.", rich_help_panel=PROMPT),
    ] = "words"
    restarts: Annotated[int, typer.Option(min=1, help="Prompts optimised side by side.", rich_help_panel=PROMPT)] = 2
    rate: options.Rate = 0.1
    batch: options.Batch = 8
    last_steps: options.LastSteps = 1
    pull: Annotated[
        float, typer.Option(min=0.0, help="Weight of the pull towards the vocabulary.", rich_help_panel=PROMPT)
    ] = 0.0
    diversity: Annotated[
        float, typer.Option(min=0.0, help="Weight of the distance between restarts.", rich_help_panel=PROMPT)
    ] = 0.0


@dataclass(frozen=True)
class WordOptions:
    """How words are searched."""

    words: Annotated[
        str | None,
        typer.Option(
            help="Vocabulary: a file with a word or phrase a line, or a list with commas; the tokenizer's own words.",
            rich_help_panel=WORDS,
        ),
    ] = None
    method: Annotated[
        Method, typer.Option(help="How words are searched; auto: all of them if few.", rich_help_panel=WORDS)
    ] = Method.auto
    n_words: Annotated[
        int, typer.Option("--n-words", min=1, help="Most words of a caption.", rich_help_panel=WORDS)
    ] = 2
    budget: Annotated[
        int, typer.Option(min=8, help="Captions scored in the search for words.", rich_help_panel=WORDS)
    ] = 256
    top: Annotated[int, typer.Option(min=1, help="Words listed.", rich_help_panel=WORDS)] = 10


@grouped
def explain(
    *,
    target: Annotated[str, typer.Argument(help="A class, by number or name, or feature:LAYER:INDEX.")],
    classifier: options.GradientClassifier,
    generator: options.Pipeline,
    out: options.RunFolderOut,
    class_name: Annotated[
        str | None, typer.Option(help="The class's name, for the prompt that is compared with; the classifier's own.")
    ] = None,
    n_images: Annotated[int, typer.Option("--images", min=2, help="Pictures of each prompt, on held-out seeds.")] = 100,
    template: Annotated[
        str | None, typer.Option(help='Caption with one {}; "a picture of a {}" where the pipeline knows its words.')
    ] = None,
    prompt: PromptOptions,
    search: WordOptions,
    render: RenderOptions,
    seed: options.Seed = 0,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """Explain a class or a neural feature: a prompt that maximises it, words, pictures beside the class name's."""
    from genlens.classifiers import load_classifier
    from genlens.explain import ExplainOptions
    from genlens.explain import explain as run
    from genlens.prompts.vocabulary import read_words
    from genlens.reports.explanation import print_explanation, write_explanation
    from genlens.run_folder import RunFolder

    words = search.words
    vocabulary = None if words is None else read_words(words)  # an empty one is found before any weights are loaded
    chosen = ExplainOptions(
        template=template, n_tokens=prompt.tokens, start=prompt.start, restarts=prompt.restarts,
        iterations=prompt.iterations, rate=prompt.rate, batch=prompt.batch, last_steps=prompt.last_steps or None,
        pull=prompt.pull, diversity=prompt.diversity, method=search.method.value, n_words=search.n_words,
        budget=search.budget, top=search.top, n_images=n_images, seed=seed,
    )  # fmt: skip
    model, source = load_classifier(classifier), render.load(generator)
    found = run(
        model, source, target, out, words=vocabulary, class_name=class_name, options=chosen, overwrite=overwrite,
        progress=progress_bar(quiet),
    )  # fmt: skip
    with RunFolder(out).lock():
        command = f"genlens explain {target!r} --classifier {classifier} --generator {generator} --out {out}"
        report = write_explanation(found, out, command)
    if not quiet:
        print_explanation(found)
        print(f"Report: {report}")
