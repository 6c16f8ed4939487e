"""The head explorer without a browser: what it shows, chooses and says, set by the path that a browser takes."""

import gc
import io
import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib import colormaps
from PIL import Image

from foir_lib import Box, Mask, Point, load_model, load_set
from foir_lib.bench.experiment import Experiment
from foir_lib.errors import InputError
from foir_lib.methods import head_selection
from foir_lib.models.vit import ViT
from foir_lib.retrievers.corpus import Corpus
from foir_lib.text import percent
from foir_lib.view.explorers.heads import HeadExplorer
from foir_lib.view.explorers.panel import QueryPanel
from foir_lib.view.widgets import maps

BOX = Box(10, 5, 60, 50)


def photograph(width=120, height=90, seed=0):
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def model():
    return load_model("mini-vit", device="cpu")


@pytest.fixture(scope="module")
def corpus(model, tmp_path_factory):
    return Corpus(load_set("mini-focus", seed=6, n_query=6, n_database=40), model, cache=tmp_path_factory.mktemp("cache"), progress=False)


@pytest.fixture(scope="module")
def three_heads():
    import timm

    torch.manual_seed(0)
    net = timm.create_model("deit_tiny_patch16_224", depth=3, img_size=64)
    return ViT(net, "tiny of three heads")


@pytest.fixture
def explorer(model):
    explorer = HeadExplorer(model, photograph())
    yield explorer
    explorer.close()


def items(explorer):
    return [item for row in explorer.gallery.rows for item in row["items"]]


def starred(explorer):
    return [item["key"] for item in items(explorer) if item["frame"] == "chosen"]


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=float)


def pick(explorer, head):
    """As the browser says it."""
    explorer.gallery.receive({"pick": head})


def phs(model, picture, prompt, h_on=5, roi="sum", strategy="before+scale"):
    """Descriptor (d,) under a prompt and the plain one, heads (h,) and ROI attention (h,) of every block, by the methods."""
    x, inside = model.preprocess(picture)[None], torch.from_numpy(prompt.tokens(model.grid, picture.size))[None]
    state, attention = model.cls_state(x), model.attention(x)[0]
    heads = head_selection.select(state, inside, h_on, roi)
    vector = head_selection.descriptor(model, state, heads, strategy)[0]
    shares = attention[:, :, inside[0]]
    return vector, model.descriptor(state)[0], heads[0].numpy(), (shares.sum(2) if roi == "sum" else shares.amax(2)).numpy()


# --- maps as small pictures ------------------------------------------------------------------------


def test_maps_are_magma_on_a_linear_scale_over_the_grey_picture():
    values = np.array([[[0.0, 10], [20, 40]], [[5, 40], [0, 80]]])
    files = maps.overlays(Image.new("RGB", (80, 80), (200, 200, 200)), values, top=40, side=80)
    for one, file in zip(values, files, strict=True):
        pixels = decoded(file)
        assert pixels.shape == (80, 80, 3)
        for t, value in enumerate(one.ravel()):  # the middle of each cell
            want = 0.75 * 255 * np.array(colormaps["magma"](min(value / 40, 1.0))[:3]) + 0.25 * 200
            at = pixels[(t // 2) * 40 + 10 : (t // 2) * 40 + 30, (t % 2) * 40 + 10 : (t % 2) * 40 + 30]
            np.testing.assert_allclose(at.mean((0, 1)), want, atol=4)
    with pytest.raises(InputError, match="maps has shape"):
        maps.overlays(Image.new("RGB", (80, 80)), values[0], top=40)


def test_maps_outline_the_roi_and_only_it():
    roi = np.zeros((4, 4), bool)
    roi[1:3, 1:2] = True
    (file,) = maps.overlays(Image.new("RGB", (160, 80)), np.zeros((1, 4, 4)), 1.0, roi)
    pixels = decoded(file).mean(2)
    assert pixels.shape == (80, 160)
    white = pixels > 150
    ys, xs = np.nonzero(white)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (40, 79, 20, 59)
    assert not white[24:56, 44:76].any()
    (plain,) = maps.overlays(Image.new("RGB", (160, 80)), np.zeros((1, 4, 4)), 1.0)
    assert decoded(plain).mean(2).max() < 40


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (50, 40), (2000, 1500)])
def test_maps_of_any_picture(size):
    (file,) = maps.overlays(Image.new("RGB", size), np.ones((1, 2, 3)) / 6, 0.2, np.ones((2, 3), bool))
    assert max(decoded(file).shape) == maps.SIDE


@pytest.mark.parametrize(("percent", "end"), [(0.5, 0.5), (7.2, 8), (10, 10), (11, 20), (43.2, 50), (81, 100)])
def test_a_scale_ends_at_a_round_number(percent, end):
    assert maps.ceiling(percent) == pytest.approx(end)


# --- what is shown ---------------------------------------------------------------------------------


def test_without_a_prompt_maps_are_shown_and_words_ask_for_one(explorer, model):
    assert explorer.heads is explorer.roi_attention is explorer.cosine is explorer.on_roi is None
    assert [(item["badge"], item["alt"], item["caption"]) for item in items(explorer)] == [(f"{i}", f"head {i}", "") for i in range(model.n_heads)]
    assert all(item["bar"] is None and item["frame"] == "" for item in items(explorer))
    assert "draw a box" in explorer.words.value and "Cosine" not in explorer.words.value
    assert "attention per patch (%)" in explorer.chart.value and explorer.gallery.rows[0]["note"] == "" and explorer.even is None


def test_the_choice_is_that_of_phs_and_the_cosine_is_right(explorer, model):
    explorer.canvas.prompt = BOX
    state = model.cls_state(model.preprocess(photograph())[None])
    roi = torch.from_numpy(BOX.tokens(model.grid, (120, 90)))[None]
    heads = head_selection.select(state, roi, 5)[0].numpy()
    assert (explorer.heads == heads).all() and heads.sum() == 5
    shares = state.attention[0].numpy()[:, roi[0].numpy()].sum(1)
    np.testing.assert_allclose(explorer.roi_attention, shares, atol=1e-5)
    assert explorer.on_roi == pytest.approx(shares[heads].sum() / shares.sum(), abs=1e-5)
    # by hand: eqs. 2, 4, 5, 8, 9
    block, w = model.net.blocks[-1], torch.from_numpy(heads) * 12 / 5
    vectors = []
    for factors in (torch.ones(12), w):
        y = state.residual + block.attn.proj((state.heads * factors[:, None]).flatten(1))
        vectors.append(F.normalize(model.net.norm(y + block.mlp(block.norm2(y))), dim=-1)[0])
    assert explorer.cosine == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-5)
    assert explorer.cosine < 0.999
    names = ", ".join(map(str, np.flatnonzero(heads)))
    assert f"<b>{explorer.cosine:.2f}</b>; 5 of 12 heads kept: no. {names}, with" in explorer.words.value
    assert f"{percent(explorer.on_roi)} of the attention that all 12 heads give to the mark" in explorer.words.value
    assert starred(explorer) == np.flatnonzero(heads).tolist()
    top, even = maps.ceiling(100 * shares.max()) / 100, BOX.tokens(model.grid, (120, 90)).mean()  # one scale of all bars
    for i, item in enumerate(items(explorer)):
        assert item["caption"] == percent(shares[i]) and item["badge"] == f"{i}" and f"head {i}, share of a head's attention that lies in the mark" in item["alt"]
        assert item["bar"] == pytest.approx(shares[i] / top, abs=1e-5) and item["even"] == pytest.approx(min(1, even / top))
    note = explorer.gallery.rows[0]["note"]
    assert note == f"bar: share of a head's attention that lies in the mark, from 0 to {percent(top)}; line: {percent(float(even))}, the part of the picture that the patches of the mark cover"


def test_all_maps_share_one_scale(explorer, model):
    explorer.canvas.prompt = BOX
    attention = model.attention(model.preprocess(photograph())[None])[0]
    np.testing.assert_allclose(explorer.attention, attention)
    roi = BOX.tokens(model.grid, (120, 90))
    for layer in (3, 0):
        explorer.layer.value = layer
        values = attention[layer].numpy()
        top, grid = min(np.quantile(100 * values, 0.98), 800 / values.shape[1]), model.grid
        want = maps.overlays(photograph(), 100 * values.reshape(-1, *grid), top, roi.reshape(grid))
        assert [item["image"] for item in items(explorer)] == want
        assert f"{top:.1f} percent" in explorer.chart.value
        assert ("and more" in explorer.chart.value) == (100 * values.max() > top)


def test_another_block_changes_maps_and_bars_but_not_the_choice(explorer, model):
    explorer.canvas.prompt = BOX
    heads, cosine, on_roi = explorer.heads.copy(), explorer.cosine, explorer.on_roi
    last, images = explorer.roi_attention, [item["image"] for item in items(explorer)]
    explorer.layer.value = 1
    assert (explorer.heads == heads).all() and explorer.cosine == cosine and explorer.on_roi == on_roi
    np.testing.assert_allclose(explorer.roi_attention, phs(model, photograph(), BOX)[3][1], atol=1e-6)
    assert not np.allclose(explorer.roi_attention, last)
    assert all(item["image"] != old for item, old in zip(items(explorer), images))
    assert starred(explorer) == []
    assert "Block 1 is only shown: PHS chooses in the last block, 3" in explorer.words.value
    assert explorer.gallery.rows[0]["title"].startswith("Block 1: attention")
    pick(explorer, 0)
    assert "show block 3" in explorer.gallery.message and (explorer.heads == heads).all()
    explorer.layer.value = 3
    assert [item["image"] for item in items(explorer)] == images and "only shown" not in explorer.words.value


@pytest.mark.parametrize("strategy", head_selection.STRATEGIES)
@pytest.mark.parametrize("roi", head_selection.ROI_STRATEGIES)
def test_strategies_reach_choice_and_cosine(explorer, model, roi, strategy):
    explorer.canvas.prompt = BOX
    explorer.roi.value, explorer.strategy.value, explorer.h_on.value = roi, strategy, 3
    vector, plain, heads, shares = phs(model, photograph(), BOX, 3, roi, strategy)
    assert (explorer.heads == heads).all()
    assert explorer.cosine == pytest.approx(float(vector @ plain), abs=1e-5)
    np.testing.assert_allclose(explorer.roi_attention, shares[-1], atol=1e-6)
    assert ("brightest patch" in explorer.gallery.rows[0]["note"]) == (roi == "max")


@pytest.mark.parametrize("prompt", [Point(100, 20), Box(60, 40, 119, 89), Mask(np.tri(90, 120, dtype=bool))])
def test_every_kind_of_prompt(explorer, model, prompt):
    explorer.canvas.prompt = BOX
    explorer.canvas.prompt = prompt
    assert (explorer.heads == phs(model, photograph(), prompt)[2]).all()
    explorer.canvas.prompt = None
    assert explorer.heads is None and "draw a box" in explorer.words.value


def test_another_picture(explorer, model):
    explorer.canvas.prompt = BOX
    images = [item["image"] for item in items(explorer)]
    explorer.canvas.show(photograph(200, 100, 5))
    assert explorer.heads is None and images[0] != items(explorer)[0]["image"]
    assert decoded(items(explorer)[0]["image"]).shape == (80, 160, 3)


def test_no_picture_yet(model):
    explorer = HeadExplorer(model)
    assert explorer.gallery.rows == [] and "no picture yet" in explorer.words.value
    explorer.h_on.value = 2
    explorer.canvas.show(photograph(), BOX)
    assert explorer.heads.sum() == 2 and len(items(explorer)) == 12
    explorer.close()


def test_heads_stand_in_one_row(explorer, three_heads):
    assert [len(row["items"]) for row in explorer.gallery.rows] == [12]
    few = HeadExplorer(three_heads, panel=explorer.panel)
    assert [len(row["items"]) for row in few.gallery.rows] == [3]
    few.close()


# --- by hand ---------------------------------------------------------------------------------------


def test_heads_picked_by_hand_hold_until_phs_is_asked_again(explorer, model):
    explorer.canvas.prompt = BOX
    phs = explorer.heads.copy()
    out, new = int(np.flatnonzero(phs)[0]), int(np.flatnonzero(~phs)[0])
    assert explorer.choose.disabled
    pick(explorer, out)
    pick(explorer, new)
    want = phs.copy()
    want[[out, new]] = False, True
    assert (explorer.heads == want).all() and starred(explorer) == np.flatnonzero(want).tolist()
    assert "picked by hand" in explorer.words.value
    state = model.cls_state(model.preprocess(photograph())[None])
    vector = head_selection.descriptor(model, state, torch.from_numpy(want), "before+scale")
    assert explorer.cosine == pytest.approx(float((vector * model.descriptor(state)[0]).sum()), abs=1e-5)
    assert explorer.state["by_hand"] and explorer.state["heads"] == np.flatnonzero(want).tolist()
    explorer.strategy.value = "identity"
    assert (explorer.heads == want).all()  # how to switch off is no choice of heads
    assert not explorer.choose.disabled
    explorer.choose.click()
    assert (explorer.heads == phs).all() and explorer.choose.disabled and "heads kept: no. " in explorer.words.value
    for forget in (
        lambda: setattr(explorer.canvas, "prompt", Point(100, 80)),
        lambda: setattr(explorer.h_on, "value", 4),
    ):
        pick(explorer, new)
        forget()
        assert not explorer.state["by_hand"] and explorer.heads.sum() == explorer.h_on.value


def test_heads_can_be_picked_without_a_prompt(explorer):
    pick(explorer, 3)
    assert np.flatnonzero(explorer.heads).tolist() == [3] and explorer.cosine < 0.999 and explorer.on_roi is None
    assert "draw a box" in explorer.words.value and "picked by hand" in explorer.words.value


def test_the_last_head_stays(explorer):
    pick(explorer, 3)
    shown, cosine = explorer.gallery.rows, explorer.cosine
    pick(explorer, 3)
    assert "at least one head" in explorer.gallery.message
    assert (
        np.flatnonzero(explorer.heads).tolist() == [3] and explorer.cosine == cosine and explorer.gallery.rows == shown
    )
    explorer.strategy.value = "before"
    assert np.flatnonzero(explorer.heads).tolist() == [3] and explorer.canvas.message["text"] == ""
    pick(explorer, 4)
    assert np.flatnonzero(explorer.heads).tolist() == [3, 4] and explorer.gallery.message == ""
    for head in (12, -1, "x", None):
        with pytest.raises(InputError, match="heads 0 to 11"):
            explorer.pick(head)
    assert np.flatnonzero(explorer.heads).tolist() == [3, 4]


# --- lists


def test_lists_follow_the_heads_with_those_by_hand_beside_them(corpus):
    explorer = HeadExplorer(corpus.model, panel=QueryPanel(corpus.set, corpus.model), corpus=corpus)
    explorer.query(1)
    experiment = Experiment(corpus.set, corpus.model, progress=False)
    for name in ("CBIR", "PHS"):
        assert explorer.results[name]["row"].tolist() == experiment.ranking(name, k=10).ids[1].tolist()
    assert [row["title"] for row in explorer.lists.rows] == ["CBIR", "PHS"] and explorer.state["enlarged"].startswith("PHS: picture")
    explorer.h_on.value = 2
    assert explorer.results["PHS(h_on=2)"]["row"].tolist() == experiment.ranking("PHS(h_on=2)", k=10).ids[1].tolist()
    out = int(np.flatnonzero(explorer.heads)[0])
    new = int(np.flatnonzero(~explorer.heads)[0])
    pick(explorer, out), pick(explorer, new)
    title = f"by hand: {', '.join(map(str, np.flatnonzero(explorer.heads)))}"
    assert [row["title"] for row in explorer.lists.rows] == ["CBIR", "PHS(h_on=2)", title] and "by hand" not in explorer.code
    state = corpus.model.cls_state(corpus.model.preprocess(explorer.canvas.picture)[None])
    vector = head_selection.descriptor(corpus.model, state, torch.from_numpy(explorer.heads), "before+scale")
    each = torch.cat([corpus.model.descriptor(corpus.model.cls_state(corpus.model.preprocess(corpus.database.open(i))[None])) for i in range(len(corpus.database))])
    scores = (each @ vector[0]).numpy()
    table = explorer.results[title]
    np.testing.assert_allclose(table["score"], scores[table["row"]], atol=1e-5)
    np.testing.assert_allclose(table["score"], np.sort(scores)[::-1][:10], atol=1e-5)
    explorer.choose.click()
    assert len(explorer.lists.rows) == 2
    explorer.lists.receive({"pick": int(explorer.results["CBIR"]["row"].iloc[0])})
    assert explorer.canvas.prompt is None and "There is no prompt" in explorer.lists.rows[1]["empty"]
    explorer.close()


# --- limits and errors -----------------------------------------------------------------------------


def test_h_on_follows_the_model(three_heads):
    explorer = HeadExplorer(three_heads, photograph())
    assert (explorer.h_on.max, explorer.h_on.value) == (3, 1) and len(items(explorer)) == 3  # half of three
    explorer.canvas.prompt = BOX
    assert explorer.heads.sum() == 1 and explorer.heads[explorer.roi_attention.argmax()]
    explorer.h_on.value = 3
    assert explorer.heads.all() and explorer.cosine == pytest.approx(1, abs=1e-6)
    assert explorer.on_roi == pytest.approx(1)
    assert [label for label, _ in explorer.layer.options] == ["2 (last)", "1", "0"]
    explorer.close()


@pytest.mark.parametrize("h_on", [0, -1, 2.5, "5"])
def test_h_on_that_is_no_number_of_heads(model, h_on):
    with pytest.raises(InputError, match="h_on=.* must be a whole number, at least 1"):
        HeadExplorer(model, photograph(), h_on=h_on)


def test_a_picture_and_a_panel_are_too_much(model):
    with pytest.raises(InputError, match="leave one out"):
        HeadExplorer(model, photograph(), panel=QueryPanel(model=model))


def test_what_goes_wrong_is_said_and_the_display_stays(explorer, model, monkeypatch):
    explorer.canvas.prompt = BOX
    before = explorer.gallery.rows, explorer.words.value, explorer.heads.tolist(), explorer.cosine
    with pytest.raises(InputError, match="outside"):
        explorer.canvas.prompt = Box(500, 500, 600, 600)
    assert "outside" in explorer.canvas.message["text"] and explorer.canvas.message["error"]

    def broken(*arguments):
        raise InputError("Heads can't be chosen today: come back tomorrow.")

    monkeypatch.setattr(head_selection, "select", broken)
    explorer.h_on.value = 2
    assert explorer.canvas.message["text"] == "Heads can't be chosen today: come back tomorrow."
    with pytest.raises(InputError):
        explorer.canvas.prompt = Point(5, 5)
    assert "tomorrow" in explorer.canvas.message["text"]
    assert (explorer.gallery.rows, explorer.words.value, explorer.heads.tolist(), explorer.cosine) == before
    monkeypatch.undo()
    explorer.h_on.value = 3
    assert explorer.canvas.message["text"] == "" and explorer.heads.sum() == 3


# --- life ------------------------------------------------------------------------------------------


def test_two_explorers_on_one_panel(model, three_heads):
    first = HeadExplorer(model, photograph())
    second = HeadExplorer(three_heads, panel=first.panel, h_on=2)
    first.canvas.prompt = BOX
    assert first.heads.sum() == 5 and second.heads.sum() == 2
    second.close()
    first.canvas.prompt = Point(100, 80)  # the canvas lives, and its callbacks
    np.testing.assert_allclose(first.roi_attention, phs(model, photograph(), Point(100, 80))[3][-1], atol=1e-6)
    assert first.canvas.comm is not None
    np.testing.assert_allclose(second.roi_attention, phs(three_heads, photograph(), BOX, 2)[3][-1], atol=1e-6)
    first.close()


def test_what_rests_answers_when_it_is_active_again(explorer, three_heads):
    second = HeadExplorer(three_heads, panel=explorer.panel)
    second.active = False
    explorer.canvas.prompt = BOX
    assert explorer.heads is not None and second.heads is None
    second.active = True
    assert second.heads is not None and second.state["prompt"] == str(BOX)
    second.close()


def test_what_shares_a_canvas_goes_with_it(model, three_heads):
    first = HeadExplorer(model, photograph())
    second = HeadExplorer(three_heads, panel=first.panel, h_on=2)
    shown = second.gallery.shown
    first.close()
    assert second.comm is None and second.gallery.comm is None
    first.canvas.prompt = BOX
    assert second.gallery.shown == shown


def test_close_leaves_nothing(model, open_widgets):
    HeadExplorer(model, photograph()).close()
    before = open_widgets()
    panel = QueryPanel(model=model, picture=photograph(), prompt=BOX)
    shared = open_widgets()
    explorer, own = HeadExplorer(model, panel=panel), HeadExplorer(model, photograph())
    for one in (explorer, own):
        one.close()
        one.close()
    assert open_widgets() == shared
    reference = weakref.ref(explorer)
    del explorer, own, one
    gc.collect()
    assert reference() is None
    panel.canvas.prompt = Point(5, 5)
    panel.close()
    assert open_widgets() == before


def test_repr_is_one_short_line(explorer):
    assert repr(explorer) == "HeadExplorer (mini-vit, 12 heads, no prompt)"
    explorer.canvas.prompt = BOX
    assert repr(explorer) == "HeadExplorer (mini-vit, 12 heads, Box (10, 5, 60, 50))"
    assert explorer._repr_mimebundle_()[0]["text/plain"] == repr(explorer)
