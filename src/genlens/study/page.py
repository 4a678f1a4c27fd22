"""The questionnaire: one HTML file with its pictures inside that works offline, and the key beside it."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from genlens.errors import UserError, check_integer
from genlens.files import write_atomic
from genlens.study.design import CHECK_WORDS, VERSION, Design, check_blinded, design_hash, make_design
from genlens.study.material import Material, picture_uri

PAGE, KEY = "study.html", "key.json"
TITLE = "What does an image classifier look at?"
INTRO = (
    "You will see pictures that were made to explain what a computer program looks at when it sorts pictures. Nothing "
    "about you is asked. Your answers stay in this page until you save them as a file at the end. You may stop at any "
    "time by closing the page."
)


@dataclass(frozen=True)
class Built:
    """What `build_study` wrote.

    Attributes:
        page: for the people who take part.
        key: for the analysis; whoever reads it is no longer blind.
        design: hash that the page's answers carry.
        n_people: schedules in the page.
        n_steps: questions a person answers.
    """

    page: Path
    key: Path
    design: str
    n_people: int
    n_steps: int


def build_study(
    material: Material,
    out: str | Path,
    *,
    n_people: int = 24,
    title: str = TITLE,
    intro: str = INTRO,
    side: int = 192,
    seed: int = 0,
) -> Built:
    """Write the page and the key.

    Args:
        material: items, methods and pictures.
        out: folder; must not hold a study yet.
        n_people: people that are planned, each with a schedule of their own.
        title: the page's headline.
        intro: the text that people consent to.
        side: longest side of a picture in pixels; longer ones are scaled down.
        seed: of order, sides and names.

    Raises:
        UserError: a text names a method, a picture can't be read, or there is a study already.
    """
    folder = Path(out)
    if (folder / KEY).exists():
        raise UserError(f"{folder} holds a study already, and its key can't be replaced. Choose another folder.")
    check_integer("side", side, 8)
    design = make_design(material, n_people, seed)
    _check_texts(design, title, intro)
    pictures = {
        name: [picture_uri(path, side) for path in material.paths[material.items[item].name, method]]
        for name, (item, method) in design.sets.items()
    }
    public = design.public() | {"title": title, "intro": intro}
    digest = design_hash(public, pictures)
    page, key = folder / PAGE, folder / KEY
    write_atomic(key, (json.dumps(design.key(digest), indent=1) + "\n").encode())
    write_atomic(page, _render(design, pictures, title, intro, digest).encode())
    return Built(page, key, digest, n_people, len(design.schedules[0]))


def _render(design: Design, pictures: dict[str, list[str]], title: str, intro: str, digest: str) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    script = files("genlens.reports").joinpath("templates", "study.js").read_text(encoding="utf-8")
    told = {"version": VERSION, "design": digest, "words": CHECK_WORDS, **design.public(), "pictures": pictures}
    environment = Environment(loader=PackageLoader("genlens.reports"), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("study.html.j2").render(
        title=title,
        intro=[line.strip() for line in intro.splitlines() if line.strip()],
        n_steps=len(design.schedules[0]),
        data=json.dumps(told).replace("<", "\\u003c"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _check_texts(design: Design, title: str, intro: str) -> None:
    for name, text in (("title", title), ("intro", intro)):
        if not text.strip():
            raise UserError(f"`{name}` must be a text; got nothing.")
        check_blinded(text, (design.ours, *design.rivals), f"`{name}`")
