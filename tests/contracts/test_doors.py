"""One photograph, by every door: from its folder, as the PIL picture that its owner opened, uploaded, under the mouse."""

import io
import json

import numpy as np
import pytest
import samples
import tiny
from PIL import Image

from foir_lib import load_set
from foir_lib.methods import baselines
from foir_lib.prompts import Box, crop
from foir_lib.retrievers.corpus import Corpus
from foir_lib.search.rerank import spatial
from foir_lib.view.widgets.canvas import PromptCanvas


def png(mode):
    """A PNG of 12 bits of grey, or with half of it transparent."""
    ramp, file = np.add.outer(np.arange(48), np.arange(64)) * 36, io.BytesIO()
    grey = Image.fromarray(ramp.astype(np.uint16))
    if mode == "transparent":
        grey = Image.fromarray(np.dstack([ramp // 16 % 256] * 3 + [255 * (ramp > 2000)]).astype(np.uint8))
    grey.save(file, "PNG")
    return file.getvalue()


PHOTOS = {
    "turned.jpg": samples.jpeg((64, 48), 6),
    "12 bits.png": png("I;16"),
    "transparent.png": png("transparent"),
    "telephone.heic": samples.HEIC,
}


@pytest.fixture(params=PHOTOS)
def photo(request, tmp_path):
    """(the picture by its folder, its path)."""
    path = tmp_path / "photos" / request.param
    path.parent.mkdir()
    path.write_bytes(PHOTOS[request.param])
    return load_set("folder", root=path.parent).open(request.param), path


def test_the_networks(photo):
    right, path = photo
    for model in (tiny.vit(), tiny.cnn()):
        np.testing.assert_array_equal(model.preprocess(Image.open(path)), model.preprocess(right))
    own, other = (model.locals(picture) for picture in (Image.open(path), right))
    np.testing.assert_array_equal(own.features, other.features)
    assert own.size == other.size


def test_the_mouse(photo):
    right, path = photo
    corpus = Corpus(load_set("folder", root=path.parent), tiny.vit())
    (x,), (y,) = (corpus.live(picture).tensors([0]) for picture in (Image.open(path), right))
    np.testing.assert_array_equal(x, y)
    canvas = PromptCanvas(Image.open(path))
    np.testing.assert_array_equal(canvas.picture, right)
    canvas.show(path)
    np.testing.assert_array_equal(canvas.picture, right)
    canvas.show(Image.new("RGB", (3, 3)))
    content = path.read_bytes()
    about = {"view": "a", "n": 1, "op": "upload", "upload": "a", "name": path.name, "size": len(content), "count": 1, "index": 0}
    canvas.receive(json.loads(json.dumps(about)), [content])
    np.testing.assert_array_equal(canvas.picture, right)
    assert (canvas.label, canvas.size, canvas.message["error"]) == (path.stem, right.size, False)
    canvas.close()


def test_parts_of_it(photo):
    """Crop, Mask and keypoints: a box lies on the picture as it is shown."""
    right, path = photo
    box = Box(3, 20, 40, 45)
    np.testing.assert_array_equal(crop(Image.open(path), box)[0], crop(right, box)[0])
    mean = (0.5, 0.5, 0.5)
    np.testing.assert_array_equal(baselines.masked(Image.open(path), box, mean), baselines.masked(right, box, mean))
    np.testing.assert_array_equal(spatial.keypoints(Image.open(path)).points, spatial.keypoints(right).points)
