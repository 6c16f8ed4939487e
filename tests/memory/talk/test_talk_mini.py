"""A conversation over the drawn shelves of mini-needles, by the network, the recogniser and the album that people use."""

import pytest

from foir_lib import Box, Memory
from foir_lib.memory.album import Album
from foir_lib.memory.conversation import Conversation
from foir_lib.memory.recogniser import Recogniser

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def views(shelves):
    """Of six things, each of another family, their views (picture id, box)."""
    objects = shelves.objects[~shelves.objects["ignore"].astype(bool)]
    labels = [items["label"].iloc[0] for _, items in objects.groupby(objects["label"].str[:-1])][:6]
    return {
        label: [
            (row.image_id, Box(row.x0, row.y0, row.x1, row.y1))
            for row in objects[objects["label"] == label].itertuples()
        ]
        for label in labels
    }


def test_things_named_by_sentences_are_named_found_counted_and_corrected(shelves, views, tmp_path):
    memory = Memory(tmp_path / "things.db", "mini-vit")
    recogniser = Recogniser(memory, checks=())
    talk = Conversation(memory, recogniser)
    for label, places in views.items():
        for image_id, box in places[:4]:
            reply = talk.tell(f"this is “{label}”", shelves.open(image_id), box)
            assert reply.kind == "done" and [event.kind for event in reply.events] == ["add"], reply.text
    assert {thing.name: len(thing.views) for thing in memory.things()} == {
        label: min(len(p), 4) for label, p in views.items()
    }

    before, right = memory.history(None), []
    for label, places in views.items():
        for image_id, box in places[4:6]:
            reply = talk.tell("what is this?", shelves.open(image_id), box)
            right.append(bool(reply.things) and reply.things[0].name == label)
            assert reply.results[0].region == box and (reply.question or reply.kind == "answer")
    assert sum(right) > 0.6 * len(right) and memory.history(None) == before

    talk.context.find = Album(shelves, memory, "boxes", recogniser, progress=False).find
    label, places = next(iter(views.items()))
    found = talk.tell(f"where is “{label}”?")
    truth = {image_id for image_id, _ in places}
    assert found.results and found.results[0].image_id in truth and found.things[0].name == label
    counted = talk.tell(f"how many “{label}” are there?")
    assert counted.results == found.results

    other = list(views)[1]
    image_id, box = places[0]
    assert talk.tell(f"is this “{other}”?", shelves.open(image_id), box).text.startswith("No")
    talk.tell(f"that's wrong, it's “{other}”")
    assert len(memory.thing(other).views) == 5
    talk.tell("undo")
    assert (
        len(memory.thing(other).views) == 4
        and memory.recognise(shelves.open(image_id), box).candidates[0].thing.name == label
    )
