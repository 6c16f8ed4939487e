"""CNN retrieval on real frames with a real ResNet-18: an object's box is the query, its video's other frames are right.

Only coarse facts are pinned: they hold for any sound implementation, and fail for one that pools, clusters or scores
the wrong things.
"""

import numpy as np
import pytest
import torch
from PIL import Image

from foir_lib import load_model
from foir_lib.bench import metrics
from foir_lib.images import open_image
from foir_lib.methods import coattention, pooling, regional_attention, whitening

pytestmark = [pytest.mark.real, pytest.mark.slow]
N_VIDEOS, N_FRAMES, LONGEST = 10, 3, 320  # of 20 videos with 10 frames; pixels


@pytest.fixture(scope="module")
def model(foir_data):
    path = foir_data / "weights" / "resnet18_to_layer3.safetensors"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the folder FOIR_DATA")
    return load_model("resnet18", weights=path, out_index=3, image_size=LONGEST, device="cpu")


@pytest.fixture(scope="module")
def frames(foir_data):
    """(query crops, their boxes and pictures, database pictures, right[query, picture])."""
    root = foir_data / "davis-frames"
    if not root.is_dir():
        pytest.skip("no davis-frames/ in the folder FOIR_DATA")
    crops, boxes, whole, database = [], [], [], []
    videos = sorted((root / "JPEGImages").iterdir())[::2][:N_VIDEOS]
    for video in videos:
        paths = sorted(video.glob("*.jpg"))
        first, *others = (paths[i] for i in np.linspace(0, len(paths) - 1, N_FRAMES + 1).astype(int))
        mask = np.asarray(Image.open(root / "Annotations" / video.name / f"{first.stem}.png").convert("L")) > 0
        rows, columns = np.nonzero(mask)
        boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        whole.append(open_image(first))
        crops.append(whole[-1].crop(boxes[-1]))
        database += [open_image(path) for path in others]
    right = np.repeat(np.eye(len(videos), dtype=bool), N_FRAMES, axis=1)
    return crops, boxes, whole, database, right


@pytest.fixture(scope="module")
def selected(model, frames):
    """Selected local features of queries and database pictures, and the labels of the latter."""
    queries, _, _, database, _ = frames
    queries, database = ([coattention.select(model.locals(p)) for p in pictures] for pictures in (queries, database))
    return queries, database, [coattention.cluster(found.features) for found in database]


@pytest.fixture(scope="module")
def maps(model, frames):
    return [[model.maps(model.preprocess(p)[None]) for p in pictures] for pictures in (frames[0], frames[3])]


def mean_ap(scores, right):
    """mAP (percent, textbook) of scores (Q, n)."""
    order = np.argsort(-np.asarray(scores), axis=1, kind="stable")
    ranks = [np.flatnonzero(row[o]) for row, o in zip(right, order)]
    return 100 * np.mean([metrics.average_precision(r, N_FRAMES, definition="textbook") for r in ranks])


def descriptors(pool, maps):
    return [torch.nn.functional.normalize(torch.cat([pool(x) for x in part]), dim=-1) for part in maps]


def test_global_descriptors_find_the_object(maps, frames):
    right = frames[4]
    pools = {
        "GeM": pooling.gem, "MAC": pooling.mac, "SPoC": pooling.spoc, "CroW": pooling.crow, "R-MAC": pooling.rmac,
        "SuperGlobal": lambda x: pooling.superglobal([x]),
        "R-MAC, mean": lambda x: regional_attention.descriptor(x, None, 3),
    }  # fmt: skip
    found = {}
    for name, pool in pools.items():
        q, d = descriptors(pool, maps)
        found[name] = mean_ap(q @ d.T, right)
    chance = mean_ap(np.random.default_rng(0).random((200, right.shape[1])), np.repeat(right[:1], 200, 0))
    print({name: round(value, 1) for name, value in found.items()}, round(chance, 1))
    assert chance < 20 and min(found.values()) > 2.5 * chance
    assert found["R-MAC, mean"] == pytest.approx(found["R-MAC"])


def test_co_attention_beats_its_baselines(selected, frames):
    queries, database, labels = selected
    right = frames[4]
    q, g = (torch.stack([coattention.query(found.features) for found in part]) for part in (queries, database))
    x, count = coattention.stacked([coattention.clusters(f.features, k) for f, k in zip(database, labels)])
    local = torch.nn.utils.rnn.pad_sequence([coattention.embedded(f.features) for f in database], batch_first=True)
    own = [coattention.clusters(f.features, coattention.cluster(f.features)) for f in queries]
    found = {
        "GeM": mean_ap(q @ g.T, right),
        "naive": mean_ap(coattention.naive(q, local, count=torch.tensor([len(f) for f in database])), right),
        "co-attention": mean_ap(coattention.scores(q, x, count=count), right),
        "co-attention, float16": mean_ap(coattention.scores(q, x.half().numpy(), count=count), right),
        "one-to-many": mean_ap(coattention.one_to_many(q, x, count=count), right),
        "many-to-many": mean_ap(torch.stack([coattention.many_to_many(k, x, count=count) for k in own]), right),
    }
    print({name: round(value, 1) for name, value in found.items()})
    assert count.float().mean() > 9 and x.shape[1:] == (10, 256)
    assert min(found.values()) > 40  # chance is below 20
    assert found["co-attention"] > found["GeM"] and found["co-attention"] > found["naive"]
    assert found["co-attention, float16"] == pytest.approx(found["co-attention"], abs=1)


def test_pca_of_a_third_of_the_dimensions_keeps_the_ranking(selected, frames):
    queries, database, labels = selected
    pca = whitening.fit(torch.stack([f.features.mean(0) for f in database]), 24, whiten=False)
    q = torch.stack([coattention.query(f.features, pca=pca) for f in queries])
    x, count = coattention.stacked([coattention.clusters(f.features, k, pca=pca) for f, k in zip(database, labels)])
    assert mean_ap(coattention.scores(q, x, count=count), frames[4]) > 45


def test_the_map_follows_the_query(model, frames, selected):
    """More of a frame's co-attention map lies in its object's box when that object is asked for than when others are."""
    _, boxes, whole, _, _ = frames
    queries = [coattention.query(found.features) for found in selected[0]]
    gains = []
    for i, ((x0, y0, x1, y1), picture) in enumerate(zip(boxes, whole)):
        found = coattention.select(model.locals(picture))
        labels = coattention.cluster(found.features)
        clusters = coattention.clusters(found.features, labels)
        heat = [coattention.attention_map(found, coattention.weights(q, clusters)[labels]) for q in queries]
        assert heat[0].shape == picture.size[::-1]
        share = torch.stack([h[y0:y1, x0:x1].sum() / h.sum() for h in heat])
        others = torch.cat([share[:i], share[i + 1 :]]).mean()
        gains.append(float(share[i] / others))
    print(np.round(gains, 2))
    assert np.mean(gains) > 1.1 and np.median(gains) > 1.05
