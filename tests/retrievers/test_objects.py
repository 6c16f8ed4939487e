"""Retrievers of small objects: decomposition, crops, what is refined, several vectors a picture, edges."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from tiny import N, vit, world

from foir_lib import registry
from foir_lib.bench.experiment import Experiment
from foir_lib.detections import Detections
from foir_lib.errors import InputError
from foir_lib.methods import legrad, refinement
from foir_lib.models import pretrained, segmenters
from foir_lib.prompts import patch_shares
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.decomposed import crops as cut
from foir_lib.retrievers.decomposed.crops import Crops
from foir_lib.retrievers.decomposed.vectors import Several, best
from foir_lib.retrievers.objects import MaO, MaskInversion, MaxCrops, MeanCrops, Patchify, TokenGroups, decompose
from foir_lib.store.arrays import Arrays
from foir_lib.view.explorers.comparison import offered

BOXES = [(0, 20, 30, 60, 50), *((i, 8 + i, 10, 40 + i, 34) for i in range(N))]  # of the tiny world: picture, corners


def registered(name, detect, kind="detector", **more):
    """A detector (or segmenter) of a test, registered under a name; counts its calls."""
    calls = []

    class Thing:
        key, device = name, "cpu"

        def detect(self, picture):
            calls.append(picture.size)
            return detect(picture)

        def segment(self, picture, boxes):
            calls.append(len(boxes))
            return detect(picture, boxes)

    registry.register(kind, name)(lambda device: Thing())
    return calls


@pytest.fixture
def corpus(tiny):
    return tiny.experiment("vit").corpus


def fresh(tiny, tmp_path, change=lambda objects: objects):
    """A corpus of its own, with other objects."""
    one = world(tiny.paths)
    return Corpus(replace(one, objects=change(one.objects)), vit(), cache=tmp_path, progress=False, batch_size=5)


# ---- decomposition


def test_annotated_boxes_are_those_of_the_set(corpus):
    objects = decompose(corpus, "boxes")
    assert len(objects) == N and objects.owner.tolist() == [0, 0, *range(1, N)]
    first = objects[0]
    assert first.boxes.tolist() == [[20, 30, 60, 50], [8, 10, 40, 34]] and first.scores.tolist() == [1, 1]
    for mask, row in zip(first.masks, (0, 1), strict=True):
        np.testing.assert_array_equal(mask, corpus.set.mask(row).array)
    assert decompose(corpus, "boxes") is objects


def test_ignored_objects_are_none_and_the_outline_counts(tiny, tmp_path):
    ignored = fresh(tiny, tmp_path, lambda objects: objects.assign(ignore=[True, *[False] * N]))
    assert decompose(ignored, "boxes").owner.tolist() == list(range(N))
    plain, bare = (fresh(tiny, tmp_path, change) for change in (lambda o: o, lambda o: o.assign(segmentation=None)))
    assert decompose(plain, "boxes").digest != decompose(bare, "boxes").digest
    objects = decompose(bare, "boxes")
    assert objects[0].masks is None and objects.pixels(0).sum() == 40 * 20


def test_a_detector_sees_each_picture_once_and_its_objects_are_kept(tiny, tmp_path):
    def detect(picture):
        boxes = np.array([[5, 5, 25, 25], [-20, -20, -1, -1], [30, 20, 500, 500], [10, 10, 20, 20]], np.float32)
        masks = np.zeros((4, *picture.size[::-1]), bool)
        masks[0, 5:15, 5:25], masks[2, 20:, 30:], masks[3, 10:20, 10:15] = True, True, True
        return Detections(boxes, [0.5, 0.9, 0.2, 0.7], masks)

    calls = registered("four", detect)
    for _ in range(2):
        corpus = fresh(tiny, tmp_path)
        objects = decompose(corpus, "four")
        assert sorted(calls) == sorted(map(tuple, corpus.database.sizes.tolist()))
    one, (width, height) = objects[3], corpus.database.sizes[3]
    assert one.boxes.tolist() == [[10, 10, 20, 20], [5, 5, 25, 25], [30, 20, width, height]], "on the picture, the surest first"
    np.testing.assert_allclose(one.scores, [0.7, 0.5, 0.2])
    expected = detect(SimpleNamespace(size=(width, height))).masks[[3, 0, 2]]
    assert (one.masks == expected).all(), "these masks need no more than the bits that are kept"


def test_more_objects_than_are_kept_are_counted(tiny, tmp_path):
    def detect(picture):
        return Detections(np.tile([[1, 1, 9, 9]], (310, 1)), np.linspace(0, 1, 310))

    registered("crowd", detect)
    with pytest.warns(UserWarning, match="10 objects beyond the 300 surest"):
        objects = decompose(fresh(tiny, tmp_path), "crowd")
    assert len(objects[0]) == 300 and objects[0].scores.min() > 10 / 310 - 1e-6


def test_token_groups_need_no_detector_and_find_the_box(corpus):
    objects = decompose(corpus)
    assert set(objects.owner) <= set(range(N)) and objects.masked.all() and (objects.scores <= 1).all()
    for row in range(N):
        one, (width, height) = objects[row], corpus.database.sizes[row]
        assert (one.boxes[:, 2:] <= [width, height]).all() and len(one) <= 25
        for box, mask in zip(one.boxes, one.masks if len(one) else (), strict=True):
            x0, y0, x1, y1 = *np.floor(box[:2]).astype(int), *np.ceil(box[2:]).astype(int)
            assert mask[y0:y1, x0:x1].sum() == mask.sum() > 0, "a mask lies in its box"


def test_unknown_names_are_refused_when_they_are_given(tiny, tmp_path):
    for option, kind in (("objects", "detector"), ("masks", "segmenter")):
        with pytest.raises(InputError, match=f"{option}='nothing' is no {kind}: choose one of"):
            MaO(**{option: "nothing"})
    registered("four", lambda picture: None)
    assert MaO(objects="four").objects == "four"


# ---- crops


def test_crops_are_cut_at_full_resolution_around_each_box(corpus):
    objects = decompose(corpus, "boxes")
    crops = Crops.of_objects(corpus.database, objects, 32)
    assert crops.owner.tolist() == objects.owner.tolist() and crops.found.all()
    assert crops.windows[0].tolist() == [20, 24, 60, 56] and crops.windows[1].tolist() == [8, 6, 40, 38]
    picture = corpus.set.open("p0")
    assert crops.open(0).tobytes() == picture.crop((20, 24, 60, 56)).tobytes()
    model = corpus.model
    x = torch.stack([model.preprocess(picture.crop(tuple(w))) for w in crops.windows[:2].tolist()])
    np.testing.assert_allclose(cut.embeddings(crops).read("embedding")[:2], model.embed(x, unit=False).numpy(), atol=1e-5)


def test_shares_of_masks_on_the_crop_and_on_the_picture(corpus):
    crops = Crops.of_objects(corpus.database, decompose(corpus, "boxes"), 32)
    mask = corpus.set.mask(0).array
    shares = cut.shares(crops)
    np.testing.assert_allclose(shares.read("crop")[0], patch_shares(mask[24:56, 20:60], (4, 4)).ravel(), atol=1e-6)
    np.testing.assert_allclose(shares.read("picture")[0], patch_shares(mask, (4, 4)).ravel(), atol=1e-6)
    boxes = cut.shares(crops, "boxes").read("crop")[0].reshape(4, 4)
    np.testing.assert_allclose(boxes, np.outer([2 / 8, 1, 1, 2 / 8], np.ones(4)))  # rows 30-50 of 24-56: 6-26 of 32


def test_a_segmenter_gives_the_masks(tiny, tmp_path):
    def segment(picture, boxes):
        masks = np.zeros((len(boxes), *picture.size[::-1]), bool)
        masks[:, :30] = True
        return masks

    calls = registered("upper", segment, "segmenter")
    corpus = fresh(tiny, tmp_path)
    crops = Crops.of_objects(corpus.database, decompose(corpus, "boxes"), 32)
    shares = cut.shares(crops, "upper").read("crop")[0].reshape(4, 4)
    np.testing.assert_allclose(shares, np.outer([6 / 8, 0, 0, 0], np.ones(4)))  # rows 24-30
    assert calls == [2] + [1] * (N - 1)
    first, other = (MaO(objects="boxes", masks=masks, steps=2).refined(corpus.database).read("descriptor") for masks in ("own", "upper"))
    assert np.abs(first - other).max() > 1e-3


# ---- retrievers


def test_mean_and_max_of_crops(corpus):
    crops = Crops.of_objects(corpus.database, decompose(corpus, "boxes"), 32)
    raw = torch.from_numpy(cut.embeddings(crops).read("embedding"))
    mean = MeanCrops(objects="boxes").describe(corpus.database).read("descriptor")
    np.testing.assert_allclose(mean[0], F.normalize(raw[:2].mean(0), dim=0), atol=1e-6)
    np.testing.assert_allclose(mean[5], F.normalize(raw[6], dim=0), atol=1e-6)
    several = MaxCrops(objects="boxes")
    query, database = several.describe(corpus.queries()), several.describe(corpus.database)
    scores, ids = several.score(corpus, query, database, N)
    q, unit = query.read("descriptor"), F.normalize(raw, dim=1).numpy()
    for m in range(N + 1):
        each = [max(unit[crops.owner == row] @ q[m]) for row in range(N)]
        np.testing.assert_allclose(scores[m], np.sort(each)[::-1], atol=1e-5)
        np.testing.assert_allclose(np.array(each)[ids[m]], scores[m], atol=1e-5)
    assert database.read("count").tolist() == [2] + [1] * (N - 1) and several.vector is None


def test_the_best_of_several_by_hand():
    vectors = Arrays({"v": np.array([[3.0, 0], [0, 1], [1, 1], [0, -2]], np.float32)})
    scores, ids = best(np.array([[1.0, 0], [0, -1]], np.float32), Several(vectors, "v", [0, 0, 1, 2], 3), 2, "cpu")
    assert ids.tolist() == [[0, 1], [2, 0]]
    np.testing.assert_allclose(scores, [[1, 2**-0.5], [1, 0]], atol=1e-6)
    several = Several(vectors, "v", [0, 0, 1, 2], 3)
    assert several.read("count").tolist() == [2, 1, 1] and several.read("count", [1]).tolist() == [1]
    np.testing.assert_allclose(several.read("descriptor", [2, 0]), [[0, -1], [0.9486833, 0.3162278]], atol=1e-6)


def test_a_query_is_its_plain_crop_unless_it_is_refined(corpus):
    part, model = corpus.queries(), corpus.model
    crop = corpus.set.open("p0").crop((20, 24, 60, 56))
    expected = model.embed(model.preprocess(crop)[None])[0].numpy()
    for retriever in (MaO(objects="boxes"), MeanCrops(), MaxCrops(), MaskInversion(), Patchify()):
        np.testing.assert_allclose(retriever.describe(part).read("descriptor")[0], expected, atol=1e-5)
    for retriever in (MaO(refine_query=True, steps=5), MaskInversion(refine_query=True)):
        refined = retriever.describe(part).read("descriptor")[0]
        assert np.abs(refined - expected).max() > 1e-3 and np.linalg.norm(refined) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("objective", "lengths"), [("joint", "raw"), ("joint", "unit"), ("per-crop", "raw"), ("full-image", "unit")])
def test_each_objective_is_the_refinement_with_its_arguments(corpus, objective, lengths):
    mao, model = MaO(objects="boxes", objective=objective, lengths=lengths, steps=6), corpus.model
    features, crops = mao.refined(corpus.database), mao.crops_of(corpus.database)
    picture = corpus.set.open("p0")
    x = torch.stack([model.preprocess(crops.open(m)) for m in (0, 1)])
    shares = torch.from_numpy(cut.shares(crops).read("crop")[:2])
    if objective == "full-image":
        x = model.preprocess(picture)[None]
        union = corpus.set.mask(0).array | corpus.set.mask(1).array
        shares = torch.from_numpy(patch_shares(union, (4, 4))).float().reshape(1, -1)
    raw, owner = model.embed(x, unit=False), torch.arange(2) if objective == "per-crop" else torch.zeros(len(x), dtype=torch.long)
    start = raw.mean(0, keepdim=True) if objective == "joint" else raw
    pulls = F.normalize(raw, dim=1) if lengths == "unit" else raw * start[owner].norm(dim=1, keepdim=True)
    result = refinement.refine(model, model.tokens(x, 2), shares, pulls, start, owner, steps=6)
    rows = slice(0, len(start))
    np.testing.assert_allclose(features.read("objective")[rows], result.objective.T, atol=2e-3)
    np.testing.assert_allclose(features.read("cosine")[rows], result.cosine.T, atol=2e-3)
    np.testing.assert_allclose(features.read("descriptor")[rows], F.normalize(result.vectors, dim=1), atol=1e-2)
    described = mao.describe(corpus.database)
    assert len(described) == N and (mao.vector is None) == (objective == "per-crop") == isinstance(described, Several)


def test_mask_inversion_meets_each_mask_on_the_whole_picture(corpus):
    retriever, model = MaskInversion(objects="boxes"), corpus.model
    features = retriever.describe(corpus.database).features
    x = model.preprocess(corpus.set.open("p0"))[None]
    raw = model.embed(x, unit=False).expand(2, -1)
    shares = torch.from_numpy(cut.shares(retriever.crops_of(corpus.database)).read("picture")[:2])
    tokens = model.tokens(x, 2).expand(2, -1, -1)
    result = refinement.refine(model, tokens, shares, F.normalize(raw, dim=1), raw, torch.arange(2), 0.0, 10, overlap="dice")
    np.testing.assert_allclose(features.read("objective")[:2], result.objective.T, atol=2e-3)
    assert features.read("objective").shape == (N + 1, 10)


def test_patches_of_a_pyramid(corpus):
    several = Patchify(levels=2).describe(corpus.database)
    assert several.read("count").tolist() == [5] * N
    model, picture = corpus.model, corpus.set.open("p3")
    whole = model.embed(model.preprocess(picture)[None], unit=False)[0]
    np.testing.assert_allclose(several.features.read("embedding")[15], whole, atol=1e-5)


def test_token_groups_are_vectors_and_the_whole(corpus):
    few, many = (TokenGroups(n=n).describe(corpus.database) for n in (1, 25))
    assert (few.read("count") <= 2).all() and (many.read("count") >= few.read("count")).all()
    query = TokenGroups().describe(corpus.queries()).read("descriptor")
    np.testing.assert_allclose(np.linalg.norm(query, axis=1), 1, atol=1e-5)


def test_where_a_result_looks_for_the_query(corpus):
    mao = MaO(objects="boxes")
    maps = mao.explain(corpus, corpus.queries(), 2, [4, 7])
    target = torch.from_numpy(mao.describe(corpus.queries()).read("descriptor")[2])
    x = corpus.model.preprocess(corpus.set.open("p7"))
    assert [one.shape for one in maps] == [(4, 4)] * 2
    np.testing.assert_allclose(maps[1], legrad.heatmap(corpus.model, x, target), atol=1e-6)


# ---- edges


def test_a_picture_without_objects_is_the_whole_and_stays_as_it_is(tiny, tmp_path):
    def change(objects):
        return objects.assign(ignore=objects["image_id"].isin(["p2", "p5"]))

    corpus = fresh(tiny, tmp_path, change)
    model = corpus.model
    whole = model.embed(model.preprocess(corpus.set.open("p5"))[None])[0].numpy()
    names = [f"MaO(objects='boxes', steps=3, objective='{objective}')" for objective in ("joint", "per-crop", "full-image")]
    for name in (*names, "MeanCrops(objects='boxes')", "MaxCrops(objects='boxes')", "MaskInversion(objects='boxes', steps=2)"):
        described = registry.parse("retriever", name).describe(corpus.database)
        assert len(described) == N
        row = described.features.read(described.vector)[np.flatnonzero(described.owner == 5)[0]] if isinstance(described, Several) else described.read("descriptor", [5])[0]
        np.testing.assert_allclose(row / np.linalg.norm(row), whole, atol=1e-5, err_msg=name)


def test_no_object_anywhere(tiny, tmp_path):
    registered("blind", lambda picture: Detections(np.zeros((0, 4)), []))
    corpus = fresh(tiny, tmp_path)
    for retriever in (MaO(objects="blind"), MaO(objects="blind", objective="full-image"), MeanCrops(objects="blind")):
        vectors = retriever.describe(corpus.database).read("descriptor")
        np.testing.assert_allclose(vectors, MeanCrops(objects="blind").describe(corpus.database).read("descriptor"), atol=1e-6)
        assert np.isfinite(vectors).all()


def test_boxes_on_the_border_outside_and_smaller_than_a_patch_and_equal_ones(tiny, tmp_path):
    def detect(picture):
        width, height = picture.size
        return Detections([[-5, -5, 3, 3], [width - 1, height - 1, width + 9, height + 9], [width, 0, width + 5, 9], [30.2, 30.2, 30.4, 30.9]] + [[10, 10, 20, 20]] * 2, [0.5] * 6)

    registered("edges", detect)
    corpus = fresh(tiny, tmp_path)
    assert len(decompose(corpus, "edges")[0]) == 5
    for objective in ("joint", "per-crop", "full-image"):
        features = MaO(objects="edges", objective=objective, steps=5).refined(corpus.database)
        assert all(np.isfinite(features.read(name)).all() for name in features.names)


def test_hundreds_of_objects_lose_none(tiny, tmp_path):
    def change(objects):
        many = pd.concat([objects.iloc[[1]].assign(x0=float(i % 40), x1=float(i % 40 + 20)) for i in range(210)])
        return pd.concat([objects, many], ignore_index=True)

    corpus = fresh(tiny, tmp_path, change)
    mao = MaO(objects="boxes", steps=2)
    assert np.bincount(mao.crops_of(corpus.database).owner)[0] == 212
    vectors = mao.describe(corpus.database).read("descriptor")
    assert np.isfinite(vectors).all() and len(vectors) == N
    crops = mao.crops_of(corpus.database)
    assert [len(run) for run in crops.grouped(np.arange(N))] == [1, 5, 5, 1]


def test_what_lacks_is_said(tiny, tmp_path):
    bare = fresh(tiny, tmp_path)
    bare.set = replace(bare.set, name="bare", objects=bare.set.objects[:0], queries=bare.set.queries.assign(object=-1))
    assert MaO(objects="boxes").lacks(bare) == "bare has no annotated boxes" and MaO().lacks(bare) == ""

    def missing(device):
        raise InputError("Weights of far-away aren't here: get them.")

    registry.register("detector", "far-away")(missing)
    experiment = Experiment(world(tiny.paths), vit(), cache=tmp_path, progress=False)
    with pytest.raises(InputError, match="can't be asked on tiny: Weights of far-away aren't here: get them."):
        experiment.ranking(MaO(objects="far-away"))


def test_boxes_of_queries_alone_are_no_oracle(tiny, tmp_path):
    """VoxDetW: queries have their boxes, the database hasn't."""
    corpus = fresh(tiny, tmp_path)
    split = np.where(corpus.set.images["image_id"] == "p0", "both", "database")
    queries, objects = corpus.set.queries.query("image_id == 'p0'"), corpus.set.objects.query("image_id == 'p0'")
    few = replace(corpus.set, images=corpus.set.images.assign(split=split), queries=queries, objects=objects, protocols={})
    assert MeanCrops(objects="boxes").lacks(Corpus(few, vit())) == ""
    assert MeanCrops(objects="boxes").lacks(Corpus(replace(few, images=few.images.assign(split=np.where(split == "both", "query", split))), vit()))


def test_the_set_says_whose_boxes_and_masks_are_meant(tiny, tmp_path):
    calls, upper = registered("few", lambda picture: Detections([[8, 10, 40, 34]], [1.0])), registered("half", _upper, "segmenter")
    corpus = Corpus(replace(world(tiny.paths), settings={"objects": "few", "masks": "half"}), vit(), cache=tmp_path, progress=False)
    features = {str(mao): mao.refined(corpus.database).read("descriptor") for mao in (MaO(steps=2), MaO(objects="few", masks="half", steps=2))}
    assert len(calls) == sum(upper) == N and np.array_equal(*features.values())
    own = MaO(objects="boxes", masks="own", steps=2)
    assert own.objects_of(corpus) == "boxes" and own.masks_of(corpus) == "own" and own.crops_of(corpus.database).owner.tolist() == [0, 0, *range(1, N)]
    plain = Corpus(replace(world(tiny.paths), settings={}), vit())
    assert (MaO().objects_of(plain), MaO().masks_of(plain)) == ("owlv2", "sam"), "the paper's"


@pytest.mark.parametrize(("setting", "kind"), [("objects", "detector"), ("masks", "segmenter")])
def test_a_setting_that_is_nothing_s_name_is_said(tiny, tmp_path, setting, kind):
    settings = {"objects": "boxes", "masks": "own"} | {setting: "nobody"}
    corpus = Corpus(replace(world(tiny.paths), settings=settings), vit(), cache=tmp_path)
    assert MaO().lacks(corpus).startswith(f"{setting}='nobody' is no {kind}: choose one of ") and MaO(**{setting: "boxes"}).lacks(corpus) == ""


def _upper(picture, boxes):
    """The upper half of each box."""
    masks = np.zeros((len(boxes), *picture.size[::-1]), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.round().astype(int), strict=True):
        mask[y0 : (y0 + y1) // 2, x0:x1] = True
    return masks


def test_a_menu_offers_nothing_that_a_hub_must_give_first(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(segmenters, "_opened", lambda *options: pytest.fail(f"{options} is asked for"))
    monkeypatch.setattr(pretrained, "try_to_load_from_cache", lambda place, file: None)
    plain = Corpus(replace(world(tiny.paths), settings={}), vit(), cache=tmp_path)
    for retriever in (MaO(), MeanCrops(), MaO(objects="boxes"), MaO(objects="sam-grid", masks="own"), MeanCrops(objects="some/owl")):
        assert not retriever.offered(plain)
    for retriever in (MaO(objects="boxes", masks="own"), MeanCrops(objects="tokens"), Patchify(), registry.parse("retriever", "CBIR")):
        assert retriever.offered(plain)
    assert "CBIR" in offered(plain) and "MaO" not in offered(plain)
    assert not any(map(segmenters.stored, ("owlv2", "sam", "some/owl"))) and all(map(segmenters.stored, ("../gone", "~/x", "/x")))
    monkeypatch.setattr(pretrained, "try_to_load_from_cache", lambda place, file: f"cache/{file}" if file == "config.json" else None)
    assert not segmenters.stored("owlv2"), "a fetch that was broken off"
    monkeypatch.setattr(pretrained, "try_to_load_from_cache", lambda place, file: f"cache/{place}/{file}")
    assert segmenters.stored("owlv2") and segmenters.stored("some/owl") and segmenters.stored("mini-owl") and segmenters.stored(tmp_path)


def test_what_cannot_be_had_is_asked_for_once_a_corpus(tiny, tmp_path):
    calls = []

    def far(device):
        calls.append(device)
        raise InputError("The hub is far away.")

    registry.register("detector", "far")(far)
    corpus = fresh(tiny, tmp_path)
    for method in (MeanCrops(objects="far"), MeanCrops(objects="far"), MaO(objects="far", masks="boxes")):
        assert method.lacks(corpus) == "The hub is far away"
    assert len(calls) == 1 and MaO(objects="tokens", masks="own").lacks(corpus) == ""
    assert MeanCrops(objects="far").lacks(fresh(tiny, tmp_path)) and len(calls) == 2


def test_objects_of_a_picture_by_itself(corpus):
    objects = decompose(corpus, "boxes")
    for row in (0, 5):
        one = objects.of(row)
        assert len(one) == 1 and one.owner.tolist() == [0] * len(one.boxes) and one.digest != objects.digest
        np.testing.assert_array_equal(one[0].boxes, objects[row].boxes)
        np.testing.assert_array_equal(one[0].masks, objects[row].masks)
    assert objects.of(0).digest != objects.of(5).digest
