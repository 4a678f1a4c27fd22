"""Generated images on disk, by key: rendered once, scored by every classifier that comes later.

An image's key is a hash of what it was made from, never of its pixels: the same caption and seed differ in the last
bit between two batch sizes or two machines.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from genlens.datasets.images import BOMB, DAMAGED, MAX_PIXELS
from genlens.shards import Shards

_FEATURES = {
    "key": {"dtype": "string", "_type": "Value"},
    "caption": {"dtype": "string", "_type": "Value"},
    "seed": {"dtype": "int64", "_type": "Value"},
    "image": {"_type": "Image"},
}
_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("caption", pa.string()),
        ("seed", pa.int64()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)


def image_key(generator_fingerprint: str, caption: str, seed: int) -> str:
    """Key of one image: 32 hexadecimal digits, a hash of the generator with its settings, the caption and the seed."""
    fields = json.dumps([generator_fingerprint, caption, int(seed)])
    return blake2b(fields.encode(), digest_size=16, person=b"genlens image").hexdigest()


class ImageStore:
    """Images in Parquet files that Hugging Face `datasets` opens too; columns key, caption, seed, image (PNG).

    Args:
        place: a folder, made at the first append, or an fsspec URL. Its files are listed once, here.
        scan: False: don't list them; what is there counts as absent. For those that only append.
    """

    def __init__(self, place: str | Path, *, scan: bool = True) -> None:
        self._shards = Shards(place, _SCHEMA)
        for _ in self._shards.scan(["key"]) if scan else ():
            pass

    @property
    def place(self) -> str:
        """Where the files are: a path or a URL."""
        return self._shards.place

    @property
    def damaged(self) -> Sequence[str]:
        """Names of the files that couldn't be read since this object was made; they are in `damaged/`."""
        return self._shards.damaged

    def __contains__(self, key: str) -> bool:
        return key in self._shards

    def __len__(self) -> int:
        return len(self._shards)

    def keys(self) -> set[str]:
        """Keys of the stored images."""
        return self._shards.keys()

    def append(
        self,
        keys: Sequence[str],
        captions: Sequence[str],
        seeds: Sequence[int],
        images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    ) -> None:
        """Store one batch as one file, whole or not at all.

        Args:
            keys: B keys, see `image_key`.
            captions: B texts.
            seeds: B integers in [0, 2**63).
            images: B arrays uint8 (H, W, 3).

        Raises:
            WriteError: the disk is full, or the folder can't be written; nothing is left behind.
        """
        encoded = [{"bytes": encode_png(image), "path": f"{key}.png"} for key, image in zip(keys, images, strict=True)]
        seeds = [int(seed) for seed in seeds]
        self._shards.append({"key": list(keys), "caption": list(captions), "seed": seeds, "image": encoded})

    def adopt(self, keys: Sequence[str], name: str | None = None) -> None:
        """Learn of a batch with these keys that another process appended at the same place, see `Shards.adopt`."""
        self._shards.adopt(keys, name)

    def forget(self, keys: Iterable[str]) -> None:
        """Count these images as absent."""
        self._shards.forget(keys)

    def files(self, keys: Iterable[str]) -> dict[str, list[str]]:
        """Name of each file that holds some of these images -> their keys. Raises KeyError if one is absent."""
        return self._shards.files(keys)

    def read(self, keys: Iterable[str]) -> Iterator[tuple[list[str], list[NDArray[np.uint8]]]]:
        """Read images, one file's worth at a time, in the order of the files.

        Images of a file that turns out damaged are left out: they are no longer in the store.

        Yields:
            The keys and as many arrays uint8 (H, W, 3).

        Raises:
            KeyError: a key isn't in the store.
        """
        yield from self._shards.tables(keys, _decoded)


def _decoded(table: pa.Table) -> tuple[list[str], list[NDArray[np.uint8]]]:
    """Keys and images; the file's own paths, as Hugging Face `datasets` wants them, are never followed."""
    return table["key"].to_pylist(), [decode_image(cell["bytes"].as_py()) for cell in table["image"]]


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """PNG file of an image uint8 (H, W, 3), compressed lightly: lossless and quick."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return buffer.getvalue()


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """Array uint8 (H, W, 3) of a PNG file.

    Raises:
        ValueError: it is none, is damaged, or has more than `MAX_PIXELS` pixels.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"more than {MAX_PIXELS:,} pixels")
            return np.asarray(image.convert("RGB"))
    except (*DAMAGED, *BOMB) as error:
        raise ValueError(f"an image in it can't be read: {error}") from error
