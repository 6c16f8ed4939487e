"""What checks say, and when they are followed: by hand."""

from types import SimpleNamespace

import numpy as np
from PIL import Image

from foir_lib.memory.consistency import NEVER, Correction, Semantic, default_checks
from foir_lib.memory.recogniser import Candidate, Recogniser
from foir_lib.memory.reflection import Reflector
from foir_lib.memory.state import Thing


def test_leads_and_floors_by_hand():
    right = [(np.array([0.0, 5.0]), 1)] * 6 + [(np.array([3.0, 4.0]), 0)] * 6
    wrong = [(np.array([1.0, 2.0]), -1)] * 20
    learned = Correction.learned([*right, *wrong])
    assert learned.lead == 5 and 1 < learned.floor < 1.001, "5 puts six right; the wrong ones keep their first, of evidence 1"
    assert Correction.learned(right[:9]).lead == NEVER and Correction.learned([*right, *wrong[:5]]).floor == NEVER
    useless = [(np.array([1.0, 2.0]), 0)] * 12
    assert Correction.learned(useless).lead == NEVER
    assert Correction.learned([(np.array([np.nan, np.nan]), 0)] * 30) == Correction()


def test_denials_and_chance_by_hand():
    said = [(np.array([-1.0, 0.5, 0.2]), 1)] * 6 + [(np.array([1.0, 0.9, 4.0]), 0)] * 6 + [(np.array([-1.0, np.nan, 2.0]), 1)] * 2
    learned = Correction.learned(said)
    assert (learned.lead, learned.denied) == (NEVER, -1.0), "a lead of 1.5 puts six right, of 3 none; the denial of -1 eight"
    luck = [(np.array([-1.0, 0.5]), 1)] * 3 + [(np.array([-1.0, 0.5]), 0)] * 1 + [(np.array([1.0, 0.5]), 0)] * 10
    assert Correction.learned(luck) == Correction(), "three mended for one spoilt happen by chance in 5 of 16 trials"
    assert Correction.learned([*luck, luck[0]]).lead == 1.5, "four for one in 3 of 16"


def test_what_a_check_moves_by_hand():
    for lead, evidence, place in (
        (2.0, [1, 3, 2], 1), (2.1, [1, 3], 0), (NEVER, [1, 9], 0), (1.0, [np.nan, np.nan], 0), (1.0, [np.nan, 3], 1), (1.0, [3, np.nan], 0),
    ):  # fmt: skip
        assert Correction(lead=lead).place(np.array(evidence, float)) == place
    for denied, evidence, place in (
        (1.0, [1, 3, 9], 1), (1.0, [2, 9], 0), (1.0, [0, 1], 0), (1.0, [0, np.nan, 9], 1), (-NEVER, [0, 9], 0), (1.0, [np.nan, 3], 0),
    ):  # fmt: skip
        assert Correction(denied=denied).place(np.array(evidence, float)) == place


class Model:
    """Knows a few words, and says how many letters a question has."""

    def __init__(self, known):
        self.known = known.split()
        self.questions = []

    def lacks(self, text):
        return [word for word in text.split() if word not in self.known]

    def verify(self, picture, names):
        self.questions += names
        return np.array([len(name) for name in names], float)


def candidate(name, *aliases):
    return Candidate(Thing("t", name, aliases, {}, ()), None, 0.5)


def test_a_model_is_asked_for_the_words_that_it_knows():
    model = Model("the red mug my")
    shown = [candidate("the lab's mug"), candidate("mug 05d"), candidate("Kettle", "the red one"), candidate("my 7c"), candidate("7c")]
    evidence = Semantic(model).evidence(Image.new("RGB", (4, 4)), shown, None, None)
    assert model.questions == ["the mug", "mug", "the red"]
    np.testing.assert_array_equal(evidence, [7, 3, 7, np.nan, np.nan])


def test_checks_of_a_memory_of_drawings_end_with_an_image_text_model_and_of_photographs_without():
    assert [check.name for check in default_checks()] == ["properties", "spatial", "topological", "retrieval"]
    drawings, photographs = (SimpleNamespace(encoder=SimpleNamespace(knows_drawings_only=only)) for only in (True, False))
    asked = Recogniser(drawings).checks[-1]
    assert isinstance(asked, Semantic) and asked.reflector.model.key == Reflector("mini-lmm").model.key
    assert all(check.name != "semantic" for check in Recogniser(photographs).checks)
    given = Reflector("mini-lmm")
    assert Recogniser(photographs, reflector=given).checks[-1].reflector is given and Recogniser(photographs, checks=()).checks == []
