"""Detectors and segmenters of transformers and kornia: tiny random networks in folders, what is refused, pictures of any shape."""

import json

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.ops import box_convert, box_iou

from foir_lib import registry
from foir_lib.detections import Detections
from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.models import detectors, segmenters
from foir_lib.models.detectors import Grid, Owl, decode, objectness
from foir_lib.models.sam import Sam
from foir_lib.models.segmenters import load_detector, load_segmenter

pytestmark = pytest.mark.usefixtures("one_thread")
STATISTICS = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def picture(width=60, height=40, mode="RGB", seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


@pytest.fixture(scope="module")
def owl_folder(tmp_path_factory):
    """A random OWLv2 for 64 px, as save_pretrained writes it."""
    torch.manual_seed(0)
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64, "patch_size": 16}
    text = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 9}
    config = transformers.Owlv2Config(vision_config=vision, text_config=text | {"bos_token_id": 1, "eos_token_id": 2}, projection_dim=8)
    folder = tmp_path_factory.mktemp("owl")
    net = transformers.Owlv2ForObjectDetection(config)
    for head in (net.box_head, net.objectness_head):  # drawn with a spread of 1, they say 0 or 1 and nothing between
        [layer.reset_parameters() for layer in (head.dense0, head.dense1, head.dense2)]
    net.save_pretrained(folder)
    transformers.Owlv2ImageProcessor(size={"height": 64, "width": 64}, **STATISTICS).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def sam_folder(tmp_path_factory):
    """A random SAM for 64 px, as save_pretrained writes it."""
    torch.manual_seed(0)
    size = {"image_size": 64, "patch_size": 8}
    vision = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "window_size": 4, "global_attn_indexes": [1]}
    vision |= {"output_channels": 32, "num_pos_feats": 16, "initializer_range": 0.02}
    decoder = {"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
    config = transformers.SamConfig(vision_config=vision | size, prompt_encoder_config={"hidden_size": 32} | size, mask_decoder_config=decoder)
    folder = tmp_path_factory.mktemp("sam")
    transformers.SamModel(config).save_pretrained(folder)
    pictures = transformers.SamImageProcessor(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}, **STATISTICS)
    pictures.save_pretrained(folder)
    return folder


# ---- the decode of OWLv2


def test_decode_by_hand():
    """A picture of 200 x 100 px is padded to 200 x 200: boxes are shares of 200."""
    boxes = torch.tensor([
        [0.25, 0.25, 0.10, 0.20],  # 40..60, 30..70
        [0.26, 0.25, 0.10, 0.20],  # 42..62, 30..70: IoU 0.82 with the first
        [0.95, 0.45, 0.20, 0.20],  # 170..210, 70..110: clipped to 200, 100
        [0.50, 0.80, 0.10, 0.10],  # all in the padding
        [0.75, 0.25, 0.10, 0.10],  # too low a score
    ])  # fmt: skip
    result = decode(boxes, torch.tensor([0.6, 0.9, 0.3, 0.99, 0.2]), (200, 100))
    np.testing.assert_allclose(result.boxes, [[42, 30, 62, 70], [170, 70, 200, 100]], atol=1e-4)
    np.testing.assert_allclose(result.scores, [0.9, 0.3])


@given(st.integers(0, 10_000), st.integers(1, 400), st.integers(1, 400))
def test_decode_is_nms_from_the_best_down_inside_the_picture(seed, width, height):
    """The same greedy choice by a loop over all pairs."""
    generator = torch.Generator().manual_seed(seed)
    boxes, scores = torch.rand(30, 4, generator=generator) * 0.6, torch.rand(30, generator=generator)
    result = decode(boxes, scores, (width, height), threshold=0.3, iou=0.4)
    limits = torch.tensor([width, height, width, height])
    clipped = torch.minimum((box_convert(boxes, "cxcywh", "xyxy") * max(width, height)).clamp(min=0), limits)
    kept = []
    for row in scores.argsort(descending=True).tolist():
        box = clipped[row : row + 1]
        if scores[row] > 0.3 and (box[:, 2:] - box[:, :2]).min() >= 1e-3 and all(box_iou(box, clipped[k : k + 1]) <= 0.4 for k in kept):
            kept.append(row)
    np.testing.assert_allclose(result.boxes, clipped[kept].reshape(-1, 4), atol=1e-4)
    np.testing.assert_array_equal(result.scores, scores[kept])


def test_boxes_are_those_of_transformers_own_post_processing(owl_folder):
    """Its text half, which we leave out, changes neither boxes nor objectness; its post-processing scales and filters as ours."""
    owl, image = load_detector(owl_folder, "cpu"), picture(100, 70)
    x = owl.processor(images=image, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        out = owl.net(input_ids=torch.tensor([[1, 5, 2]]), pixel_values=x, attention_mask=torch.ones(1, 3, dtype=torch.long))
        boxes, logits = objectness(owl.net, x)
    torch.testing.assert_close(boxes, out.pred_boxes)
    torch.testing.assert_close(logits, out.objectness_logits)
    out.logits = out.objectness_logits[..., None]
    (theirs,) = owl.processor.post_process_object_detection(out, threshold=0.4, target_sizes=torch.tensor([[70, 100]]))
    ours = decode(boxes[0], logits[0].sigmoid(), image.size, threshold=0.4, iou=1.0)
    order = theirs["scores"].argsort(descending=True, stable=True)
    clipped = theirs["boxes"][order].clamp(min=0).minimum(torch.tensor([100, 70, 100, 70]))
    inside = (clipped[:, 2:] - clipped[:, :2] >= 1e-3).all(1)
    assert inside.sum() > 3
    torch.testing.assert_close(torch.from_numpy(ours.scores), theirs["scores"][order][inside])
    np.testing.assert_allclose(ours.boxes, clipped[inside], atol=1e-4)


@pytest.mark.parametrize(("size", "mode"), [((1, 1), "L"), ((1, 300), "RGB"), ((300, 1), "I;16"), ((33, 21), "P"), ((5000, 40), "RGB")])
def test_pictures_of_any_shape(owl_folder, sam_folder, size, mode):
    image = picture(*size, mode="L" if mode == "I;16" else mode)
    image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257) if mode == "I;16" else image
    owl, sam = load_detector(owl_folder, "cpu"), load_segmenter(sam_folder, "cpu")
    low = Owl(owl.net, owl.processor, "", owl.device, threshold=0.0)
    result = low.detect(image)
    assert (result.boxes >= 0).all() and (result.boxes[:, 2:] <= size).all()
    masks = sam.segment(image, [[0, 0, *size], [-5, -5, 2, 2], [size[0], 0, size[0] + 4, 4]])
    assert masks.shape == (3, *size[::-1]) and not masks[2].any()
    grid = Grid(sam, per_side=3, stability=0.0, largest=1.0).detect(image)
    assert grid.masks.shape[1:] == size[::-1] and len(grid) <= 9
    np.testing.assert_array_equal(grid.boxes, [tight(mask) for mask in grid.masks] or np.zeros((0, 4)))


def tight(mask):
    ys, xs = np.nonzero(mask)
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


def test_nothing_on_the_picture(owl_folder, sam_folder):
    owl, sam = load_detector(owl_folder, "cpu"), load_segmenter(sam_folder, "cpu")
    none = Owl(owl.net, owl.processor, "", owl.device, threshold=1.0).detect(picture())
    assert len(none) == 0 and none.boxes.shape == (0, 4)
    empty = Grid(sam, per_side=2, stability=2.0).detect(picture())
    assert len(empty) == 0 and empty.masks.shape == (0, 40, 60)
    assert sam.segment(picture(), np.zeros((0, 4))).shape == (0, 40, 60)
    assert sam.segment(picture(), []).shape == (0, 40, 60)


# ---- SAM


def test_masks_are_those_of_transformers_own_path(sam_folder):
    """Its processor, forward pass and post-processing in one go; ours embeds the picture once and asks in batches."""
    sam, image = load_segmenter(sam_folder, "cpu"), picture(90, 50)
    boxes = np.array([[3, 4, 40, 30], [50, 10, 88, 49], [0, 0, 90, 50], [20, 20, 22, 23], [1, 2, 3, 4]], np.float32)
    inputs = sam.processor(image, input_boxes=[boxes.tolist()], return_tensors="pt")
    with torch.inference_mode():
        out = sam.net(pixel_values=inputs["pixel_values"], input_boxes=inputs["input_boxes"].float(), multimask_output=False)
    (masks,) = sam.processor.image_processor.post_process_masks(out.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"])
    assert 0 < masks.float().mean() < 1
    np.testing.assert_array_equal(sam.segment(image, boxes), masks[:, 0])
    two = Sam(sam.net, sam.processor, "", sam.device, batch=2)
    np.testing.assert_array_equal(two.segment(image, boxes), masks[:, 0])
    np.testing.assert_array_equal(sam.segment(image, boxes[[4, 0]]), masks[[4, 0], 0])


def test_prompts_of_box_points_and_mask_are_transformers_own(sam_folder):
    """Each prompt alone through processor and network; ours asks all at once, in batches, of one embedding."""
    sam, image = load_segmenter(sam_folder, "cpu"), picture(90, 50)
    boxes = np.array([[3, 4, 40, 30], [50, 10, 88, 49], [0, 0, 90, 50]], np.float32)
    points = np.array([[[10, 10], [60, 40]], [[70, 20], [5, 5]], [[45, 25], [45, 45]]], np.float32)
    labels = np.array([[1, 0], [1, -1], [0, 1]])
    embedded = sam.embed(image)
    first = sam.predict(embedded, boxes)
    for names in ({}, {"boxes"}, {"points"}, {"boxes", "points"}):
        for masks in (None, first.logits):
            every = {"boxes": boxes, "points": points, "labels": labels}
            prompts = {name: value for name, value in every.items() if name in names or name == "labels" and "points" in names}
            if not prompts and masks is None:
                continue
            for multimask in (False, True):
                low = sam.predict(embedded, **prompts, masks=masks, multimask=multimask)
                outs = []
                for i in range(3):
                    own = {f"input_{name}": [value[i : i + 1].tolist()] for name, value in prompts.items()}
                    inputs = sam.processor(image, return_tensors="pt", **own)
                    own = {name: inputs[name] if name == "input_labels" else inputs[name].float() for name in own}
                    extra = {} if masks is None else {"input_masks": masks[i][None, None]}
                    with torch.inference_mode():
                        outs.append(sam.net(pixel_values=inputs["pixel_values"], multimask_output=multimask, **own, **extra))
                torch.testing.assert_close(low.logits, torch.cat([out.pred_masks[0, 0] for out in outs]), atol=1e-4, rtol=1e-4)
                torch.testing.assert_close(low.scores, torch.cat([out.iou_scores[0, 0] for out in outs]), atol=1e-4, rtol=1e-4)
                assert len(low.logits) == (9 if multimask else 3) and low.size == image.size
    one = sam.predict(embedded, points=points[:, 0])
    torch.testing.assert_close(one.logits, sam.low(image, points=points[:, 0]).logits)


def test_prompts_that_dont_fit_are_told(sam_folder):
    sam = load_segmenter(sam_folder, "cpu")
    embedded, boxes, points = sam.embed(picture()), np.zeros((2, 4)), np.zeros((2, 3, 2))
    for prompts in ({}, {"boxes": boxes, "points": points[:1]}, {"points": points, "labels": np.ones((2, 2))}, {"boxes": boxes, "masks": torch.ones(3, 8, 8)}):
        with pytest.raises(InputError, match="don't fit each other: give boxes, points"):
            sam.predict(embedded, **prompts)


def test_masks_one_by_one_are_those_at_once(sam_folder, monkeypatch):
    sam, image = load_segmenter(sam_folder, "cpu"), picture(90, 50)
    boxes = np.array([[3, 4, 40, 30], [-9, -9, -1, -1], [50, 10, 88, 49], [0, 0, 90, 50]], np.float32)
    whole = sam.segment(image, boxes)
    monkeypatch.setattr("foir_lib.models.sam.PIXELS", 1)  # a mask at a time
    single = sam.segments(image, boxes)
    np.testing.assert_array_equal(next(single), whole[0])
    np.testing.assert_array_equal(list(single), whole[1:])
    assert not whole[1].any() and whole[3].any()


@pytest.mark.parametrize("boxes", [[[0, 0, 5]], [0, 0, 5, 5], [[0, 0, np.nan, 5]], [[0, 0, np.inf, 5]]])
def test_boxes_that_cant_be_are_told(sam_folder, boxes):
    with pytest.raises(InputError, match="can't be segmented: give"):
        load_segmenter(sam_folder, "cpu").segment(picture(), boxes)


def test_points_of_a_grid():
    np.testing.assert_allclose(detectors.points((40, 20), 4), [[5, 5], [15, 5], [25, 5], [35, 5], [5, 15], [15, 15], [25, 15], [35, 15]])
    assert len(detectors.points((7, 1000), 10)) == 10
    with pytest.raises(InputError, match="per_side=0"):
        detectors.points((40, 20), 0)


class Discs:
    """Stands for a SAM: at a point inside one of its discs it gives that disc, elsewhere nothing but the background."""

    discs, device, weights = [(20, 20, 9), (50, 20, 7), (51, 20, 7)], torch.device("cpu"), "discs"
    key = "discs"

    def low(self, image, points):
        from foir_lib.models.sam import LowMasks

        y, x = np.mgrid[: image.height, : image.width] + 0.5
        logits = []
        for px, py in points:
            inside = [np.hypot(x - cx, y - cy) < r for cx, cy, r in self.discs if np.hypot(px - cx, py - cy) < r]
            logits.append(np.where(inside[0], 9.0, -9.0) if inside else np.full(x.shape, 9.0))
        scores = torch.linspace(0.5, 0.9, len(points))
        return LowMasks(torch.from_numpy(np.array(logits)), scores, image.size, image.size[::-1])

    def upscaled(self, low, rows):
        return (low.logits[rows] > 0).numpy()


def test_a_grid_gives_each_thing_once():
    result = Grid(Discs(), per_side=12).detect(Image.new("RGB", (80, 40)))
    (first, second) = sorted(map(tuple, result.boxes))  # the last two discs are one thing, nearly
    assert first == (11, 11, 29, 29) and second in [(43, 13, 57, 27), (44, 13, 58, 27)]
    assert (np.diff(result.scores) <= 0).all() and result.masks.sum() < 500
    assert len(Grid(Discs(), per_side=12, at_most=1).detect(Image.new("RGB", (80, 40)))) == 1


# ---- names, folders, files


def test_names_are_told():
    assert {"mini-owl", "owlv2"} <= set(registry.names("detector"))
    assert {"mini-sam", "sam", "mobile-sam"} <= set(registry.names("segmenter"))
    with pytest.raises(InputError, match="no detector 'mini-owk': did you mean mini-owl"):
        load_detector("mini-owk", "cpu")
    with pytest.raises(InputError, match="no segmenter 'minisam': did you mean mini-sam"):
        load_segmenter("minisam", "cpu")
    with pytest.raises(InputError, match="no segmenter 'nosam'"):
        load_detector("nosam-grid", "cpu")
    with pytest.raises(InputError, match="7 is no name and no path"):
        load_segmenter(7, "cpu")
    with pytest.raises(MissingError, match="MobileSAM's weights don't come with the package: pass the path"):
        load_segmenter("mobile-sam", "cpu")
    with pytest.raises(MissingError, match="There is no segmenter at"):
        load_segmenter("/nowhere/sam", "cpu")
    with pytest.raises(InputError, match="takes no weights"):
        load_segmenter("/nowhere/sam", "cpu", weights="x")
    with pytest.raises(InputError, match="mini-owl takes no weights beside its name"):
        load_detector("mini-owl", "cpu", weights="x")


def test_a_plug_in_registers_its_own():
    registry.register("detector", "whole")(lambda device: Whole())
    assert len(load_detector("whole").detect(picture())) == 1


class Whole:
    key, device = "whole", torch.device("cpu")

    def detect(self, image):
        return Detections([[0, 0, *image.size]], [1.0])


def test_a_folder_is_known_by_its_kind(owl_folder, sam_folder):
    assert isinstance(load_detector(owl_folder, "cpu"), Owl) and isinstance(load_segmenter(str(sam_folder), "cpu"), Sam)
    assert isinstance(load_detector(sam_folder, "cpu"), Grid)
    with pytest.raises(InputError, match="of the kind 'owlv2', no segmenter"):
        load_segmenter(owl_folder, "cpu")


def test_keys_name_weights_and_thresholds(owl_folder, sam_folder, tmp_path):
    one, again = (load_detector(owl_folder, "cpu") for _ in range(2))
    assert one.key == again.key and "score 0.2, NMS 0.4" in one.key and str(owl_folder) not in one.key
    assert Owl(one.net, one.processor, one.weights, one.device, threshold=0.3).key != one.key
    sam = load_segmenter(sam_folder, "cpu")
    with torch.no_grad():
        sam.net.mask_decoder.iou_token.weight += 1
    sam.net.save_pretrained(tmp_path)
    sam.processor.image_processor.save_pretrained(tmp_path)
    assert load_segmenter(tmp_path, "cpu").weights != sam.weights
    assert Grid(sam, per_side=4).key != Grid(sam, per_side=5).key


# ---- folders that are hostile or damaged


def changed(folder, target, **config):
    """A copy of a folder with other values in config.json."""
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    values = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(values | config))
    return target


def test_code_of_others_is_refused(sam_folder, tmp_path):
    folder = changed(sam_folder, tmp_path, auto_map={"AutoModel": "evil.Evil"})
    (folder / "evil.py").write_text("raise SystemExit('run')")
    with pytest.raises(InputError, match="asks for code of its own .auto_map in config.json., which isn't run"):
        load_segmenter(folder, "cpu")


def test_kernels_and_adapters_are_refused(sam_folder, tmp_path):
    """Both would fetch what was never looked at: a kernel's code, or the network below an adapter."""
    (tmp_path / "kernel").mkdir(), (tmp_path / "adapter").mkdir()
    folder = changed(sam_folder, tmp_path / "kernel", vision_config={"attn_implementation": "stranger/kernel"})
    with pytest.raises(InputError, match="asks for code of its own .attn_implementation in config.json."):
        load_segmenter(folder, "cpu")
    folder = changed(sam_folder, tmp_path / "adapter")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "stranger/network"}')
    with pytest.raises(InputError, match="is an adapter of another network .adapter_config.json.: merge it"):
        load_segmenter(folder, "cpu")


class Harm:
    def __reduce__(self):
        return exec, ("raise SystemExit('run')",)


def test_pickled_weights_are_refused_unopened(sam_folder, tmp_path):
    folder = changed(sam_folder, tmp_path)
    (folder / "model.safetensors").unlink()
    torch.save({"x": Harm()}, folder / "pytorch_model.bin")
    with pytest.raises(IntegrityError, match="holds no safetensors that can be used"):
        load_segmenter(folder, "cpu")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"vision_config": {"hidden_size": 10**9}}, "asks for a network with 1000000000 of something"),
        ({"mask_decoder_config": {"num_hidden_layers": 5000}}, "asks for a network with 5000 of something"),
        ({"vision_config": {"hidden_size": 8000, "num_hidden_layers": 100}}, "asks for a network of [0-9,]+ weights"),
        ({"model_type": "llama"}, "of the kind 'llama', no segmenter"),
        ({"model_type": None}, "of the kind None, no segmenter"),
    ],
)
def test_configurations_that_cant_be_are_told(sam_folder, tmp_path, config, words):
    with pytest.raises(InputError, match=words):
        load_segmenter(changed(sam_folder, tmp_path, **config), "cpu")


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"\x80\x04x"])
def test_what_is_missing_or_damaged_is_told(sam_folder, tmp_path, name, content):
    folder = changed(sam_folder, tmp_path)
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises((InputError, IntegrityError), match="The folder .* holds no|asks for|of the kind"):
        load_segmenter(folder, "cpu")


def test_weights_that_lack_a_tensor_or_hold_nan_are_told(owl_folder, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = changed(owl_folder, tmp_path)
    state = load_file(folder / "model.safetensors")
    name = "box_head.dense0.weight"
    save_file({k: v for k, v in state.items() if k != name}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(IntegrityError, match=f"lacks {name}"):
        load_detector(folder, "cpu")
    save_file(state | {name: state[name] * np.nan}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(IntegrityError, match=f"NaN or infinite numbers in {name}"):
        load_detector(folder, "cpu")


def test_a_name_of_the_hub_without_a_network(monkeypatch):
    monkeypatch.setattr(segmenters.transformers.PreTrainedConfig, "get_config_dict", no_network)
    with pytest.raises(MissingError, match="nobody/sam can't be fetched from the hub .*: without a network, get the folder"):
        load_segmenter("nobody/sam", "cpu")


def no_network(*_, **__):
    raise OSError("no route to host")
