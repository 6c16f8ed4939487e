"""QueryPanel: which object a prompt points at, and what is looked for."""

import time

import numpy as np
import pytest
from PIL import Image

from foir_lib import load_model, load_set, registry
from foir_lib.prompts import Box, Mask, Point
from foir_lib.retrievers.corpus import Corpus
from foir_lib.view.explorers.panel import QueryPanel
from foir_lib.view.results.pointing import pointed_at
from foir_lib.view.widgets.canvas import PromptCanvas

SIZE = (60, 40)
ONE = [(10, 10, 20, 20)]  # an object of 100 square pixels


@pytest.mark.parametrize(
    ("boxes", "prompt", "expected"),
    [
        (ONE, Box(17.1, 0, 37.1, 20), -1),  # 2.9 x 10 of it: 0.29 of the object, 0.07 of the prompt
        (ONE, Box(17, 0, 37, 20), 0),  # 0.3 of the object
        (ONE, Box(10, 17.1, 20, 27.1), -1),  # 29 of 100, of both
        (ONE, Box(18, 18, 22, 21), 0),  # 4 of 100 of it, but 4 of the 12 of the prompt
        (ONE, Box(19, 19, 22, 22), -1),  # 1 of 100, 1 of 9
        (ONE, Box(0, 0, 60, 40), 0),  # all of it is in the prompt
        (ONE, Box(14, 14, 15, 15), 0),  # all of the prompt is in it
        (ONE, Box(20, 10, 30, 20), -1),  # side by side
        ([(0, 0, 10, 10), (10, 0, 30, 20)], Box(8, 0, 12, 10), 0),  # 20 of 40 of both; IoU 20/120 and 20/420
        ([(0, 0, 60, 40), (10, 10, 20, 20)], Box(9, 10, 20, 20), 1),  # 1.0 of the prompt is in the first: IoU decides
        ([(0, 0, 60, 40), (10, 10, 20, 20)], Point(12, 12), 1),  # the smallest that holds it
        (ONE, Point(20, 12), -1),  # exclusive end
        ([(0, 0, 60, 40)], Box(0, 0, 36, 20), 0),  # the label of the whole picture: 720 of 2,400
        ([(0, 0, 60, 40)], Box(0, 0, 20, 20), -1),  # 400 of them may be on anything
        ([(0, 0, 60, 40)], Point(5, 5), -1),
        ([], Box(1, 1, 5, 5), -1),
        (ONE, None, -1),
    ],
)
def test_a_prompt_points_at_the_object_that_it_really_overlaps(boxes, prompt, expected):
    assert pointed_at(np.array(boxes), prompt, SIZE) == expected


def test_of_a_mask_its_pixels_count_not_the_box_around_it():
    array = np.zeros(SIZE[::-1], dtype=bool)
    array[8:30, 6:9] = array[26:30, 6:30] = True  # an L around the object
    assert pointed_at(np.array(ONE), Mask(array), SIZE) == -1
    assert pointed_at(np.array(ONE), Mask(array).box(SIZE), SIZE) == 0
    array[10:13, 10:20] = True  # 30 of its 100 pixels
    assert pointed_at(np.array(ONE), Mask(array), SIZE) == 0
    array[10, 10] = False
    assert pointed_at(np.array(ONE), Mask(array), SIZE) == -1


@pytest.fixture
def panel():
    panel = QueryPanel(load_set("mini-focus"))
    panel.start()
    yield panel
    panel.close()


def test_what_is_pointed_at_is_drawn_and_looked_for_until_it_is_said_otherwise(panel):
    rows = panel.set.objects
    item = rows[(rows["image_id"] == panel.image_id) & ~rows["ignore"].astype(bool)].iloc[0]
    corners = [float(item[name]) for name in ("x0", "y0", "x1", "y1")]
    panel.ask(Box(*corners))
    assert panel.label == item["label"] and panel.canvas.object == {"label": item["label"], "box": corners}
    x0, y0, x1, y1 = corners
    panel.ask(Box(x0 + 0.8 * (x1 - x0), y0 + 0.8 * (y1 - y0), x1 + 0.1, y1 + 0.1))  # well inside by its own area
    assert panel.canvas.object["label"] == item["label"]
    other = next(label for label in panel.labels if label != item["label"])
    panel.label = other
    assert panel.canvas.object == {} and panel.label == other
    panel.label = item["label"]
    assert panel.canvas.object["box"] == corners
    panel.label = ""
    assert panel.canvas.object == {} and panel.label == ""


def test_where_nothing_is_pointed_at_there_is_no_label(panel):
    boxes = panel.set.objects.loc[panel.set.objects["image_id"] == panel.image_id, ["x0", "y0", "x1", "y1"]].to_numpy(float)
    width, height = panel.canvas.size
    free = np.ones((height, width), bool)
    for x0, y0, x1, y1 in boxes:
        free[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = False
    panel.ask(Mask(free))
    assert panel.label == "" and panel.canvas.object == {}
    y, x = np.argwhere(free)[0].tolist()
    panel.ask(Point(x, y))
    assert panel.label == "" and panel.canvas.object == {}


# ---- large photographs


def cpu(work, times=3):
    """Seconds of processor time that ``work()`` takes, the least of some."""
    seconds = []
    for _ in range(times):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def test_the_patches_of_a_mask_on_a_large_photograph_cost_few_passes_over_it():
    array = np.zeros((3000, 4000), bool)
    array[300:2900, 500:3600] = True
    mask = Mask(array)
    assert cpu(lambda: mask.tokens((14, 14), (4000, 3000))) < 10 * cpu(lambda: np.count_nonzero(array, axis=0))


def test_a_drag_with_mask_on_a_large_photograph_costs_little_more_than_its_pixels():
    """4000 x 3000 has 100 times the pixels of 400 x 300; network and ranking cost the same for both."""
    corpus, retriever = Corpus(load_set("mini-focus"), load_model("mini-vit")), registry.parse("retriever", "Mask")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8))

    def drags(w, h):
        """Seconds of a stroke and of a moved box, each answered by the descriptor of *Mask*."""
        described, canvas, step = [], PromptCanvas(noise.resize((w, h)), grid=corpus.model.grid), iter(range(100))
        canvas.on_change(lambda c: described.append(corpus.described(retriever, corpus.live(c.picture, [c.prompt])).read("descriptor")))
        canvas.edit("stroke", [(w * 0.3, h * 0.3), (w * 0.6, h * 0.3)], w / 10)
        stroke = cpu(lambda: canvas.edit("stroke", [(w * 0.3, h * 0.5), (w * (0.5 + next(step) / 50), h * 0.5)], w / 20))
        canvas.edit("add", Box(w * 0.2, h * 0.2, w * 0.6, h * 0.6))
        box = cpu(lambda: canvas.edit("move", w / 50, 0))
        assert len(described) == 8 and len({one.tobytes() for one in described}) == 8
        return stroke, box

    small, large = drags(400, 300), drags(4000, 3000)
    assert large[0] < 25 * small[0] and large[1] < 25 * small[1], (small, large)
