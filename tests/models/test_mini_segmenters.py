"""mini-owl and mini-sam: where they start from, and what the shipped weights do on shelves that they never saw."""

import pytest
import torch

from foir_lib import load_set
from foir_lib.bench import metrics
from foir_lib.models.mini import owl, sam, shipped, starts
from foir_lib.models.segmenters import load_detector, load_segmenter
from foir_lib.training.mini import decomposition

pytestmark = pytest.mark.usefixtures("one_thread")


def test_patches_start_as_waves_that_are_apart():
    filters = starts.cosines(24, 8)
    assert filters.shape == (24, 3, 8, 8)
    brightness = filters[:16].mean(1).flatten(1)
    products = brightness @ brightness.T
    assert (products - products.diag().diag()).abs().max() < 1e-6 and (products.diag() > 0).all()
    assert filters[0].std() < 1e-6 and filters[16:].sum(1)[:, 0, 0].abs().max() < 1e-6  # the mean; colours without brightness


def test_positions_are_most_like_their_neighbours():
    side, heads = 8, 2
    table = starts.positions(side, 32, heads)
    assert table.shape == (64, 32)
    for head in table.chunk(heads, 1):
        like = (head @ head.T).view(side, side, side, side)
        assert (like[3, 3].flatten().argmax() == 3 * side + 3) and like[3, 3, 3, 4] > like[3, 3, 3, 7] and like[3, 3, 4, 3] > like[3, 3, 7, 3]


def test_mini_owl_starts_with_boxes_of_two_patches_nowhere():
    torch.manual_seed(0)
    net = owl.create().eval()
    from foir_lib.models.detectors import objectness

    with torch.inference_mode():
        boxes, logits = objectness(net, torch.randn(1, 3, owl.SIDE, owl.SIDE))
    patches = boxes[0, :, 2:] * owl.SIDE / owl.PATCH
    assert 1 < patches.median() < 3 and logits.sigmoid().max() < 0.1


@pytest.mark.parametrize("name", [owl.NAME, sam.NAME])
def test_cards_tell_how_the_weights_were_made(name):
    card = shipped.card(name)
    assert {"data", "recipe", "held_out", "minutes", "command", "sha256", "licence", "limits"} <= set(card)
    assert f"-p steps {card['recipe']['steps']} -p n_scenes {card['data']['n_scenes']}" in card["command"]
    assert card["losses"][-1] < 0.8 * card["losses"][0]
    assert shipped.weights_path(name).stat().st_size < 4e6


@pytest.fixture(scope="module")
def shelves(drawn):
    """Pictures of a seed that neither training nor card has seen."""
    return drawn(lambda: load_set("mini-needles", seed=7, n_things=36, n_queries=1, n_database=8))


def test_mini_owl_finds_things(shelves):
    detector = load_detector("mini-owl", "cpu")
    result = metrics.recall_on(shelves, detector, 8)
    assert result.recall[0] > shipped.card(owl.NAME)["held_out"]["recall"]["0.5"] - 0.25 and result.boxes <= 25
    again = load_detector("mini-owl", "cpu")
    assert again.key == detector.key and "mini-owl.safetensors, sha256" in detector.key


def test_mini_sam_cuts_them_out(shelves):
    segmenter = load_segmenter("mini-sam", "cpu")
    iou = metrics.iou_on(shelves, segmenter, 8)
    assert iou.mean() > shipped.card(sam.NAME)["held_out"]["mean_iou"] - 0.1
    picture = shelves.open(shelves.database.image_id[0])
    grid = load_detector("mini-sam-grid", "cpu").detect(picture)
    assert len(grid) <= 25 and len(grid.masks) == len(grid)


def test_what_is_saved_is_what_is_opened(tmp_path, monkeypatch):
    """The way of the notebooks: save, then load by name."""
    torch.manual_seed(1)
    net = sam.create()
    decomposition.save(net, sam.NAME, tmp_path, [1.0], {})
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    opened = load_segmenter("mini-sam", "cpu").net
    for key, value in net.state_dict().items():
        torch.testing.assert_close(opened.state_dict()[key], value.half().float() if value.ndim > 1 else value)


@pytest.mark.claims
@pytest.mark.parametrize("seed", [2, 3])
def test_held_out_shelves(seed, record_property):
    shelves = load_set("mini-needles", seed=seed)
    result = metrics.recall_on(shelves, load_detector("mini-owl", "cpu"))
    iou = metrics.iou_on(shelves, load_segmenter("mini-sam", "cpu"))
    record_property("recall at IoU 0.5 to 0.9", " ".join(f"{value:.3f}" for value in result.recall))
    record_property("boxes a picture", f"{result.boxes:.1f}")
    record_property("mean IoU from true boxes", f"{iou.mean():.3f}")
    assert result.recall[0] >= 0.8 and iou.mean() >= 0.75
