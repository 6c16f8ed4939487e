"""An album of a folder: asked over all of it, quizzed in bulk, killed in the midst and gone on with; pictures that move or go meanwhile."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny import vit

from foir_lib import Memory
from foir_lib.data import load_set
from foir_lib.memory.album import Album
from foir_lib.memory.conversation import Conversation
from foir_lib.memory.recogniser import UNSURE, Recogniser
from foir_lib.memory.talk.quiz import Quiz
from foir_lib.prompts import Box

N, KINDS = 60, 6
TESTS = Path(__file__).parent.parent


def photos(folder):
    """N pictures, each with a box of one of KINDS colours, two and two alike, on noise, and the boxes beside them."""
    folder.mkdir()
    rng, rows = np.random.default_rng(3), []
    for i in range(N):
        pixels = rng.integers(0, 100, (64, 80, 3), dtype=np.uint8)
        x, y = rng.integers(4, 40), rng.integers(4, 30)
        colour = np.array([(220, 60, 60), (200, 80, 60), (60, 60, 220), (80, 60, 200), (60, 220, 60), (80, 200, 60)][i % KINDS])
        pixels[y : y + 28, x : x + 32] = np.clip(colour + rng.integers(-40, 40, (28, 32, 3)), 0, 255)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
        rows.append((f"{i:02}.png", f"kind{i % KINDS}", x, y, x + 32, y + 28))
    pd.DataFrame(rows, columns=["image", "label", "x0", "y0", "x1", "y1"]).to_csv(folder / "boxes.csv", index=False)


def opened(folder, path, cache):
    """An album of a folder with a memory, by a small random network."""
    memory = Memory(path, vit())
    return Album(load_set("folder", root=str(folder)), memory, "boxes", Recogniser(memory, checks=()), cache=cache, progress=False)


@pytest.fixture
def album(tmp_path):
    """An album with one view of each of KINDS things remembered."""
    photos(tmp_path / "photos")
    album = opened(tmp_path / "photos", tmp_path / "things.db", tmp_path / "cache")
    for i in range(KINDS):
        one = album.set.objects.iloc[i]
        album.memory.add(f"the kind{i}", album.picture(one.image_id), Box(one.x0, one.y0, one.x1, one.y1))
    return album


def views(memory):
    return sum(len(thing.views) for thing in memory.things())


def rows(hits):
    return {hit.row for hit in hits}


def test_a_quiz_in_bulk_asks_no_region_twice(album):
    quiz = Quiz(album, 1000)
    known, first = views(album.memory), len(quiz)
    assert first > 10 and {hit.recognition.verdict for hit in quiz.hits} == {UNSURE}
    denied = {hit.row: hit.recognition.candidates[0].thing.id for hit in quiz.hits[:5]}
    for _ in range(5):
        quiz.answer("n")
    left = quiz.hit
    assert quiz.answer("skip").text.startswith("I leave that one.") and views(album.memory) == known and (quiz.answered, len(quiz)) == (5, first - 6)
    again = {hit.row: hit.recognition.candidates[0].thing.id for hit in album.quiz(1000)}
    assert left.row in again and denied.keys() <= again.keys() and all(again[row] != denied[row] for row in denied), "the next candidate comes"
    while any(row in rows(album.quiz(1000)) for row in denied):
        hit = next(hit for hit in album.quiz(1000) if hit.row in denied)
        album.deny(hit, hit.recognition.candidates[0].thing)
    assert len(album.quiz(1000)) == first - 5, "until none is left"
    yes = [hit for hit in quiz.hits[:3] if quiz.answer("y").kind == "done"]
    assert views(album.memory) == known + 3 == known + len(yes) and not rows(yes) & rows(album.quiz(1000)), "what was named isn't asked"


def test_what_was_denied_is_not_found_as_that_thing(album):
    thing = album.memory.things()[0]
    found = album.find(thing)
    album.deny(found[-1], thing)
    assert rows(album.find(thing)) == rows(found) - {found[-1].row}
    album.memory.undo()
    assert rows(album.find(thing)) == rows(found)


def test_a_picture_that_goes_meanwhile_is_left_out_and_one_that_moved_is_known_by_its_pixels(album, tmp_path):
    quiz = Quiz(album, 1000)
    gone, path = quiz.hit, tmp_path / "photos" / quiz.hit.image_id
    album.deny(quiz.hits[1], quiz.hits[1].recognition.candidates[0].thing)
    path.rename(tmp_path / "photos" / "moved.png")
    before = album.memory.history(None)
    reply = quiz.answer("y")
    assert reply.kind == "refused" and reply.text.startswith("I leave that one out") and path.name in reply.text
    assert quiz.hit is not gone and album.memory.history(None) == before
    assert gone.row not in rows(album.quiz(1000))
    talk = Conversation(album.memory, album.recogniser, find=album.find)
    assert talk.tell("how many things are there?").kind == "answer", "regions of it are still told, by what was kept"

    boxes = pd.read_csv(tmp_path / "photos" / "boxes.csv")
    denied = quiz.hits[0]
    (tmp_path / "photos" / denied.image_id).rename(tmp_path / "photos" / "other.png")
    boxes["image"] = boxes["image"].replace({path.name: "moved.png", denied.image_id: "other.png"})
    boxes.to_csv(tmp_path / "photos" / "boxes.csv", index=False)
    later = opened(tmp_path / "photos", tmp_path / "things.db", tmp_path / "cache")
    thing = denied.recognition.candidates[0].thing.id
    assert all(hit.recognition.candidates[0].thing.id != thing for hit in later.quiz(1000) if hit.image_id == "other.png")


ANSWERS = """
import sys; from pathlib import Path; sys.path[:0] = [sys.argv[1], sys.argv[1] + "/memory"]
from importlib.util import module_from_spec, spec_from_file_location
spec = spec_from_file_location("test_album", sys.argv[1] + "/memory/test_album.py"); t = module_from_spec(spec); spec.loader.exec_module(t)
album = t.opened(Path(sys.argv[2]) / "photos", Path(sys.argv[2]) / "things.db", Path(sys.argv[2]) / "cache")
quiz = t.Quiz(album, 1000)
while len(quiz):
    row, i = quiz.hit.row, quiz.answered
    quiz.answer("yn"[i % 2])
    print(row, "yn"[i % 2], flush=True)
"""


@pytest.mark.slow
def test_killed_in_the_midst_of_a_quiz_it_goes_on_where_it_was(album, tmp_path):
    known = views(album.memory)
    command = [sys.executable, "-c", ANSWERS, str(TESTS), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    answered = [process.stdout.readline().split() for _ in range(9)]
    process.send_signal(signal.SIGKILL)
    answered += [line.split() for line in process.stdout.read().splitlines()]
    process.wait()
    yes, no = ({int(row) for row, answer in answered if answer == kind} for kind in "yn")
    later = opened(tmp_path / "photos", tmp_path / "things.db", tmp_path / "cache")
    assert views(later.memory) - known - len(yes) in (0, 1), "all that was said, and perhaps the answer at hand"
    denied = [event for event in later.memory.history(None) if event.kind == "deny"]
    assert len(denied) - len(no) in (0, 1)
    assert not yes & rows(later.quiz(1000))
