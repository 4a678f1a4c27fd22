"""Sections of radiology reports, in the forms that MIMIC-CXR's reports have."""

from __future__ import annotations

import pytest

from genlens.datasets.report_sections import choose_section, section_names, sections
from genlens.errors import UserError

USUAL = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with new onset ascites  // eval for infection

 TECHNIQUE:  Chest PA and lateral

 COMPARISON:  None.

 FINDINGS:

 There is no focal consolidation.  The lungs
 are clear.

 IMPRESSION:

 1. No acute process.
 2. Old rib fracture.
"""


def test_the_usual_form() -> None:
    found = sections(USUAL)
    assert found["findings"] == "There is no focal consolidation. The lungs are clear."
    assert found["impression"] == "1. No acute process. 2. Old rib fracture."
    assert found["indication"] == "___F with new onset ascites // eval for infection"
    assert found["comparison"] == "None."


def test_history_and_indication_mean_the_same() -> None:
    found = sections("HISTORY: Fall.\n\nREASON FOR EXAM: Pain.\n\nFINDINGS: Clear.")
    assert found["indication"] == "Fall. Pain."


def test_findings_and_impression_in_one() -> None:
    found = sections(" FINDINGS AND IMPRESSION:  Stable edema.\n")
    assert found["findings"] == found["impression"] == "Stable edema."


def test_a_report_without_headings_has_its_last_paragraph() -> None:
    found = sections("PORTABLE CHEST\n\nHeart size is\nnormal.\n")
    assert found == {"last paragraph": "Heart size is normal."}


def test_capitals_within_a_sentence_are_no_heading() -> None:
    found = sections("FINDINGS: An NG tube: in place.\n There is an AICD: two leads.\n\nIMPRESSION: OK.")
    assert found["findings"] == "An NG tube: in place. There is an AICD: two leads."


def test_unknown_headings_belong_to_the_section_before() -> None:
    found = sections("FINDINGS: Clear.\n WET READ: Seen by X at 9:00.\n\nIMPRESSION: None.")
    assert found["findings"] == "Clear. WET READ: Seen by X at 9:00."


def test_windows_line_ends_and_rules() -> None:
    assert sections("FINDINGS: Clear.\r\n_________________\r\nIMPRESSION: Fine.\r\n")["impression"] == "Fine."


def test_the_first_section_that_is_there_is_chosen() -> None:
    assert choose_section("IMPRESSION: B.", ("findings", "impression")) == "B."
    assert choose_section("IMPRESSION: B.", ("findings",)) == ""
    assert choose_section("", ("findings",)) == ""


def test_names_of_sections() -> None:
    assert section_names("Findings, impression") == ("findings", "impression")
    for wrong in ("summary", ""):
        with pytest.raises(UserError, match="`section` must name sections among"):
            section_names(wrong)
