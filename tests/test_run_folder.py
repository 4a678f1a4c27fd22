"""Run folders: settings that must match, and one writer at a time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genlens.errors import RunFolderError, UserError
from genlens.files import WriteError
from genlens.run_folder import RunFolder

SETTINGS = {"seed": 0, "concepts": ["person", "tv"], "generator": "abc"}


def opened(path: Path, **more: Any) -> RunFolder:
    folder = RunFolder(path)
    folder.open_or_create({**SETTINGS, **more})
    return folder


def fill(folder: RunFolder) -> None:
    image = np.zeros((1, 2, 2, 3), np.uint8)
    folder.images.append(["k"], ["red circle"], [0], image)
    folder.scores("fp").append(["k"], np.zeros((1, 1), np.float32))


def test_new_folder_says_how_to_repeat_the_run(run_folder: Path) -> None:
    opened(run_folder / "deep")
    content = json.loads((run_folder / "deep" / "run.json").read_text())
    assert content["settings"] == SETTINGS
    assert {"python", "numpy"} <= set(content["versions"])
    assert re.match(r"\d{4}-\d\d-\d\dT", content["created"])
    assert os.listdir(run_folder / "deep") == ["run.json"]


def test_same_settings_go_on(run_folder: Path) -> None:
    fill(opened(run_folder))
    settings = {"seed": np.int64(0), "concepts": ("person", "tv"), "generator": "abc"}
    again = RunFolder(run_folder)
    again.open_or_create(settings)
    assert again.images.keys() == {"k"}
    assert "k" in again.scores("fp") and "k" not in again.scores("other")
    assert again.settings == SETTINGS


def test_other_settings_are_refused_by_name(run_folder: Path) -> None:
    opened(run_folder)
    message = (
        f"{run_folder} was written with seed=0; this run asks for seed=1. Choose another folder or pass --overwrite."
    )
    with pytest.raises(RunFolderError, match=f"^{re.escape(message)}$"):
        opened(run_folder, seed=1)
    message = (
        f'{run_folder} was written with concepts=["person", "tv"], n_draws=null; this run asks for concepts=["tv"], '
        "n_draws=2. Choose another folder or pass --overwrite."
    )
    with pytest.raises(RunFolderError, match=f"^{re.escape(message)}$"):
        opened(run_folder, concepts=["tv"], n_draws=2)
    with pytest.raises(RunFolderError, match=r"this run asks for generator=\"x{59}… \(202 characters\)\. Choose"):
        opened(run_folder, generator="x" * 200)


def test_overwrite_starts_anew_and_keeps_foreign_files(run_folder: Path) -> None:
    folder = opened(run_folder)
    fill(folder)
    (run_folder / "ranking.csv").write_text("old")
    (run_folder / "notes.txt").write_text("mine")
    folder.open_or_create({**SETTINGS, "seed": 1}, overwrite=True)
    assert folder.settings["seed"] == 1
    assert len(folder.images) == 0 and len(folder.scores("fp")) == 0
    assert sorted(os.listdir(run_folder)) == ["notes.txt", "run.json"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_folder_with_something_else_is_never_touched(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    message = f"^{re.escape(str(tmp_path))} is not empty and is not a run folder. Choose another folder.$"
    with pytest.raises(RunFolderError, match=message):
        RunFolder(tmp_path).open_or_create(SETTINGS, overwrite=overwrite)
    with pytest.raises(RunFolderError, match=message), RunFolder(tmp_path).lock():
        pass
    assert os.listdir(tmp_path) == ["thesis.tex"]
    with pytest.raises(RunFolderError, match=r"thesis\.tex is a file, not a folder\. Choose another folder\.$"):
        RunFolder(tmp_path / "thesis.tex").open_or_create(SETTINGS)


@pytest.mark.parametrize("text", ["{", "[]", '{"settings": 1}', "{}"])
def test_damaged_settings(run_folder: Path, text: str) -> None:
    opened(run_folder)
    (run_folder / "run.json").write_text(text)
    with pytest.raises(
        RunFolderError, match=r"run\.json is damaged \(.*\)\. Choose another folder or pass --overwrite"
    ):
        opened(run_folder)
    RunFolder(run_folder).open_or_create(SETTINGS, overwrite=True)
    assert RunFolder(run_folder).settings == SETTINGS


def test_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r" is not a run folder: it has no run\.json\.$"):
        RunFolder(tmp_path).read()


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"^Can't write to .*file/run: "):
        opened(tmp_path / "file" / "run")


def test_a_run_killed_while_it_was_born_is_no_foreign_folder(run_folder: Path) -> None:
    run_folder.mkdir()
    (run_folder / "lock").write_text("")
    (run_folder / ".run.json.tmp-1").write_text("{")
    opened(run_folder)
    assert os.listdir(run_folder) == ["run.json"]


HOLDER = """
import sys
from genlens.run_folder import RunFolder
with RunFolder(sys.argv[1]).lock():
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_second_process_is_refused_and_a_dead_one_is_not_in_the_way(run_folder: Path) -> None:
    opened(run_folder)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, run_folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    message = (
        rf"^{re.escape(str(run_folder))} is in use by process {holder.pid} on .* \(since \d{{4}}-\d\d-\d\d "
        r"\d\d:\d\d:\d\d\)\. Wait until it ends, or choose another folder\.$"
    )
    with pytest.raises(RunFolderError, match=message), RunFolder(run_folder).lock():
        pass
    with pytest.raises(RunFolderError, match=message):
        RunFolder(run_folder).open_or_create(SETTINGS, overwrite=True)
    holder.kill()
    holder.communicate()
    stray = run_folder / "images" / ".x.parquet.tmp-9"
    stray.parent.mkdir()
    stray.write_text("half")
    assert (run_folder / "lock").exists()
    with RunFolder(run_folder).lock():
        assert not stray.exists()
    assert not (run_folder / "lock").exists()


def test_lock_is_freed_after_an_error_and_may_be_nested(run_folder: Path) -> None:
    folder = opened(run_folder)
    with pytest.raises(ZeroDivisionError), folder.lock():
        raise ZeroDivisionError
    with folder.lock(), folder.lock():
        folder.open_or_create({"seed": 5}, overwrite=True)
        with pytest.raises(RunFolderError, match=f"is in use by process {os.getpid()} "), RunFolder(run_folder).lock():
            pass
    with RunFolder(run_folder).lock():
        pass


def test_images_may_lie_elsewhere_and_the_run_remembers_where(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", images=str(tmp_path / "shared"))
    folder.open_or_create({"seed": 0})
    assert RunFolder(tmp_path / "run").images.place == str(tmp_path / "shared")
    with pytest.raises(RunFolderError, match="images"):
        RunFolder(tmp_path / "run", images=str(tmp_path / "other")).open_or_create({"seed": 0})


def test_an_unknown_url_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere://x can't be opened"):
        RunFolder(tmp_path / "run", images="nowhere://x")
    assert not (tmp_path / "run").exists()
