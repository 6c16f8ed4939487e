"""Cut out everywhere without a browser: what is written, what is refused in a sentence, and a stop that leaves the COCO file as it was."""

import asyncio
import json
import threading

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foir_lib.data import RetrievalSet
from foir_lib.detections import Localisation
from foir_lib.errors import InputError
from foir_lib.prompts import Box
from foir_lib.view.widgets.cutting import CUT, STOP, Cutting, Results


@pytest.fixture
def results(tmp_path):
    """Five pictures of 12 x 8; a mask of 6 pixels with score i / 10 on the first four, nothing on the fifth."""
    for i in range(5):
        Image.fromarray(np.full((8, 12, 3), 50 * i, np.uint8)).save(tmp_path / f"{i}.png")
    images = pd.DataFrame([(f"p{i}", str(tmp_path / f"{i}.png"), 12, 8, "both") for i in range(5)], columns=["image_id", "path", "width", "height", "split"])
    objects = pd.DataFrame([("p0", "cup", 0, 0, 5, 5, False, None)], columns=["image_id", "label", "x0", "y0", "x1", "y1", "ignore", "segmentation"])
    queries = pd.DataFrame({"image_id": ["p0"], "prompt": [Box(0, 0, 5, 5)], "label": ["cup"], "object": [0]})
    mask = np.zeros((8, 12), bool)
    mask[2:4, 3:6] = True
    answers = {i: Localisation.of(mask, i / 10) for i in range(4)} | {4: Localisation.nothing()}
    return Results(RetrievalSet("five", images, objects, queries, {}), answers, "cup <b>", 5)


@pytest.fixture
def cutting(results, tmp_path):
    cutting = Cutting(lambda: results)
    cutting.folder.value = str(tmp_path / "out")
    yield cutting
    cutting.close()


def test_what_is_outlined_is_written_and_said(cutting, tmp_path):
    cutting.button.click()
    coco = json.loads((tmp_path / "out" / "instances.json").read_text())
    assert [one["image_id"] for one in coco["annotations"]] == [1, 2, 3, 4] and [one["name"] for one in coco["categories"]] == ["cup <b>"]
    assert {one["area"] for one in coco["annotations"]} == {6} and len(list((tmp_path / "out" / "cutouts").iterdir())) == 4
    assert cutting.words.text == f"4 of the first 5 results are cut out: {tmp_path / 'out' / 'instances.json'}"
    assert not cutting.running and (cutting.bar.value, cutting.bar.max, cutting.bar.layout.display) == (4, 4, "none")
    cutting.least.value = "0.2"
    cutting.button.click()
    assert [one["score"] for one in json.loads((tmp_path / "out" / "instances.json").read_text())["annotations"]] == [0.2, 0.3]


@pytest.mark.parametrize("folder, least, words", [
    ("  ", "", "There is no folder to write to: name one, such as ~/cutouts."),
    ("{}/file/below", "", "Can't write {}/file/below/instances.json: Not a directory; choose another folder."),
    ("{}/taken", "", "Can't write {}/taken/instances.json: Is a directory; choose another folder."),
    ("/proc/none", "", "Can't write /proc/none/instances.json: No such file or directory; choose another folder."),
    ("~nobody-of-this-name/x", "", "begins with the home folder of nobody"),
    ("{}/out", "many", "The least score 'many' is no number: write one such as 0.5, or nothing."),
    ("{}/out", "nan", "The least score 'nan' is no number"),
    ("{}/out", "0.9", "None of the outlines on these 5 results has a score of at least 0.9: the best has 0.3, ask for no more."),
])  # fmt: skip
def test_what_can_t_be_done_is_a_sentence(cutting, tmp_path, folder, least, words):
    (tmp_path / "file").write_text("x")
    (tmp_path / "taken" / "instances.json").mkdir(parents=True)
    cutting.folder.value, cutting.least.value = folder.format(tmp_path), least
    cutting.button.click()
    assert words.format(tmp_path) in cutting.words.text and "alert" in cutting.words.value
    assert not cutting.running and cutting.button.description == CUT and not (tmp_path / "out" / "instances.json").exists()


def test_without_an_outline_and_while_they_come_it_is_said(results, tmp_path):
    def later():
        raise InputError("Dense is still looking.")

    for source, words in ((lambda: results._replace(answers={4: results.answers[4]}), "Nothing is outlined on these 5 results"), (later, "still looking")):
        cutting = Cutting(source)
        cutting.folder.value = str(tmp_path / "out")
        cutting.button.click()
        assert words in cutting.words.text
        cutting.close()


def test_a_broken_picture_is_said_and_no_coco_file_is_written(cutting, tmp_path):
    (tmp_path / "2.png").write_bytes(b"no picture")
    cutting.button.click()
    assert "2.png" in cutting.words.text and "alert" in cutting.words.value and not (tmp_path / "out" / "instances.json").exists()


@pytest.mark.parametrize("closed", [False, True])
def test_the_page_lives_while_it_cuts_and_stop_stops(results, tmp_path, monkeypatch, closed):
    at_picture, gate, opened = threading.Event(), threading.Event(), []
    real = RetrievalSet.open

    def slow(self, image_id, *options, **more):
        opened.append(threading.current_thread().name)
        if len(opened) == 2:
            at_picture.set()
            gate.wait(60)
        return real(self, image_id, *options, **more)

    monkeypatch.setattr(RetrievalSet, "open", slow)

    async def press():
        cutting = Cutting(lambda: results)
        cutting.folder.value = str(tmp_path / "out")
        cutting.button.click()
        while not at_picture.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        shown = cutting.bar.value, cutting.bar.max, cutting.words.text, cutting.button.description, cutting.bar.layout.display
        thread = next(one for one in threading.enumerate() if one.name == "cutting")
        cutting.close() if closed else cutting.button.click()
        gate.set()
        await asyncio.to_thread(thread.join, 60)
        await asyncio.sleep(0.05)
        return shown, cutting.words.text, thread.is_alive()

    shown, words, alive = asyncio.run(press())
    assert shown == (1, 4, "1 of 4 pictures are cut out …", STOP, None) and not alive and set(opened) == {"cutting"}
    assert words.startswith("Stopped") and len(opened) == 2 and not (tmp_path / "out" / "instances.json").exists()
