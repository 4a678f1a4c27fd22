"""What goes wrong while a pipeline renders, as a line about what the user can mend."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genlens.errors import UserError


def explained(error: Exception, pipeline: Any, *, compiled: bool) -> Exception:
    """A `UserError` about the pipeline's arguments or its compilation, or the error itself."""
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    if compiled and type(error).__module__.startswith("torch._"):
        return UserError(f"`compile`: torch can't compile this pipeline here: {reason} Leave the option out.")
    if isinstance(error, (TypeError, ValueError)):
        name = type(pipeline).__name__
        return UserError(f"{name} refused the call: {reason} Check `scheduler`, `size` and `options`.")
    return error


def refuse_nan(images: NDArray[np.float32], pipeline: Any) -> None:
    """Refuse images (B, H, W, 3) with NaN or infinite values.

    Raises:
        UserError: says in how many, and at which dtype.
    """
    finite = np.isfinite(images).reshape(len(images), -1).all(axis=1)
    if not finite.all():
        dtype = str(pipeline.dtype).removeprefix("torch.")
        raise UserError(
            f"The pipeline gave NaN in {int((~finite).sum())} of {len(images)} images at dtype {dtype}. "
            "Try another `dtype`: float32, or bfloat16 on a GPU."
        )
