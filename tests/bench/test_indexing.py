"""One's own photographs by the real command: indexed, killed, changed and asked; at full length a claim."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image, ImageOps
from servers import Kernel, running, until

from foir_lib import load_model
from foir_lib.files import PACKAGE, manifest_root
from foir_lib.images import open_image
from foir_lib.store import shards

DEIT = "deit_tiny_patch16_224"
MEMORY, FIRST, SHARE = 2 * 2**30, 300, 0.4  # bytes, while indexing and with the page open; ms until a list; of the bare network's speed
DRAG = """
from time import perf_counter
from foir_lib import Box
ids, drags = rs.database["image_id"].tolist(), []
for n in range(DRAGS):
    one = rs.open(ids[n * len(ids) // DRAGS])
    page.ask(Box(0, 0, *one.size), picture=one)
    start = perf_counter()
    page.canvas.prompt = Box(one.width / 4, one.height / 4, one.width / (1.5 + n / 2 / DRAGS), one.height / 1.2)
    page.wait()
    drags.append(1000 * (perf_counter() - start))
    assert all(len(table) == 10 for table in page.explorer.results.values()) and page.explorer.results
"""


def photographs(folder, sources, n):
    """``n`` pictures of different content in three folders: the sources turned over, cropped and encoded again."""
    for i in range(n):
        turn, source = divmod(i, len(sources))
        picture = open_image(sources[source])
        x, y = (side * (turn % 4) // 40 for side in picture.size)
        picture = picture.crop((x, y, picture.width - x // 2, picture.height - y // 2))
        path = folder / f"{i % 3}" / f"{i:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        (ImageOps.mirror(picture) if turn % 2 else picture).save(path, quality=90 - turn)


def edit(path, seed):
    """Other pixels in a file as long as before."""
    size = path.stat().st_size
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)).resize((90, 90)).save(path, quality=50)
    path.write_bytes(path.read_bytes().ljust(size, b"\0"))
    assert path.stat().st_size == size


class Demo:
    """``foir demo`` of a folder with a cache of its own."""

    def __init__(self, folder, cache, model, weights):
        self.folder, self.cache, self.model, self.weights = folder, cache, model, weights
        self.words = [sys.executable, "-m", "foir_lib", "demo", str(folder), "--model", model, "--no-browser", "--device", "cpu"]
        self.words += ["--weights", str(weights)] if weights else []

    def environ(self):
        return os.environ | {"FOIR_CACHE": str(self.cache), "PYTHONPATH": str(PACKAGE.parent)}

    def killed(self, shards_before):
        """Start, kill it at a random moment after so many shards."""
        process = subprocess.Popen(self.words, env=self.environ(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: len(self.shards()) >= shards_before or process.poll() is not None, 3600, "no shard was written")
        time.sleep(random.Random(shards_before).random())
        process.send_signal(signal.SIGKILL)
        process.wait()

    def indexed(self):
        """Start, end it when all is indexed: what it said, and the bytes that it had in memory at most."""
        process = subprocess.Popen(self.words, env=self.environ(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1)
        said, most = "", 0
        try:
            for line in process.stdout:  # at each step of the bar
                said, most = said + line, max(most, peak(process))
                if line.startswith("indexed"):
                    return said, most
        finally:
            process.kill()
            process.wait()
        raise AssertionError(said)

    def shards(self):
        """Path -> when it was written."""
        return {path: path.stat().st_mtime_ns for path in (self.cache / "features").glob("*/[!.]*.safetensors")}

    def items(self):
        """Contents in the order of the shards' names."""
        return [item for path in sorted(self.shards()) for item in shards.items(path, json_digest(path))]


def json_digest(path):
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return json.loads(file.metadata()["foir"])["key"]


def peak(process):
    """The most bytes that a process held in memory."""
    status = Path(f"/proc/{process.pid}/status")
    return 1024 * int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1]) if status.is_file() else process.memory_info().rss


@pytest.fixture(params=[60, pytest.param(5000, marks=pytest.mark.claims)], scope="module")
def demo(request, tmp_path_factory):
    """The command on so many photographs; few: the samples and a network of drawings."""
    n, home = request.param, tmp_path_factory.mktemp("own")
    if n == 60:
        sources, model, weights = sorted((manifest_root() / "samples").rglob("*.jpg")), "mini-vit-small", None
    else:
        root = request.getfixturevalue("foir_data")
        sources = sorted(path for name in ("coco-free", "grocery") for path in (root / name).rglob("*.jpg"))
        model, weights = DEIT, root / "weights" / f"{DEIT}.safetensors"
    photographs(home / "photographs", sources, n)
    demo = Demo(home / "photographs", home / "cache", model, weights)
    demo.n, demo.home = n, home
    return demo


@pytest.mark.slow
def test_indexing_is_as_fast_as_the_network_and_a_drag_is_answered_at_once(demo, record_property, monkeypatch):
    home = demo.home / "served"
    home.mkdir()
    for name, value in demo.environ().items():
        monkeypatch.setenv(name, value)
    whole = demo.n > 60  # the twin looks at what happens, not at the time it takes
    before = bare(demo) if whole else 0
    said, indexing = demo.indexed()
    speed = float(re.findall(rf"{demo.n}/{demo.n} \[.*?([\d.]+)picture/s", said)[-1])
    network = (before + bare(demo)) / 2 if whole else 0
    with running([*demo.words, "--port=PORT", "--token=TOKEN"], home, forks=False) as server:  # its memory is measured
        with urllib.request.urlopen(f"{server.url}/?token={server.token}", timeout=900) as page:
            kernel = Kernel(home, re.search(r'"kernelId": *"([\w-]+)"', page.read().decode())[1])
        kernel.run(DRAG.replace("DRAGS", "20" if whole else "3"))
        times = kernel.value("drags")
        (server,) = [one for one in psutil.Process().children() if "foir_lib.view.demo" in " ".join(one.cmdline())]
        memory = {"indexing": indexing, "page and its server": sum(map(peak, [server, *server.children(recursive=True)]))}
        assert kernel.value("len(rs.database)") == demo.n
        assert len(list(home.glob("foir-demo-*/*.ipynb"))) == 1
    assert not list(home.glob("foir-demo-*")), "the page's copy went with the server"
    for name, bytes_ in memory.items():
        record_property(f"memory of {name}", f"{bytes_ / 2**20:.0f} MiB")
    record_property("first list after a drag", f"{times[0]:.0f} ms, median of {len(times)} {np.median(times):.0f} ms, slowest {max(times):.0f} ms")
    assert max(memory.values()) < MEMORY
    if whole:
        record_property("indexing", f"{speed:.1f} pictures per second, bare forward pass {network:.1f}, share {speed / network:.0%}")
        assert np.median(times) < FIRST and speed > SHARE * network


def bare(demo):
    """Pictures per second of the network alone, on the threads that indexing has: batches of 32 that are in memory."""
    model = load_model(demo.model, weights=demo.weights, device="cpu")
    x = torch.randn(32, 3, model.image_size, model.image_size)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # workers of a corpus
    try:
        with torch.inference_mode():
            model.net(x)
            start, n = time.perf_counter(), 6
            for _ in range(n):
                model.net(x)
        return 32 * n / (time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.slow
def test_killed_and_started_again_no_row_is_computed_twice_and_the_bytes_are_the_same(demo, record_property):
    whole = Demo(demo.folder, demo.cache, demo.model, demo.weights)
    whole.indexed()
    killed, times = Demo(demo.folder, demo.home / "killed", demo.model, demo.weights), {}
    moments = (0, 1, 7, 20) if demo.n > 60 else (0,)
    for moment in moments:
        killed.killed(moment)
        now = killed.shards()
        assert times.items() <= now.items(), "a stored shard was written again"
        times = now
    killed.indexed()
    assert times.items() <= killed.shards().items()
    one, other = ({path.name: path.read_bytes() for path in each.shards()} for each in (whole, killed))
    assert one == other and len(set(killed.items())) == len(killed.items()) == demo.n
    record_property("kills", f"{len(moments)}, {len(times)} of {len(one)} shards stood before the last start; all bytes equal")


@pytest.mark.slow
def test_of_a_folder_that_was_changed_only_what_is_new_is_described(demo, record_property):
    demo.indexed()
    before, stored = set(demo.items()), demo.shards()
    paths = sorted(demo.folder.rglob("*.jpg"))
    changed = paths[5]
    for n, path in enumerate(paths[10:13]):
        new = demo.folder / f"new{n}.jpg"
        shutil.copy(path, new)
        edit(new, n)
    edit(changed, 99)
    paths[20].unlink()
    paths[21].rename(paths[21].with_name("renamed.jpg"))
    shutil.copy(paths[22], demo.folder / "twin.jpg")
    said, _ = demo.indexed()
    new = set(demo.items()) - before
    assert f"{demo.n + 3} pictures to search" in said and stored.items() <= demo.shards().items()
    assert len(new) == 4 and len(demo.items()) == demo.n + 4
    record_property("described after 3 added, 1 edited, 1 removed, 1 renamed, 1 copied", len(new))
    check(demo, [changed, demo.folder / "new0.jpg", demo.folder / "twin.jpg", paths[21].with_name("renamed.jpg"), *paths[30:50]])


def check(demo, paths):
    """Rows that the store has for some pictures are what the network says of them now."""
    from foir_lib import load_set
    from foir_lib.retrievers.baselines import CBIR
    from foir_lib.retrievers.corpus import Corpus

    model = load_model(demo.model, weights=demo.weights, device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOIR_CACHE", str(demo.cache))
        corpus = Corpus(load_set("folder", root=demo.folder), model, progress=False)
        vectors = corpus.described(CBIR(), corpus.database)
        ids = corpus.database.ids.tolist()
        for path in filter(Path.is_file, paths):
            row = ids.index(path.relative_to(demo.folder).as_posix())
            state = model.cls_state(model.preprocess(open_image(path))[None])
            np.testing.assert_allclose(vectors.read("descriptor", [row]), model.descriptor(state), atol=1e-4)
