"""README and docs/ are run: their Python blocks as they stand, their commands as far as that they are well-formed."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.main import get_command

from foir_lib import cli, registry
from foir_lib.bench.runs import runner
from foir_lib.data.getting import download

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path.name: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
BLOCKS = [(name, *block) for name, text in PAGES.items() for block in re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]
PYTHON = [pytest.param(block, id=name) for name, language, block in BLOCKS if language == "python"]
LINES = [line for _, language, block in BLOCKS if language in ("bash", "sh", "console") for line in block.replace("\\\n", "").splitlines()]
COMMANDS = [line for line in LINES if re.match(r"\s*(\$ )?foir ", line)]
COMMANDS += [command for text in PAGES.values() for command in re.findall(r"`(foir [a-z][^`]*)`", text)]
COMMANDS = list(dict.fromkeys(COMMANDS))


def test_readme_and_docs_have_python_and_commands():
    assert {block.id for block in PYTHON} >= {"README.md", "your-own.md", "memory.md"}
    assert any("reproduce" in line for line in COMMANDS) and any("cutout" in line for line in COMMANDS)


def test_the_readme_is_three_screens_with_a_picture_and_what_was_not_run():
    """Whoever reads the first screen knows what it is, how to get it, what it takes, and what nobody has run yet."""
    lines = README.splitlines()
    assert len(lines) <= 130 and len(README.split()) <= 1000
    first = "\n".join(lines[:25])
    for needed in ("git clone", "make demo", "GB", "minutes", "**Not run", "(docs/not-run.md)"):
        assert needed in first, f"not on the first screen: {needed}"
    (picture,) = re.findall(r"!\[(.+?)\]\((.+?)\)", first)
    assert len(picture[0]) > 40, "the picture says in words what it shows"
    assert all(f"(docs/{name})" in README for name in PAGES if name != "README.md"), "every page is named"


def test_every_notebook_is_on_the_map():
    told = README + PAGES["notebooks.md"].replace("(../", "(") + PAGES["teaching.md"].replace("(../", "(")
    notebooks = [path.relative_to(ROOT).as_posix() for path in (ROOT / "notebooks").rglob("*.ipynb") if path.parent.name[0] != "."]
    assert len(notebooks) > 40 and not [path for path in notebooks if f"({path})" not in told]


def test_papers_of_methods_and_lessons_stand_in_the_citation():
    """By their arXiv numbers; nothing else of a paper is written one way everywhere."""
    folders = ("foir_lib/methods", "foir_lib/retrievers", "foir_lib/search", "notebooks")
    texts = [path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.*") if path.suffix in (".py", ".ipynb")]
    cited = {number for text in [*PAGES.values(), *texts] for number in re.findall(r"(?i)\barxiv[: ]{1,2}(\d{4}\.\d{5})\b", text)}
    assert {"2404.03214", "2504.01348", "2512.12610"} <= cited
    assert cited <= set(re.findall(r'"arXiv:([\d.]+)"', (ROOT / "CITATION.cff").read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("block", PYTHON)
def test_python_blocks_run(block, tmp_path):
    done = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


IN_A_TABLE = """
import json, sys
from foir_lib.bench import rows

def scores(model, methods):
    table = rows.run("phs-1", "by-day", model, plugin="mine.py", methods=methods, k=10, progress=False)
    table = table[table["metric"] == "MP@10"].set_index("method")
    return table["ours"].dropna().to_dict(), table["note"].dropna().to_dict() if "note" in table else {}

both = scores("mini-vit", "CBIR, Crop, Mine, Mine(share=0.0), Mine(share=1.0), PHS"), scores("colours", "CBIR, Crop, Mine, PHS")
print(json.dumps(both))
"""


@pytest.mark.slow
def test_the_plug_in_stands_in_a_table_beside_phs(tmp_path):
    (plugin,) = [block for *_, block in BLOCKS if "@register(" in block]
    (tmp_path / "mine.py").write_text(plugin, encoding="utf-8")
    environment = os.environ | {"FOIR_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", IN_A_TABLE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    (vit, nothing), (colours, lacking) = json.loads(done.stdout)
    assert vit["Mine(share=0.0)"] == pytest.approx(vit["CBIR"]) and vit["Mine(share=1.0)"] == pytest.approx(vit["Crop"])
    assert vit["Mine"] not in (vit["CBIR"], vit["Crop"]) and vit["PHS"] > vit["CBIR"] and not nothing
    assert set(colours) == {"CBIR", "Crop", "Mine"} and all(0 < value < 100 for value in colours.values())
    assert set(lacking) == {"PHS"} and "no attention heads" in lacking["PHS"]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_parse(line, monkeypatch, tmp_path):
    """Words and options are those of the program, data sets and tables and parameters are known; nothing is done."""
    words = shlex.split(line.strip().removeprefix("$ "), comments=True)
    asked = []
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))  # `foir cache prune` is run

    def only_plan(tables, given, out, fresh):
        asked.extend(runner.plan(tables, {name: value for name, value in given.items() if value is not None}))
        return Path("runs"), {}

    monkeypatch.setattr(runner, "reproduce", only_plan)
    monkeypatch.setattr(registry, "load_plugin", asked.append)
    for name in ("get", "verify"):
        monkeypatch.setattr(download, name, lambda name, root: asked.append(download.manifest(name)) or _verified())
    nothing = SimpleNamespace(images=(), objects=(), queries=())
    monkeypatch.setattr("foir_lib.data.checking.check", lambda root, name: asked.append(root) or (nothing, ()))
    monkeypatch.setattr("foir_lib.bench.speed.run.main", lambda *_: asked.append("bench") or {})
    monkeypatch.setattr("foir_lib.bench.speed.run.markdown", str)
    monkeypatch.setattr("foir_lib.view.everywhere.opened", lambda *_: SimpleNamespace(database=()))
    monkeypatch.setattr("foir_lib.view.everywhere.cut", lambda *a: asked.append(a) or ("instances.json", 0))
    monkeypatch.setattr("foir_lib.view.own.demo", lambda *given: asked.append(given))
    for name in ("build", "add", "remove", "open_index"):
        monkeypatch.setattr(f"foir_lib.retrievers.indexed.index.{name}", lambda *given, **_: asked.append(given) or _Index())
    monkeypatch.setattr("foir_lib.images.open_image", lambda path: SimpleNamespace(size=(640, 480)))
    if len(words) == 2 and words[1] in get_command(cli.app).commands:  # named in the text, without arguments
        words.append("--help")
    with pytest.raises(SystemExit) as ended:
        cli.main(words[1:])
    assert not ended.value.code, line
    assert asked or words[1] in ("models", "cache") or words[-1] in ("list", "--help"), line


class _Index(list):
    """An index of nothing."""

    folder, retriever = "index", "PHS"
    note = {"set": "mini-focus", "model": {"name": "mini-vit", "weights": ""}, "method": "PHS", "engine": {"engine": "exact"}}

    def search(self, *_):
        return download.pd.DataFrame({"place": [1], "score": [1.0], "image": ["a"], "path": ["a"], "label": [""]})


def _verified():
    """What verify answers when all is well."""
    return download.pd.DataFrame([("x", "ok", "", "", "")], columns=["file", "status", "expected", "actual", "note"])
