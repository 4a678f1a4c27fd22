"""README and guides: their examples run, their links resolve, their commands exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

FENCE = re.compile(r"^(?:<!-- skip: (?P<skip>.+?) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)
FILE = re.compile(r"# file: (\S+)\n")
LINK = re.compile(r"\[[^\]]+\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    code: str
    skip: str | None
    line: int


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        yield Block(found["language"], found["code"], found["skip"], text.count("\n", 0, found.start("code")))


def examples(page: Path) -> list[Block]:
    """Blocks that must run, in order."""
    return [block for block in blocks(page) if block.language in ("bash", "python") and block.skip is None]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment whose `genlens` is the one under test."""
    command = tmp_path / "bin" / "genlens"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m genlens "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {**os.environ, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": path}


@pytest.mark.parametrize("page", [page for page in PAGES if examples(page)], ids=lambda page: page.name)
def test_examples_run(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    for block in examples(page):
        named = FILE.match(block.code) if block.language == "python" else None
        if named:
            (folder / named[1]).write_text(block.code)
            continue
        command = ["bash", "-euo", "pipefail", "-c"] if block.language == "bash" else [sys.executable, "-c"]
        done = subprocess.run(
            [*command, block.code], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, f"{page.name}:{block.line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def test_pages_have_examples_that_run() -> None:
    assert sum(len(examples(page)) for page in PAGES) >= 5


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_only_blocks_that_need_something_are_skipped(page: Path) -> None:
    reasons = [block.skip for block in blocks(page) if block.skip is not None]
    assert all(re.match(r"(needs|makes) \w+", reason) for reason in reasons), reasons
    assert page.read_text(encoding="utf-8").count("<!-- skip:") == len(reasons), "a skip comment without a block"


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_resolve(page: Path) -> None:
    broken = []
    for found in LINK.finditer(re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)):
        target, _, anchor = found["target"].partition("#")
        if "://" in target:
            continue
        file = (page.parent / target) if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(found["target"])
    assert broken == []


def test_every_guide_is_in_the_index() -> None:
    listed = {found["target"] for found in LINK.finditer((ROOT / "docs" / "index.md").read_text(encoding="utf-8"))}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} <= listed


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_in_the_docs_exist(page: Path) -> None:
    """Every `genlens …` of a page, also in blocks that are skipped, names a command and options that exist."""
    from typer.main import get_command

    from genlens.cli import app

    root = get_command(app)
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in re.findall(r"^(?:\$ )?(genlens [a-z].*)$", text, re.M):
        words = line.split()[1:]
        command = root
        while hasattr(command, "commands"):
            assert words and words[0] in command.commands, f"{page.name}: no command {line!r}"
            command = command.commands[words.pop(0)]
        known = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} - known - {"--help"} == set(), line


def test_the_tree_in_the_readme_is_the_tree() -> None:
    tree = re.search(r"^src/genlens/\n(?P<lines>(?:  .+\n)+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.M)
    assert tree
    listed = {line.split()[0].rstrip("/") for line in tree["lines"].splitlines()}
    assert all(len(line.split()) > 1 for line in tree["lines"].splitlines()), "an entry without a comment"
    package = ROOT / "src" / "genlens"
    entries = {path.name for path in package.iterdir() if not path.name.startswith(("_", "py.typed"))}
    assert listed == entries
