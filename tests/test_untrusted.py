"""Model folders and run folders are data, never code; names in them are text, never commands."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from genlens.datasets.imagefolder import table_from_metadata
from genlens.errors import UserError, printable
from genlens.importance.result import CheckResult, ImportanceResult, Picture
from genlens.store import ImageStore, encode_png

PIPELINE = Path(__file__).parents[1] / "src" / "genlens" / "assets" / "shapes_generator"
ESCAPE = "\x1b]0;title\x07\x1b[31mtv\u202e"


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return os.mkdir, (str(self.marker),)


def load(folder: Path, **options: Any) -> Any:
    from genlens.generators.diffusers import DiffusersGenerator

    return DiffusersGenerator.from_pretrained(folder, device="cpu", **options)


def test_the_trap_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Evil(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("part", ["vae/diffusion_pytorch_model", "text_encoder/model"])
@pytest.mark.parametrize("remove", [True, False], ids=["alone", "beside the real ones"])
def test_weights_of_a_generator_that_are_pickles_are_not_loaded(tmp_path: Path, part: str, remove: bool) -> None:
    folder = tmp_path / "pipeline"
    shutil.copytree(PIPELINE, folder)
    trap = pickle.dumps(Evil(tmp_path / "sprung"))
    names = [f"{part}.bin", f"{Path(part).parent}/pytorch_model.bin", f"{part}.pt", f"{part}.pkl"]
    for name in names:
        (folder / name).write_bytes(trap)
    if remove:
        (folder / f"{part}.safetensors").unlink()
        with pytest.raises(UserError, match=r"can't be loaded"):
            load(folder)
    else:
        load(folder)
    assert not (tmp_path / "sprung").exists()


def test_lora_weights_that_are_pickles_are_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "pytorch_lora_weights.bin").write_bytes(pickle.dumps(Evil(tmp_path / "sprung")))
    with pytest.raises(UserError, match=r"^`lora` "):
        load(PIPELINE, lora=tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_code_that_comes_with_a_generator_is_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "pipeline"
    shutil.copytree(PIPELINE, folder)
    code = f"import os\nos.mkdir({str(tmp_path / 'sprung')!r})\nclass Evil: pass\n"
    for name in ("evil.py", "vae/evil.py", "pipeline.py"):
        (folder / name).write_text(code)
    index = json.loads((folder / "model_index.json").read_text())
    for change, message in (
        ({"vae": ["evil", "Evil"]}, r"the part 'vae' comes from 'evil'; only diffusers and transformers may"),
        ({"vae": ["subprocess", "Popen"]}, r"comes from 'subprocess'"),
        ({"_class_name": ["pipeline", "Evil"]}, r"comes from 'pipeline'"),
    ):
        (folder / "model_index.json").write_text(json.dumps(index | change))
        with pytest.raises(UserError, match=message):
            load(folder)
    assert not (tmp_path / "sprung").exists()


def test_pickles_in_parquet_are_not_loaded(tmp_path: Path) -> None:
    """Arrow once had extension types that were pickles (CVE-2023-47248), and pandas leaves notes in the metadata."""
    trap = pickle.dumps(Evil(tmp_path / "sprung"))
    notes = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": trap}
    fields = [("file_name", pa.string()), pa.field("tv", pa.int8(), metadata=notes), ("home", pa.int8())]
    table = pa.table([["a.png", "b.png"], [0, 1], [1, 0]], schema=pa.schema(fields, metadata={b"pandas": trap}))
    pq.write_table(table, tmp_path / "metadata.parquet")
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encode_png(np.zeros((2, 2, 3), np.uint8)))
    assert table_from_metadata(tmp_path, ["tv"], "home").n_rows == 2
    pq.write_table(table, tmp_path / "x.parquet")
    (tmp_path / "images").mkdir()
    (tmp_path / "x.parquet").rename(tmp_path / "images" / "x.parquet")
    assert len(ImageStore(tmp_path / "images")) == 0
    assert not (tmp_path / "sprung").exists()


def test_paths_in_image_files_are_never_followed(tmp_path: Path) -> None:
    pixels = np.full((1, 2, 2, 3), 7, np.uint8)
    store = ImageStore(tmp_path)
    store.append(["k"], ["a"], [0], pixels)
    path = next(tmp_path.glob("*.parquet"))
    table = pq.read_table(path)
    cell = {"bytes": table["image"][0]["bytes"].as_py(), "path": "../../../etc/passwd"}
    forged = table.set_column(3, table.schema.field("image"), pa.array([cell], table.schema.field("image").type))
    pq.write_table(forged, path)
    ((_, images),) = ImageStore(tmp_path).read(["k"])
    assert (images[0] == 7).all() and [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_links_in_a_data_folder_are_followed(tmp_path: Path) -> None:
    """Data sets are often folders of links; a name in the metadata must not leave the folder, a link may."""
    (tmp_path / "elsewhere").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "elsewhere" / name).write_bytes(encode_png(np.zeros((2, 2, 3), np.uint8)))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "metadata.csv").write_text("file_name,tv,home\nlink/a.png,0,1\nlink/b.png,1,0\n")
    assert table_from_metadata(tmp_path / "data", ["tv"], "home").n_rows == 2
    (tmp_path / "data" / "metadata.csv").write_text("file_name,tv,home\n../elsewhere/a.png,0,1\nlink/b.png,1,0\n")
    with pytest.raises(UserError, match=r"must stay inside"):
        table_from_metadata(tmp_path / "data", ["tv"], "home")


def hostile(name: str) -> ImportanceResult:
    numbers, ends = np.array([0.2]), np.array([[0.1, 0.3]])
    png = encode_png(np.zeros((2, 2, 3), np.uint8))
    check = CheckResult(
        "independent-permutation", name, "failed", 0.2, 0.1, f"Message {name}", f"Remedy {name}",
        [{"concept": name, "own_change": 0.1, "most_moved": name}], [[0.1]], [name],
    )  # fmt: skip
    return ImportanceResult(
        (name,), *([numbers] * 8), ends, numbers, ends, repeats=np.array([[0.1, 0.2]]), effects=np.array([[0.1, 0.2]]),
        reference_score=0.9, reference_ci=(0.8, 0.95), n_rows=2, scoring="roc_auc", checks=(check,),
        settings={"command": name, "note": name}, gallery=(Picture(name, name, name, name, 0.5, png),),
    )  # fmt: skip


def test_escape_sequences_in_names_do_not_reach_the_terminal() -> None:
    from genlens.reports.terminal import print_checks, print_result

    for show, what in ((print_result, hostile(ESCAPE)), (print_checks, hostile(ESCAPE).checks)):
        stream = io.StringIO()
        show(what, Console(file=stream, width=100))
        assert not {"\x1b", "\x07", "\u202e"} & set(stream.getvalue())
        assert r"\x1b[31mtv" in stream.getvalue()
    coloured = io.StringIO()
    print_result(hostile(ESCAPE), Console(file=coloured, width=100, force_terminal=True, color_system="standard"))
    assert "\x1b[31mtv" not in coloured.getvalue() and "\x1b[" in coloured.getvalue()


def test_markup_in_names_is_text_in_the_report() -> None:
    from genlens.reports.html import render_report
    from genlens.reports.plots import plot_ranking

    page = render_report(hostile("<script>alert(1)</script>"))
    assert "<script" not in page and page.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 5
    drawing = io.BytesIO()
    plot_ranking(hostile("<script>alert(1)</script>")).figure.savefig(drawing, format="svg")
    assert b"<script" not in drawing.getvalue()


def test_errors_are_one_line_that_a_terminal_does_not_obey() -> None:
    assert str(UserError("first\nsecond \x1b[31mred\u2028\ud800")) == r"first second \x1b[31mred\u2028\ud800"
    assert printable("größer als 3 €, ‘déjà’") == "größer als 3 €, ‘déjà’"
    assert len(str(UserError("x" * 10**6))) < 2000
