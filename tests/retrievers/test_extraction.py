"""Describing pictures: the same bytes whoever reads and computes, in one batch or in several, and nothing is left over."""

import os
from functools import partial
from threading import Barrier, current_thread
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from fake_cuda import FakeCuda, devices
from PIL import Image
from tiny import pictures as drawn
from tiny import vit, world

from foir_lib import threads
from foir_lib.errors import InputError
from foir_lib.images import open_image
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.heads import states
from foir_lib.store import by_content, features
from foir_lib.store.engines import reading
from foir_lib.store.engines.processes import Processes
from foir_lib.store.tasks import whole
from foir_lib.threads import Batches


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return drawn(tmp_path_factory.mktemp("pictures"))


def content(features):
    return {path.name: path.read_bytes() for path in features.folder.glob("*.safetensors")}


def corpus(paths, cache, **options):
    return Corpus(world(paths), vit(), cache=cache, progress=False, batch_size=5, **options)


@pytest.mark.slow
def test_states_by_two_processes_are_those_of_one_to_the_byte(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(by_content, "build", partial(by_content.build, shard=5))
    one = corpus(paths, tmp_path / "one", workers=2)
    two = corpus(paths, tmp_path / "two", workers=2, engine=Processes(("cpu", "cpu")))
    assert content(states(one.database)) == content(states(two.database)) and len(content(states(two.database))) == 3


class OnDevice:
    """A part whose network seems to be on a GPU; what it computes is computed here."""

    def __init__(self, part, monkeypatch):
        self.sizes, self.part = [], part
        model = part.corpus.model
        model.device = SimpleNamespace(type="cuda")
        monkeypatch.setattr(threads.torch, "device", lambda device: device)
        monkeypatch.setattr(threads, "copied", lambda tensors, device: lambda: tensors)
        monkeypatch.setattr(model, "tokens", self.tokens)

    def tokens(self, x, n_blocks):
        self.sizes.append(len(x))
        return x.mean((2, 3))

    def describe(self, rows):
        return ({"x": self.part.corpus.model.tokens(x, 0)} for x in self.part.tensors(rows))


def plainly(part):
    """What OnDevice should give, one picture after the other."""
    model = part.corpus.model
    return torch.stack([model.preprocess(part.open(row)).mean((1, 2)) for row in range(len(part))]).numpy()


def test_a_gpu_is_fed_with_what_was_read_ahead(paths, tmp_path, monkeypatch):
    part = corpus(paths, tmp_path, workers=3).database
    expected, fed = plainly(part), []
    device = OnDevice(part, monkeypatch)
    real = reading.read_batch
    monkeypatch.setattr(reading, "read_batch", lambda open, prepare, rows: fed.append(list(rows)) or real(open, prepare, rows))
    arrays = whole(Batches(part, device.describe, plain=True), len(part))
    np.testing.assert_allclose(arrays["x"], expected, atol=1e-6)
    assert device.sizes == [5, 5, 2] and sorted(fed) == [[*range(5)], [*range(5, 10)], [10, 11]], "each picture is read once"


def test_a_batch_that_the_memory_cannot_hold_is_halved_and_no_other_is_computed_again(paths, tmp_path, monkeypatch):
    part = corpus(paths, tmp_path, workers=1).database
    expected, device = plainly(part), OnDevice(part, monkeypatch)
    tokens = device.tokens

    def small(x, n_blocks):
        if len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return tokens(x, n_blocks)

    monkeypatch.setattr(part.corpus.model, "tokens", small)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    arrays = whole(Batches(part, device.describe, plain=True), len(part))
    np.testing.assert_allclose(arrays["x"], expected, atol=1e-6)
    assert sum(device.sizes) == len(part) and max(device.sizes) == 2 and part.corpus.fits == 2
    monkeypatch.setattr(part.corpus.model, "tokens", lambda x, n: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(torch.OutOfMemoryError):
        whole(Batches(part, device.describe, plain=True), len(part))


def test_pictures_are_copied_to_the_device_that_the_network_is_on():
    with FakeCuda() as mode:
        fed = threads.copied([mode.from_tensor(torch.zeros(2, 3, 8, 8))], torch.device("cuda"))
        assert devices(fed()) == {"cuda"}


def readers():
    return [child for child in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.slow
def test_processes_read_the_same_bytes_and_tell_of_a_damaged_picture_in_one_sentence(paths, tmp_path):
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(open(paths[0], "rb").read()[:200])
    model, n = vit(), len(paths)
    opened = reading.Opened(open_image, [*paths, str(damaged)], 4)
    with reading.processes(opened, model.preparation, 2) as read:
        futures = [read([row, row + 1]) for row in range(0, n, 2)]
        for row, future in zip(range(0, n, 2), futures):
            (x,) = future.result()
            assert torch.equal(x, torch.stack([model.preprocess(Image.open(path)) for path in paths[row : row + 2]]))
        with pytest.raises(InputError, match=r"^Picture .*damaged.png can't be read \(.*\): the file is damaged") as error:
            read([n]).result()
        assert "\n" not in str(error.value) and len(readers()) == 2
    assert not readers()


@pytest.mark.claims
def test_a_reader_that_dies_is_told_in_one_sentence(paths):
    def kills(row):
        os.kill(os.getpid(), 9)

    with pytest.raises(InputError, match="A process that read pictures 3 to 4 was ended, .* what is done is stored"):
        with reading.processes(kills, vit().preparation, 1) as read:
            read([3, 4]).result()
    assert not readers()


def test_processes_read_where_there_are_cores_and_pictures_enough(paths, tmp_path, monkeypatch):
    part = corpus(paths, tmp_path).database
    monkeypatch.setattr(reading, "MANY", len(part))
    for cores, processes in ((1, False), (3, False), (4, True), (64, True)):
        monkeypatch.setattr(reading, "cores", lambda cores=cores: cores)
        assert reading.in_processes(part.open, part.corpus.model, len(part)) == processes
    monkeypatch.setattr(reading, "MANY", len(part) + 1)
    assert not reading.in_processes(part.open, part.corpus.model, len(part))


def test_the_next_shard_is_begun_while_one_is_finished(paths, tmp_path):
    """Each of two shards is one batch that waits for the other's: one after the other would wait for ever."""
    part, both = corpus(paths, tmp_path, workers=2).database, Barrier(2)

    def describe(rows):
        both.wait(30)
        yield {"row": torch.tensor(list(rows))}

    stored = features.build({"what": "rows"}, 10, Batches(part, describe), root=tmp_path, shard=5, progress=False)
    assert stored.read("row").tolist() == [float(row) for row in range(10)] and len(content(stored)) == 2


def test_one_picture_is_described_in_the_thread_that_asks(paths, tmp_path):
    part, threads_of = corpus(paths, tmp_path, workers=2).database, []

    def describe(rows):
        threads_of.append(current_thread())
        yield {"row": torch.tensor(list(rows))}

    assert whole(Batches(part, describe), 5)["row"].tolist() == [0, 1, 2, 3, 4] and threads_of == [current_thread()]
    whole(Batches(part, describe), 6)
    assert current_thread() not in threads_of[1:] and len(threads_of) == 3
