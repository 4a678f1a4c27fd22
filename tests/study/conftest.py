"""A small study, people who answer it as a function says, and a browser that is driven through its debugging pipe."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genlens.study.design import CHECK_WORDS
from genlens.study.material import read_material
from genlens.study.page import Built, build_study

ITEMS = {
    "class 0": {"label": "the class “zebra”", "options": ["stripes", "grass", "sky"], "answer": "stripes"},
    "class 1": {"label": "the class “fox”", "options": ["red fur", "snow"], "answer": "red fur"},
    "feature 9": {"label": "feature 9"},
}
METHODS = ("softprompt", "pixelmax", "classword")
CHROMIUM = shutil.which("chromium")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three items, three methods, four pictures each, whose files name their method in a text field."""
    from PIL.PngImagePlugin import PngInfo

    rng = np.random.default_rng(0)
    root = tmp_path / "images"
    for item in ITEMS:
        for method in METHODS:
            (root / item / method).mkdir(parents=True)
            note = PngInfo()
            note.add_text("method", method)
            for k in range(4):
                picture = Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8))
                picture.save(root / item / method / f"{method}-{k}.png", pnginfo=note)
    (root / "items.json").write_text(json.dumps(ITEMS), encoding="utf-8")
    return root


@pytest.fixture
def built(images: Path, tmp_path: Path) -> Built:
    """A study of two rivals with 12 schedules."""
    return build_study(read_material(images, METHODS, 3), tmp_path / "study", n_people=12)


Choose = Callable[[dict[str, Any], dict[str, Any], int], str]


@pytest.fixture
def answer(built: Built, tmp_path: Path) -> Callable[..., Path]:
    """Write the answers of one person: `choose(step, key, person)` says which."""
    key = json.loads(built.key.read_text(encoding="utf-8"))

    def write(number: int, choose: Choose, *, attentive: bool = True, **changes: Any) -> Path:
        steps = key["schedules"][(number - 1) % len(key["schedules"])]

        def choice(step: dict[str, Any]) -> str:
            if step["kind"] == "check":
                return CHECK_WORDS[(step["item"] + (not attentive)) % len(CHECK_WORDS)]
            return choose(step, key, number)

        told = {
            "format": "genlens-study-answers", "version": 1, "design": key["design"], "person": number,
            "schedule": (number - 1) % len(key["schedules"]), "session": f"{number:032x}", "consent": True,
            "answers": [{"step": k, "choice": choice(step), "ms": 1500} for k, step in enumerate(steps)], "comment": "",
        }  # fmt: skip
        path = tmp_path / "answers" / f"answers-{number}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(told | changes), encoding="utf-8")
        return path

    return write


class Browser:
    """Chromium, told what to do over a pipe (the DevTools protocol); keys are real key events."""

    def __init__(self, profile: Path, downloads: Path) -> None:
        told, said = os.pipe(), os.pipe()

        def connect() -> None:
            os.dup2(told[0], 3)
            os.dup2(said[1], 4)

        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-pipe",
                 f"--user-data-dir={profile}"]  # fmt: skip
        self.process = subprocess.Popen(
            [str(CHROMIUM), *flags], preexec_fn=connect, pass_fds=(3, 4), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(told[0])
        os.close(said[1])
        self._in, self._out = told[1], os.fdopen(said[0], "rb")
        self._number, self._session, self._rest = 0, None, b""
        self.errors: list[Any] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command's answer; what goes wrong in the page is kept in `errors`."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None and not method.startswith(("Target", "Browser")):
            command["sessionId"] = self._session
        os.write(self._in, json.dumps(command).encode() + b"\0")
        while True:
            message = self._message()
            if message.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(message["params"])
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._out.fileno(), 1 << 16)
            assert part, "the browser has gone"
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        return json.loads(text)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def key(self, name: str, text: str = "") -> None:
        """Press and release a key."""
        codes = {"Tab": 9, "Enter": 13, " ": 32, "ArrowDown": 40}
        code = codes.get(name, ord(name.upper()[0]))
        event = {"key": name, "windowsVirtualKeyCode": code, "code": name if len(name) > 1 else ""}
        text = text or {"Enter": "\r", " ": " "}.get(name, "")
        self.call("Input.dispatchKeyEvent", type="keyDown", **event, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def close(self) -> None:
        """End the browser."""
        self.call("Browser.close")
        self.process.wait(timeout=20)
        os.close(self._in)
        self._out.close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A headless browser that saves downloads to `downloads`."""
    (tmp_path / "downloads").mkdir()
    opened = Browser(tmp_path / "profile", tmp_path / "downloads")
    yield opened
    opened.close()
