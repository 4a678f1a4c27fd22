"""The report in a real browser: headless Chromium from Debian."""

from __future__ import annotations

import io
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
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars"
).split()

PROBE = """
<script>
const errors = [];
addEventListener("error", event => errors.push(String(event.message || event.target.outerHTML)), true);
addEventListener("securitypolicyviolation", event => errors.push(event.violatedDirective + " " + event.blockedURI));
addEventListener("load", () => {
  const out = document.createElement("pre");
  const hidden = e => getComputedStyle(e).display === "none" || getComputedStyle(e).position === "absolute";
  const inScroll = e => e.closest(".scroll, svg, .unseen, .skip, thead");
  out.id = "probe";
  out.textContent = JSON.stringify({
    errors,
    width: innerWidth,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    outside: [...document.querySelectorAll("main *")].filter(
      e => !inScroll(e) && !hidden(e) && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80)),
    headings: [...document.querySelectorAll("h1, h2")].map(e => e.innerText.trim()),
    broken: [...document.images].filter(e => !e.naturalWidth).length,
    images: document.images.length,
    strips: [...document.querySelectorAll(".ranking td.chart:not(.less) svg")].map(e => e.getBoundingClientRect().width),
  });
  document.body.append(out);
});
</script>
"""


def chromium(page: Path, width: int, *flags: str) -> str:
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={page.parent / 'profile'}", f"--window-size={width},1000", *flags]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def probed(source: str, folder: Path, width: int) -> dict:
    """What the page measures of itself: its policy against scripts is lifted, and a probe put in."""
    source, n = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', lambda _: PROBE, source)
    assert n == 1
    page = folder / "probe.html"
    page.write_text(source, encoding="utf-8")
    dump = chromium(page, width, "--dump-dom")
    found = re.search(r'<pre id="probe">(.*?)</pre>', dump, re.DOTALL)
    assert found, dump[-2000:]
    return json.loads(re.sub(r"&(amp|lt|gt);", lambda m: {"amp": "&", "lt": "<", "gt": ">"}[m[1]], found[1]))


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("case", ["warnings", "many", "long"])
def test_page_fits_its_window_without_errors(invent, invent_checks, tmp_path: Path, case: str, width: int) -> None:
    names = {
        "warnings": ["red circle", "green circle", "tv"],
        "many": [f"a concept with the number {k}" for k in range(40)],
        "long": ["an endless name " * 12, "x" * 150],
    }[case]
    checks = invent_checks(names, ("failed", "undecided", "passed"))
    truth = dict.fromkeys(names, 0.5)
    settings = {"command": "genlens rank " + "x" * 300, "path": "/a" * 200, "true_reliance": truth}
    seen = probed(render_report(invent(names, checks=checks, settings=settings)), tmp_path, width)
    assert seen["errors"] == []
    assert seen["width"] == width
    assert seen["overflow"] <= 0 and seen["outside"] == []
    assert seen["broken"] == 0 and seen["images"] > 0
    assert min(seen["strips"]) > 100
    warned, first, *rest = seen["headings"]
    assert warned.startswith("Read the ranking with care") and first.startswith("The classifier relies most on")
    assert rest == [
        "Ranking", "Distribution over permutations", "Checks of the assumptions", "Pictures", "How this was measured"
    ]  # fmt: skip


def test_names_do_not_run_as_scripts(invent, tmp_path: Path) -> None:
    names = ["<script>document.title='run'</script>", "<img src=x onerror=\"document.title='run'\">"]
    source = render_report(invent(names))
    page = tmp_path / "evil.html"
    page.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", source), encoding="utf-8")
    assert "<title>run</title>" not in chromium(page, 1280, "--dump-dom")


@pytest.mark.parametrize(("scheme", "bright"), [("1", True), ("0", False)])
def test_light_and_dark(invent, tmp_path: Path, scheme: str, bright: bool) -> None:
    page, shot = tmp_path / "report.html", tmp_path / "report.png"
    page.write_text(render_report(invent()), encoding="utf-8")
    chromium(page, 1280, f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={shot}")
    with Image.open(io.BytesIO(shot.read_bytes())) as image:
        assert image.width == 1280
        assert (sum(image.convert("RGB").getpixel((5, 5))) > 384) is bright
        assert len(image.convert("RGB").getcolors(2**20) or []) > 50
