"""ONNX files as classifiers: the input's own shape decides layout, size and batch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genlens.classifiers import OnnxClassifier, load_classifier
from genlens.errors import UserError

onnx = pytest.importorskip("onnx", reason="needs the onnx package to write models")
pytest.importorskip("onnxruntime", reason="needs ONNX Runtime")
from onnx import TensorProto, helper  # noqa: E402

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 6, 8, 3), dtype=np.uint8)
FLOAT, HALF, BYTE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8


def write(path: Path, shape: list[Any], dtype: int = FLOAT, axes: tuple[int, int] = (2, 3), n_inputs: int = 1) -> Path:
    """A model that returns the mean of its input over two axes, as float32."""
    names = [f"image{i}" for i in range(n_inputs)]
    nodes = [
        helper.make_node("Cast", [names[0]], ["cast"], to=FLOAT),
        helper.make_node("Constant", [], ["axes"], value=helper.make_tensor("v", TensorProto.INT64, [2], axes)),
        helper.make_node("ReduceMean", ["cast", "axes"], ["out"], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info(name, dtype, shape) for name in names]
    output = helper.make_tensor_value_info("out", FLOAT, None)
    model = helper.make_model(
        helper.make_graph(nodes, "means", inputs, [output]), opset_imports=[helper.make_opsetid("", 18)], ir_version=9
    )
    path.write_bytes(model.SerializeToString())
    return path


def means(images: np.ndarray, mean: float = 0.5, std: float = 0.25) -> np.ndarray:
    return ((images / 255).mean((1, 2)) - mean) / std


def test_channels_first_of_any_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", ["n", 3, "h", "w"])
    classifier = OnnxClassifier(path, mean=(0.5,) * 3, std=(0.25,) * 3)
    assert classifier.outputs == "logits"
    assert np.allclose(classifier.predict(IMAGES), means(IMAGES), atol=1e-5)


def test_channels_last(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", ["n", "h", "w", 3], axes=(1, 2))
    classifier = OnnxClassifier(path, mean=(0.5,) * 3, std=(0.25,) * 3, batch_size=2)
    assert np.allclose(classifier.predict(IMAGES), means(IMAGES), atol=1e-5)


def test_pixels_go_unchanged_into_a_uint8_input(tmp_path: Path) -> None:
    first = write(tmp_path / "a.onnx", ["n", 3, "h", "w"], BYTE)
    last = write(tmp_path / "b.onnx", ["n", "h", "w", 3], BYTE, axes=(1, 2))
    for path in (first, last):
        assert np.allclose(OnnxClassifier(path).predict(IMAGES), IMAGES.mean((1, 2)), atol=1e-3)


def test_half_precision_inputs(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", ["n", 3, "h", "w"], HALF)
    assert np.allclose(OnnxClassifier(path, mean=(0.5,) * 3, std=(0.25,) * 3).predict(IMAGES), means(IMAGES), atol=5e-3)


def test_a_fixed_batch_is_filled_up(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", [2, 3, "h", "w"])
    classifier = OnnxClassifier(path, mean=(0.5,) * 3, std=(0.25,) * 3, batch_size=64)
    assert np.allclose(classifier.predict(IMAGES), means(IMAGES), atol=1e-5)


def test_a_fixed_size_is_resized_to_and_a_free_one_to_what_is_asked(tmp_path: Path) -> None:
    images = [IMAGES[0], IMAGES[1][:4]]
    fixed = OnnxClassifier(write(tmp_path / "a.onnx", ["n", 3, 4, 5]))
    free = OnnxClassifier(write(tmp_path / "b.onnx", ["n", 3, "h", "w"]), size=(4, 5))
    assert fixed.preprocess.size == (4, 5)
    assert np.allclose(fixed.predict(images), free.predict(images))


def test_imagenet_normalisation_is_the_default(tmp_path: Path) -> None:
    preprocess = OnnxClassifier(write(tmp_path / "a.onnx", ["n", 3, "h", "w"])).preprocess
    assert (preprocess.mean, preprocess.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_the_fingerprint_follows_the_bytes_and_the_settings(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", ["n", 3, "h", "w"])
    base = OnnxClassifier(path).fingerprint
    assert load_classifier(str(path)).fingerprint == base
    assert OnnxClassifier(path, size=8).fingerprint != base
    (tmp_path / "a.onnx.data").write_bytes(b"weights kept outside")
    assert OnnxClassifier(path).fingerprint != base
    assert OnnxClassifier(write(tmp_path / "b.onnx", ["n", 3, 4, 4])).fingerprint != base


@pytest.mark.parametrize(
    ("shape", "dtype", "n_inputs", "message"),
    [
        (["n", 10], FLOAT, 1, r"a.onnx must take one float or uint8 image batch of 4 dimensions; it takes image0"),
        (["n", 3, 4, 4], FLOAT, 2, r"it takes image0 tensor\(float\) .*, image1 "),
        (["n", 3, 4, 4], TensorProto.INT64, 1, r"it takes image0 tensor\(int64\)"),
        (["n", 1, 4, 4], FLOAT, 1, r"a.onnx must take images of 3 channels; its input has the shape \['n', 1, 4, 4\]"),
    ],
)
def test_an_input_that_is_no_image_is_refused(
    tmp_path: Path, shape: list[Any], dtype: int, n_inputs: int, message: str
) -> None:
    axes = (2, 3) if len(shape) == 4 else (0, 1)
    with pytest.raises(UserError, match=message):
        OnnxClassifier(write(tmp_path / "a.onnx", shape, dtype, axes, n_inputs))


def test_a_missing_or_damaged_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no file '.*none.onnx'"):
        load_classifier(str(tmp_path / "none.onnx"))
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(UserError, match=r"bad.onnx can't be read as an ONNX model: ") as error:
        OnnxClassifier(tmp_path / "bad.onnx")
    assert "\n" not in str(error.value)


def test_a_missing_onnxruntime_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.onnx", ["n", 3, 4, 4])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"ONNX models need onnxruntime: .*\. Run: pip install 'genlens\[onnx\]'"):
        OnnxClassifier(path)
