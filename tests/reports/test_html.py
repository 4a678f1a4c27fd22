"""The HTML report: complete in itself, escaped, whole for extreme inputs."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genlens.importance.result import ImportanceResult
from genlens.reports.html import render_report, write_report

EVIL = "<script>alert(1)</script>"
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Tags with their attributes, text by tag, and whether every tag is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def text(self, *tags: str) -> str:
        return " ".join(" ".join(data for tag, data in self.texts if not tags or tag in tags).split())


def looked_at(result: ImportanceResult) -> Page:
    page = Page(render_report(result))
    assert page.open == []
    return page


def test_report_is_complete_in_itself(invent: Callable[..., ImportanceResult], tmp_path: Path) -> None:
    path = write_report(invent(), tmp_path / "run" / "report.html")
    assert path == tmp_path / "run" / "report.html"
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    source = path.read_text(encoding="utf-8")
    page = Page(source)
    assert not page.all("script") and not page.all("iframe")
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert re.match(r"#|data:|$", attributes.get(name, "")), f"<{tag} {name}> leads outside"
        assert not [name for name in attributes if name.startswith("on")]
    assert "url(" not in source and "@import" not in source and "://" not in source
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")


def test_in_page_links_and_labels_lead_somewhere(invent, invent_checks) -> None:
    checks = invent_checks(["a", "b"], ("failed", "undecided", "passed"))
    page = looked_at(invent(["a", "b"], checks=checks))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = [a["href"][1:] for a in page.all("a")]
    wanted += [a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a]
    assert set(wanted) <= set(ids)


def test_names_are_text_never_markup(invent) -> None:
    names = [EVIL, '"><img src=x onerror=alert(1)>', "a & b"]
    gallery = tuple(p for p in invent(names).gallery)
    source = render_report(invent(names, gallery=gallery, settings={"command": EVIL, "note": EVIL, EVIL: 1}))
    page = Page(source)
    assert "<script" not in source and not page.all("script")
    assert not [a for a in page.all("img") if "onerror" in a]
    for name in names:
        assert name in page.text("th") and name in page.text("title") and name in page.text("h3")
        assert any(name in a.get("aria-label", "") for a in page.all("svg"))
        assert any(name in a["alt"] for a in page.all("img"))
    assert EVIL in page.text("code") and EVIL in page.text("em")


def test_every_concept_is_in_ranking_distribution_checks_and_pictures(invent) -> None:
    result = invent()
    page = looked_at(result)
    for concept in result.concepts:
        assert page.text("th").count(concept) >= 5  # ranking, distribution, two tables, matrix
        assert concept in page.text("h3")
    for section in ("ranking", "distribution", "checks", "pictures", "method"):
        assert [a for a in page.all("section") if a["id"] == section]


def test_pictures_decode_and_have_alternative_texts(invent) -> None:
    result = invent()
    images = looked_at(result).all("img")
    assert len(images) == len(result.gallery) == 48
    for attributes in images:
        encoded = attributes["src"].removeprefix("data:image/png;base64,")
        with Image.open(io.BytesIO(base64.b64decode(encoded, validate=True))) as image:
            assert image.size == (int(attributes["width"]), int(attributes["height"])) == (64, 64)
        assert re.search(r"red|green|blue", attributes["alt"]) and "score" in attributes["alt"]
        assert attributes["class"] == "small"


def test_header_cells_have_scope(invent) -> None:
    assert all(attributes.get("scope") in ("row", "col") for attributes in looked_at(invent()).all("th"))


def test_figures_are_written_in_the_house_style(invent) -> None:
    text = looked_at(invent()).text()
    assert ".244 [.222, .266]" in text and "< .001" in text
    assert "\N{MINUS SIGN}1.88" in text and "+2.87" in text
    assert "0.244" not in text and "nan" not in text.lower()


def test_no_warning_when_all_checks_pass(invent) -> None:
    assert not looked_at(invent()).all("aside")


@pytest.mark.parametrize("verdict", ["failed", "undecided"])
def test_warning_stands_above_the_headline_and_hides_nothing(invent, invent_checks, verdict: str) -> None:
    names = ["a", "b"]
    result = invent(names, checks=invent_checks(names, ("passed", verdict, "passed")))
    source = render_report(result)
    page = Page(source)
    assert page.all("aside")[0]["class"] == f"alert {verdict}"
    assert source.index("<aside") < source.index("<h1")
    text = page.text()
    assert "What it means." in text and "What to do." in text and "Permute the two as a group." in text
    assert source.index("Permute the two as a group.") < source.index("<h1")
    assert len([a for a in page.all("table") if a.get("class", "").startswith("ranking")]) == 1


def test_heat_map_marks_changes_beyond_the_threshold(invent, invent_checks) -> None:
    names = ["a", "b", "c"]
    page = looked_at(invent(names, checks=invent_checks(names, ("passed", "failed", "passed"))))
    cells = [
        a["class"].split() for a in page.all("td") if "--a" in a.get("style", "") or "diagonal" in a.get("class", "")
    ]
    assert sum("diagonal" in cell for cell in cells) == 3
    beyond = [cell for cell in cells if "beyond" in cell]
    assert len(beyond) == 2 and all("fall" in cell for cell in beyond)


def test_true_reliance_has_a_column_only_where_it_is_known(invent) -> None:
    result = invent()
    truth = dict(zip(result.concepts, [0.9, 0.3, 0.1, 0.6, 0.0, 0.4], strict=True))
    with_truth = looked_at(invent(settings={"true_reliance": truth}))
    assert "True" in with_truth.text("th") and "(Spearman)" in with_truth.text()
    assert "True" not in looked_at(result).text("th")


def test_method_says_how_to_repeat_the_run(invent) -> None:
    text = looked_at(invent()).text()
    assert "genlens rank data/test --concepts" in text and "torch 2.13.0" in text
    assert "7,000" in text and "3,001,000" in text and "429 times as many" in text


LONG = "a very long concept name without any end " * 5
EXTREMES = {
    "one concept": dict(names=["tv"]),
    "forty concepts": dict(names=[f"concept {k}" for k in range(40)]),
    "long names": dict(names=[LONG, "x" * 200]),
    "no checks": dict(checks=()),
    "no gallery": dict(gallery=()),
    "no real score": dict(real_score=None, real_ci=None),
    "no repeats": dict(repeats=np.zeros((6, 0))),
    "no intervals": dict(ci_low=np.full(6, np.nan), ci_high=np.full(6, np.nan), reference_ci=(np.nan, np.nan)),
    "no q-values": dict(p_value=np.full(6, np.nan), q_value=np.full(6, np.nan)),
    "nothing known": dict(
        importance=np.full(6, np.nan), ci_low=np.full(6, np.nan), ci_high=np.full(6, np.nan),
        q_value=np.full(6, np.nan), repeats=np.full((6, 5), np.nan), reliance=np.full(6, np.nan),
        reliance_ci=np.full((6, 2), np.nan), reliance_signed=np.full(6, np.nan), reference_score=np.nan,
    ),
    "all zero": dict(importance=np.zeros(6), ci_low=np.zeros(6), ci_high=np.zeros(6), repeats=np.zeros((6, 9))),
    "no settings": dict(settings={}),
    "a loss": dict(scoring="neg_mean_squared_error", target_class=291),
}  # fmt: skip


@pytest.mark.parametrize("case", EXTREMES)
def test_extreme_inputs(invent, case: str) -> None:
    result = invent(**EXTREMES[case])
    page = looked_at(result)
    for concept in result.concepts:
        assert " ".join(concept.split()) in page.text("th")
    assert "nan" not in page.text().lower().replace("distance", "")
    assert len(page.all("h1")) == 1


def test_same_result_gives_the_same_file(invent) -> None:
    assert render_report(invent()) == render_report(invent())


def test_every_analysis_has_a_card_with_its_line_advice_and_figures(invent, invent_analyses) -> None:
    analyses = invent_analyses(["a", EVIL])
    page = looked_at(invent(["a", EVIL], analyses=analyses))
    assert [a["id"] for a in page.all("div") if a.get("id", "").startswith("analysis-")] == [
        f"analysis-{analysis.code}" for analysis in analyses
    ]
    for analysis in analyses:
        assert analysis.title in page.text("h3")
        for text in (analysis.message, analysis.advice, analysis.reading, analysis.guide):
            assert text in page.text("p")
    assert len([a for a in page.all("figure") if a.get("class") == "curve"]) == 2
    assert not page.all("script")
    assert "#analyses" in [a["href"] for a in page.all("a")]


def test_without_analyses_there_is_no_section_of_them(invent) -> None:
    page = looked_at(invent())
    assert not [a for a in page.all("section") if a["id"] == "analyses"]
    assert "#analyses" not in [a["href"] for a in page.all("a")]
