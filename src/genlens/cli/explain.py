"""`genlens explain`: a class or a neural feature as an optimised prompt and as words."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from genlens.cli import options
from genlens.cli.loading import load_generator, progress_bar

PROMPT, WORDS = "Soft prompt", "Words"


class Method(StrEnum):
    """How words are searched."""

    auto = "auto"
    exhaustive = "exhaustive"
    coordinate = "coordinate"
    pez = "pez"
    gumbel = "gumbel"


def explain(
    target: Annotated[str, typer.Argument(help="A class, by number or name, or feature:LAYER:INDEX.")],
    classifier: Annotated[
        str, typer.Option(help="A classifier with gradients: file.py:function, hf:ID, timm:NAME or bundled:NAME.")
    ],
    generator: Annotated[
        str,
        typer.Option(help="Folder or hub id of a diffusers pipeline; shapes; scenes.", rich_help_panel=options.MODEL),
    ],
    out: Annotated[Path, typer.Option(help="Run folder; the same command again goes on where it stopped.")],
    class_name: Annotated[
        str | None, typer.Option(help="The class's name, for the prompt that is compared with; the classifier's own.")
    ] = None,
    n_images: Annotated[int, typer.Option("--images", min=2, help="Pictures of each prompt, on held-out seeds.")] = 100,
    template: Annotated[
        str | None, typer.Option(help='Caption with one {}; "a picture of a {}" where the pipeline knows its words.')
    ] = None,
    iterations: Annotated[int, typer.Option(min=1, help="Steps of the optimisation.", rich_help_panel=PROMPT)] = 100,
    tokens: Annotated[int, typer.Option(min=1, help="Free tokens.", rich_help_panel=PROMPT)] = 3,
    start: Annotated[str, typer.Option(help="random, word:W, or a text.", rich_help_panel=PROMPT)] = "random",
    restarts: Annotated[int, typer.Option(min=1, help="Prompts optimised side by side.", rich_help_panel=PROMPT)] = 2,
    rate: Annotated[
        float, typer.Option(help="Rate, in standard deviations of the embeddings.", rich_help_panel=PROMPT)
    ] = 0.1,
    batch: Annotated[int, typer.Option(min=1, help="Pictures a step and restart.", rich_help_panel=PROMPT)] = 8,
    last_steps: Annotated[
        int,
        typer.Option(min=0, help="Denoising steps with a gradient, the last ones; 0: all.", rich_help_panel=PROMPT),
    ] = 1,
    pull: Annotated[
        float, typer.Option(min=0.0, help="Weight of the pull towards the vocabulary.", rich_help_panel=PROMPT)
    ] = 0.0,
    diversity: Annotated[
        float, typer.Option(min=0.0, help="Weight of the distance between restarts.", rich_help_panel=PROMPT)
    ] = 0.0,
    words: Annotated[
        str | None,
        typer.Option(
            help="Vocabulary: a file with a word or phrase a line, or a list with commas; the tokenizer's own words.",
            rich_help_panel=WORDS,
        ),
    ] = None,
    method: Annotated[
        Method, typer.Option(help="How words are searched; auto: all of them if few.", rich_help_panel=WORDS)
    ] = Method.auto,
    n_words: Annotated[
        int, typer.Option("--n-words", min=1, help="Most words of a caption.", rich_help_panel=WORDS)
    ] = 2,
    budget: Annotated[
        int, typer.Option(min=8, help="Captions scored in the search for words.", rich_help_panel=WORDS)
    ] = 256,
    top: Annotated[int, typer.Option(min=1, help="Words listed.", rich_help_panel=WORDS)] = 10,
    steps: options.Steps = None,
    guidance: options.Guidance = None,
    size: options.Size = None,
    scheduler: options.Scheduler = None,
    dtype: options.Dtype = "auto",
    device: options.Device = "auto",
    batch_size: options.BatchSize = None,
    lora: options.Lora = None,
    lcm: options.Lcm = False,
    tiny_vae: options.TinyVae = None,
    threads: options.Threads = None,
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

    vocabulary = None if words is None else read_words(words)  # an empty one is found before any weights are loaded
    chosen = ExplainOptions(
        template=template, n_tokens=tokens, start=start, restarts=restarts, iterations=iterations, rate=rate,
        batch=batch, last_steps=last_steps or None, pull=pull, diversity=diversity, method=method.value,
        n_words=n_words, budget=budget, top=top, n_images=n_images, seed=seed,
    )  # fmt: skip
    model = load_classifier(classifier)
    source = load_generator(
        generator, num_inference_steps=steps, guidance_scale=guidance, size=size, scheduler=scheduler, dtype=dtype,
        device=device, batch_size=batch_size, lora=lora, lcm=lcm or None, tiny_vae=tiny_vae, threads=threads,
    )  # fmt: skip
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
