"""`genlens reproduce xray`: DEPICT's case study in healthcare (arXiv 2407.14509, section 4.3) on the X-ray phantom.

Three target models, made to rely on age, BMI or sex by resampling, stand on a bottleneck of sixteen concepts of which
only these three can be permuted. Drawers that err as real generators do show what the checks warn of.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from genlens.experiments.outcome import Reproduction, write_report
from genlens.experiments.xray_lab import Condition, Settings, XrayLab
from genlens.experiments.xray_measures import Outcome, measure
from genlens.experiments.xray_report import sections_of
from genlens.files import make_folder
from genlens.generators.protocol import Generator

FIGURES = "figures"
N_SHOWN = 5
_ENLARGED = 2


def reproduce_xray(
    out: str | Path,
    generator: Generator,
    settings: Settings | None = None,
    *,
    command: str = "",
    log: Callable[[str], None] = print,
) -> Reproduction:
    """Run the experiment, or what is missing of it, and write the report.

    Args:
        out: folder of everything.
        generator: renders the captions; the drawers, perfect and erring, come beside it.
        settings: size of the experiment.
        command: how to repeat it, for the report.
        log: gets a line a stage.

    Raises:
        UserError: `out` is a file, or the generator can't take the captions.
        KeyboardInterrupt: Ctrl-C; the same call goes on where it stopped.
    """
    lab = XrayLab(Path(out), settings or Settings(), generator, log)
    make_folder(lab.out / FIGURES)
    outcomes: dict[str, dict[str, Outcome]] = {}
    for condition in lab.conditions:
        outcomes[condition.name] = {name: measure(lab, target, condition) for name, target in lab.targets.items()}
    path = lab.out / FIGURES / "flips.png"
    _draw_flips(lab, lab.conditions[0], path)
    chosen = lab.settings
    support = (
        f"Three target models on a bottleneck of sixteen concepts, three of them permutable; {chosen.rows:,} test rows "
        f"each. Generator: {chosen.generator}."
    )
    sections = sections_of(lab, outcomes, path)
    title = "DEPICT's case study in healthcare, on the X-ray phantom"
    return write_report(lab.out, title, support, sections, lab.stages.seconds, command, FIGURES)


def _draw_flips(lab: XrayLab, condition: Condition, path: Path) -> None:
    """A row of pictures for each of a few test rows: real, generated, then age, BMI and sex switched."""
    target = next(iter(lab.targets.values()))
    _, plan = lab.plan(target, condition.masked)
    lines = []
    for row in range(N_SHOWN):
        own = plan.reference[row, 0]
        numbers = [own, *(next(k for k in states.index[row, :, 0] if k != own) for states in plan.states)]
        captions, seeds = [plan.captions[k] for k in numbers], [int(plan.seeds[k]) for k in numbers]
        lines.append(np.concatenate([target.images[row][None], condition.generator.generate(captions, seeds)]))
    sheet = np.stack(lines)  # (rows, 5, H, W, 3)
    rows, columns, height, width, _ = sheet.shape
    flat = sheet.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    Image.fromarray(flat).resize((columns * width * _ENLARGED, rows * height * _ENLARGED)).save(path)
