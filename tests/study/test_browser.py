"""The questionnaire in a real browser, from the first page to the saved file, with the keyboard alone."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from genlens.study.answers import load_answers, load_key
from genlens.study.design import CHECK_WORDS
from genlens.study.page import Built

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on the PATH"),
]
VISIBLE = "[...document.querySelectorAll('main > :not([hidden]):not(noscript)')].map(e => e.id)"


def focus_on(browser, selector: str) -> None:
    """Press Tab until an element that fits has the focus."""
    for _ in range(30):
        if browser.value(f"document.activeElement.matches({json.dumps(selector)})"):
            return
        browser.key("Tab")
    raise AssertionError(f"Tab never reaches {selector}")


def test_from_the_first_page_to_the_last_by_keyboard(browser, built: Built, tmp_path: Path) -> None:
    key = load_key(built.key)
    browser.call("Page.navigate", url=built.page.as_uri())
    while browser.value("document.readyState") != "complete":
        time.sleep(0.05)
    assert browser.value(VISIBLE) == ["welcome"]

    focus_on(browser, "#person")
    browser.key("Enter")
    assert "participant number" in browser.value("document.getElementById('welcome-problem').textContent")
    browser.key("5", "5")
    browser.key("Enter")
    assert "tick the box" in browser.value("document.getElementById('welcome-problem').textContent")
    focus_on(browser, "#consent")
    browser.key(" ")
    browser.key("Enter")

    steps, wanted = key.schedules[4], []
    for k, step in enumerate(steps):
        assert browser.value(VISIBLE) == ["question"]
        assert browser.value("document.getElementById('place').textContent") == f"Question {k + 1} of {len(steps)}"
        assert browser.value("document.querySelectorAll('#sets img').length") == 3 * len(step["sets"])
        assert browser.value("Promise.all([...document.images].map(e => e.decode())).then(() => true)")
        if k == 0:
            focus_on(browser, "button")
            browser.key("Enter")
            assert "choose an answer" in browser.value("document.getElementById('question-problem').textContent")
        options = step["options"]
        choice = options.index(CHECK_WORDS[step["item"]]) if step["kind"] == "check" else k % len(options)
        focus_on(browser, "input[type=radio]")
        browser.key(" ")
        for _ in range(choice):
            browser.key("ArrowDown")
        wanted.append(options[choice])
        browser.key("Enter")

    assert browser.value(VISIBLE) == ["end"]
    focus_on(browser, "#comment")
    browser.key("x", "x")
    focus_on(browser, "#save")
    browser.key("Enter")
    saved = tmp_path / "downloads" / "answers-5.json"
    for _ in range(100):
        if saved.exists():
            break
        time.sleep(0.05)
    (person,) = load_answers([saved], key)
    assert (person.number, list(person.choices), person.attentive, person.comment) == (5, wanted, True, "x")
    assert json.loads(browser.value("document.getElementById('copy').value")) == json.loads(saved.read_text())
    assert browser.errors == []


@pytest.mark.parametrize("width", [1280, 390])
def test_pages_fit_their_window(browser, built: Built, width: int) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=False)
    browser.call("Page.navigate", url=f"{built.page.as_uri()}?person=2")
    while browser.value("document.readyState") != "complete":
        time.sleep(0.05)
    assert browser.value("document.getElementById('person').value") == "2"
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.value(overflow) <= 0
    browser.value("document.getElementById('consent').checked = true")
    browser.value("document.getElementById('welcome').requestSubmit()")
    for _ in range(built.n_steps):
        assert browser.value(overflow) <= 0
        browser.value("document.querySelector('#choices input').checked = true")
        browser.value("document.getElementById('question').requestSubmit()")
    assert browser.value(VISIBLE) == ["end"]
    assert browser.value(overflow) <= 0
    browser.value("document.getElementById('save').click()")
