"""`genlens reproduce shapes`: the synthetic experiment of DEPICT (arXiv 2407.14509, section 4.1) and open questions.

Parts: "main" (DEPICT, three baselines, two oracles, the ceiling, both checks), and what the paper leaves open:
"architectures", "correlation", "quality", "hard" and "continuous". All share one folder: data, images, the stages'
arrays; a stopped experiment goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from genlens.errors import UserError
from genlens.experiments.outcome import Reproduction, write_report
from genlens.experiments.shapes_architectures import architecture_section
from genlens.experiments.shapes_continuous import continuous_section
from genlens.experiments.shapes_correlation import correlation_section
from genlens.experiments.shapes_hard import hard_section
from genlens.experiments.shapes_lab import Lab, Settings
from genlens.experiments.shapes_main import run_main
from genlens.experiments.shapes_quality import LoadVariant, quality_section
from genlens.experiments.shapes_questions import questions_section
from genlens.experiments.shapes_report import main_sections
from genlens.files import make_folder
from genlens.generators.protocol import Generator
from genlens.progress import Progress, SilentProgress
from genlens.reports.document import Section

PARTS = ("main", "architectures", "correlation", "quality", "hard", "continuous")
FIGURES = "figures"


def check_parts(parts: Sequence[str]) -> tuple[str, ...]:
    """Parts in the order of `PARTS`, each once.

    Raises:
        UserError: one is unknown, or there is none.
    """
    for part in parts:
        if part not in PARTS:
            raise UserError(f"`only` must name parts among {', '.join(PARTS)}; got {part!r}.")
    if not parts:
        raise UserError(f"`only` must name at least one part among {', '.join(PARTS)}; got none.")
    return tuple(part for part in PARTS if part in parts)


def reproduce_shapes(
    out: str | Path,
    generator: Generator,
    settings: Settings | None = None,
    *,
    parts: Sequence[str] = PARTS,
    load: LoadVariant | None = None,
    command: str = "",
    progress: Progress | None = None,
    log: Callable[[str], None] = print,
    overwrite: bool = False,
) -> Reproduction:
    """Run the experiment, or what is missing of it, and write the report.

    Args:
        out: folder of everything.
        generator: renders the captions.
        settings: size of the experiment.
        parts: see `PARTS`.
        load: loads the generator with another number of denoising steps or another guidance, or an early stage of its
            training, for the sweep of its quality; None: the sweep takes the drawer only.
        command: how to repeat it, for the report.
        progress: told about rendering and scoring.
        log: gets a line a stage.
        overwrite: throw away images of other settings.

    Raises:
        UserError: an unknown part, or `out` holds an experiment with other settings.
        KeyboardInterrupt: Ctrl-C; the same call goes on where it stopped.
    """
    chosen = check_parts(parts)
    lab = Lab(Path(out), settings or Settings(), generator, progress or SilentProgress(), log, overwrite)
    folder = lab.out / FIGURES
    make_folder(folder)
    sections: list[Section] = []
    for part in chosen:
        if part == "main":
            sections += main_sections(lab, run_main(lab), folder)
        elif part == "architectures":
            sections.append(architecture_section(lab))
        elif part == "correlation":
            sections.append(correlation_section(lab, folder))
        elif part == "quality":
            sections.append(quality_section(lab, folder, load))
        elif part == "hard":
            sections.append(hard_section(lab))
        else:
            sections.append(continuous_section(lab, folder))
        result = _write(lab, [*sections, questions_section(chosen)], command)  # a stop leaves a report
    return result


def _write(lab: Lab, sections: Sequence[Section], command: str) -> Reproduction:
    chosen = lab.settings
    support = (
        f"{chosen.models} target models on one concept net, {chosen.rows:,} rows, {lab.plan.n_images:,} images instead "
        f"of {lab.plan.n_naive(chosen.n_repeats):,}, shared by all models. Generator: {chosen.generator}."
    )
    title = "The synthetic experiment of DEPICT"
    return write_report(lab.out, title, support, sections, lab.stages.seconds, command, FIGURES)
