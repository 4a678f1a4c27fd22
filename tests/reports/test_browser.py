"""The report in a real browser: headless Chromium from Debian."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from genlens.reports.html import render_report

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH (Debian: apt-get install chromium)"),
]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
]

PROBE = """
<script>
const errors = [];
addEventListener("error", event => errors.push(String(event.message || event.target.outerHTML)), true);
addEventListener("load", () => {
  const placed = e => getComputedStyle(e).display !== "none" && getComputedStyle(e).position !== "absolute";
  const right = e => e.getBoundingClientRect().right;
  const outside = e => !e.closest(".scroll, svg, thead") && placed(e) && right(e) > innerWidth + 1;
  const width = e => e.getBoundingClientRect().width;
  parent.postMessage({
    name: NAME,
    errors,
    title: document.title,
    width: innerWidth,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    outside: [...document.querySelectorAll("main *")].filter(outside).map(e => e.outerHTML.slice(0, 80)),
    headings: [...document.querySelectorAll("h1, h2")].map(e => e.innerText.trim()),
    images: document.images.length,
    broken: [...document.images].filter(e => !e.naturalWidth).length,
    narrowest: Math.min(...[...document.querySelectorAll(".ranking td.chart:not(.less) svg")].map(width)),
  }, "*");
});
</script>
"""
HARNESS = """<!doctype html><pre id="seen"></pre><script>
const seen = [];
addEventListener("message", event => {
  seen.push(event.data);
  document.getElementById("seen").textContent = JSON.stringify(seen);
});
</script>
"""

CASES = {
    "warnings": ["red circle", "green circle", "tv"],
    "forty": [f"a concept with the number {k}" for k in range(40)],
    "long": ["an endless name " * 12, "x" * 150],
    "evil": ["<script>document.title = 'run'</script>", "<img src=x onerror=\"document.title = 'run'\">"],
}
WIDTHS = (1280, 390)


def chromium(page: Path, *flags: str) -> str:
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={page.parent / 'profile'}", *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout


@pytest.fixture(scope="module")
def seen(invent, invent_checks, invent_analyses, tmp_path_factory) -> dict[tuple[str, int], dict]:
    """What every page measures of itself at every width, in one browser.

    Each page is a frame as wide as the window it stands for; its policy against scripts makes way for a probe.
    """
    folder = tmp_path_factory.mktemp("browser")
    harness = HARNESS
    for case, names in CASES.items():
        settings = {
            "command": "genlens rank " + "x" * 300,
            "path": "/a" * 200,
            "true_reliance": dict.fromkeys(names, 0.5),
        }
        checks = invent_checks(names, ("failed", "undecided", "passed"))
        analyses = invent_analyses(names)
        source = render_report(invent(names, checks=checks, settings=settings, analyses=analyses))
        for width in WIDTHS:
            probe = PROBE.replace("NAME", json.dumps([case, width]))
            page, n = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', lambda _, p=probe: p, source)
            assert n == 1
            (folder / f"{case}-{width}.html").write_text(page, encoding="utf-8")
            harness += (
                f'<iframe src="{case}-{width}.html" style="border: 0; width: {width}px; height: 900px"></iframe>\n'
            )
    (folder / "harness.html").write_text(harness, encoding="utf-8")
    dump = chromium(folder / "harness.html", "--window-size=1400,1000", "--virtual-time-budget=20000", "--dump-dom")
    found = re.search(r'<pre id="seen">(.*?)</pre>', dump, re.DOTALL)
    assert found, dump[:2000]
    return {tuple(page["name"]): page for page in json.loads(html.unescape(found[1]))}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("case", CASES)
def test_page_fits_its_window_without_errors(seen, case: str, width: int) -> None:
    page = seen[case, width]
    assert page["errors"] == []
    assert page["width"] == width
    assert page["outside"] == []
    assert page["overflow"] <= 0
    assert page["broken"] == 0 and page["images"] > 0
    assert page["narrowest"] > 100


@pytest.mark.parametrize("case", CASES)
def test_headings(seen, case: str) -> None:
    warned, first, *rest = seen[case, 1280]["headings"]
    assert warned.startswith("Read the ranking with care")
    assert first.startswith("The classifier relies most on")
    sections = ["Ranking", "Distribution over permutations", "Checks of the assumptions", "Further analyses"]
    assert rest == [*sections, "Pictures", "How this was measured"]


@pytest.mark.parametrize("width", WIDTHS)
def test_names_do_not_run_as_scripts(seen, width: int) -> None:
    assert seen["evil", width]["title"].startswith("genlens report: ")


@pytest.mark.parametrize(("scheme", "bright"), [("1", True), ("0", False)], ids=["light", "dark"])
def test_screenshots_in_light_and_dark(invent, tmp_path: Path, scheme: str, bright: bool) -> None:
    page, shot = tmp_path / "report.html", tmp_path / "report.png"
    page.write_text(render_report(invent()), encoding="utf-8")
    chromium(page, "--window-size=1280,1000", f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={shot}")
    with Image.open(shot) as image:
        pixels = image.convert("RGB")
    assert pixels.width == 1280
    assert (sum(pixels.getpixel((5, 5))) > 384) is bright
    assert len(pixels.getcolors(2**20)) > 50
