"""Shards shared out over a Ray cluster of two nodes on this machine: the same bytes, whatever dies. Needs the package ray."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foir_lib import cli, files, text
from foir_lib.errors import InputError, MissingError
from foir_lib.models import devices
from foir_lib.store import features
from foir_lib.store.engines import cluster

N, SHARD = 40, 4
HAS = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS, reason="the package ray isn't installed (extra scale)")
PATHS = os.pathsep.join([str(files.PACKAGE.parent), *([str(Path(importlib.util.find_spec("ray").origin).parents[1])] if HAS else [])])


def maker(made, fault=lambda start: None):
    """Rows from their numbers; each shard that is computed is written down."""
    import numpy as np

    def make(start, stop):
        with open(made, "a") as file:
            file.write(f"{start} {os.getpid()}\n")
        fault(start)
        return {"x": np.arange(start, stop) ** 2}

    return make


def build(root, make, engine=None):
    return features.build({"what": "squares"}, N, make, root=root, shard=SHARD, progress=False, engine=engine)


def content(stored):
    return {path.name: path.read_bytes() for path in stored.folder.glob("*.safetensors")}


@pytest.fixture
def nodes(monkeypatch, tmp_path):
    """Two nodes of a processor each."""
    monkeypatch.setenv("PYTHONPATH", PATHS)
    import ray
    from ray.cluster_utils import Cluster

    both = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80_000_000})
    both.second = both.add_node(num_cpus=1, object_store_memory=80_000_000)
    both.wait_for_nodes()
    yield both
    ray.shutdown()
    both.shutdown()


@needs_ray
@pytest.mark.claims
@pytest.mark.parametrize("dies", ["nobody", "worker", "node"])
def test_two_nodes_write_what_one_process_does_whoever_dies(nodes, tmp_path, dies):
    marker, once = tmp_path / "marker", tmp_path / "once"

    def fault(start):
        time.sleep(0.2)
        if start == 12 and not marker.exists():
            marker.touch()
            if dies == "worker":
                os.kill(os.getpid(), 9)

    def report(tasks, make, said):
        for n, done in enumerate(cluster.Ray(nodes.address)(tasks, make, said)):
            if dies == "node" and n == 2 and not once.exists():
                once.touch()
                nodes.remove_node(nodes.second)
            yield done

    stored = build(tmp_path / "two", maker(tmp_path / "made", fault), report)
    assert content(stored) == content(build(tmp_path / "one", maker(tmp_path / "alone"))) and len(content(stored)) == N // SHARD
    assert marker.exists() and once.exists() == (dies == "node")


@needs_ray
@pytest.mark.claims
def test_a_damaged_picture_is_told_as_by_one_process(nodes, tmp_path):
    def fault(start):
        if start == 8:
            raise InputError("Picture 8.jpg can't be read: replace it.")

    with pytest.raises(InputError, match="^Picture 8.jpg can't be read: replace it.$"):
        build(tmp_path / "two", maker(tmp_path / "made", fault), cluster.Ray(nodes.address))


PROGRAM = """
import time
from pathlib import Path
from test_cluster import build, cluster, maker
home = Path({home!r})
build(home / "two", maker(home / "made", lambda start: time.sleep(0.5)), cluster.Ray({address!r}))
"""


@needs_ray
@pytest.mark.claims
def test_a_program_that_is_killed_goes_on_when_it_is_started_again(nodes, tmp_path):
    script = tmp_path / "run.py"
    script.write_text(PROGRAM.format(home=str(tmp_path), address=nodes.address))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), PATHS])}
    process, end = subprocess.Popen([sys.executable, str(script)], env=environment), time.time() + 300
    while len(list((tmp_path / "two").glob("*/[!.]*.safetensors"))) < 3:
        assert process.poll() is None and time.time() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "two").glob("*/[!.]*.safetensors")}
    stored = build(tmp_path / "two", maker(tmp_path / "made"), cluster.Ray(nodes.address))
    assert content(stored) == content(build(tmp_path / "one", maker(tmp_path / "alone")))
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_without_the_package_it_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingError, match=r"^The engine ray needs the package ray: install foir-workbook\[scale\].$"):
        cluster.connected()


def test_the_words_of_the_command_line():
    assert text.on_engine("cuda", "ray", "10.0.0.1:6379") == "ray:cuda@10.0.0.1:6379" and text.on_engine(None, "ray", None) == "ray:auto@"
    assert text.on_engine("cpu", None, None) == "cpu"
    assert devices.cluster("ray:cpu@auto") == "auto" and devices.cluster("ray:cpu@") == "" and devices.cluster("cpu") is None
    assert devices.choose("ray:cpu@auto").type == "cpu" and devices.choose("cpu, cpu").type == "cpu"
    assert devices.several("cpu, cpu") == ["cpu", "cpu"] and devices.several("auto") == ["auto"] and devices.several(None) == []
    for words in (["--engine", "spark"], ["--address", "auto"]):
        answer = CliRunner().invoke(cli.app, ["reproduce", "phs-1", *words])
        assert isinstance(answer.exception, InputError) and "give ray" in str(answer.exception)
