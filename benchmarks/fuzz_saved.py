"""Files that genlens saves, or that pipelines are saved as: valid ones, and what genlens does with such a file."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from fuzz_files import Reader, png


def _files(write: Callable[[Path], object]) -> dict[str, bytes]:
    """Name -> content of the files that `write` puts into a folder."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()}


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

    return list(_files(write).values())


def _read_image_shard(data: bytes, folder: Path) -> None:
    from genlens.store import ImageStore

    (folder / "x.parquet").write_bytes(data)
    store = ImageStore(folder)
    for keys, images in store.read(sorted(store.keys())):
        assert len(keys) == len(images)
        assert all(image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 for image in images)


def _score_shard() -> list[bytes]:
    from genlens.score_cache import ScoreCache

    scores = np.array([[1, 2], [3, 4]], np.float32)
    return list(_files(lambda folder: ScoreCache(folder).append(["k1", "k2"], scores)).values())


def _read_score_shard(data: bytes, folder: Path) -> None:
    from genlens.score_cache import ScoreCache

    (folder / "a.parquet").write_bytes(_score_shard()[0])
    (folder / "x.parquet").write_bytes(data)
    cache = ScoreCache(folder)
    found = cache.get([key for key in ("k1", "k2") if key in cache])
    assert np.isfinite(found).all() and found.shape[1] == 2, "scores that aren't scores"


@cache
def _result_folder() -> dict[str, bytes]:
    """Files of a small result."""
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
        gallery=tuple(Picture("tv", "a.png", state, f"a, {state}", 0.5, png()) for state in ("off", "on")),
    )  # fmt: skip
    return _files(result.save)


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
    import torch

    from genlens.classifiers.concept_net import ConceptNet, PlainNet
    from genlens.classifiers.preprocess import ImagePreprocess

    torch.manual_seed(0)
    net = ConceptNet(PlainNet(2, 1), ("tv", "person"), ImagePreprocess(size=(8, 8)), "plain", 1, device="cpu")
    return _files(net.save)


def _concept_net() -> list[bytes]:
    return [name.encode() + b"\n" + data for name, data in _concept_net_folder().items()]


def _read_concept_net(data: bytes, folder: Path) -> None:
    from genlens.classifiers.concept_net import ConceptNet

    for name, content in _with_part(_concept_net_folder(), data).items():
        (folder / name).write_bytes(content)
    ConceptNet.load(folder, device="cpu").predict([np.zeros((8, 8, 3), np.uint8)])


def _pipeline() -> list[bytes]:
    index = {
        "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1", "vae": ["diffusers", "AutoencoderKL"],
        "unet": ["diffusers", "UNet2DConditionModel"], "text_encoder": ["transformers", "CLIPTextModel"],
    }  # fmt: skip
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


SAVED = {
    "run": Reader("json", _run_json, _read_run_json),
    "images": Reader("parquet", _image_shard, _read_image_shard),
    "scores": Reader("parquet", _score_shard, _read_score_shard),
    "result": Reader("parts", _result, _read_result),
    "concept-net": Reader("parts", _concept_net, _read_concept_net),
    "pipeline": Reader("parts", _pipeline, _read_pipeline),
}
"""Name -> reader."""
