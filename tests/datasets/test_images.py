"""Image files as they come: modes, orientation, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genlens.datasets import images
from genlens.datasets.images import check_image, load_image, unreadable
from genlens.errors import UserError


def save(path: Path, mode: str = "RGB", size: tuple[int, int] = (4, 3), **options: object) -> Path:
    Image.new(mode, size).save(path, **options)
    return path


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = save(tmp_path / ("x.jpg" if mode == "CMYK" else "x.png"), mode)
    image = load_image(path)
    assert (image.shape, image.dtype) == ((3, 4, 3), np.uint8)


def test_pixels_are_kept(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.PNG")
    assert (load_image(tmp_path / "x.PNG") == pixels).all()


def test_sixteen_bits_are_scaled_not_cut(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 256, 65535]], dtype=np.uint16)).save(tmp_path / "x.png")
    assert load_image(tmp_path / "x.png")[0, :, 0].tolist() == [0, 1, 255]


def test_thirty_two_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.tiff has 32 bits a pixel\. Save it with 8 or 16 bits\.$"):
        load_image(save(tmp_path / "x.tiff", "F"))


def test_transparent_palettes_are_read(tmp_path: Path) -> None:
    image = Image.new("P", (2, 2))
    image.putpalette([9, 8, 7] * 256)
    image.info["transparency"] = bytes([0] * 256)
    image.save(tmp_path / "x.png")
    assert load_image(tmp_path / "x.png")[0, 0].tolist() == [9, 8, 7]


def test_photographs_stand_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert load_image(save(tmp_path / "x.jpg", exif=exif)).shape == (4, 3, 3)


def test_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert load_image(tmp_path / "x.gif")[0, 0].tolist() == [255, 0, 0]


def damaged(tmp_path: Path) -> dict[str, Path]:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in ("cut.png", "cut.jpg"):
        Image.fromarray(noise).save(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    (tmp_path / "words.jpg").write_text("not an image")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    names = ("cut.png", "cut.jpg", "words.jpg", "empty.png", "folder.png", "gone.png")
    return {name: tmp_path / name for name in names}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cut.png", r"^Image .*cut\.png can't be read: .+\. Replace it, or pass --skip-unreadable\.$"),
        ("cut.jpg", r"^Image .*cut\.jpg can't be read: image file is truncated .+ Replace it"),
        ("words.jpg", r"^Image .*words\.jpg can't be read: it isn't an image\. Replace it"),
        ("empty.png", r"^Image .*empty\.png can't be read: it isn't an image\. Replace it"),
        ("folder.png", r"^Image .*folder\.png can't be read: .*[Ii]s a directory"),
        ("gone.png", r"^Image .*gone\.png doesn't exist\. Check the file name, or pass --skip-unreadable\.$"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_image(damaged(tmp_path)[name])


def test_unreadable_lists_all(tmp_path: Path) -> None:
    paths = [save(tmp_path / "good.png"), *damaged(tmp_path).values()]
    found = unreadable(paths)
    assert [position for position, _ in found] == [1, 2, 3, 4, 5, 6]
    assert all(str(paths[position]) in reason for position, reason in found)


def test_headers_are_checked_without_decoding(tmp_path: Path) -> None:
    files = damaged(tmp_path)
    check_image(files["cut.jpg"])
    with pytest.raises(UserError, match=r"words\.jpg can't be read: it isn't an image"):
        check_image(files["words.jpg"])


@pytest.mark.parametrize("limit", ["ours", "pillow warns", "pillow refuses"])
def test_huge_images_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    path = save(tmp_path / "x.png", size=(100, 100))
    if limit == "ours":
        monkeypatch.setattr(images, "MAX_PIXELS", 9_999)
    else:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9_999 if limit == "pillow warns" else 4_000)
    for read in (load_image, check_image):
        with pytest.raises(UserError, match=r"^Image .*x\.png has more than \d+ million pixels\. Make it smaller"):
            read(path)


def test_images_at_the_limit_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 12)
    assert load_image(save(tmp_path / "x.png")).shape == (3, 4, 3)
