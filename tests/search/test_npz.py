"""Files of arrays: whatever bytes they hold, they are read as they were written or refused in one sentence, within memory."""

import io
import os
import struct
import zipfile

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foir_lib.errors import IntegrityError, MissingError
from foir_lib.search import npz

ARRAYS = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.array([1, 2], np.int64), "n": np.array(7)}


def npy(shape, dtype="<f8", content=b"", version=1):
    """An .npy file whose header says anything."""
    head = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(head))
    return b"\x93NUMPY" + bytes([version, 0]) + size + head + content


def zipped(members, how=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return stream.getvalue()


def test_what_is_written_is_read(tmp_path):
    npz.save(tmp_path / "x.npz", **ARRAYS)
    np.savez_compressed(tmp_path / "y.npz", **ARRAYS)
    for name in "xy":
        result = npz.load(tmp_path / f"{name}.npz", "things", ARRAYS)
        assert all(result[k].dtype == v.dtype and np.array_equal(result[k], v) for k, v in ARRAYS.items())
    for array in [*ARRAYS.values(), np.empty((0, 3)), np.asfortranarray(ARRAYS["a"])]:
        np.save(tmp_path / "x.npy", array)
        assert np.array_equal(npz.load_npy(tmp_path / "x.npy", "things"), array)
    for version in (2, 3):
        (tmp_path / "x.npy").write_bytes(npy((2,), content=np.array([1.0, 2.0]).tobytes(), version=version))
        assert npz.load_npy(tmp_path / "x.npy", "things").tolist() == [1, 2]


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(1000000, 1000000)", f"({2**62}, 4)", "(-1,)", "(3,)", "(1, )"])
def test_a_header_that_says_more_or_less_than_there_is(tmp_path, shape):
    content = npy(shape, content=bytes(16))
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"isn't 16 bytes\): make it again"):
        npz.load_npy(tmp_path / "x.npy", "things")
    for how in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        (tmp_path / "x.npz").write_bytes(zipped({"a": content}, how))
        with pytest.raises(IntegrityError, match=r"isn't 16 bytes\): make it again"):
            npz.load(tmp_path / "x.npz", "things", ["a"])


def test_an_array_that_does_not_fit_into_memory_is_refused(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.zeros(10**6))
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(10**6))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("memory", (), {"available": 7 * 10**6}))
    for load in (lambda: npz.load_npy(tmp_path / "x.npy", "things"), lambda: npz.load(tmp_path / "x.npz", "things", ["a"])):
        with pytest.raises(IntegrityError, match="needs 0.0 GB of memory, 0.0 are free"):
            load()


def test_a_zip_that_promises_more_than_deflate_can_give(tmp_path):
    content = bytearray(zipped({"a": npy((10**9,))}, zipfile.ZIP_DEFLATED))
    at = content.rindex(b"PK\x01\x02") + 24  # the size in the directory
    content[at : at + 4] = struct.pack("<I", 128 + 8 * 10**8)
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(IntegrityError, match="can't be 800000128 bytes from"):
        npz.load(tmp_path / "x.npz", "things", ["a"])


@settings(max_examples=200)
@given(data=st.data())
def test_damaged_files_are_refused_or_harmless(tmp_path_factory, data):
    streams = [io.BytesIO() for _ in range(3)]
    np.savez(streams[0], **ARRAYS), np.savez_compressed(streams[1], **ARRAYS), np.save(streams[2], ARRAYS["a"])
    kind = data.draw(st.integers(0, 2))
    content = bytearray(streams[kind].getvalue())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    path = tmp_path_factory.mktemp("a") / "x"
    path.write_bytes(content)
    try:
        result = npz.load_npy(path, "things") if kind == 2 else npz.load(path, "things", ARRAYS)
    except IntegrityError as error:
        assert "\n" not in str(error) and str(path) in str(error)
    else:  # an .npy has no checksum, the headers of a zip's members have none that zipfile reads
        assert kind == 2 or all(np.array_equal(result[k], v) for k, v in ARRAYS.items())


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(MissingError, match="no things at .*: check the path or give others"):
        npz.load(tmp_path / "x", "things", ["a"], "give others")
    with pytest.raises(IntegrityError, match=os.strerror(21)):
        npz.load_npy(tmp_path, "things")
