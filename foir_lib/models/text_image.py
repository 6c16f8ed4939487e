"""Image-text models: pictures and a question in, "yes" against "no" by their logits, or an answer in words; LLaVA and its kin."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
import torch
import transformers
from PIL import Image
from torch import Tensor
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KINDS

from foir_lib import registry
from foir_lib.errors import InputError, IntegrityError, MissingError, count, unknown
from foir_lib.files import as_path
from foir_lib.images import rgb
from foir_lib.models import checkpoints, devices, pretrained
from foir_lib.models import weights as weights_file
from foir_lib.models.mini import lmm as mini_lmm
from foir_lib.models.mini import shipped
from foir_lib.models.pretrained import frozen, with_settings

LARGEST = 10_000_000  # of a number in config.json: contexts of a million tokens are published, widths are held against the files
LONGEST = 4000  # letters of a question
PLAIN = "USER: {images}\n{question} ASSISTANT:"  # LLaVA 1.5's, for a folder without a chat template
YES, NO = "yes", "no"
Picture = Image.Image | Sequence[Image.Image]  # several: all of them are shown, in this order, before the question; (): none is


def load_text_image(name: str | os.PathLike, device: str | torch.device | None = "auto") -> "TextImage":
    """An image-text model by its name ("mini-lmm", what plug-ins register), from a folder or by its name on the hub.

    A folder is what save_pretrained of network and processor write: config.json, safetensors, tokenizer.json,
    preprocessor_config.json; LLaVA and every class of transformers' image-text-to-text. Nothing but safetensors and JSON is
    opened, no code of others is run. Raises InputError for another kind of network, MissingError for what isn't there,
    IntegrityError for files that are damaged or don't fit each other.
    """
    device = devices.choose(device)
    if name in registry.names("image-text model"):
        return registry.lookup("image-text model", name)(device)
    if not as_path(name).is_dir() and (not isinstance(name, str) or name.count("/") != 1 or name.startswith((".", "~", "/"))):
        if os.sep in str(name):
            raise MissingError(f"There is no image-text model at {name}: give a folder with config.json.")
        raise unknown("image-text model", name, registry.names("image-text model"))
    its_type = pretrained.config(name, LARGEST).get("model_type")
    if its_type not in KINDS:
        raise InputError(f"{name} is of the kind {its_type!r}: give an image-text-to-text model of transformers, such as LLaVA.")
    net, digest = pretrained.network(getattr(transformers, KINDS[its_type]), name, LARGEST)
    processor = pretrained.processor(transformers.AutoProcessor, name)
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise IntegrityError(f"{name} lacks the tokenizer or what prepares pictures: put the network's own files there.")
    return TextImage(frozen(net, device), *with_settings(_fitted(processor, net), digest), device)


@registry.register("image-text model", mini_lmm.NAME)
def _mini_lmm(device: torch.device) -> "TextImage":
    net, path = mini_lmm.create(), shipped.weights_path(mini_lmm.NAME)
    state = checkpoints.read(path)
    state["lm_head.weight"] = state["model.language_model.embed_tokens.weight"]  # they are one
    weights_file.check(net.state_dict(), state, path, mini_lmm.NAME)
    net.load_state_dict(state)
    return TextImage(frozen(net, device), *with_settings(mini_lmm.processor(), weights_file.digest(path)), device, batch=32)


def _fitted(processor, net):
    """The processor, with what folders of older versions say in the network's configuration alone."""
    for name in ("patch_size", "vision_feature_select_strategy"):
        if getattr(processor, name, 0) is None:
            setattr(processor, name, getattr(net.config, name, None) or getattr(net.config.vision_config, name))
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token or processor.tokenizer.unk_token
    return processor


@dataclass(frozen=True, eq=False)
class TextImage:
    """A frozen image-text-to-text network of transformers with its processor, asked in batches of ``batch`` prompts."""

    net: "transformers.PreTrainedModel"
    processor: "transformers.ProcessorMixin"
    weights: str
    device: torch.device
    batch: int = 8

    @property
    def key(self) -> str:
        """Names network, weights and how pictures and prompts are prepared."""
        return f"{type(self.net).__name__} {self.weights}, prompt {self.prompt('?', 1)!r}"

    @property
    def tokenizer(self):
        return self.processor.tokenizer

    def prompt(self, question: str, n_pictures: int = 1) -> str:
        """The text that the network is given: the chat template of its folder about pictures and a question.

        Special tokens in a question, such as one for a picture, are taken out: what people write is text.
        """
        if len(question) > LONGEST:
            raise InputError(f"The question {question[:60]!r}... has {len(question)} letters: ask with at most {LONGEST}.")
        for token in sorted({*self.tokenizer.all_special_tokens, self.processor.image_token}, key=len, reverse=True):
            question = question.replace(token, " ")
        if self.processor.chat_template is None:
            return PLAIN.format(images=self.processor.image_token * n_pictures, question=question)
        content = [{"type": "image"}] * n_pictures + [{"type": "text", "text": question}]
        return self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False)

    def lacks(self, text: str) -> list[str]:
        """Words of a text that the tokenizer has no token for; a tokenizer of word pieces has one for all."""
        unknown_id = self.tokenizer.unk_token_id
        if unknown_id is None:
            return []
        return [word for word in text.split() if unknown_id in self.tokenizer.encode(word, add_special_tokens=False)]

    @torch.inference_mode()
    def ask_yes(self, pictures: Sequence[Picture], questions: Sequence[str]) -> np.ndarray:
        """Log-odds (n,) of "yes" against "no" as the first word of the answers to ``questions`` on ``pictures``, one each.

        Each word's logit is the log-sum-exp of the logits of its ways to be written (yes, Yes, with a space before) that are
        one token. Raises InputError for unequal numbers, and where a word is no single token.
        """
        if len(pictures) != len(questions):
            raise InputError(f"{len(pictures)} pictures don't fit {len(questions)} questions: give one question for each picture.")
        yes, no = (self._ways(word) for word in (YES, NO))
        odds = np.zeros(len(questions), np.float32)
        for rows, logits in self._first(pictures, questions):
            odds[rows] = (logits[:, yes].logsumexp(1) - logits[:, no].logsumexp(1)).cpu().numpy()
        return odds

    @torch.inference_mode()
    def answer(self, picture: Picture, question: str, max_words: int = 40) -> str:
        """The likeliest answer, word by word (greedy), cut to ``max_words`` words."""
        count(max_words, "max_words")
        inputs = self._inputs([picture], [question])
        steps = {"max_new_tokens": 2 * max_words, "do_sample": False, "num_beams": 1, "pad_token_id": self.tokenizer.pad_token_id}
        out = self.net.generate(**inputs, **steps)[0, inputs["input_ids"].shape[1] :]
        return " ".join(self.tokenizer.decode(out, skip_special_tokens=True).split()[:max_words])

    def check_length(self, picture: Picture, question: str, max_words: int = 0) -> None:
        """Raises InputError for a question whose prompt, with an answer of ``max_words``, is longer than the network reads."""
        tokens = self._inputs([picture], [question])["input_ids"].shape[1] + 2 * max_words
        most = getattr(self.net.config.get_text_config(), "max_position_embeddings", tokens)
        if tokens > most:
            raise InputError(f"The question {question[:60]!r}... takes {tokens} tokens with its answer: the model reads at most {most}.")

    @torch.inference_mode()
    def vision_tokens(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Vision tokens (n, tokens, d) float32 of pictures, after the projector, as the language model reads them.

        Raises InputError for networks that give pictures of other shapes other numbers of tokens, where they do.
        """
        tokens = []
        for start in range(0, len(pictures), self.batch):
            images = self.processor.image_processor([rgb(picture) for picture in pictures[start : start + self.batch]], return_tensors="pt")
            tokens += self.net.get_image_features(**images.to(self.device), return_dict=True).pooler_output
        if len({len(one) for one in tokens}) != 1:
            raise InputError("These pictures have unequal numbers of vision tokens: give pictures of one size, or one at a time.")
        return torch.stack(list(tokens)).float().cpu()

    @property
    def embedding(self) -> Tensor:
        """The matrix E (V, d) float32 of the linear text embedding layer, a row for each token of the vocabulary."""
        return self.net.get_input_embeddings().weight.detach().float().cpu()

    @cached_property
    def vocabulary(self) -> tuple[list[str], Tensor]:
        """Texts of all tokens, and the ids of those that are written words: no special tokens, none without a letter."""
        texts = [self.tokenizer.decode([i], skip_special_tokens=False).strip() for i in range(len(self.tokenizer))]
        special = {*self.tokenizer.all_special_ids, self.tokenizer.convert_tokens_to_ids(self.processor.image_token)}
        return texts, torch.tensor([i for i, text in enumerate(texts) if i not in special and any(map(str.isalpha, text))])

    def _ways(self, word):
        """Ids of the tokens that are a word by themselves."""
        forms = [f"{space}{form}" for form in (word, word.capitalize()) for space in ("", " ")]
        ids = {tuple(self.tokenizer.encode(form, add_special_tokens=False)) for form in forms}
        single = sorted({one[0] for one in ids if len(one) == 1 and one[0] != self.tokenizer.unk_token_id})
        if not single:
            raise InputError(f"The word {word!r} is no single token of {self.weights}: yes and no can't be told apart by one logit each.")
        return single

    def _first(self, pictures, questions) -> Iterator[tuple[list[int], Tensor]]:
        """Rows and the logits (n, V) of the first word of their answers, prompts of about one length together.

        Padding stands on the right, where no token looks, so a prompt's logits are those it has alone.
        """
        shown = [1 if isinstance(picture, Image.Image) else len(picture) for picture in pictures]
        order = sorted(range(len(questions)), key=lambda row: (shown[row], len(questions[row])))
        alike = [list(some) for _, some in groupby(order, key=lambda row: shown[row])]
        for rows in [some[i : i + self.batch] for some in alike for i in range(0, len(some), self.batch)]:
            inputs = self._inputs([pictures[row] for row in rows], [questions[row] for row in rows])
            last = inputs["attention_mask"].sum(1) - 1
            ends, place = last.unique(return_inverse=True)
            logits = self.net(**inputs, logits_to_keep=ends).logits
            yield rows, logits[torch.arange(len(rows), device=logits.device), place].float()

    def _inputs(self, pictures, questions):
        shown = [[rgb(picture)] if isinstance(picture, Image.Image) else list(map(rgb, picture)) for picture in pictures]
        texts = [self.prompt(question, len(some)) for question, some in zip(questions, shown, strict=True)]
        begun = bool(self.tokenizer.bos_token) and texts[0].startswith(self.tokenizer.bos_token)
        inputs = self.processor(
            images=shown if any(shown) else None, text=texts, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=not begun
        )  # fmt: skip
        return inputs.to(self.device)
