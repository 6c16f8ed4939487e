"""Ways through the house: which rooms a call enters, one below the other, and that no way leads back up and down again.

A room is a folder of foir_lib. The files beside the folders are none: the ground, on which all rooms stand, and ``cli``. A way is a chain of calls: a prompt's from the notebook to its ranking, a table id's from the command line to
report.html, a mouse drag's to its list.
"""

import shutil
import sys
import threading
from pathlib import Path

import nbformat
import pytest

from foir_lib import cli, load_model, load_set, registry
from foir_lib.bench import rows
from foir_lib.bench.runs import batch
from foir_lib.retrievers.corpus import Corpus
from foir_lib.view.explorers.retrieval import RetrievalExplorer

PACKAGE = Path(__file__).resolve().parents[2] / "foir_lib"
FLOORS = {"ground": 0, "data": 1, "store": 1, "models": 1, "methods": 1, "training": 2, "search": 3, "retrievers": 4}
FLOORS |= {"memory": 5, "bench": 6, "view": 7, "cli": 8}
OUTSIDE, MOST = {"ground", "cli"}, 6


def room_of(filename, package=PACKAGE):
    """The room of a source file, or "ground" or "cli"; None outside the package."""
    path = Path(filename)
    if package not in path.parents:
        return None
    folder = path.parent.relative_to(package).as_posix()
    return folder if folder != "." else "cli" if path.stem in ("cli", "__main__") else "ground"


def floor(room):
    return FLOORS[room.partition("/")[0]]


class Ways:
    """While it is open (``with Ways() as ways``), notes the rooms of every chain of calls, in all threads.

    ``chains``: tuples of rooms from the outermost caller down, without repeats in a row. Code that runs at import isn't counted.
    """

    def __init__(self, package=PACKAGE):
        self.package, self.chains, self._rooms = package, {}, {}

    def __enter__(self):
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)
        threading.setprofile(None)

    def _note(self, frame, event, _):
        if event == "call" and self._room(frame):
            chain = []
            while frame:
                room = self._room(frame)
                if room and room != (chain or [None])[-1]:
                    chain.append(room)
                frame = frame.f_back
            self.chains[tuple(reversed(chain))] = None

    def _room(self, frame):
        if frame.f_code.co_name == "<module>":
            return None
        filename = frame.f_code.co_filename
        if filename not in self._rooms:
            self._rooms[filename] = room_of(filename, self.package)
        return self._rooms[filename]

    @property
    def rooms(self):
        """All rooms in the order in which they were entered."""
        return list(dict.fromkeys(room for chain in self.chains for room in chain))

    @property
    def longest(self):
        """The chain with most rooms."""
        return max(self.chains, key=lambda chain: len(set(chain) - OUTSIDE), default=())

    @property
    def ways_back(self):
        """Chains that enter a room again after they left it for a floor above."""
        return [chain for chain in self.chains if any(_leads_back(chain[i:]) for i in range(len(chain)))]


def _leads_back(chain):
    room, later = chain[0], chain[1:]
    return room != "ground" and any(floor(above) > floor(room) and room in later[i:] for i, above in enumerate(later))


# ---- the tracer


@pytest.fixture
def house(tmp_path):
    """A package of one function per room, ``call(room, inner)``, which calls ``inner``."""
    code = "def call(inner=None):\n    return inner() if inner else 0\n"
    names, calls = ["data/sets", "store/features", "models/vit", "retrievers/heads", "view/widgets/canvas", "prompts", "cli"], {}
    for name in names:
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        space = {}
        exec(compile(code, str(path), "exec"), space)
        calls[room_of(path, tmp_path)] = space["call"]
    return tmp_path, calls


def walk(house, *rooms):
    """The ways of a call that goes through ``rooms``, one below the other."""
    package, calls = house
    inner = int
    for room in reversed(rooms):
        inner = lambda room=room, inner=inner: calls[room](inner)  # noqa: E731
    with Ways(package) as ways:
        inner()
    return ways


def test_rooms_are_folders():
    assert room_of(PACKAGE / "view" / "widgets" / "canvas.py") == "view/widgets" and floor("view/widgets") == 7
    assert room_of(PACKAGE / "prompts.py") == "ground" and room_of(PACKAGE / "cli.py") == "cli"
    assert room_of(__file__) is None
    folders = {path.parent for path in PACKAGE.rglob("*.py")} - {PACKAGE}
    assert {folder.relative_to(PACKAGE).parts[0] for folder in folders} <= set(FLOORS), "every room has a floor"


def test_a_chain_is_noted_from_the_top_and_repeats_in_a_row_once(house):
    ways = walk(house, "view/widgets", "retrievers", "retrievers", "models")
    assert list(ways.chains)[-1] == ("view/widgets", "retrievers", "models") == ways.longest
    assert ways.rooms == ["view/widgets", "retrievers", "models"] and not ways.ways_back


@pytest.mark.parametrize(
    ("rooms", "back"),
    [
        (("retrievers", "store", "retrievers", "models"), False),  # left for a floor below, and a callback from there
        (("retrievers", "store", "retrievers", "store"), True),
        (("models", "retrievers", "data", "models"), True),
        (("models", "data", "models"), False),  # side by side
        (("view/widgets", "cli", "ground", "view/widgets"), True),
        (("ground", "retrievers", "ground"), False),  # a registered class is made by the registry
    ],
)
def test_a_room_that_was_left_for_a_floor_above_is_not_entered_again(house, rooms, back):
    assert bool(walk(house, *rooms).ways_back) == back


def test_calls_after_each_other_are_two_ways(house):
    package, calls = house
    with Ways(package) as ways:
        calls["models"]()
        calls["retrievers"](calls["models"])
    assert list(ways.chains) == [("models",), ("retrievers",), ("retrievers", "models")] and not ways.ways_back
    assert walk(house).chains == {} and walk(house).longest == ()


def test_threads_are_traced_and_afterwards_nothing_is(house):
    package, calls = house
    with Ways(package) as ways:
        thread = threading.Thread(target=calls["data"])
        thread.start()
        thread.join()
    calls["models"]()
    assert ways.rooms == ["data"]


# ---- the house


def short(ways, *passed):
    """Asserts that the ways go through the rooms ``passed`` in this order, through six at most, and never back."""
    assert any(set(passed) <= set(chain) for chain in ways.chains), ways.longest
    assert len(set(ways.longest) - OUTSIDE) <= MOST, ways.longest
    assert not ways.ways_back


def test_a_prompt_goes_from_the_notebook_to_its_ranking_through_six_rooms_in_all(tmp_path):
    """The database was described before: it is embedded once and prompted many times."""
    small = load_set("mini-focus", seed=5, n_query=2, n_database=8)
    corpus = Corpus(small, load_model("mini-vit", device="cpu"), cache=tmp_path, progress=False)
    retriever = registry.parse("retriever", "PHS")
    database, picture, prompt = corpus.described(retriever, corpus.database), small.open(small.queries["image_id"][0]), small.queries["prompt"][0]
    with Ways() as ways:
        query = corpus.described(retriever, corpus.live(picture, [prompt]))
        _, ids = retriever.score(corpus, query, database, 5)
    assert ids.shape == (1, 5)
    short(ways, "retrievers", "models")
    assert {"retrievers", "models", "methods", "search"} <= set(ways.rooms) and len(ways.rooms) <= MOST, ways.rooms


class Here:
    """Stands in for the runner's kernel: runs the cells of a notebook in this process, where calls can be traced."""

    def __init__(self, n):
        self.kill = lambda: None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def run(self, notebook, executed, values):
        space = {"__name__": "__main__"}
        for cell in nbformat.read(notebook, as_version=4).cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, str(notebook), "exec"), space)
                space |= values if "parameters" in cell.metadata.get("tags", []) else {}
        shutil.copy(notebook, executed)


@pytest.mark.slow
def test_a_table_goes_from_the_command_line_to_its_report_through_six_rooms(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))
    small, out = load_set("mini-focus", seed=5, n_query=3, n_database=12), tmp_path / "out"
    monkeypatch.setattr(rows, "load_set", lambda *_, **__: small)
    monkeypatch.setattr(batch, "Kernel", Here)
    command = ["reproduce", "phs-1", "--dataset", "mini-focus", "--model", "mini-vit", "-p", "k", "5", "--out", str(out)]
    with Ways() as ways, pytest.raises(SystemExit) as ended:
        cli.main(command)
    assert not ended.value.code and "Table 1" in (out / "report.html").read_text(), capsys.readouterr()
    short(ways, "cli", "bench/runs")  # whose thread goes on
    short(ways, "bench/runs", "bench", "retrievers", "models")
    short(ways, "bench/runs", "view/figures")


def test_a_drag_of_the_mouse_goes_to_its_list_through_six_rooms(tmp_path):
    small = load_set("mini-focus", seed=5, n_query=2, n_database=12)
    corpus = Corpus(small, load_model("mini-vit", device="cpu"), cache=tmp_path, progress=False)
    lists = RetrievalExplorer(corpus, ["CBIR", "PHS"], k=5)
    lists.ask(None)
    assert lists.state["prompt"] is None and not len(lists.results["PHS"])
    drawn = {"kind": "box", "x0": 5, "y0": 5, "x1": 60, "y1": 60}
    with Ways() as ways:
        lists.canvas.receive({"view": "a", "n": 1, "picture": lists.canvas.number, "op": "add", "prompt": drawn}, [])
        lists.wait()
    assert lists.state["prompt"] == "Box (5, 5, 60, 60)" and len(lists.results["PHS"]) == 5
    short(ways, "view/widgets", "view/explorers", "retrievers", "models")
    short(ways, "view/explorers", "retrievers", "search")
    lists.close()
