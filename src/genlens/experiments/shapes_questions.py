"""What the paper and its readers leave open, and which part of the shapes experiment answers it."""

from __future__ import annotations

from collections.abc import Sequence

from genlens.reports.document import Section, Table

_OUT = "out of reach of shapes"

QUESTIONS: tuple[tuple[str, str, str], ...] = (
    ("first experiment: effective generation", "main", "Checks of the assumptions"),
    ("first experiment: independent permutation", "main", "Checks of the assumptions"),
    ("first experiment: a data set with known truth", "main", "Importance (AUROC drop) against both oracles"),
    ("next check: several classifiers trained on the same data", "architectures",
     "Architectures trained on the same data"),
    ("next check: correlated concepts, alone and together", "correlation", "Correlated concepts"),
    ("next check: generation quality", "quality", "Quality and diversity of the generator"),
    ("open question: concepts that are hard to permute", "hard", "Hard-to-permute concepts"),
    ("open question: quality and diversity of the generator", "quality", "Quality and diversity of the generator"),
    ("open question: continuous concepts", "continuous", "Continuous concepts"),
    ("open question: other domains (photographs, X-rays)", "",
     f"{_OUT}: every drawing is of one domain"),
    ("open question: age and sex of patients themselves", "",
     f"{_OUT}: the mechanism is in “Hard-to-permute concepts”, what a generator does to a patient's age is not"),
    ("limitation: the effort of annotation", "", f"{_OUT}: labels of drawings cost nothing"),
)  # fmt: skip
"""Question, the part that answers it ("" where none does), and where or why not."""


def questions_section(parts: Sequence[str]) -> Section:
    """Which questions these parts answer, and which the data can't answer."""
    rows = tuple((question, where) for question, part, where in QUESTIONS if not part or part in parts)
    return Section(
        "Open questions and where they are answered",
        (
            "First experiments, next checks and open questions as readers of the paper have listed them, each with the "
            "section above that answers it. What drawings can't tell is named as such.",
        ),
        (Table("Questions", ("question", "where"), rows),),
    )
