"""What all tests share: one thread, hypothesis without a deadline, the folder of real data, the record of ``make claims``."""

import csv
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("foir", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("foir")
install_import_hook("foir_lib.methods", "shapes.checked")  # the shapes in annotations are checked at every call


@pytest.fixture(scope="session")
def foir_data():
    """The folder of real photographs and weights named by the environment variable FOIR_DATA."""
    folder = os.environ.get("FOIR_DATA")
    if not folder:
        pytest.skip("no real data: set FOIR_DATA to a folder that holds coco-free/ and weights/")
    if not Path(folder).is_dir():
        pytest.skip(f"no real data: FOIR_DATA={folder} is no folder")
    return Path(folder).resolve()


@pytest.fixture(scope="module")
def one_thread():
    """Layers of a few channels are slower on two threads, many times so beside other work."""
    import torch  # not above, where the number of threads is still to be set

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The :class:`tiny.World` that all tests share."""
    from tiny import World

    return World(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """``drawn(make)``: what ``make()`` gives with a cache of its own, where mini worlds are drawn."""

    def drawn(make):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FOIR_CACHE", str(tmp_path_factory.mktemp("drawn")))
            return make()

    return drawn


@pytest.fixture(scope="session")
def focus(drawn, tmp_path_factory):
    """An Experiment on ten query pictures and forty others of mini-focus with mini-vit; also the set "few-focus"."""
    from foir_lib import load_model, load_set, registry
    from foir_lib.bench.experiment import Experiment

    few = drawn(lambda: load_set("mini-focus", seed=5, n_query=10, n_database=40))
    registry.register("set", "few-focus")(lambda: few)
    cache = tmp_path_factory.mktemp("focus")
    return Experiment(few, load_model("mini-vit", device="cpu"), batch_size=7, cache=cache, progress=False)


@pytest.fixture(scope="session")
def town_training(drawn):
    """Paths of twelve pictures of another town."""
    from foir_lib.data import training

    return drawn(lambda: training.mini_landmarks(4, 3, 1).paths)


@pytest.fixture(scope="session")
def town(drawn, town_training, tmp_path_factory):
    """An Experiment on 14 pictures of a town with a random CNN: the set "few-landmarks", the model "few-cnn"."""
    from dataclasses import replace

    import timm
    import torch

    from foir_lib import load_set, registry
    from foir_lib.bench.experiment import Experiment
    from foir_lib.methods.regional_attention import RegionalAttention
    from foir_lib.models.cnn import CNN

    torch.manual_seed(0)
    net = timm.create_model("resnet10t", num_classes=7)
    model = CNN(net, "few-cnn", out_index=2, whiten=torch.nn.Linear(128, 12))
    few = drawn(lambda: load_set("mini-landmarks", seed=3, n_landmarks=2, n_queries=2, n_database=14))
    few = replace(few, settings={"n_words": 8, "n_features": 20, "n_kept": 40, "codebook_features": 20, "unit": "landmark"})
    attention = [RegionalAttention(model.dim, 4), RegionalAttention(model.dim, 4, context=False)]
    registry.register("set", "few-landmarks")(lambda: few)
    registry.register("model", "few-cnn")(lambda: model)
    options = {"training": town_training, "attention": attention, "cache": tmp_path_factory.mktemp("town"), "progress": False}
    return Experiment(few, model, **options)


# ---- the tier of claims


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("claims"):
            item.add_marker(pytest.mark.slow)


def pytest_configure(config):
    if os.environ.get("FOIR_CLAIMS") and not hasattr(config, "workerinput"):  # one process writes
        config.pluginmanager.register(Claims(Path(os.environ["FOIR_CLAIMS"]).resolve()))


class Claims:
    """Writes the CSV of ``make claims``: a row per test with what it measured (``record_property``) and a stamp.

    A claim that is tested again replaces its row, the others stay. Skipped tests write none.
    """

    def __init__(self, path):
        self.path, self.rows = path, {}

    def pytest_runtest_logreport(self, report):
        done = report.failed or (report.when == "call" and report.passed)
        if done and "claims" in report.keywords:
            measured = "; ".join(f"{name} {value}" for name, value in report.user_properties)
            self.rows[report.nodeid] = {
                "claim": report.nodeid.removeprefix("tests/"), "outcome": report.outcome, "measured": measured,
                "minutes": f"{report.duration / 60:.1f}",
            }  # fmt: skip

    def pytest_sessionfinish(self):
        from foir_lib.bench.runs import stamp

        made = {"date": time.strftime("%Y-%m-%d"), "commit": stamp.commit()["commit"], "python": platform.python_version(), "torch": version("torch")}
        made |= {"machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"}
        rows = [row | made for row in self.rows.values()]
        if self.path.exists():
            with self.path.open(newline="") as file:
                old = list(csv.DictReader(file))
            rows += [row for row in old if row["claim"] not in {new["claim"] for new in rows}]
        if rows:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(sorted(rows, key=lambda row: row["claim"]))


@pytest.fixture(autouse=True)
def registered():
    """What a test registers is gone after it."""
    from foir_lib import registry

    with registry.restored():
        yield
