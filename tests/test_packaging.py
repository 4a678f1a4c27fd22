"""The wheel: complete, small enough, typed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_GENERATOR_BYTES = 20_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    pytest.importorskip("hatchling", reason="hatchling builds the wheel; install the dev extra")
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (path,) = out.glob("genlens-*.whl")
    return zipfile.ZipFile(path)


def files_below(folder: Path) -> set[str]:
    return {
        str(path.relative_to(ROOT / "src"))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_holds_everything_below_src(wheel: zipfile.ZipFile) -> None:
    expected = files_below(ROOT / "src" / "genlens")
    assert {"genlens/py.typed", "genlens/_version.py"} <= expected
    assert expected - set(wheel.namelist()) == set()


def test_wheel_holds_the_template_of_the_report(wheel: zipfile.ZipFile) -> None:
    assert "genlens/reports/templates/report.html.j2" in wheel.namelist()


def test_wheel_holds_the_shipped_pipeline_in_20_megabytes(wheel: zipfile.ZipFile) -> None:
    folder = "genlens/assets/shapes_generator/"
    parts = [item for item in wheel.infolist() if item.filename.startswith(folder)]
    assert f"{folder}model_index.json" in {item.filename for item in parts}
    assert any(item.filename.endswith(".safetensors") for item in parts)
    assert sum(item.compress_size for item in parts) <= MAX_GENERATOR_BYTES


def test_wheel_holds_no_pickle_and_no_test(wheel: zipfile.ZipFile) -> None:
    unwanted = re.compile(r"\.(pt|pth|ckpt|pkl|pickle|bin)$|(^|/)(tests|build|runs)/")
    assert [name for name in wheel.namelist() if unwanted.search(name)] == []


def test_wheel_names_its_command_and_its_version(wheel: zipfile.ZipFile) -> None:
    import genlens

    info = f"genlens-{genlens.__version__}.dist-info"
    assert "genlens = genlens.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert f"Version: {genlens.__version__}" in wheel.read(f"{info}/METADATA").decode()


def test_fast_moving_dependencies_have_both_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name in ("diffusers", "transformers"):
        (requirement,) = [text for text in project["dependencies"] if text.startswith(name)]
        assert re.search(r">=[\d.]+,<[\d.]+", requirement), requirement


def test_constraints_fit_the_declared_bounds() -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {name.lower().replace("_", "-"): version for name, version in (
        line.split("==") for line in lines if line and not line.startswith("#")
    )}  # fmt: skip
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        requirement = Requirement(text)
        assert requirement.name.lower() in pins, f"{requirement.name} is not pinned in constraints.txt"
        assert requirement.specifier.contains(pins[requirement.name.lower()]), text
