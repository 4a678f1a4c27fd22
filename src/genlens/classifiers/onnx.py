"""Classifiers in ONNX files, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.classifiers.batches import describe_error, predict_batches
from genlens.classifiers.fingerprint import hash_file, hash_parts, hash_spec
from genlens.classifiers.optional import optional_import
from genlens.classifiers.preprocess import IMAGENET_MEAN, IMAGENET_STD, ImagePreprocess, as_size
from genlens.classifiers.protocol import Images, Outputs, check_outputs_kind
from genlens.errors import UserError, check_integer

_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class OnnxClassifier:
    """An ONNX model with one image input; its first output is taken.

    The input's own shape says whether channels come first or last, to what size images are stretched, and whether the
    batch is fixed. Float inputs are normalised; uint8 inputs get the pixels as they are.

    Args:
        path: the `.onnx` file; weights stored in a file beside it, named after it, are found by ONNX Runtime.
        size: pixels, one number or (height, width), for models whose input has no fixed size.
        mean: subtracted after pixels are scaled to [0, 1]; ImageNet's by default, as most exported classifiers expect.
        std: divided by after that.
        outputs: what the model returns.
        batch_size: images at a time.
        threads: threads of ONNX Runtime; 0 lets it choose.

    Raises:
        UserError: no such file, no ONNX model, no ONNX Runtime, or an input that is no image.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        size: int | Sequence[int] | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        outputs: Outputs = "logits",
        batch_size: int = 64,
        threads: int = 0,
    ) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"There is no file {str(path)!r}.")
        self.outputs: Outputs = check_outputs_kind(outputs)
        self.name = f"The classifier {self.path.name}"
        self._session = _open_session(self.path, check_integer("threads", threads, 0))
        found = _read_input(self._session, self.path.name)
        self._input, self._dtype, self._channels_last, self._fixed_batch, fixed = found
        self.preprocess = ImagePreprocess(fixed or as_size(size), tuple(mean), tuple(std))
        self.batch_size = self._fixed_batch or check_integer("batch_size", batch_size, 1)
        files = sorted(self.path.parent.glob(f"{self.path.name}*"))
        self._fingerprint = hash_parts(
            "onnx", *(hash_file(file) for file in files), hash_spec(self.preprocess.spec()), self.outputs
        )

    @property
    def fingerprint(self) -> str:
        """Hash of the file's bytes (and of files beside it that begin with its name) and of the preprocessing."""
        return self._fingerprint

    def predict(self, images: Images) -> NDArray[np.float32]:
        """Outputs float32 (B, C) of B uint8 images.

        Raises:
            UserError: the model fails, or returns something of the wrong shape or NaN.
        """
        return predict_batches(images, self.batch_size, self.name, self._predict_batch)

    def _predict_batch(self, batch: list[NDArray[np.uint8]]) -> Any:
        inputs: NDArray[Any]
        if self._dtype == np.uint8:
            inputs = self.preprocess.resized(batch)
            inputs = inputs if self._channels_last else inputs.transpose(0, 3, 1, 2)
        else:
            inputs = self.preprocess(batch).astype(self._dtype)  # (b, 3, H, W)
            inputs = inputs.transpose(0, 2, 3, 1) if self._channels_last else inputs
        if self._fixed_batch and len(inputs) < self._fixed_batch:
            inputs = np.concatenate([inputs, np.repeat(inputs[-1:], self._fixed_batch - len(inputs), axis=0)])
            return self._run(inputs)[: len(batch)]
        return self._run(inputs)

    def _run(self, inputs: NDArray[Any]) -> Any:
        return self._session.run(None, {self._input: np.ascontiguousarray(inputs)})[0]


def _read_input(session: Any, file: str) -> tuple[str, Any, bool, int | None, tuple[int, int] | None]:
    """Name, type, channels last?, fixed batch and fixed (height, width) of a model's image input."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _DTYPES:
        found = ", ".join(f"{item.name} {item.type} {item.shape}" for item in inputs)
        raise UserError(f"{file} must take one float or uint8 image batch of 4 dimensions; it takes {found}.")
    batch, *image = [extent if isinstance(extent, int) and extent > 0 else None for extent in inputs[0].shape]
    channels_last = image[2] == 3 and image[0] != 3
    if 3 not in (image[0], image[2]) and (image[0], image[2]) != (None, None):
        raise UserError(f"{file} must take images of 3 channels; its input has the shape {inputs[0].shape}.")
    height, width = image[:2] if channels_last else image[1:]
    size = (height, width) if height and width else None
    return inputs[0].name, _DTYPES[inputs[0].type], channels_last, batch, size


def _open_session(path: Path, threads: int) -> Any:
    runtime = optional_import("onnxruntime", "onnx", "ONNX models")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(path), options, providers=runtime.get_available_providers())
    except Exception as error:  # onnxruntime's errors share no base class of their own
        raise UserError(f"{path} can't be read as an ONNX model: {describe_error(error)}.") from error
