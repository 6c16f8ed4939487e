"""How mini-lmm learns: sentences by hand, questions packed behind a picture as if each stood alone, pairs, a run that goes on."""

from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from foir_lib.data.mini import focus, needles, town
from foir_lib.errors import InputError
from foir_lib.methods.memory.reflection import SAME, SHOWS
from foir_lib.models.mini import lmm
from foir_lib.models.pretrained import frozen
from foir_lib.models.text_image import TextImage
from foir_lib.training.mini import lmm as training
from foir_lib.training.mini import packing, sentences, views
from foir_lib.training.mini.sentences import Asked
from foir_lib.training.mini.views import Picture, Shown

pytestmark = pytest.mark.usefixtures("one_thread")


def thing(noun, colour, box, pattern="", details=(), sure=True, identity=0):
    return Shown(noun, colour, pattern, "", details, box, sure, (identity,), (noun,))


def shown(*things, world="needles"):
    return Picture(np.zeros((3, lmm.SIDE, lmm.SIDE), np.uint8), things, "shelf", world)


MUG = thing("mug", "red", (0.0, 0.0, 0.5, 0.5), details=("a star badge", "a blue trim"))
CAN = thing("can", "blue", (0.7, 0.4, 0.9, 0.6), identity=1)


def test_descriptions_hold_by_hand():
    assert str(Asked("mug", "red", detail="a star badge")) == "a red mug with a star badge" and str(Asked("mug", "orange")) == "an orange mug"
    yes = [Asked("mug"), Asked("mug", "red"), Asked("mug", detail="a blue trim"), Asked(colour="red")]
    no = [Asked("can"), Asked("mug", "blue"), Asked("mug", "red", detail="a dent"), Asked("mug", "red", "striped")]
    assert all(asked.holds(MUG) for asked in yes) and not any(asked.holds(MUG) for asked in no)


@pytest.mark.parametrize(
    ("box", "words"),
    [((0, 0, 0.2, 0.2), "top left"), ((0.4, 0.4, 0.6, 0.6), "middle"), ((0.8, 0.4, 1, 0.6), "right"), ((0.3, 0.9, 0.7, 1.0), "bottom")],
)
def test_where_by_thirds(box, words):
    assert sentences.where(thing("mug", "red", box)) == words


def test_answers_are_true_of_what_is_there():
    """Every question of a picture of two things, by what its words say."""
    rng, picture = np.random.default_rng(0), shown(MUG, CAN)
    answers = Counter()
    for _ in range(600):
        new = sentences.question(rng, picture)
        if new is None:
            continue
        question, answer = new
        answers[answer.split(",")[0]] += 1
        if question == "Where is the can?":
            assert answer == "right"
        elif question == "How many mugs are there?":
            assert answer == "one"
        elif question == "What colour is the mug?":
            assert answer == "red"
        elif question == "What stands where?":
            assert answer == "a red mug top left, a blue can right"
        elif question.startswith("Does the picture show a blue mug?") or "red can" in question:
            assert answer.startswith("no"), question
        elif question == "Does the picture show a red mug?":
            assert answer == "yes"
    assert 0.7 < answers["yes"] / answers["no"] < 1.6


def test_what_is_half_seen_is_neither_there_nor_not():
    rng, half = np.random.default_rng(0), thing("can", "blue", (0.9, 0, 1, 1), sure=False)
    asked = [sentences.shows(rng, shown(MUG, half)) for _ in range(400)]
    assert not any(one.holds(half) and not one.holds(MUG) for one, _ in asked), "it is asked for by none"
    assert sentences.shows(rng, shown(half)) is None and sentences.question(rng, shown(half)) is None


def test_no_is_hard():
    """Most wrong names of a kind differ from a true one in one word."""
    rng, kind = np.random.default_rng(0), focus.KINDS[0]
    place = kind.name.split(" ", 3)[3]
    picture = shown(Shown(kind.shape, kind.hue, kind.texture, place, (), (0, 0, 1, 1), True, (0,), (0,)), world="focus")
    wrong = [asked for asked, true in (sentences.shows(rng, picture) for _ in range(400)) if not true]
    near = [sum(a != b and a != "" for a, b in zip(asked, (kind.shape, kind.hue, kind.texture, place))) for asked in wrong]
    assert len(wrong) > 120 and np.mean(np.array(near) == 1) > 0.3 and min(near) >= 1


def test_words_of_patches():
    words = sentences.cells(shown(MUG, CAN))
    assert len(words) == 64 and words[0] == ["red", "mug", "star", "badge", "blue", "trim"] and words[63] == ["shelf"]
    assert [i for i, said in enumerate(words) if said == ["blue", "can"]] == [8 * row + column for row in (3, 4) for column in (6,)]


@pytest.fixture(scope="module")
def pictures():
    return views.pictures(60, 5)


def test_pictures_are_of_all_worlds_and_their_words_are_known(pictures):
    assert set(Counter(picture.world for picture in pictures)) == {"focus", "needles", "facades"}
    known, rng = set(lmm.tokenizer().get_vocab()), np.random.default_rng(0)
    assert known == {*lmm.SPECIAL, *sentences.vocabulary()}, "the shipped tokenizer is the worlds' vocabulary"
    tokenizer = lmm.tokenizer()
    for picture in pictures:
        for _ in range(6):
            for text in sentences.question(rng, picture) or ():
                assert lmm.UNKNOWN not in tokenizer.encode(text).tokens, text
        for one in picture.things:
            x0, y0, x1, y1 = one.box
            assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1


def test_no_training_world_is_a_benchmarks(pictures):
    """Kinds are shared, pictures are not: training streams have keys of their own; held-out worlds have other seeds."""
    held_out = views.pictures(60, 5, views.HELD_OUT)
    seen = {picture.pixels.tobytes() for picture in pictures}
    assert not seen & {picture.pixels.tobytes() for picture in held_out}
    worlds = [{one.identity[1] for picture in some for one in picture.things if picture.world != "focus"} for some in (pictures, held_out)]
    assert worlds[0] and not worlds[0] & worlds[1]
    assert {needles.TRAINING, town.TRAINING} == {1} and {needles.BENCHMARK, town.BENCHMARK} == {0}


def test_names_of_colours_are_those_they_were_drawn_with():
    for one in needles.world(needles.TRAINING, 9, 24):
        form, colour, *_, details, identity, family = views.thing_words(one, 9)
        assert form == one.form and f"{one.details['trim']} trim" in " ".join(details) and family[2] == one.name[:-1] and identity[2] == one.name
        palette = {hue: np.abs(np.array(rgb) - one.colours["body"]).max() for hue, rgb in views.things.PALETTE.items()}
        assert palette[colour] <= 0.05 + 1e-9  # colours are drawn within 0.05 of their hue
    facade = town.world(town.TRAINING, 9, 5).facades[0]
    kind, wall, *_ = views.facade_words(facade, (), ())
    assert facade.name.startswith(f"{wall} {kind} ")


def net(seed=0):
    torch.manual_seed(seed)
    return training.start()


def test_packed_questions_get_what_each_gets_alone(pictures, monkeypatch):
    """Several questions behind one picture, and a pair of pictures, against the model asked for each by transformers' forward."""
    text, made = packing.Text(), net()
    model = TextImage(frozen(made, "cpu"), lmm.processor(), "", torch.device("cpu"))
    batch = packing.batch_of(np.random.default_rng(0), pictures[:4], text)
    logits = []
    entropy = F.cross_entropy
    monkeypatch.setattr(F, "cross_entropy", lambda x, y, **k: logits.append(x.detach()) or entropy(x, y, **k))
    with torch.no_grad():
        training.loss(training.Task(made).eval(), batch)
        pairs = packing.pairs_of(np.random.default_rng(1), packing.families(pictures), 4, text)
        training.loss(training.Task(made).eval(), pairs)
    (_, packed, paired), yes, no = logits, text("yes")[0], text("no")[0]
    rows, places = (batch.targets != packing.IGNORED).nonzero(as_tuple=True)
    checked = 0
    for i, (row, place) in enumerate(zip(rows.tolist(), places.tolist())):
        block = batch.blocks[row, place]
        mine = (batch.blocks[row] == block).nonzero()[:, 0]
        if (batch.targets[row, mine] != packing.IGNORED).nonzero()[0, 0] != place - mine[0]:
            continue  # not the first word of the answer
        question = model.tokenizer.decode(batch.ids[row, mine[0] : place + 1])
        odds = model.ask_yes([Image.fromarray(pictures[row].pixels.transpose(1, 2, 0))], [question])[0]
        assert odds == pytest.approx(float(packed[i, yes] - packed[i, no]), abs=1e-4)
        checked += 1
    assert checked > 20
    for i in range(4):
        both = tuple(Image.fromarray(pairs.pixels[j].numpy().transpose(1, 2, 0)) for j in pairs.rows[i])
        assert model.ask_yes([both], [SAME])[0] == pytest.approx(float(paired[2 * i, yes] - paired[2 * i, no]), abs=1e-4)


def test_pairs_are_of_one_thing_or_of_two():
    groups = [[shown(thing("mug", "red", (0, 0, 1, 1), identity=i // 2)) for i in range(6)], [shown(thing("can", "red", (0, 0, 1, 1), identity=9))] * 2]
    for group in groups:  # which picture is which, by a pixel
        for picture in group:
            picture.pixels[0, 0, 0] = packing.main(picture).identity[0] + 1
    text = packing.Text()
    pairs = packing.pairs_of(np.random.default_rng(0), groups, 60, text)
    first = pairs.targets.gather(1, (pairs.targets != packing.IGNORED).int().argmax(1, keepdim=True))[:, 0]
    which = pairs.pixels[pairs.rows, 0, 0, 0]
    assert torch.equal(first == text("yes")[0], which[:, 0] == which[:, 1]) and 20 < int((first == text("yes")[0]).sum()) < 45


def test_a_stopped_training_goes_on_and_another_run_is_refused(pictures, tmp_path):
    few = pictures[:16]
    made, straight = training.train(few, 5, 2, 4, checkpoint=tmp_path / "run.pt", every=3)
    assert len(straight) == 7 and made.config._attn_implementation == "sdpa"
    _, again = training.train(few, 5, 2, 4, checkpoint=tmp_path / "run.pt")
    assert again == straight
    with pytest.raises(InputError, match="another run"):
        training.train(few, 6, 2, 4, checkpoint=tmp_path / "run.pt")
    card = training.save(made, tmp_path, straight, {"minutes": 1})
    assert card["licence"] == "Apache-2.0" and (tmp_path / "mini-lmm.safetensors").stat().st_size < 6e6


@pytest.mark.claims
def test_a_network_can_learn_a_few_pictures_by_heart(pictures):
    _, losses = training.train(pictures[:6], 40, 0, 6)
    assert np.mean(losses[-8:]) < 0.55 * np.mean(losses[:3])


def test_the_thesis_question_is_the_one_that_is_taught():
    assert SHOWS.format(name=str(Asked("ring", "orange"))) == "Does the picture show an orange ring?"
