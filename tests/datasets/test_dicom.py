"""DICOM and 16-bit grey: values by hand, and one line for what can't be read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genlens.datasets.images import check_image, load_image, unreadable
from genlens.errors import UserError

pydicom = pytest.importorskip("pydicom")


def write(path: Path, pixels: np.ndarray, **fields: Any) -> Path:
    """A file such as a digital X-ray unit writes."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = pixels.astype("<u2").tobytes()
    for name, value in fields.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


RAMP = np.array([[0, 1000], [2000, 4000]])


def test_without_a_window_the_range_is_stretched(tmp_path: Path) -> None:
    image = load_image(write(tmp_path / "a.dcm", RAMP))
    assert image.shape == (2, 2, 3)
    np.testing.assert_array_equal(image[..., 0], [[0, 64], [128, 255]])
    np.testing.assert_array_equal(image[..., 0], image[..., 2])


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    image = load_image(write(tmp_path / "a.dcm", RAMP, PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(image[..., 0], [[255, 191], [128, 0]])


def test_a_window_is_applied(tmp_path: Path) -> None:
    image = load_image(write(tmp_path / "a.dcm", RAMP, WindowCenter=1500, WindowWidth=1001))[..., 0]
    # The standard's linear function: 0 below 999.5, 1 above 1999.5 (PS3.3 C.11.2.1.2).
    np.testing.assert_allclose(image, [[0, 0], [255, 255]], atol=1)
    middle = np.array([[0, 1500], [1250, 1750]])
    image = load_image(write(tmp_path / "b.dcm", middle, WindowCenter=1500, WindowWidth=1001))[..., 0]
    np.testing.assert_allclose(image, [[0, 128], [64, 192]], atol=1)


def test_rescale_comes_before_the_window(tmp_path: Path) -> None:
    fields = {"RescaleSlope": 2, "RescaleIntercept": -1000, "RescaleType": "US"}
    values = np.array([[500, 1000], [750, 2000]])  # 0, 1000, 500, 3000
    image = load_image(write(tmp_path / "a.dcm", values, **fields, WindowCenter=500.5, WindowWidth=1001))[..., 0]
    np.testing.assert_allclose(image, [[0, 255], [128, 255]], atol=1)


def test_a_constant_image_is_black(tmp_path: Path) -> None:
    assert load_image(write(tmp_path / "a.dcm", np.full((2, 2), 7))).max() == 0


@pytest.mark.parametrize("read", [load_image, check_image])
def test_a_file_that_is_no_dicom_is_one_line(tmp_path: Path, read: Any) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(b"not a DICOM file at all")
    with pytest.raises(UserError, match=r"DICOM .*a.dcm can't be read: it isn't DICOM. Replace it"):
        read(path)
    with pytest.raises(UserError, match="doesn't exist"):
        read(tmp_path / "b.dcm")


def test_damaged_and_empty_files_are_one_line(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.dcm", np.arange(64).reshape(8, 8))
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"DICOM .*cut.dcm can't be read"):
        load_image(cut)
    assert [position for position, _ in unreadable([whole, cut])] == [1]
    report = write(tmp_path / "b.dcm", RAMP)
    dataset = pydicom.dcmread(report)
    del dataset.Rows
    dataset.save_as(report)
    with pytest.raises(UserError, match="it holds no image"):
        check_image(report)


def test_a_compression_that_nothing_reads_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", RAMP)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"  # HTJ2K
    dataset.PixelData = pydicom.encaps.encapsulate([b"\0" * 16])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    check_image(path)
    with pytest.raises(UserError, match=r"DICOM .*a.dcm can't be read"):
        load_image(path)


def test_without_pydicom_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.dcm", RAMP)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UserError, match=r"needs pydicom. Install it: pip install genlens\[medical\]"):
        load_image(path)


def test_16_bit_grey_png_keeps_its_upper_bits(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[0, 256], [32768, 65535]], dtype=np.uint16)).save(path)
    np.testing.assert_array_equal(load_image(path)[..., 1], [[0, 1], [128, 255]])
