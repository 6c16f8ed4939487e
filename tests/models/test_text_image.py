"""Image-text models from folders: a tiny random LLaVA, parity with transformers' own calls, what is refused."""

import json
import math

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

from foir_lib import registry
from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.models import pretrained
from foir_lib.models.text_image import LARGEST, load_text_image

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = "<pad> <unk> <s> </s> <image> yes no Yes does the picture show a red blue mug USER : ASSISTANT . ? same is there".split()
TEMPLATE = (
    "{% for m in messages %}USER : {% for c in m['content'] %}{% if c['type'] == 'image' %}<image> {% else %}{{ c['text'] }}"
    "{% endif %}{% endfor %} ASSISTANT : {% endfor %}"
)


def picture(width=60, height=40, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def save(folder, template=TEMPLATE, words=WORDS):
    torch.manual_seed(0)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, additional_special_tokens=["<image>"], **special)
    vision = transformers.CLIPVisionConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=2, image_size=32, patch_size=8)
    text = transformers.LlamaConfig(
        hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2, vocab_size=len(words), initializer_range=0.4
    )
    net = transformers.LlavaForConditionalGeneration(transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=words.index("<image>")))
    net.generation_config.eos_token_id = words.index("</s>")
    pictures = transformers.CLIPImageProcessor(size={"height": 32, "width": 32}, do_center_crop=False)
    options = {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    processor = transformers.LlavaProcessor(pictures, tokenizer, chat_template=template, **options)
    net.save_pretrained(folder), processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def model(folder):
    return load_text_image(folder, "cpu")


def own_logits(folder, image, text):
    """transformers' own path, one prompt at a time, the whole of its logits."""
    net = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    with torch.inference_mode():
        return net(**processor(images=image, text=text, return_tensors="pt")).logits[0, -1]


def test_log_odds_are_those_of_transformers_own_forward(folder, model):
    questions = ["does the picture show a red mug ?", "is there a mug ?", "?", "same", "does the picture show a blue mug ?"] * 2
    pictures = [picture(seed=i) for i in range(10)]
    odds = model.ask_yes(pictures, questions)  # ten prompts of several lengths in batches of eight
    for image, question, value in zip(pictures, questions, odds):
        logits = own_logits(folder, image, f"USER : <image> {question} ASSISTANT : ")
        yes = math.log(math.exp(logits[5]) + math.exp(logits[7]))  # yes and Yes are words of this tokenizer, no alone of its kind
        assert value == pytest.approx(yes - float(logits[6]), abs=1e-4)
    assert odds.dtype == np.float32 and np.ptp(odds) > 0.1
    order = np.random.default_rng(0).permutation(10)
    np.testing.assert_allclose(model.ask_yes([pictures[i] for i in order], [questions[i] for i in order]), odds[order], atol=1e-5)


def test_two_pictures_before_one_question(folder, model):
    one, other = picture(seed=1), picture(90, 30, seed=2)
    odds = model.ask_yes([(one, other), one, (other, one)], ["same ?"] * 3)
    logits = own_logits(folder, [one, other], "USER : <image> <image> same ? ASSISTANT : ")
    assert odds[0] == pytest.approx(math.log(math.exp(logits[5]) + math.exp(logits[7])) - float(logits[6]), abs=1e-4)
    assert len(set(odds.tolist())) == 3


def test_answers_are_those_of_transformers_own_generate(folder, model):
    net, processor = transformers.LlavaForConditionalGeneration.from_pretrained(folder).eval(), transformers.AutoProcessor.from_pretrained(folder)
    inputs = processor(images=picture(), text="USER : <image> is there a mug ? ASSISTANT : ", return_tensors="pt")
    out = net.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    words = processor.decode(out, skip_special_tokens=True).split()
    assert model.answer(picture(), "is there a mug ?", 6).split() == words[:6] and words
    with pytest.raises(InputError, match="max_words=0"):
        model.answer(picture(), "?", 0)


def test_vision_tokens_are_what_the_language_model_reads(folder, model):
    net, processor = transformers.LlavaForConditionalGeneration.from_pretrained(folder).eval(), transformers.AutoProcessor.from_pretrained(folder)
    pictures = [picture(seed=i) for i in range(9)]
    tokens = model.vision_tokens(pictures)
    assert tokens.shape == (9, 16, 24)
    inputs = processor(images=pictures[8], text="<image>", return_tensors="pt")
    with torch.inference_mode():
        torch.testing.assert_close(tokens[8], net(**inputs).image_hidden_states.view(16, 24), atol=1e-5, rtol=1e-4)
    assert torch.equal(model.embedding, net.get_input_embeddings().weight)
    texts, ids = model.vocabulary
    assert texts[WORDS.index("mug")] == "mug" and WORDS.index("mug") in ids and not {0, 1, 2, 3, 4, WORDS.index(":")} & set(ids.tolist())


def test_what_people_write_is_text(model):
    """A name with the token of a picture, or of the end, asks no other question than without it."""
    plain, marked = "does the picture show a mug ?", "does the <image> picture </s> show a <s> mug ?"
    np.testing.assert_allclose(*(model.ask_yes([picture()], [text]) for text in (plain, marked)), atol=1e-6)
    assert model.ask_yes([picture()], ["{{ 7 * 7 }} {% for x in y %} <b>'; DROP"]).shape == (1,)
    with pytest.raises(InputError, match="has 10000 letters: ask with at most 4000"):
        model.ask_yes([picture()], ["x" * 10_000])
    with pytest.raises(InputError, match="2 pictures don't fit 1 questions"):
        model.ask_yes([picture()] * 2, ["?"])
    assert model.ask_yes([], []).shape == (0,)
    assert model.lacks("does the grue show") == ["grue"]


def test_a_folder_without_a_template_is_asked_as_llava_15_was(tmp_path):
    model = load_text_image(save(tmp_path, None), "cpu")
    assert model.prompt("is there ?") == "USER: <image>\nis there ? ASSISTANT:"
    assert np.isfinite(model.ask_yes([picture()], ["is there ?"])).all()


def test_words_that_are_no_token_are_told(tmp_path):
    model = load_text_image(save(tmp_path, words=[word for word in WORDS if word != "no"]), "cpu")
    with pytest.raises(InputError, match="The word 'no' is no single token"):
        model.ask_yes([picture()], ["?"])


# ---- names, folders, files


def changed(folder, target, name="config.json", **values):
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    (target / name).write_text(json.dumps(json.loads((target / name).read_text()) | values))
    return target


def test_names_are_told(tmp_path):
    with pytest.raises(InputError, match="There is no image-text model 'mini-lmn'"):
        load_text_image("mini-lmn", "cpu")
    with pytest.raises(MissingError, match="There is no image-text model at /nowhere/llava"):
        load_text_image("/nowhere/llava", "cpu")
    made = object()
    registry.register("image-text model", "mine")(lambda device: made)
    assert load_text_image("mine", "cpu") is made


def test_keys_name_weights_and_prompt(folder, model, tmp_path):
    assert load_text_image(folder, "cpu").key == model.key and str(folder) not in model.key
    save(tmp_path, None)
    assert load_text_image(tmp_path, "cpu").key != model.key


def test_sizes_of_published_networks_pass_and_no_others(folder, tmp_path):
    """LLaVA 1.6 of Mistral and Qwen: contexts, widths and positions as their configurations have them."""
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir(), (tmp_path / "c").mkdir()
    text = {"intermediate_size": 29568, "max_position_embeddings": 131072, "rope_theta": 1000000000, "num_hidden_layers": 80, "vocab_size": 152064}
    real = changed(folder, tmp_path / "a", text_config={"model_type": "llama"} | text, image_token_index=151646, image_seq_length=576)
    assert pretrained.config(real, LARGEST)["text_config"]["intermediate_size"] == 29568
    with pytest.raises(IntegrityError, match="asks for a network of [0-9,]+ weights"):
        load_text_image(real, "cpu")  # its files are small
    for name, value in (("b", {"hidden_size": 10**8}), ("c", {"num_hidden_layers": 3000})):
        with pytest.raises(InputError, match="asks for a network with [0-9]+ of something"):
            load_text_image(changed(folder, tmp_path / name, text_config={"model_type": "llama"} | value), "cpu")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "processor_config.json"])
def test_code_of_others_is_refused(folder, tmp_path, name):
    place = changed(folder, tmp_path, name, auto_map={"AutoProcessor": "evil.Evil", "AutoTokenizer": ["evil.Evil", "evil.Evil"], "AutoModel": "evil.Evil"})
    (place / "evil.py").write_text("raise SystemExit('run')")
    if name == "config.json":
        with pytest.raises(InputError, match="asks for code of its own"):
            load_text_image(place, "cpu")
        return
    try:  # its own class stands beside: either it is taken, or the folder is refused
        assert np.isfinite(load_text_image(place, "cpu").ask_yes([picture()], ["?"])).all()
    except IntegrityError as error:
        assert "can be used" in str(error)


def test_templates_run_in_a_sandbox(folder, tmp_path):
    target = changed(folder, tmp_path)
    (target / "chat_template.jinja").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}<image>")
    with pytest.raises(Exception, match="unsafe|access"):
        load_text_image(target, "cpu").ask_yes([picture()], ["?"])


def test_another_kind_and_damaged_files_are_told(folder, tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir(), (tmp_path / "c").mkdir()
    with pytest.raises(InputError, match="of the kind 'vit': give an image-text-to-text model"):
        load_text_image(changed(folder, tmp_path / "a", model_type="vit"), "cpu")
    place = changed(folder, tmp_path / "b")
    (place / "tokenizer.json").write_text("{")
    with pytest.raises(IntegrityError, match="The folder .* holds no"):
        load_text_image(place, "cpu")
    place = changed(folder, tmp_path / "c")
    (place / "model.safetensors").write_bytes(b"\x80\x04x" * 100_000)
    with pytest.raises(IntegrityError, match="The folder .* holds no safetensors"):
        load_text_image(place, "cpu")
