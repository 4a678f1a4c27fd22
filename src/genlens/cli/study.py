"""`genlens study`: a questionnaire for people, its analysis, and how many people it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genlens.cli.options import Quiet, Seed
from genlens.errors import UserError

app = typer.Typer(help="Ask people which pictures explain better.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Ask people which pictures explain better."""


@app.command()
def build(
    images: Annotated[
        Path, typer.Argument(help="Folder with a folder an item, in it a folder a method; items.json has their texts.")
    ],
    ours: Annotated[str, typer.Option(help="The method that is compared with others: a folder below every item.")],
    against: Annotated[list[str], typer.Option(help="A rival: another folder below every item. Repeatable.")],
    out: Annotated[Path, typer.Option(help="Folder to write: study.html and key.json.")],
    n_images: Annotated[int, typer.Option("--images", min=1, help="Pictures of a set.")] = 6,
    people: Annotated[int, typer.Option(min=2, help="People that are planned; each has an order of their own.")] = 24,
    side: Annotated[int, typer.Option(min=8, help="Longest side of a picture in pixels.")] = 192,
    title: Annotated[str | None, typer.Option(help="Headline of the page.")] = None,
    intro: Annotated[Path | None, typer.Option(help="Text file with what people read and consent to.")] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Write a questionnaire: one HTML page that works offline, blinded and randomised, and the key to its answers."""
    from genlens.study.material import read_material
    from genlens.study.page import INTRO, TITLE, build_study

    material = read_material(images, [ours, *against], n_images, seed)
    text = INTRO if intro is None else _text(intro)
    built = build_study(
        material, out, n_people=people, title=TITLE if title is None else title, intro=text, side=side, seed=seed
    )
    if not quiet:
        print(f"Page: {built.page} ({built.page.stat().st_size / 1e6:.1f} MB, {built.n_steps} questions a person)")
        print(f"Key, not for people who take part: {built.key}")
        print(f"Give each of {built.n_people} people the page and a number of their own from 1 on.")


@app.command()
def analyze(
    answers: Annotated[list[Path], typer.Argument(help="Files that people saved, or folders of them.")],
    key: Annotated[Path, typer.Option(help="key.json, as written beside the page.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write; beside the key if not given.")] = None,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Say which method people prefer, with intervals over people, tests, agreement and a report."""
    from genlens.study.analysis import analyze_study
    from genlens.study.answers import load_answers, load_key
    from genlens.study.report import summary, write_study_report

    known = load_key(key)
    result = analyze_study(known, load_answers(answers, known), confidence=confidence, seed=seed)
    report = write_study_report(result, known.ours, out or key.parent / "analysis")
    if not quiet:
        for line in summary(result, known.ours):
            print(line)
        print(f"Report: {report}")


@app.command()
def power(
    preference: Annotated[float, typer.Option(help="Share of answers for ours that is to be found, such as 0.65.")],
    trials: Annotated[int, typer.Option(min=1, help="Comparisons a person answers.")],
    icc: Annotated[
        float, typer.Option(help="How alike one person's answers are: intraclass correlation, 0 to below 1.")
    ] = 0.1,
    alpha: Annotated[float, typer.Option(help="Level of the two-sided test.")] = 0.05,
    target_power: Annotated[float, typer.Option(help="Chance to find it.")] = 0.8,
    loss: Annotated[float, typer.Option(help="Share of people expected to fail the check of attention.")] = 0.0,
    seed: Seed = 0,
) -> None:
    """Say how many people a study needs."""
    from genlens.study.power import people_needed

    found = people_needed(preference, trials, icc=icc, alpha=alpha, power=target_power, loss=loss, seed=seed)
    print(f"{found.people} people who pass the checks of attention; invite {found.invited}.")
    print(f"Power there: {found.power:.1%} ± {1.96 * found.error:.1%} (simulated, Student's test over people's "
          f"shares), {found.sign_power:.1%} (sign test over people, exact).")  # fmt: skip
    print(f"Normal approximation: {found.closed_form} people. Assumed: a preference of {preference:.0%}, {trials} "
          f"comparisons a person, intraclass correlation {icc:g}, level {alpha:g}.")  # fmt: skip


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} must be a text file in UTF-8; {error}.") from error
