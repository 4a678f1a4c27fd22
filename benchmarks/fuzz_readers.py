"""Every reader of files that come from elsewhere: a few valid files, and what genlens does with such a file."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

ROWS = [
    {"file_name": "a.png", "tv": 1, "person": 2, "age": 1.5, "hat": "red", "home": "yes", "note": "x", "patient": 1},
    {"file_name": "b.png", "tv": 0, "person": 0, "age": -3.25, "hat": "", "home": "no", "note": "", "patient": 1},
    {"file_name": "sub/c.png", "tv": 1, "person": 1, "age": 10, "hat": "hat", "home": "no", "note": "z", "patient": 2},
]  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """A reader under test.

    Attributes:
        form: of its files, see `fuzz_mutations.mutate`.
        seeds: makes valid files.
        read: does with a file what genlens does, in an empty folder; returning and `UserError` are good.
    """

    form: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[bytes, Path], None]


def _images(folder: Path) -> None:
    for name in ("a.png", "b.png", "sub/c.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(_png())


@cache
def _png(mode: str = "RGB", form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(buffer, form)
    return buffer.getvalue()


def _metadata(name: str) -> Callable[[bytes, Path], None]:
    def read(data: bytes, folder: Path) -> None:
        from genlens.datasets.imagefolder import table_from_metadata
        from genlens.plan import make_plan
        from genlens.store import image_key

        _images(folder)
        (folder / name).write_bytes(data)
        table = table_from_metadata(
            folder, ["tv", "person", "age", "hat"], "home", context="note", cluster="patient", kinds={"hat": "segment"}
        )
        plan = make_plan(table, seed=0)
        image_key("fingerprint", plan.captions[0], int(plan.seeds[0]))
        if table.masks is not None:
            table.masks(0)

    return read


def _csv() -> list[bytes]:
    return [pd.DataFrame(ROWS).to_csv(index=False).encode(), b'file_name,tv\n"a.png",1\nb.png,0\n']


def _jsonl() -> list[bytes]:
    return [b"\n".join(json.dumps(row).encode() for row in ROWS)]


def _parquet() -> list[bytes]:
    return [_bytes_of(pd.DataFrame(ROWS))]


def _bytes_of(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, compression=None)
    return buffer.getvalue()


def _coco() -> list[bytes]:
    from faster_coco_eval.core import mask as rle

    square = np.zeros((6, 7), dtype=np.uint8, order="F")
    square[1:3, 1:4] = 1
    packed = rle.encode(square)["counts"].decode()
    segments: list[Any] = [
        [[1, 1, 5, 1, 5, 4]],
        {"counts": [10, 5, 27], "size": [6, 7]},
        {"counts": packed, "size": [6, 7]},
    ]
    annotations = [
        {"id": k, "image_id": image, "category_id": category, "segmentation": segments[k % 3], "iscrowd": int(k == 1)}
        for k, (image, category) in enumerate([(1, 1), (1, 2), (2, 2), (3, 1), (3, 3), (3, 3)])
    ]
    document = {
        "images": [{"id": k + 1, "file_name": row["file_name"], "height": 6, "width": 7} for k, row in enumerate(ROWS)],
        "categories": [{"id": 1, "name": "tv"}, {"id": 2, "name": "person"}, {"id": 3, "name": "home"}],
        "annotations": annotations,
    }
    return [json.dumps(document).encode()]


def _read_coco(data: bytes, folder: Path) -> None:
    from genlens.datasets.coco import table_from_coco
    from genlens.errors import UserError
    from genlens.plan import make_plan

    _images(folder)
    (folder / "instances.json").write_bytes(data)
    for values in ("presence", "counts"):
        table = table_from_coco(folder / "instances.json", folder, ["tv", "person"], "home", values)  # type: ignore[arg-type]
        make_plan(table, seed=0)
    for row in range(table.n_rows):
        try:
            table.masks(row)  # type: ignore[misc]
        except UserError as error:
            check_line(error)


def _run_json() -> list[bytes]:
    settings = {"seed": 0, "concepts": ["tv"], "generator": "abc", "rows": "def"}
    return [json.dumps({"settings": settings, "versions": {"python": "3"}, "created": "2026-01-01"}).encode()]


def _read_run_json(data: bytes, folder: Path) -> None:
    from genlens.run_folder import RunFolder

    (folder / "run.json").write_bytes(data)
    run = RunFolder(folder)
    with run.lock():
        run.open_or_create({"seed": 0, "concepts": ["tv"], "generator": "abc", "rows": "def"})


def _image_shard() -> list[bytes]:
    from genlens.store import ImageStore

    def write(folder: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
        ImageStore(folder).append(["k1", "k2"], ["a tv", ""], [3, 2**62], pixels)

    return [_only_file(write)]


def _read_image_shard(data: bytes, folder: Path) -> None:
    from genlens.store import ImageStore

    (folder / "x.parquet").write_bytes(data)
    store = ImageStore(folder)
    for keys, images in store.read(sorted(store.keys())):
        assert len(keys) == len(images)
        assert all(image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 for image in images)


def _score_shard() -> list[bytes]:
    from genlens.score_cache import ScoreCache

    return [_only_file(lambda folder: ScoreCache(folder).append(["k1", "k2"], np.array([[1, 2], [3, 4]], np.float32)))]


def _read_score_shard(data: bytes, folder: Path) -> None:
    from genlens.score_cache import ScoreCache

    (folder / "a.parquet").write_bytes(_score_shard()[0])
    (folder / "x.parquet").write_bytes(data)
    cache = ScoreCache(folder)
    found = cache.get([key for key in ("k1", "k2") if key in cache])
    assert np.isfinite(found).all() and found.shape[1] == 2, "scores that aren't scores"


def _only_file(write: Callable[[Path], None]) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        return next(Path(folder).glob("*.parquet")).read_bytes()


@cache
def _result_folder() -> dict[str, bytes]:
    """Files of a small result."""
    import tempfile

    from genlens.importance.result import CheckResult, ImportanceResult, Picture

    names, numbers = ("tv", "person"), np.array([0.2, 0.01])
    ends = np.array([[0.1, 0.3], [-0.1, 0.2]])
    check = CheckResult(
        "effective-generation", "Effective generation", "failed", 0.2, 0.1, "One line.", "Do it.",
        [{"of": "target", "real": 0.9, "generated": 0.8, "difference": 0.1, "difference_low": 0.0}],
    )  # fmt: skip
    matrix = CheckResult(
        "independent-permutation", "Independent permutation", "undecided", None, None, "One line.", "",
        [{"concept": "tv", "verdict": "passed", "own_change": 0.1, "p_value": None}],
        [[0.1, -0.2], [0.0, 0.5]], list(names),
    )  # fmt: skip
    result = ImportanceResult(
        names, numbers, numbers, numbers, numbers - 0.1, numbers + 0.1, numbers, numbers, numbers, ends, numbers, ends,
        repeats=np.array([[0.1, 0.3, 0.2], [0.0, 0.0, 0.1]]), effects=np.array([[0.1, 0.2], [0.3, np.nan]]),
        reference_score=0.9, reference_ci=(0.8, 0.95), n_rows=2, n_images=6, n_naive=100,
        settings={"seed": 0, "command": "genlens rank", "versions": {"numpy": "2"}, "true_reliance": {"tv": 1.0}},
        checks=(check, matrix),
        gallery=tuple(Picture("tv", "a.png", state, f"a, {state}", 0.5, _png()) for state in ("off", "on")),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        result.save(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


def _result() -> list[bytes]:
    return [name.encode() + b"\n" + data for name, data in _result_folder().items() if name != "ranking.csv"]


def _read_result(data: bytes, folder: Path) -> None:
    from rich.console import Console

    from genlens.importance.result import ImportanceResult
    from genlens.reports.html import render_report
    from genlens.reports.terminal import print_result

    for name, content in _resealed(_with_part(_result_folder(), data)).items():
        (folder / name).write_bytes(content)
    result = ImportanceResult.load(folder)
    shown = io.StringIO()
    print_result(result, Console(file=shown, width=80))
    assert "\x1b" not in shown.getvalue(), "an escape sequence reaches the terminal"
    page = render_report(result)
    assert "<script" not in page, "a name becomes markup"


def _resealed(files: dict[str, bytes]) -> dict[str, bytes]:
    """Files with the right checksums, which would otherwise keep nearly all damage out."""
    from genlens.importance.saved import checksum, sealed

    try:
        document = json.loads(files["result.json"])
        document["files"] = {name: checksum(content) for name, content in files.items()}
        return files | {"result.json": sealed(document)}
    except (ValueError, TypeError, RecursionError):
        return files


def _with_part(files: dict[str, bytes], data: bytes) -> dict[str, bytes]:
    """Files with one of them, named in the first line of `data`, replaced by the rest of it."""
    name, _, content = data.partition(b"\n")
    known = {entry.encode(): entry for entry in files}
    return files | ({known[name]: content} if name in known else {next(iter(files)): data})


@cache
def _concept_net_folder() -> dict[str, bytes]:
    import tempfile

    import torch

    from genlens.classifiers.concept_net import ConceptNet, PlainNet
    from genlens.classifiers.preprocess import ImagePreprocess

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        ConceptNet(PlainNet(2, 1), ("tv", "person"), ImagePreprocess(size=(8, 8)), "plain", 1, device="cpu").save(
            folder
        )
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def _concept_net() -> list[bytes]:
    return [name.encode() + b"\n" + data for name, data in _concept_net_folder().items()]


def _read_concept_net(data: bytes, folder: Path) -> None:
    from genlens.classifiers.concept_net import ConceptNet

    for name, content in _with_part(_concept_net_folder(), data).items():
        (folder / name).write_bytes(content)
    ConceptNet.load(folder, device="cpu").predict([np.zeros((8, 8, 3), np.uint8)])


def _pipeline() -> list[bytes]:
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.42.1",
        "vae": ["diffusers", "AutoencoderKL"],
    }
    index |= {"unet": ["diffusers", "UNet2DConditionModel"], "text_encoder": ["transformers", "CLIPTextModel"]}
    defaults = {"num_inference_steps": 8, "guidance_scale": 1.0}
    files = {"genlens.json": defaults, "model_index.json": index}
    return [name.encode() + b"\n" + json.dumps(content).encode() for name, content in files.items()]


def _read_pipeline(data: bytes, folder: Path) -> None:
    from genlens.generators.pipelines import read_defaults, read_index

    files = dict(part.split(b"\n", 1) for part in _pipeline())
    for name, content in _with_part({key.decode(): value for key, value in files.items()}, data).items():
        (folder / name).write_bytes(content)
    read_index(folder)
    read_defaults(folder)


def _pictures() -> list[bytes]:
    forms = [
        ("RGB", "PNG"),
        ("P", "GIF"),
        ("RGB", "JPEG"),
        ("RGB", "WEBP"),
        ("L", "TIFF"),
        ("RGB", "BMP"),
        ("L", "PPM"),
        ("LA", "PNG"),
    ]
    return [_png(mode, form) for mode, form in forms]


def _read_picture(data: bytes, folder: Path) -> None:
    from genlens.datasets.images import check_image, load_image

    (folder / "image").write_bytes(data)
    check_image(folder / "image")
    assert load_image(folder / "image").dtype == np.uint8


READERS = {
    "csv": Reader("csv", _csv, _metadata("metadata.csv")),
    "jsonl": Reader("jsonl", _jsonl, _metadata("metadata.jsonl")),
    "parquet": Reader("parquet", _parquet, _metadata("metadata.parquet")),
    "coco": Reader("json", _coco, _read_coco),
    "run": Reader("json", _run_json, _read_run_json),
    "images": Reader("parquet", _image_shard, _read_image_shard),
    "scores": Reader("parquet", _score_shard, _read_score_shard),
    "result": Reader("parts", _result, _read_result),
    "concept-net": Reader("parts", _concept_net, _read_concept_net),
    "pipeline": Reader("parts", _pipeline, _read_pipeline),
    "picture": Reader("bytes", _pictures, _read_picture),
}
"""Name -> reader."""


def check_line(error: Exception) -> None:
    """Raise AssertionError unless the error is one line that a terminal shows as it is."""
    text = str(error)
    assert text and "\n" not in text and "\x1b" not in text and text.isascii() | (text.encode() != b""), repr(text)


def try_file(reader: Reader, data: bytes, folder: Path) -> str:
    """Read a file in an empty folder: "read" or "refused"; whatever else happens is raised."""
    from genlens.errors import UserError

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        reader.read(data, folder)
    except UserError as error:
        check_line(error)
        return "refused"
    return "read"
