"""``foir index``: from a folder of photographs to results on the terminal and as JSON, and the page of an index."""

import json
import shutil

import pytest

from foir_lib import cli
from foir_lib.files import manifest_root
from foir_lib.view import own

SAMPLES = manifest_root() / "samples" / "grocery"


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Call ``foir index`` in a folder that has photographs in shop/: (exit code, stdout, stderr)."""
    shutil.copytree(SAMPLES, tmp_path / "shop")
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(["index", *arguments])
        told = capsys.readouterr()
        return ended.value.code or 0, told.out, told.err

    return call


@pytest.mark.filterwarnings("ignore:Index")
def test_a_folder_becomes_an_index_that_is_searched_added_to_and_served(run, tmp_path, monkeypatch):
    code, out, err = run("build", "shop", "i", "--model", "mini-vit-small", "--device", "cpu")
    assert code == 0 and out == f"{tmp_path / 'i'}: 12 pictures by mini-vit-small, PHS(query_db=True); candidates by exact\n" and "picture/s" in err
    code, out, _ = run("search", "i", "shop/Lemon/Lemon_004.jpg", "--box", "20,20,200,180", "-k", "3", "--json", "r.json", "--device", "cpu")
    head, first, *more = out.splitlines()
    assert code == 0 and head.split() == ["place", "score", "image", "label"] and first.split() == ["1", "1.0000", "Lemon/Lemon_004.jpg", "Lemon"] and len(more) == 2
    written = json.loads((tmp_path / "r.json").read_text())
    assert written["prompt"] == "Box (20, 20, 200, 180)" and [row["place"] for row in written["results"]] == [1, 2, 3]
    code, out, _ = run("search", "i", "shop/Lemon/Lemon_004.jpg", "--point", "90,90", "--under", "Banana/", "--device", "cpu")
    assert code == 0 and len(out.splitlines()) == 4 and out.count("Banana/") == 3
    assert "9 pictures" in run("remove", "i", "Lemon", "--device", "cpu")[1]
    assert "12 pictures" in run("add", "i", "shop/Lemon", "--device", "cpu")[1]
    served = []
    monkeypatch.setattr(own, "demo", lambda *asked: served.append(asked))
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))
    assert run("serve", "i", "--device", "cpu", "--no-browser", "--port=8877")[0] == 0
    values = {"data_root": str(tmp_path / "i"), "model": "mini-vit-small", "weights": None, "device": "cpu"}
    assert served == [("index", values, ["--port=8877", "--no-browser"])]
    page, filled = own.page_of("index", values)
    assert page.name == own.PHOTOGRAPHS and filled["dataset"] == "index" and filled["data_root"] == str(tmp_path / "i")


@pytest.mark.parametrize(("arguments", "words"), [
    (["build", "nowhere", "i"], "nowhere"),
    (["build", "shop", "i", "--method", "PSH"], "did you mean PHS"),
    (["build", "coco", "i"], "coco lies in a folder: give that folder"),
    (["search", "i", "shop/Lemon/Lemon_004.jpg", "--box", "1,2,3"], "--box '1,2,3' is none"),
    (["search", "i", "shop/Lemon/Lemon_004.jpg"], "There is no index in i: make one with `foir index build"),
    (["search", "i", "gone.jpg"], "gone.jpg"),
    (["add", "shop"], "There is no index in"),
    (["serve", "i"], "There is no index in"),
])  # fmt: skip
def test_bad_input_is_one_sentence_and_exit_2(run, arguments, words, tmp_path):
    code, out, err = run(*arguments, *["--device", "cpu"] * (arguments[0] != "x"))
    assert code == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1 and words in err
    assert [path.name for path in tmp_path.iterdir() if path.name != "i"] == ["shop"]
