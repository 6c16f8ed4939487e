"""mini-lmm: a LLaVA of transformers, small enough for a laptop, whose vision tower begins as mini-vit and whose words are the mini world's."""

from collections.abc import Iterable
from pathlib import Path

import torch
import transformers
from timm.models.vision_transformer import VisionTransformer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from torch import nn

from foir_lib.models.mini import starts, vit

NAME = "mini-lmm"
TOWER = "mini-vit"  # whose weights the vision tower begins with
SIDE, TOKENS = vit.NATIVE_SIZE, (vit.NATIVE_SIZE // vit.STRIDE) ** 2  # pixels; vision tokens of a picture
WIDTH, DEPTH, HEADS, LONGEST = 128, 3, 4, 512  # of the language model; tokens of a prompt
PAD, UNKNOWN, END, IMAGE = SPECIAL = ("<pad>", "<unk>", "</s>", "<image>")
VOCABULARY = Path(__file__).with_name("lmm.tokenizer.json")
TEMPLATE = "{% for m in messages %}{% for c in m['content'] %}{{ '<image>' if c['type'] == 'image' else c['text'] }}{% endfor %}{% endfor %}"


class Stem(nn.Sequential):
    """mini-vit's convolutions, with which it makes patches, where ViTModel has a single one."""

    @property
    def weight(self) -> torch.Tensor:
        return self[-1].weight


def create(vocabulary: int | None = None) -> "transformers.LlavaForConditionalGeneration":
    """An untrained mini-lmm: mini-vit as a ViTModel, two linear layers, a Llama of DEPTH blocks that reads all patch tokens.

    Its attention starts as one that looks for like words and hands them on (see `starts`). ``vocabulary``: how many words it knows,
    as many as the shipped tokenizer unless given.
    """
    n_words = vocabulary or tokenizer().get_vocab_size()
    width = 16 * vit.SIZES[TOWER]
    tower = transformers.ViTConfig(
        hidden_size=width, intermediate_size=2 * width, num_hidden_layers=4, num_attention_heads=vit.SIZES[TOWER],
        image_size=SIDE, patch_size=vit.STRIDE, layer_norm_eps=1e-6,
    )  # fmt: skip
    language = transformers.LlamaConfig(
        vocab_size=n_words, hidden_size=WIDTH, intermediate_size=5 * WIDTH // 2, num_hidden_layers=DEPTH, num_attention_heads=HEADS,
        max_position_embeddings=LONGEST, pad_token_id=SPECIAL.index(PAD), eos_token_id=SPECIAL.index(END), bos_token_id=None,
        tie_word_embeddings=True,
    )  # fmt: skip
    config = transformers.LlavaConfig(
        vision_config=tower, text_config=language, image_token_index=SPECIAL.index(IMAGE), image_seq_length=TOKENS,
        vision_feature_layer=-1, tie_word_embeddings=True,
    )  # fmt: skip
    net = transformers.LlavaForConditionalGeneration(config)
    patches = net.model.vision_tower.embeddings.patch_embeddings
    stem = vit.create(TOWER).patch_embed
    patches.projection = Stem(*stem.backbone, stem.proj)
    net.model.vision_tower.pooler = None  # the language model reads the patches, and nobody else asks
    eye = torch.eye(WIDTH)
    with torch.no_grad():
        net.get_input_embeddings().weight.normal_(0, 0.1)
        for layer in net.model.language_model.layers:
            attention = layer.self_attn
            starts.look_near(attention.q_proj.weight, attention.k_proj.weight, gain=0.7)
            for part in (attention.v_proj, attention.o_proj):
                part.weight.add_(0.5 * eye)
    return net


def carry_over(net: "transformers.LlavaForConditionalGeneration", source: VisionTransformer) -> None:
    """Give a mini-lmm's vision tower the weights of a mini-vit, tensor by tensor."""
    tower, state = net.model.vision_tower, source.state_dict()
    own = {
        "embeddings.cls_token": state["cls_token"], "embeddings.position_embeddings": state["pos_embed"],
        "layernorm.weight": state["norm.weight"], "layernorm.bias": state["norm.bias"],
    }  # fmt: skip
    stem = "embeddings.patch_embeddings.projection"
    last = len(tower.embeddings.patch_embeddings.projection) - 1
    for name, value in state.items():
        if name.startswith("patch_embed.backbone."):
            own[f"{stem}.{name.removeprefix('patch_embed.backbone.')}"] = value
        elif name.startswith("patch_embed.proj."):
            own[f"{stem}.{last}.{name.removeprefix('patch_embed.proj.')}"] = value
        elif name.startswith("blocks."):
            _, i, part = name.split(".", 2)
            if part.startswith("attn.qkv."):
                for letter, rows in zip("qkv", value.chunk(3)):
                    own[f"layers.{i}.attention.{letter}_proj.{part.removeprefix('attn.qkv.')}"] = rows
            else:
                theirs = part.replace("norm1", "layernorm_before").replace("norm2", "layernorm_after").replace("attn.proj", "attention.o_proj")
                own[f"layers.{i}.{theirs}"] = value
    tower.load_state_dict(own)


def make_tokenizer(words: Iterable[str]) -> Tokenizer:
    """The tokenizer of a closed vocabulary: a word a token, small letters, punctuation apart."""
    known = {word: i for i, word in enumerate([*SPECIAL, *sorted(set(words) - set(SPECIAL))])}
    made = Tokenizer(models.WordLevel(known, UNKNOWN))
    made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    made.add_special_tokens(list(SPECIAL))
    return made


def tokenizer() -> Tokenizer:
    """The tokenizer that comes with the package (tokenizer.json)."""
    return Tokenizer.from_file(str(VOCABULARY))


def processor() -> "transformers.LlavaProcessor":
    """What prepares pictures, squashed to the square as mini-vit's are, and prompts: the pictures, then the question."""
    statistics = {"image_mean": list(vit.MEAN), "image_std": list(vit.STD), "resample": 3}
    pictures = transformers.ViTImageProcessor(size={"height": SIDE, "width": SIDE}, **statistics)
    special = {"pad_token": PAD, "unk_token": UNKNOWN, "eos_token": END, "additional_special_tokens": [IMAGE]}
    words = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer(), **special)
    return transformers.LlavaProcessor(
        pictures, words, patch_size=vit.STRIDE, vision_feature_select_strategy="default", num_additional_image_tokens=1, chat_template=TEMPLATE
    )
