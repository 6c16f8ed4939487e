"""Caches, features and downloads, killed or out of disk between any two changes of files: whole or absent, then completed."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from foir_lib import files

TESTS = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "full"])
@pytest.mark.parametrize("what", ["features", "by_content", "cached", "drawn", "download"])
def test_stopped_between_any_two_changes_of_files(what, how, tmp_path):
    paths = [str(TESTS), str(TESTS / "data"), str(files.PACKAGE.parent)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "FOIR_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, __file__, what, how, str(tmp_path)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def features(home):
    import numpy as np

    from foir_lib.store import features

    made = home.with_name(f"{home.name}-made")

    def make(start, stop):
        with made.open("a") as file:
            file.write(f"{start}\n")
        return {"x": np.arange(start, stop), "y": np.ones((stop - start, 3), np.float32)}

    def build():
        return features.build({"what": "x"}, 5, make, root=home / "f", shard=2, progress=False)

    def begin():
        """One damaged shard and one that is whole stand there."""
        shutil.rmtree(home / "f", ignore_errors=True)
        folder = build().folder
        _, damaged, missing = sorted(folder.glob("*.safetensors"))
        damaged.write_bytes(damaged.read_bytes()[:-1])
        missing.unlink()
        made.unlink()

    def check():
        build()
        assert made.read_text().split().count("0") == 0, "what is whole isn't made again"
        assert build().read("x").tolist() == list(range(5)) and build().read("y").shape == (5, 3)

    return build, begin, check


def by_content(home):
    import numpy as np

    from foir_lib.store import by_content

    made, after = home.with_name(f"{home.name}-made"), list("bcxdea")

    def make(contents):
        def rows(at):
            for row in at:
                with made.open("a") as file:
                    file.write(contents[row])
                yield {"x": np.array([[ord(contents[row]), row * 0.0]])}

        return rows

    def build(contents=after):
        return by_content.build({"what": "x"}, contents, make(contents), root=home / "f", shard=2, progress=False)

    def begin():
        """Before the folder was changed; of three shards one is damaged and one missing."""
        shutil.rmtree(home / "f", ignore_errors=True)
        _, damaged, missing = sorted(build(list("abcde")).folder.glob("*.safetensors"))
        damaged.write_bytes(damaged.read_bytes()[:-1])
        missing.unlink()
        made.unlink()

    def check():
        build()
        assert build().read("x").tolist() == [[ord(content), 0.0] for content in after]
        assert made.read_text().count("x") in (1, 2), "at most once more than it was stored"

    return build, begin, check


def cached(home):
    from foir_lib import files

    def act():
        for n in range(2):
            files.cached("k", {"n": n}, lambda n=n: b"content %d" % n, home / "c")

    def check():
        act()
        for n in range(2):
            assert files.cached("k", {"n": n}, None, home / "c") == b"content %d" % n

    return act, lambda: shutil.rmtree(home / "c", ignore_errors=True), check


def drawn(home):
    from foir_lib.data.mini.drawn import drawn_once

    def draw(folder):
        folder.mkdir()
        for name in ("a.json", "b.json"):
            (folder / name).write_text(json.dumps(name))

    def act():
        drawn_once("town", draw)

    def begin():
        shutil.rmtree(home / "cache", ignore_errors=True)
        act()
        (home / "cache" / "mini" / "town" / "a.json").write_text("damaged")

    def check():
        folder = drawn_once("town", draw)
        assert [(p.name, json.loads(p.read_text())) for p in sorted(folder.glob("[!.]*"))] == [("a.json",) * 2, ("b.json",) * 2]
        assert [p.name for p in folder.parent.iterdir() if p.suffix != ".tmp"] == ["town"]

    return act, begin, check


def download(home):
    from test_download import BODY, PHOTOS, TWO, Server, entry, sha

    from foir_lib.data.getting import download

    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.files = {"p.zip": PHOTOS, "l.txt": BODY}
    listed = {"p.zip": (len(PHOTOS), sha(PHOTOS)), "l.txt": (None, None)}
    (home / "manifests").mkdir()
    (home / "manifests" / "tiny.json").write_text(json.dumps(entry(server.url, listed, [TWO])))
    download.manifest_root = lambda: home / "manifests"
    root = home / "root"

    def act():
        download.get("tiny", root, progress=False)

    def begin():
        """The first connection breaks, so that there is something to resume."""
        shutil.rmtree(root, ignore_errors=True)
        server.cut[:] = [len(PHOTOS), 300_000]

    def check():
        wanted = {"l.txt": BODY, "archives/p.zip": PHOTOS, "val/a.jpg": b"a", "val/b.jpg": b"b" * 300_000, "note.md": b"n"}
        for name, content in wanted.items():
            if (root / name).exists():
                assert hashlib.sha256((root / name).read_bytes()).digest() == hashlib.sha256(content).digest(), name
        assert set(download.get("tiny", root, progress=False)["status"]) == {"ok", "unverified"}
        there = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
        assert there == {*wanted, "archives/.lock"}, there

    return act, begin, check


def _everywhere(what, how, home):
    from kills import stopped

    act, begin, check = globals()[what](home)
    for _ in stopped(act, home, begin, how == "full"):
        check()
    check()


if __name__ == "__main__":
    _everywhere(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
