"""Archives that are damaged or lie: what is unpacked is what was packed, or nothing, and one sentence."""

import bz2
import gzip
import io
import lzma
import resource
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_download import tarred, tree, zipped

from foir_lib.data.getting import archives
from foir_lib.errors import IntegrityError

NOISE = np.random.default_rng(0).bytes(3000)  # doesn't compress: a flipped bit lies in contents more often than not
FILES = {"photos/a.jpg": NOISE, "photos/b.jpg": NOISE[::-1], "list.txt": b"a\nb\n" * 40}
PACKED = {mode: tarred(*FILES.items(), mode=mode) for mode in ("w", "w:gz", "w:bz2", "w:xz")} | {"zip": zipped(FILES)}
CHECKED = [mode for mode in PACKED if mode != "w"]  # kinds with checksums of their contents


def unpacked(content, folder):
    """What an archive of these bytes leaves: names and contents."""
    path = Path(folder) / "archive.bin"
    path.write_bytes(content)
    archives.unpack(path, Path(folder) / "in", progress=False)
    return {name: (Path(folder) / "in" / name).read_bytes() for name in tree(Path(folder) / "in")}


def flipped(content, bit):
    return content[: bit // 8] + bytes([content[bit // 8] ^ (1 << bit % 8)]) + content[bit // 8 + 1 :]


@pytest.mark.parametrize("mode", CHECKED)
@settings(max_examples=60)
@given(data=st.data())
def test_a_flipped_bit_is_harmless_or_refused(tmp_path_factory, mode, data):
    folder, content = tmp_path_factory.mktemp("a"), PACKED[mode]
    try:
        result = unpacked(flipped(content, data.draw(st.integers(0, 8 * len(content) - 1))), folder)
    except IntegrityError as error:
        assert "\n" not in str(error) and not (folder / "in").exists() or not tree(folder / "in")
    else:
        assert result == FILES


def test_most_flipped_bits_of_a_compressed_tar_are_seen(tmp_path):
    refused, bits = 0, np.random.default_rng(1).integers(0, 8 * len(PACKED["w:gz"]), 100)
    for n, bit in enumerate(bits):
        (tmp_path / str(n)).mkdir()
        try:
            unpacked(flipped(PACKED["w:gz"], int(bit)), tmp_path / str(n))
        except IntegrityError:
            refused += 1
    assert refused >= 98, "a few bits of gzip's header mean nothing"


@settings(max_examples=60)
@given(bit=st.integers(0, 8 * len(PACKED["w"]) - 1))
def test_a_flipped_bit_of_a_plain_tar_changes_one_files_content_and_never_the_list(tmp_path_factory, bit):
    try:
        result = unpacked(flipped(PACKED["w"], bit), tmp_path_factory.mktemp("a"))
    except IntegrityError:
        return  # a header, or the end
    assert list(result) == sorted(FILES) and {name: len(content) for name, content in result.items()} == {
        name: len(content) for name, content in FILES.items()
    }
    assert sum(result[name] != FILES[name] for name in FILES) <= 1


@pytest.mark.parametrize("mode", PACKED)
@settings(max_examples=40)
@given(data=st.data())
def test_a_cut_archive_is_refused_and_leaves_nothing(tmp_path_factory, mode, data):
    content, folder = PACKED[mode], tmp_path_factory.mktemp("a")
    least = content.rindex(b"\n") + 1 if mode == "w" else len(content) - 1  # of a plain tar's end only zeros may lack
    with pytest.raises(IntegrityError, match="can't be unpacked"):
        unpacked(content[: data.draw(st.integers(0, least))], folder)
    assert not tree(folder / "in")


def test_a_plain_tar_cut_between_two_files_is_refused(tmp_path):
    second = PACKED["w"].index(b"photos/b.jpg")
    with pytest.raises(IntegrityError, match="breaks off after 1 members"):
        unpacked(PACKED["w"][:second], tmp_path)


def test_a_damaged_header_in_the_middle_of_a_tar_is_not_its_end(tmp_path):
    second = PACKED["w"].index(b"photos/b.jpg")
    with pytest.raises(IntegrityError, match="breaks off after 1 members"):
        unpacked(flipped(PACKED["w"], 8 * second), tmp_path)


def bomb(kind):
    """An archive of some kilobytes that asks for gigabytes before a file is written."""
    head = tarfile.TarInfo("././@LongLink")
    head.type, head.size = {"name": tarfile.GNUTYPE_LONGNAME, "pax": tarfile.XHDTYPE}.get(kind, tarfile.REGTYPE), 4 << 30
    return gzip.compress(head.tobuf(tarfile.GNU_FORMAT)) + gzip.compress(bytes(64 << 20), 9) * 64


@pytest.mark.parametrize("kind", ["name", "pax"])
def test_a_header_of_gigabytes_is_refused_before_it_is_read(tmp_path, kind):
    (tmp_path / "a.tgz").write_bytes(bomb(kind))
    code = f"from foir_lib.data.getting import archives; archives.unpack({str(tmp_path / 'a.tgz')!r}, {str(tmp_path / 'in')!r})"
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))  # noqa: E731
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=limit)
    assert "IntegrityError" in done.stderr and "a header of 4294967296 bytes" in done.stderr, done.stderr


def test_more_members_than_any_archive_has_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST", 2)
    for mode in PACKED:
        with pytest.raises(IntegrityError, match="more than 2 members"):
            unpacked(PACKED[mode], tmp_path)


def test_what_an_archive_is(tmp_path):
    path = tmp_path / "x"
    for content in PACKED.values():
        path.write_bytes(content)
        assert archives.is_archive(path)
    page = b"<!doctype html><title>Moved</title>" * 40
    for content in (b"", page, gzip.compress(page), bz2.compress(page), lzma.compress(page), b"PK\x03\x04", b"\x1f\x8b", b"BZh9"):
        path.write_bytes(content)
        assert not archives.is_archive(path)


def test_a_zip_whose_directory_promises_other_sizes_is_refused(tmp_path):
    stream = io.BytesIO(PACKED["zip"])
    with zipfile.ZipFile(stream, "a") as archive:
        archive.infolist()[0].file_size -= 1
        archive._didModify = True  # write the directory again
    with pytest.raises(IntegrityError, match="can't be unpacked"):
        unpacked(stream.getvalue(), tmp_path)
