"""mini-lmm: its tower is mini-vit, its words are closed, the shipped weights verify names on pictures that they never saw."""

import hashlib

import numpy as np
import pytest
import torch
import transformers

from foir_lib import load_model
from foir_lib.models.mini import lmm, shipped
from foir_lib.models.text_image import load_text_image
from foir_lib.training.mini import lmm as training
from foir_lib.training.mini import views

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_tower_begins_as_mini_vit():
    """Tokens of all blocks and the last norm are timm's."""
    net, vit = training.start().eval(), load_model("mini-vit", device="cpu")
    x = torch.randn(3, 3, lmm.SIDE, lmm.SIDE, generator=torch.Generator().manual_seed(0))
    tower = net.model.vision_tower
    assert type(net) is transformers.LlavaForConditionalGeneration and type(tower) is transformers.ViTModel
    with torch.inference_mode():
        out = tower(x, output_hidden_states=True)
        torch.testing.assert_close(out.last_hidden_state, vit.net.forward_features(x), atol=1e-5, rtol=1e-5)
        for blocks, hidden in enumerate(out.hidden_states):
            torch.testing.assert_close(hidden, vit.tokens(x, blocks), atol=1e-5, rtol=1e-5)
        features = net.get_image_features(pixel_values=x).pooler_output
        torch.testing.assert_close(features[1], net.model.multi_modal_projector(vit.tokens(x, 4)[1, 1:]), atol=1e-5, rtol=1e-5)


def test_pictures_are_prepared_as_mini_vits_are():
    (picture,) = (views.pictures(1, 3)[0].pixels,)
    image = training.image_of(picture).resize((190, 140))
    ours = lmm.processor().image_processor(image, return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(ours, load_model("mini-vit", device="cpu").preprocess(image), atol=0.02, rtol=0)


def test_words_are_whole_and_small():
    tokenizer = lmm.processor().tokenizer
    ids = tokenizer.encode("Does the picture show a RED mug? <image>")
    assert tokenizer.convert_ids_to_tokens(ids) == ["does", "the", "picture", "show", "a", "red", "mug", "?", "<image>"]
    assert tokenizer.encode("zebra") == [tokenizer.unk_token_id] and tokenizer.pad_token_id == 0


def test_card_and_weights():
    card, path = shipped.card(lmm.NAME), shipped.weights_path(lmm.NAME)
    assert {"data", "recipe", "held_out", "minutes", "command", "sha256", "licence", "limits"} <= set(card)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card["sha256"] and path.stat().st_size < 6e6
    assert f"-p steps {card['recipe']['steps']} -p reading {card['recipe']['reading']}" in card["command"]
    assert card["losses"][-1] < 0.6 * card["losses"][0] and card["held_out"]["balanced_accuracy"] > 60


@pytest.fixture(scope="module")
def model():
    return load_text_image("mini-lmm", "cpu")


def test_it_verifies_names_on_pictures_that_it_never_saw(model):
    accuracy, auroc = training.verified(model, views.pictures(120, 77, views.HELD_OUT))
    assert accuracy > 60 and auroc > 65
    assert load_text_image("mini-lmm", "cpu").key == model.key and "mini-lmm.safetensors, sha256" in model.key
    assert model.lacks("Does the picture show a zebra ?") == ["zebra"] and not model.lacks("Does the picture show a striped red star by night?")


def test_it_answers_in_its_own_words(model):
    picture = training.image_of(views.pictures(30, 77, views.HELD_OUT)[0].pixels)
    answer = model.answer(picture, "Does the picture show a red mug? Say why.", 20)
    assert answer.split()[0].strip(",") in ("yes", "no") and "it shows" in answer
    tokens = model.vision_tokens([picture])
    assert tokens.shape == (1, lmm.TOKENS, lmm.WIDTH) and model.embedding.shape == (len(model.tokenizer), lmm.WIDTH)
    assert np.isfinite(model.ask_yes([(picture, picture), ()], ["Do the two pictures show the same thing?", "Is there a mug?"])).all()
