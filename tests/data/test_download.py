"""Getting data sets: manifests, resume, checksums, unpacking, and what is said when it fails."""

import hashlib
import http.server
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import textwrap
import threading
import zipfile
from collections import namedtuple
from pathlib import Path

import pandas as pd
import pytest
import timm
import torch

from foir_lib import files, registry
from foir_lib.data import checks
from foir_lib.data.getting import archives, download
from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.models import zoo

ROOT = Path(__file__).parents[2]
BODY = bytes(range(256)) * 2000  # 512,000 bytes, eight pieces of the downloader


class Server(http.server.ThreadingHTTPServer):
    """Serves ``files``; ``cut``: bytes after which answers break; ``ranges``: Range is heeded; ``lie``: answers instead."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.cut, self.ranges, self.requests, self.lie = {}, [], True, [], None
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"

    def handle_error(self, request, client_address):
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server, body = self.server, self.server.files.get(self.path[1:])
        wanted = self.headers.get("Range")
        server.requests.append((self.path[1:], wanted))
        if server.lie:
            return server.lie(self)
        if body is None:
            return self.send_error(404)
        state = f'"{sha(body)[:16]}"'
        start = int(re.match(r"bytes=(\d+)-", wanted)[1]) if wanted and server.ranges else 0
        if self.headers.get("If-Range", state) != state:
            start = 0
        if start and start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.send_header("ETag", state)
        self.end_headers()
        end = start + server.cut.pop(0) if server.cut else len(body)
        self.wfile.write(body[start:end])
        if end < len(body):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def zipped(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(*members, mode="w"):
    """A tar of (name, content) files, or ready TarInfo objects."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return stream.getvalue()


def entry(url, files, expect=()):
    """A manifest of ``files``: name -> (bytes, checksum value or None)."""
    listed = [
        {
            "name": name,
            "url": url + name,
            "bytes": size,
            "checksum": {"algorithm": "sha256", "value": value} if value else None,
            "checksum_sources": [],
            "unpack": not name.endswith(".txt"),
        }
        for name, (size, value) in files.items()
    ]
    counts = {"query": 1, "database": 1, "categories": 1}
    return {
        "name": "tiny", "title": "", "homepage": "", "licence": "", "citation": "", "protocol": {},
        "counts": counts, "files": listed, "layout": [], "expect": list(expect),
    }  # fmt: skip


def sha(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def offer(server, tmp_path, monkeypatch):
    """Offer files as the data set "tiny": offer({name: content}, expect) -> its root."""

    def make(files, expect=(), known=True):
        server.files.update(files)
        listed = {name: (len(body), sha(body) if known else None) for name, body in files.items()}
        place(entry(server.url, listed, expect))
        return tmp_path / "root"

    def place(result):
        folder = tmp_path / "data_manifests"
        folder.mkdir(exist_ok=True)
        (folder / "tiny.json").write_text(json.dumps(result))
        monkeypatch.setattr(download, "manifest_root", lambda: folder)

    make.place = place
    return make


PHOTOS = zipped({"val/a.jpg": b"a", "val/b.jpg": b"b" * 300_000, "note.md": b"n"})
TWO = {"what": "photos", "from": "p.zip", "pattern": "val/*.jpg", "count": 2}


def tree(root):
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def status(rows):
    return dict(zip(rows["file"], rows["status"], strict=True))


def get(root, **options):
    return download.get("tiny", root, progress=False, **options)


# ---- the real manifests


def test_real_manifests_state_the_counts_of_the_paper():
    counts = {e["name"]: tuple(e["counts"].values()) for e in download._manifests()}
    assert counts["coco"] == (5000, 118287, 80)
    assert counts["voc"] == (4952, 16551, 20)
    assert counts["visual-genome"] == (9880, 82904, 100)
    assert counts["roxford5k"] == (70, 4993, 11) and counts["rparis6k"] == (70, 6322, 11)
    assert counts["oxford5k"] == (55, 5063, 11) and counts["paris6k"] == (55, 6412 - 20, 11)
    assert counts["revisitop1m"][1] == 1001001 and counts["gldv2"][1] == 761757
    assert "models" not in counts


def test_real_checksums_are_whole_and_have_sources_and_unknown_ones_are_null():
    unknown = set()
    for result in download._manifests():
        names = {file["name"] for file in result["files"]}
        assert {check["from"] for check in result["expect"]} <= names | {None}
        for file in result["files"]:
            assert file["url"].startswith(("http://", "https://")) and file["url"].endswith(
                file["name"]
            )
            assert file["bytes"] is None or file["bytes"] > 0
            if file["checksum"]:
                assert file["checksum"]["algorithm"] == "sha256"
                assert re.fullmatch("[0-9a-f]{64}", file["checksum"]["value"])
                sources = file["checksum_sources"]
                named = [re.search(r"\b\S+/\S+ \S+/\S+|\S+/\S+ of \S+/\S+|named commit", s) for s in sources]
                assert all(named) and (len(sources) > 1 or "named commit" in sources[0]), sources
            else:
                assert file["note"] and not file["checksum_sources"]
                unknown.add(file["name"])
    assert {"images.zip", "images2.zip", "objects.json.zip", "gnd_roxford5k.pkl", "train_clean.csv"} < unknown
    assert not unknown & {"val2017.zip", "train2017.zip", "object_alias.txt", "test_list_500.txt"}


def test_every_archive_brings_something_that_can_be_counted():
    for result in download._manifests():
        counted = {check["from"] for check in result["expect"]}
        assert {file["name"] for file in result["files"] if file["unpack"]} <= counted, result["name"]


def own_sets():
    """Names of the sets that foir_lib registers, without those of tests."""
    return [name for name in registry.names("set") if registry.lookup("set", name).__module__.startswith("foir_lib.")]


ANYBODYS = {"folder", "classes", "index"}  # folders of somebody's own pictures


def test_every_set_that_can_be_loaded_has_a_manifest():
    named = {name for e in download._manifests() for name in (e["name"], *e.get("variants", ()))}
    assert set(own_sets()) - ANYBODYS <= named


def test_settings_of_manifests_are_settings_of_sets():
    settings = {e["name"]: e["settings"] for e in download._manifests() if "settings" in e}
    for name, values in settings.items():
        checks.settings(name, values)
    sets = {name: download.manifest(name)["name"] for name in own_sets() if name not in ANYBODYS}
    assert set(sets.values()) == set(settings), "every set that can be loaded names the unit of its queries"
    assert all("unit" in values for values in settings.values())
    training = {values["training"] for values in settings.values() if "training" in values}
    assert training <= set(registry.names("training set"))


def test_voc_lists_add_up_to_the_database():
    expect = {e["list"]: e["count"] for e in download.manifest("voc")["expect"]}
    counts = [n for name, n in expect.items() if name.endswith("trainval.txt")]
    assert sum(counts) == 5011 + 11540 == 16551


def test_datasets_and_models_are_tables():
    table = download.datasets().set_index("name")
    landmarks = {"roxford5k", "rparis6k", "revisitop1m", "oxford5k", "paris6k", "oxford105k", "gldv2", "rsfm120k", "landmarks"}
    assert {"coco", "mini-focus", "mini-landmarks", "visual-genome", "voc"} | landmarks <= set(table.index)
    assert (table.loc[sorted(landmarks), ["licence", "homepage"]].map(len) > 0).all(axis=None)
    assert table.loc["coco", "bytes"] == 815585330 + 19336861798 + 252907541
    assert table.loc["visual-genome", "checksums"] == "4 of 7"
    models = pd.DataFrame(zoo.MANIFEST).set_index("name")
    assert models.loc[["dinov2-small", "dinov2-giant", "mini-vit"], "heads"].tolist() == [6, 24, 12]


@pytest.mark.slow
def test_model_facts_are_those_of_timm():
    for row in pd.DataFrame(zoo.MANIFEST).dropna(subset="timm").itertuples():
        with torch.device("meta"):
            net = timm.create_model(row.timm, pretrained=False)
        facts = (net.blocks[0].attn.num_heads, len(net.blocks), net.embed_dim)
        assert facts == (row.heads, row.depth, row.width), row.name
        assert net.patch_embed.patch_size == (row.patch, row.patch), row.name
        assert net.num_prefix_tokens == 1 + row.registers, row.name


def test_unknown_set_suggests_the_nearest():
    with pytest.raises(InputError, match="'cocoo'.*did you mean coco"):
        download.get("cocoo")


def test_mini_world_has_nothing_to_get(tmp_path):
    rows = download.get("mini-focus-dense", tmp_path / "no")
    assert rows["status"].tolist() == ["ok"] and not (tmp_path / "no").exists()


def test_root_is_argument_then_environment_then_cache(monkeypatch):
    monkeypatch.setenv("FOIR_DATA", "/data")
    assert download.data_root("coco", "/x") == Path("/x")
    assert download.data_root("coco") == Path("/data/coco")
    monkeypatch.delenv("FOIR_DATA")
    monkeypatch.setenv("FOIR_CACHE", "/cache")
    assert download.data_root("coco") == Path("/cache/data/coco")


@pytest.mark.parametrize("inside", [False, True])
def test_manifests_are_found_in_a_checkout_and_in_an_installed_package(tmp_path, inside):
    source = files.PACKAGE
    package = tmp_path / "site" / "foir_lib"
    for name in ("errors.py", "files.py", "images.py", "data/getting/download.py", "data/getting/fetch.py", "data/getting/archives.py"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, package / name)
        (package / name).with_name("__init__.py").touch()  # a package without would give way to the checkout's
    shutil.copytree(
        files.manifest_root(), (package if inside else package.parent) / "data_manifests"
    )
    code = "from foir_lib.data.getting.download import *; print(manifest_root()); print(len(datasets()))"
    clean = {**os.environ, "PYTHONPATH": str(package.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean, cwd=tmp_path, capture_output=True, text=True
    )
    where = (package if inside else package.parent) / "data_manifests"
    assert done.stdout.splitlines() == [str(where), str(len(download._manifests()))], done.stderr


def test_no_manifests_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PACKAGE", tmp_path / "foir_lib")
    with pytest.raises(MissingError, match="install foir_lib again"):
        files.manifest_root()


# ---- getting


def test_get_brings_unpacks_and_verifies(offer, server):
    root = offer({"p.zip": PHOTOS, "list.txt": b"a\nb\n"}, [TWO])
    rows = get(root)
    assert status(rows) == {"p.zip": "ok", "list.txt": "ok", "val/*.jpg": "ok"}
    assert tree(root) == [
        "archives/.lock",
        "archives/p.zip",
        "list.txt",
        "note.md",
        "val/a.jpg",
        "val/b.jpg",
    ]
    assert (root / "val/b.jpg").read_bytes() == b"b" * 300_000
    n_requests = len(server.requests)
    assert status(get(root)) == status(rows) and len(server.requests) == n_requests  # nothing more to do


def test_what_lies_there_from_elsewhere_is_taken(offer, server):
    root = offer({"p.zip": PHOTOS}, [TWO])
    (root / "val").mkdir(parents=True)
    for name in "ab":
        (root / "val" / f"{name}.jpg").write_bytes(b"x")
    assert status(get(root)) == {"p.zip": "unverified", "val/*.jpg": "ok"} and not server.requests


def test_an_archive_brought_by_hand_is_checked_and_unpacked(offer, server):
    root = offer({"p.zip": PHOTOS}, [TWO])
    (root / "archives").mkdir(parents=True)
    (root / "archives" / "p.zip").write_bytes(PHOTOS)
    assert status(get(root)) == {"p.zip": "ok", "val/*.jpg": "ok"} and not server.requests


def test_a_broken_connection_is_resumed_at_once(offer, server):
    server.cut = [200_000, 100_000]
    root = offer({"l.txt": BODY})
    assert status(get(root)) == {"l.txt": "ok"}
    starts = [int(r[6:-1]) if r else 0 for _, r in server.requests]
    assert len(starts) == 3 and starts == sorted(set(starts)) and starts[1] > 100_000
    assert (root / "l.txt").read_bytes() == BODY and not (root / "l.txt.part").exists()


def test_a_part_of_an_earlier_run_is_used(offer, server):
    root = offer({"l.txt": BODY})
    root.mkdir()
    (root / "l.txt.part").write_bytes(BODY[:300_000])
    (root / "l.txt.part.of").write_text(f'"{sha(BODY)[:16]}"')
    get(root)
    assert server.requests == [("l.txt", "bytes=300000-")] and (root / "l.txt").read_bytes() == BODY
    assert tree(root) == ["archives/.lock", "l.txt"]


def test_a_whole_part_is_not_fetched_again(offer, server):
    root = offer({"l.txt": BODY})
    root.mkdir()
    (root / "l.txt.part").write_bytes(BODY)
    assert status(get(root)) == {"l.txt": "ok"} and not server.requests


def test_server_without_range_starts_over(offer, server):
    server.ranges = False
    root = offer({"l.txt": BODY})
    root.mkdir()
    (root / "l.txt.part").write_bytes(b"?" * 300_000)
    assert status(get(root)) == {"l.txt": "ok"} and (root / "l.txt").read_bytes() == BODY


def test_server_without_range_that_always_breaks_ends_in_words(offer, server):
    server.ranges, server.cut = False, [300_000] * 9
    root = offer({"l.txt": BODY})
    with pytest.raises(MissingError, match="run again to resume"):
        get(root)
    assert len(server.requests) == 2 and not (root / "l.txt").exists()


@pytest.mark.parametrize("have", [0, 100_000, len(BODY)])
def test_unknown_size_is_fetched_whole(offer, server, have):
    server.files["l.txt"], root = BODY, offer({})
    offer.place(entry(server.url, {"l.txt": (None, None)}))
    root.mkdir()
    if have:
        (root / "l.txt.part").write_bytes(BODY[:have])
    assert status(get(root)) == {"l.txt": "unverified"} and (root / "l.txt").read_bytes() == BODY


def test_wrong_checksum_is_named_and_set_aside(offer, server):
    root = offer({"p.zip": PHOTOS}, [TWO])
    server.files["p.zip"] = bad = PHOTOS[:-1] + b"!"
    with pytest.raises(IntegrityError) as caught:
        get(root)
    text = str(caught.value)
    assert "p.zip" in text and sha(PHOTOS) in text and sha(bad) in text and "again" in text
    assert tree(root) == ["archives/.lock", "archives/p.zip.bad"]
    rows = download.verify("tiny", root, progress=False)
    assert status(rows) == {"p.zip": "missing", "val/*.jpg": "missing"}
    assert "set aside" in rows["note"][0]
    server.files["p.zip"] = PHOTOS
    assert status(get(root)) == {"p.zip": "ok", "val/*.jpg": "ok"}


def test_a_file_of_another_size_is_a_mismatch_even_without_checksum(offer, server):
    root = offer({"p.zip": PHOTOS}, [TWO], known=False)
    server.files["p.zip"] = PHOTOS + b"more"
    with pytest.raises(IntegrityError, match=f"{len(PHOTOS)} bytes, got {len(PHOTOS) + 4} bytes"):
        get(root)


def test_unverified_is_said(offer):
    root = offer({"p.zip": PHOTOS}, [TWO], known=False)
    assert status(get(root)) == {"p.zip": "unverified", "val/*.jpg": "ok"}


def test_missing_page_and_closed_port_say_what_to_do_by_hand(offer, server):
    root = offer({"p.zip": PHOTOS}, [TWO])
    server.files.clear()
    with pytest.raises(MissingError, match="the server answered 404"):
        get(root)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{probe.getsockname()[1]}/"
    offer.place(entry(closed, {"p.zip": (len(PHOTOS), sha(PHOTOS))}, [TWO]))
    with pytest.raises(MissingError) as caught:
        get(root)
    text = str(caught.value)
    assert "no connection" in text and "\n" not in text and f"{closed}p.zip" in text
    assert str(root / "archives" / "p.zip") in text and "foir data verify tiny" in text


def test_no_space_is_said_before_anything_is_fetched(offer, server, monkeypatch):
    root = offer({"p.zip": PHOTOS}, [TWO])
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 2 * len(PHOTOS) - 1000))
    with pytest.raises(InputError, match=r"599\.6 kB free and getting tiny needs 600\.6 kB"):
        get(root)
    assert not server.requests and not root.exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 2 * len(PHOTOS)))
    assert status(get(root))["p.zip"] == "ok"


def test_full_disk_while_fetching_keeps_the_part(offer, monkeypatch):
    root = offer({"l.txt": BODY})

    def full(url, part, *rest):
        part.write_bytes(BODY[:9])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "fetch", full)
    with pytest.raises(InputError, match="is full; .*l.txt.part is kept"):
        get(root)
    assert (root / "l.txt.part").read_bytes() == BODY[:9]


def test_two_runs_on_one_root_do_not_mix(offer):
    root = offer({"l.txt": BODY})
    (root / "archives").mkdir(parents=True)
    with download.filelock.FileLock(root / "archives" / ".lock"):
        with pytest.raises(InputError, match="Another run is getting tiny"):
            get(root)
    assert status(get(root)) == {"l.txt": "ok"}


# ---- verifying


def test_verify_counts_and_tells_apart(offer):
    root = offer({"p.zip": PHOTOS, "l.txt": b"a\nb\nc\n"}, [
        TWO,
        {"what": "listed", "from": None, "list": "l.txt", "count": 3,
         "files": [["val/{}.jpg", "more/{}.jpg"], ["xml/{}.xml"]]},
    ])  # fmt: skip
    assert set(status(download.verify("tiny", root)).values()) == {"missing"}
    get(root)
    rows = download.verify("tiny", root, progress=False)
    assert status(rows)["l.txt"] == "missing"  # the count comes last: nothing has both parts
    for folder, files_ in {"more": ["c.jpg"], "xml": ["a.xml", "b.xml"]}.items():
        (root / folder).mkdir()
        for name in files_:
            (root / folder / name).touch()
    rows = download.verify("tiny", root, progress=False)
    assert rows["actual"].tolist()[-1] == "2" and rows["status"].tolist()[-1] == "mismatch"
    (root / "xml" / "c.xml").touch()
    assert set(download.verify("tiny", root, progress=False)["status"]) == {"ok"}
    (root / "val" / "b.jpg").unlink()
    rows = download.verify("tiny", root, progress=False)
    assert rows["status"].tolist() == ["ok", "ok", "mismatch", "mismatch"]
    assert "run foir data get tiny" in rows["note"].tolist()[-1]
    (root / "archives" / "p.zip").write_bytes(PHOTOS[:-1] + b"!")
    assert status(download.verify("tiny", root, progress=False))["p.zip"] == "mismatch"


# ---- unpacking


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_link():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo("good/link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc")
    return stream.getvalue()


EVIL = {
    "zip parent": zipped({"good.txt": "1", "../evil.txt": "2"}),
    "zip deep parent": zipped({"good.txt": "1", "a/../../evil.txt": "2"}),
    "zip absolute": zipped({"good.txt": "1", "/tmp/evil.txt": "2"}),
    "zip drive": zipped({"good.txt": "1", "C:/evil.txt": "2"}),
    "zip backslash": zipped({"good.txt": "1", "..\\evil.txt": "2"}),
    "zip folder": zipped({"good.txt": "1", "../evil/": ""}),
    "zip link": zip_link(),
    "tar parent": tarred(("good.txt", b"1"), ("../evil.txt", b"2")),
    "tar absolute": tarred(("good.txt", b"1"), ("/tmp/evil.txt", b"2")),
    "tar symlink": tarred(("good.txt", b"1"), link("out", "/etc"), ("out/evil.txt", b"2")),
    "tar inner symlink": tarred(("good.txt", b"1"), link("in", "good.txt")),
    "tar hardlink": tarred(("good.txt", b"1"), link("hard", "../../secret", tarfile.LNKTYPE)),
    "tar device": tarred(("good.txt", b"1"), link("dev", "", tarfile.CHRTYPE)),
    "tar fifo": tarred(("good.txt", b"1"), link("pipe", "", tarfile.FIFOTYPE)),
}


@pytest.mark.parametrize("kind", EVIL)
def test_an_archive_that_leaves_its_folder_is_refused_whole(tmp_path, kind):
    (tmp_path / "in").mkdir()
    path = tmp_path / "evil.bin"
    path.write_bytes(EVIL[kind])
    with pytest.raises(IntegrityError, match="nothing was unpacked"):
        archives.unpack(path, tmp_path / "in", progress=False)
    assert tree(tmp_path) == ["evil.bin"]


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_archives_of_every_kind_are_unpacked_with_contents_only(tmp_path, mode):
    path = tmp_path / "a.bin"
    files = {"x/y/1.txt": b"one", "x/2.txt": b"two", "./3.txt": b""}
    path.write_bytes(zipped(files) if mode == "zip" else tarred(*files.items(), mode=mode))
    assert archives.unpack(path, tmp_path / "in", progress=False) == 3
    assert {n: (tmp_path / "in" / n).read_bytes() for n in tree(tmp_path / "in")} == {
        "3.txt": b"", "x/2.txt": b"two", "x/y/1.txt": b"one",
    }  # fmt: skip


def test_archives_that_share_a_folder_are_merged(tmp_path):
    for number in "12":
        (tmp_path / f"{number}.tar").write_bytes(
            tarred((f"V/img/{number}.jpg", b"x"), ("V/readme", number.encode()))
        )
        archives.unpack(tmp_path / f"{number}.tar", tmp_path / "in", progress=False)
    assert tree(tmp_path / "in") == ["V/img/1.jpg", "V/img/2.jpg", "V/readme"]
    assert (tmp_path / "in/V/readme").read_text() == "2"


def flipped():
    """A stored zip with one wrong byte in a member: the CRC must notice."""
    at = PHOTOS.index(b"b" * 1000) + 500
    return PHOTOS[:at] + b"X" + PHOTOS[at + 1 :]


DAMAGED = [PHOTOS[:-200], flipped(), b"", b"plain text", b"PK\x03\x04junk"]


@pytest.mark.parametrize("content", [*DAMAGED, tarred(("a", b"1" * 5000))[:3000]])
def test_a_damaged_archive_is_set_aside_and_leaves_nothing(offer, content):
    root = offer({"p.zip": content}, [TWO])
    with pytest.raises(IntegrityError, match="can't be unpacked"):
        get(root)
    assert tree(root) == ["archives/.lock", "archives/p.zip.bad"]


def test_unpacking_asks_for_the_unpacked_size(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big", bytes(5_000_000))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 4_000_000))
    with pytest.raises(InputError, match=r"^The disk of .* has 4\.0 MB free and unpacking a\.zip needs 5\.0 MB"):
        archives.unpack(path, tmp_path / "in", progress=False)
    assert tree(tmp_path) == ["a.zip"]


def test_kill_while_unpacking_leaves_nothing_half_and_the_next_run_completes(tmp_path):
    path, target = tmp_path / "a.zip", tmp_path / "in"
    path.write_bytes(zipped({f"photos/{i:03}.jpg": bytes(1000) for i in range(200)}))
    script = textwrap.dedent(
        f"""
        import shutil, time
        from foir_lib.data.getting import archives
        copy = shutil.copyfileobj
        def slow(source, sink, size):
            sink.write(b"half"); sink.flush(); print("at work", flush=True); time.sleep(0.01)
            sink.seek(0); copy(source, sink, size)
        archives.shutil.copyfileobj = slow
        archives.unpack({str(path)!r}, {str(target)!r}, progress=False)
        """
    )
    run = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=ROOT)
    for _ in range(20):
        assert run.stdout.readline() == b"at work\n"
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()
    assert not (target / "photos").exists() and (target / ".unpack-a.zip").exists()
    archives.unpack(path, target, progress=False)
    assert len(tree(target)) == 200 and os.listdir(target) == ["photos"]
    assert all((target / name).stat().st_size == 1000 for name in tree(target))


def test_an_interrupt_while_unpacking_cleans_up(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    path.write_bytes(PHOTOS)

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(archives.shutil, "copyfileobj", stop)
    with pytest.raises(KeyboardInterrupt):
        archives.unpack(path, tmp_path / "in", progress=False)
    assert tree(tmp_path) == ["a.zip"] and not list((tmp_path / "in").iterdir())


@pytest.mark.parametrize(
    ("size", "words"),
    [(None, "unknown"), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (19336861798, "19.3 GB"),
     (2.5e15, "2500.0 TB")],
)  # fmt: skip
def test_sizes_in_words(size, words):
    assert archives.readable(size) == words
