"""What holds of every registered localiser. A new one is tested by being registered."""

import json
import re
from dataclasses import fields, replace
from types import SimpleNamespace, UnionType
from typing import Literal, get_args, get_origin

import numpy as np
import pytest
import small_matchers
from PIL import Image
from tiny import N, vit, world
from tiny import cnn as tiny_cnn

from foir_lib import registry
from foir_lib.bench.experiment import Experiment
from foir_lib.detections import Localisation
from foir_lib.errors import InputError
from foir_lib.prompts import Box, Mask, Point, patch_shares
from foir_lib.retrievers.pixels import asking

NAMES = [name for name in registry.names("localiser") if name not in ("Guest", "Truth")]  # who know one set's queries alone
ORDER = np.random.default_rng(1).permutation(N).tolist()
TEXTS = {"regions": "boxes", "of": "Dense(k=2)", "Map of": "CBIR", "fused": "1"}  # other values of options that are texts
PLACES = ("weights", "detector")  # options that name networks: another is another's weights


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Folders of random networks, by the localiser that takes them."""
    folder = tmp_path_factory.mktemp("networks")
    makers = {"LightGlue": small_matchers.matchers, "LoFTR": small_matchers.loftr, "SAM2": small_matchers.sam2}
    return {name: make(folder / name) for name, make in makers.items()}


@pytest.fixture
def asked(networks):
    """``asked(name)``: the localiser with small and random networks."""

    def asked(name):
        one = registry.lookup("localiser", name)
        small = {"side": 64, "n_features": 40, "n_words": 6, "least": 3, "score": 0.0}
        options = {field.name: small[field.name] for field in fields(one) if field.name in small}
        options |= {"weights": networks[name]} if name in networks else {}
        options |= {"OWL": {"detector": "mini-owl"}, "Map": {"of": "PHS(h_on=2)"}, "LightGlue": {"matcher": "mutual"}, "Tiled": {"overlap": 16, "of": "Dense(side=64)"},
                    "SAM": {"segmenter": "mini-sam", "of": "Dense(side=64)"}}.get(name, {})  # fmt: skip
        return one(**options)

    return asked


def model_for(tiny, localiser):
    """A network that serves it."""
    return next(model for model in ("vit", "cnn") if not localiser.lacks(tiny.experiment(model).corpus))


def plain(answers):
    return [(a.mask, None if a.box is None else np.round(a.box, 2).tolist(), round(a.score, 4)) for a in answers]


def same(answers, others):
    """Equal answers, up to the rounding of batches."""
    assert len(answers) == len(others)
    for a, b in zip(answers, others):
        assert a.score == pytest.approx(b.score, abs=1e-3, rel=1e-3) and bool(a) == bool(b)
        if a.box is not None:
            np.testing.assert_allclose(a.box, b.box, atol=0.1)
        if a.mask is not None:
            assert (a.pixels() != b.pixels()).mean() < 0.01


@pytest.mark.parametrize("name", NAMES)
def test_the_same_again_in_any_order_of_rows_and_database(tiny, asked, name):
    localiser = asked(name)
    model = model_for(tiny, localiser)
    corpus = tiny.experiment(model).corpus
    part, rows = corpus.queries(kind="segment"), np.arange(N)
    first = localiser.locate(corpus, part, 2, rows)
    assert plain(localiser.locate(corpus, part, 2, rows)) == plain(first)
    same(localiser.locate(corpus, part, 2, rows[ORDER][:5]), [first[row] for row in ORDER[:5]])
    other = tiny.experiment(model, ORDER).corpus
    same(localiser.locate(other, other.queries(kind="segment"), 2, rows), [first[row] for row in ORDER])
    for answer, size in zip(first, corpus.database.sizes.tolist()):
        sound(answer, size)


def sound(answer, size):
    """An answer on a picture of ``size``."""
    width, height = size
    assert isinstance(answer, Localisation) and np.isfinite(answer.score)
    if answer.mask is not None:
        assert answer.pixels().shape == (height, width) and answer.pixels().any()
    if answer.box is not None:
        assert (answer.box[:2] >= 0).all() and (answer.box[2:] <= [width + 1e-3, height + 1e-3]).all()


@pytest.mark.parametrize("name", NAMES)
def test_one_picture_under_the_mouse_is_asked_as_in_the_batch(tiny, asked, name):
    localiser = asked(name)
    corpus = tiny.experiment(model_for(tiny, localiser)).corpus
    part, rows = corpus.queries(kind="segment"), np.array([4, 0, 3])
    for m in (0, 2):
        live = corpus.live(part.open(m), [part.prompt(m)])
        same(localiser.locate(corpus, live, 0, rows), localiser.locate(corpus, part, m, rows))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "Map"])  # whose retriever is asked with a prompt
def test_whole_pictures_ask_with_all_their_pixels(tiny, asked, name):
    localiser = asked(name)
    corpus = tiny.experiment(model_for(tiny, localiser)).corpus
    part, rows = corpus.queries(whole=True), np.array([4, 0, 3])
    picture = part.open(2)
    live = corpus.live(picture, [Mask(np.ones(picture.size[::-1], bool))])
    same(localiser.locate(corpus, part, 2, rows), localiser.locate(corpus, live, 0, rows))


def test_a_click_asks_with_the_window_that_is_drawn(tiny, asked):
    corpus = tiny.experiment("vit").corpus
    picture = corpus.database.open(0)
    _, shares = asked("Dense").of_prompt(corpus.live(picture, [Point(30, 20, 1)]), 0)
    window = Point(30, 20, 1).pixels(picture.size, corpus.model.grid_of(picture.size))
    np.testing.assert_allclose(shares, patch_shares(window, tuple(shares.shape)), atol=1e-6)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """``odd(model)``: a corpus of a picture, itself mirrored and turned, pictures of one colour and others."""
    folder, rng = tmp_path_factory.mktemp("odd"), np.random.default_rng(3)
    pixels = rng.integers(0, 255, (16, 20, 3), dtype=np.uint8).repeat(5, 0).repeat(5, 1)
    base = Image.fromarray(pixels)
    pictures = [base, base.transpose(Image.Transpose.FLIP_LEFT_RIGHT), base.transpose(Image.Transpose.ROTATE_90)]
    pictures += [Image.new("RGB", (70, 60), colour) for colour in ("black", "white", "teal")]
    pictures += [base.resize((300, 51)), base.resize((61, 190)), *[base.crop((i, 0, 64 + i, 60)) for i in range(4)]]
    paths = [str(folder / f"{i}.png") for i in range(N)]
    for picture, path in zip(pictures, paths):
        picture.save(path)
    corpora = {}

    def corpus(model, learned):
        if model not in corpora:
            net = {"vit": vit, "cnn": tiny_cnn}[model]()
            corpora[model] = Experiment(world(paths), net, cache=folder / model, progress=False, batch_size=5, **learned).corpus
        return corpora[model]

    return corpus


def shapes(size):
    """Prompts of odd shapes on a picture of ``size``: three pixels, holes and two parts, all of it, a box beyond the border."""
    width, height = size
    three, holes = np.zeros((2, height, width), bool)
    three[30, 10:13] = True
    holes[10:40, 10:40] = True
    holes[20:25, 20:25] = False
    holes[50:55, 50:55] = True
    return [Mask(three), Mask(holes), Mask(np.ones((height, width), bool)), Box(-20, -20, 2 * width, 2 * height)]


@pytest.mark.parametrize("name", NAMES)
def test_odd_prompts_and_odd_pictures_have_an_answer(tiny, odd, asked, name):
    localiser = asked(name)
    corpus = odd(model_for(tiny, localiser), tiny.learned)
    for picture in (corpus.database.open(0), corpus.database.open(3)):
        live = corpus.live(picture, shapes(picture.size))
        for m in range(len(live)):
            answers = localiser.locate(corpus, live, m, np.arange(N))
            assert len(answers) == N and (m != 2 or picture.width != 100 or name == "LoFTR" or any(answers)), "the whole of a picture shows something in itself"
            for answer, size in zip(answers, corpus.database.sizes.tolist()):
                sound(answer, size)
    assert localiser.locate(corpus, live, 0, np.array([], int)) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_mask_larger_than_the_picture_is_refused_in_words(tiny, asked, name):
    localiser = asked(name)
    corpus = tiny.experiment(model_for(tiny, localiser)).corpus
    picture = corpus.database.open(0)
    large = corpus.live(picture, [Mask(np.ones((picture.height + 3, picture.width + 5), bool))])
    with pytest.raises(InputError, match="resize the mask to the picture"):
        localiser.locate(corpus, large, 0, np.arange(2))


def other_value(name, field, value):
    """A value of an option that isn't the one it has."""
    for text in (f"{name} {field.name}", field.name):
        if text in TEXTS:
            return TEXTS[text]
    kind = get_args(field.type)[0] if isinstance(field.type, UnionType) else field.type
    if get_origin(kind) is Literal:
        return next(one for one in get_args(kind) if one != value)
    if kind is bool:
        return not value
    if kind is int:
        return 1 if value is None else value + 1
    return None if kind is not float else (value or 0.4) / 2


OPTIONS = [(name, field) for name in NAMES for field in fields(registry.lookup("localiser", name)) if field.name not in PLACES]


@pytest.mark.parametrize(("name", "field"), OPTIONS, ids=lambda v: getattr(v, "name", v))
def test_an_option_is_printed_read_again_and_changes_the_key(tiny, asked, name, field):
    if other_value(name, field, getattr(asked(name), field.name)) is None:
        pytest.skip(f"{field.name} holds no plain value")
    one = asked(name)
    other = replace(one, **{field.name: other_value(name, field, getattr(one, field.name))})
    assert registry.parse("localiser", str(other)) == other != one
    corpus = tiny.experiment(model_for(tiny, other)).corpus
    names = [asking.named(corpus, localiser, corpus.queries()) for localiser in (one, other, one)]
    assert names[0] != names[1] and names[0] == names[2] and json.dumps(names[0])


def bad_values(field):
    kind = get_args(field.type)[0] if isinstance(field.type, UnionType) else field.type
    if get_origin(kind) is Literal:
        return ["nonsense", 97]
    return {bool: [1, "yes"], float: [-0.5, np.nan, "1", True], int: [-1, 1.5, "3", True], str: [3, True]}.get(kind, [])


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_option_is_refused_when_it_is_given(name):
    for field in fields(registry.lookup("localiser", name)):
        for value in bad_values(field):
            with pytest.raises(InputError, match=f"{field.name}=") as caught:
                registry.lookup("localiser", name)(**{field.name: value})
            assert re.fullmatch(r"[^\n]+\.", str(caught.value))
    with pytest.raises(InputError, match="has no option 'heat'"):
        registry.parse("localiser", f"{name}(heat=1)")


@pytest.mark.parametrize("name", [name for name in NAMES if registry.lookup("localiser", name).needs or name in ("Map", "D2R")])
def test_what_a_network_lacks_is_said_in_a_sentence(tiny, asked, name, tmp_path):
    blind = SimpleNamespace(name="blind", device="cpu", key="blind")
    corpus = Experiment(world(tiny.paths), blind, cache=tmp_path, progress=False).corpus
    assert asked(name).lacks(corpus).startswith("blind has no")
    assert not asked(name).offered(corpus)


@pytest.mark.parametrize("name", ["LightGlue", "LoFTR", "SAM2"])
def test_weights_that_are_not_there(tiny, name, tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_DATA", str(tmp_path))
    corpus, one = tiny.experiment("cnn").corpus, registry.lookup("localiser", name)
    for localiser in (one(), one(weights=str(tmp_path / "nowhere"))):
        words = localiser.lacks(corpus)
        assert "weights" in words or "fetched" in words or "holds no" in words, words
        assert "\n" not in words and not words.endswith(".") and not localiser.offered(corpus)


def test_lightglue_matches_by_its_own_network(tiny, asked):
    corpus = tiny.experiment("cnn").corpus
    glue = replace(asked("LightGlue"), matcher="lightglue", context=True)
    live = corpus.live(corpus.database.open(0), [Box(0, 0, 60, 40)])
    for source, target in glue.matches(corpus, live, 0, np.arange(3)):
        assert source.shape == target.shape and source.shape[1] == 2 and (source[:, 0] < 60).all() and (source[:, 1] < 40).all()


def test_options_of_one_that_are_refused():
    for text, words in (
        ("Map(level=1.0)", "below 1"), ("Map(of='Nothing')", "'Nothing'"), ("Map(of='GeM')", "explains no result"),
        ("D2R(regions='nets')", "is no detector"), ("OWL(detector='nets')", "is no detector"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            registry.parse("localiser", text)


@pytest.mark.parametrize("name", ["LightGlue", "LoFTR", "SAM2"])
def test_kept_answers_are_named_by_the_weights_of_other_networks(tiny, asked, networks, tmp_path, name):
    """Weights that changed where they lie, and a localiser around another: the name of what is kept is another one."""
    makers = {"LightGlue": small_matchers.matchers, "LoFTR": small_matchers.loftr, "SAM2": small_matchers.sam2}
    one, corpus = asked(name), tiny.experiment("vit").corpus
    around = registry.parse("localiser", f"Tiled(of={str(one)!r}, side=64, overlap=16)")
    assert set(asking.named(corpus, one, corpus.queries())["inner"]) < set(asking.named(corpus, around, corpus.queries())["inner"])
    other = replace(one, weights=makers[name](tmp_path / "other", seed=5))
    inner = [asking.named(corpus, localiser, corpus.queries())["inner"] for localiser in (one, other)]
    assert inner[0] and not set(inner[0]) & set(inner[1])
