"""Recognising by a memory of drawn things: verdicts, checks that correct, questions, albums."""

import numpy as np
import pytest
from PIL import Image
from small_memory import Colours, fill

from foir_lib.errors import InputError
from foir_lib.memory import colours
from foir_lib.memory import recogniser as recognising
from foir_lib.memory.album import Album
from foir_lib.memory.consistency import Check, Correction, Properties, Retrieval, Spatial, Topological
from foir_lib.memory.encoding import Encoder
from foir_lib.memory.recogniser import Recogniser, question
from foir_lib.memory.things import Memory
from foir_lib.prompts import Box, Point

N = 10  # things, one of a family


@pytest.fixture(scope="module")
def views(shelves):
    """(name, picture id, box) of views of one thing of each family, at most seven of each."""
    objects = shelves.objects[~shelves.objects["ignore"].astype(bool)]
    first = [items["label"].iloc[0] for _, items in objects.groupby(objects["label"].str[:-1])][:N]
    return [(name, row.image_id, Box(row.x0, row.y0, row.x1, row.y1)) for name in first for row in objects[objects["label"] == name].head(7).itertuples()]


@pytest.fixture(scope="module")
def memory(shelves, views, tmp_path_factory):
    memory, count = Memory(tmp_path_factory.mktemp("memory") / "things.db", "mini-vit"), {}
    for name, image_id, box in views:
        count[name] = count.get(name, 0) + 1
        if count[name] <= 4:
            memory.add(name, shelves.open(image_id), box)
    return memory


@pytest.fixture(scope="module")
def rest(views):
    """Views that aren't remembered."""
    count, others = {}, []
    for view in views:
        count[view[0]] = count.get(view[0], 0) + 1
        others += [view] if count[view[0]] > 4 else []
    return others


def test_what_is_remembered_is_known_again(memory, shelves, rest):
    answers = Recogniser(memory, checks=()).recognise_all([(shelves.open(image_id), box) for _, image_id, box in rest])
    right = np.array([one.candidates[0].thing.name == name for one, (name, *_) in zip(answers, rest, strict=True)])
    known = np.array([one.verdict == "known" for one in answers])
    assert right.mean() > 0.8 and known.mean() > 0.3 and right[known].mean() > 0.9
    one = answers[int(np.flatnonzero(known & right)[0])]
    assert one.name == one.thing.name and one.question == "" and one.candidates[0].view.thing == one.thing.id
    assert 0 < one.confidence <= 1 and one.encoder == "mini-vit / Crop" and one.name in str(one)


def test_a_view_asked_again_is_itself(memory, shelves, views):
    name, image_id, box = views[0]
    one = memory.recognise(shelves.open(image_id), box)
    assert one.candidates[0].score == pytest.approx(1, abs=2e-3) and one.candidates[0].thing.name == name


def test_an_empty_memory_says_so_and_nothing_is_asked(tmp_path, shelves):
    memory = Memory(tmp_path / "empty.db", "mini-vit")
    one = memory.recognise(Image.new("RGB", (64, 64), "red"))
    assert one.verdict == "new" and not one.candidates and "Nothing is remembered yet" in one.question and str(one) == "something new"
    with pytest.raises(InputError, match="nothing to recognise"):
        Recogniser(memory).recognise_all([])
    album = Album(shelves, memory, objects="boxes", progress=False)
    assert {hit.recognition.verdict for hit in album.hits()} == {"new"} and album.quiz() == []


def test_answers_follow_the_memory(tmp_path, shelves, views):
    memory = Memory(tmp_path / "grows.db", "mini-vit")
    (a, *first), (b, *second) = views[0], views[7]
    memory.add(a, shelves.open(first[0]), first[1])
    asks = shelves.open(second[0]), second[1]
    assert memory.recognise(*asks).candidates[0].thing.name == a
    memory.add(b, *asks)
    assert memory.recognise(*asks).candidates[0].thing.name == b
    memory.undo()
    assert memory.recognise(*asks).candidates[0].thing.name == a


def test_thresholds_are_learned_again_when_enough_has_changed(tmp_path):
    memory = Memory(tmp_path / "m.db", Colours())
    fill(memory, 200, 8)
    recogniser = Recogniser(memory, checks=())
    first, thing = recogniser.known(), memory.things()[3]
    memory.rename(thing, "another")
    memory.forget(thing.views[0].id)
    little = recogniser.known()
    assert little.thresholds is first.thresholds and little.trial is None and first.trial is not None
    assert len(little.views) == 199 and little.things[3].name == "another"
    memory.rename(thing, "a third")
    assert recogniser.known().thresholds is not first.thresholds and recogniser.known() is recogniser.known()
    assert recogniser.corrections(memory.encoder) == []
    memory.undo(3)
    assert recogniser.known().things[3].name == thing.name and len(recogniser.known().views) == 200


def test_a_whole_picture_and_regions_together(memory, shelves, views):
    picture = shelves.open(views[0][1])
    together = Recogniser(memory, checks=()).recognise_all([(picture, None), (picture, views[0][2])])
    alone = Recogniser(memory, checks=()).recognise(picture, views[0][2])
    assert together[1].candidates[0].score == pytest.approx(alone.candidates[0].score, abs=1e-5) and together[0].region is None


class Says(Check):
    """Evidence as it is given, by name."""

    name = "says"

    def __init__(self, **values):
        self.values = values

    def evidence(self, look, candidates, known, memory, without=None):
        return np.array([self.values.get(candidate.thing.name, 0.0) for candidate in candidates])


def test_a_check_that_leads_moves_the_answer_and_settles_it(memory, shelves, views):
    known = Recogniser(memory, checks=()).known()
    picture, box = shelves.open(views[0][1]), views[0][2]
    candidates = Recogniser(memory, checks=()).recognise(picture, box).candidates
    second = candidates[1].thing.name
    order, settled = Correction(lead=1.0, floor=2.0).applied(Says(**{second: 3.0}), picture, candidates, known, memory)
    assert settled and [c.thing.name for c in order] == [second, candidates[0].thing.name, candidates[2].thing.name]
    assert order[0].evidence == {"says": 3.0} and candidates[0].evidence == {}
    order, settled = Correction(lead=4.0).applied(Says(**{second: 3.0}), picture, candidates, known, memory)
    assert not settled and order[0].thing == candidates[0].thing


@pytest.mark.parametrize("check", [Spatial(), Topological(), Retrieval()])
def test_evidence_speaks_for_the_thing_itself(check, memory, shelves, views):
    known = Recogniser(memory, checks=()).known()
    ahead = []
    for name, image_id, box in views[:21:7]:
        picture = shelves.open(image_id)
        candidates = Recogniser(memory, checks=()).recognise(picture, box).candidates
        evidence = check.evidence(recognising.seen(picture, box), candidates, known, memory)
        ahead.append(evidence[0] >= evidence[1:].max())
        assert candidates[0].thing.name == name
    assert sum(ahead) >= 2


def test_a_left_out_view_is_no_evidence_of_itself(memory):
    known = Recogniser(memory, checks=()).known()
    view = known.views[0]
    candidate = recognising.Candidate(known.things[known.owners[0]], view, 1.0)
    look = memory.picture_of(view)
    itself, left_out = (Spatial().evidence(look, [candidate], known, memory, without)[0] for without in (None, view))
    assert itself > left_out or np.isnan(left_out) or itself == 0


def test_colours_by_name():
    for name in ("red", "blue", "green", "white", "black", "brown"):
        shares = colours.shares(Image.new("RGB", (50, 40), name if name != "brown" else "saddlebrown"))
        assert max(shares, key=shares.get) == name and sum(shares.values()) == pytest.approx(1)
    assert colours.named("dark Blue") == "blue" and colours.named("golden") == "yellow" and colours.named("wooden") is None
    half = Image.new("RGB", (40, 40), "red")
    half.paste("white", (0, 0, 20, 40))
    assert colours.shares(half)["red"] == pytest.approx(0.5, abs=0.06)


def test_a_stored_colour_is_evidence(tmp_path):
    memory = Memory(tmp_path / "mugs.db", "mini-vit")
    pictures = {name: Image.new("RGB", (60, 60), name) for name in ("blue", "red")}
    for name, picture in pictures.items():
        memory.describe(memory.add(f"the {name} mug", picture), "colour", name)
    known = Recogniser(memory, checks=()).known()
    candidates = Recogniser(memory, checks=()).recognise(pictures["blue"]).candidates
    evidence = dict(zip([c.thing.name for c in candidates], Properties().evidence(pictures["blue"], candidates, known, memory)))
    assert evidence["the blue mug"] == pytest.approx(1) and evidence["the red mug"] == 0
    assert question("unsure", candidates).startswith("Is its colour ")


def test_questions(memory):
    things = memory.things()
    candidates = [recognising.Candidate(thing, thing.views[0], 0.9) for thing in things[:2]]
    assert question("known", candidates) == "" and question("new", candidates) == "What is it called?"
    assert question("unsure", candidates[:1]) == f"Is it {things[0].name}?"
    assert question("unsure", candidates) == f"Is it {things[0].name} or {things[1].name}?"


def test_several_encoders_and_the_surest_answers(memory, shelves, views):
    encoders = [memory.encoder, Encoder("mini-vit-needles", "Crop")]
    both = Recogniser(memory, encoders, checks=())
    answers = both.recognise_all([(shelves.open(image_id), box) for _, image_id, box in views[::7]])
    assert {one.encoder for one in answers} <= {encoder.name for encoder in encoders}
    for one, (_, image_id, box) in zip(answers, views[::7], strict=True):
        alone = [Recogniser(memory, [encoder], checks=()).recognise(shelves.open(image_id), box).confidence for encoder in encoders]
        assert one.confidence == pytest.approx(max(alone), abs=1e-5)


def test_an_album_is_found_counted_and_asked_about(memory, shelves, views, tmp_path):
    album = Album(shelves, memory, objects="boxes", cache=tmp_path, progress=False)
    assert len(album) == len(album.boxes) and str(len(album)) in repr(album)
    thing = memory.thing(views[0][0])
    hits = album.find(thing)
    truth = set(shelves.objects.loc[shelves.objects["label"] == thing.name, "image_id"]) & set(shelves.database["image_id"])
    assert {hit.image_id for hit in hits} & truth, "its own remembered views are on these shelves"
    known, maybe = album.count(thing)
    assert known + maybe == len(hits) and [h.recognition.verdict for h in hits] == ["known"] * known + ["unsure"] * maybe
    quiz = album.quiz(5)
    assert len(quiz) <= 5 and all(hit.recognition.verdict == "unsure" and hit.recognition.question for hit in quiz)


def test_an_answer_in_an_album_teaches(tmp_path, shelves, views):
    memory = Memory(tmp_path / "quiz.db", "mini-vit")
    for name, image_id, box in views[:14]:
        memory.add(name, shelves.open(image_id), box)
    album = Album(shelves, memory, objects="boxes", cache=tmp_path, progress=False)
    hit = next(hit for hit in album.hits() if hit.recognition.verdict != "known")
    before = len(memory.thing(views[0][0]).views)
    thing = album.confirm(hit, views[0][0])
    assert len(thing.views) == before + 1 and thing.views[-1].who == "human"
    again = album.hits()[hit.row].recognition
    assert again.candidates[0].thing.name == views[0][0] and again.candidates[0].score > 0.99


def test_votes_are_of_the_encoder_that_answers(memory, shelves, views):
    other = Encoder("mini-cnn", "GeM")  # vectors of another width than the memory's own
    known = Recogniser(memory, [other], checks=()).known()
    _, image_id, box = views[0]
    look = recognising.seen(shelves.open(image_id), box)
    candidates = known.candidates(known.first(other.embed([(look, None)])), 0)
    votes = Retrieval().evidence(look, candidates, known, memory)
    assert known.vectors.shape[1] == 256 and 0 < votes.sum() <= 1.0001


def test_a_click_is_seen_by_its_window(memory, shelves, views):
    picture, (_, _, box) = shelves.open(views[0][1]), views[0]
    click = Point((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
    recogniser, (rows, columns) = Recogniser(memory, checks=()), memory.encoder.model.grid
    look = recogniser.crops([(picture, click), (picture, None)])
    window = click.box(picture.size, (rows, columns))
    assert look(0).width == pytest.approx(window.x1 - window.x0, abs=2) and look(0).width < picture.width == look(1).width
