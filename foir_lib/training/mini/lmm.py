"""How mini-lmm was trained: first to answer from the words of patches alone, then from pictures, many questions to each; pairs between."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import Tensor, nn

from foir_lib.errors import count, number
from foir_lib.methods.memory import reflection, reverse_embedding
from foir_lib.models import weights
from foir_lib.models.mini import lmm, shipped
from foir_lib.models.text_image import TextImage
from foir_lib.models.zoo import load_model
from foir_lib.training import loop
from foir_lib.training.mini import packing, sentences
from foir_lib.training.mini.packing import Batch, Text
from foir_lib.training.mini.views import Picture
from foir_lib.training.mini.vit import OneCycle, normalise

PAIRS = 6  # every so many steps one of pairs
SURE, SHARP = 4.0, 12.0  # weight of yes and no among the words of answers; of cosines


class Task(nn.Module):
    """mini-lmm, and a linear layer that is thrown away: at each word of a question it says whether the picture has the word."""

    def __init__(self, net: "transformers.LlavaForConditionalGeneration"):
        super().__init__()
        self.lmm, self.head = net, nn.Linear(lmm.WIDTH, 1)
        named = torch.zeros(net.config.text_config.vocab_size, dtype=torch.bool)
        named[[lmm.tokenizer().token_to_id(word) for word in sentences.named()]] = True
        self.register_buffer("named", named)
        self.register_buffer("decisive", torch.tensor([lmm.tokenizer().token_to_id(word) for word in ("yes", "no")]))


def loss(task: Task, batch: Batch) -> Tensor:
    """Cross-entropy of the answers, yes and no counting SURE times; and, for single pictures, of what their words are, twice.

    Of the words of each patch by reverse embedding (SHARP times the cosine; half), and of each word of a question, there or not.
    """
    net, table = task.lmm, task.lmm.get_input_embeddings().weight
    embeds, words = net.get_input_embeddings()(batch.ids), 0.0
    if len(batch.pixels):
        hidden = net.model.vision_tower(normalise(batch.pixels), output_hidden_states=True).hidden_states[-1][:, 1:]
        tokens = net.model.multi_modal_projector(hidden)
        if batch.said.numel():
            cosines = reverse_embedding.logits(tokens.flatten(0, 1).float(), table, unit=True)
            words = 0.5 * F.cross_entropy(SHARP * cosines, batch.said.flatten(0, 1))
    else:
        tokens = F.normalize(batch.said @ table, dim=-1) * table.norm(dim=-1).mean()
    images = tokens[batch.rows].flatten(1, 2)
    embeds = torch.cat([images, embeds[:, images.shape[1] :]], 1)
    order = torch.arange(batch.ids.shape[1])
    own = (batch.blocks[:, None, :] == 0) | (batch.blocks[:, None, :] == batch.blocks[:, :, None])
    hidden_from = torch.where(own & (order <= order[:, None]), 0.0, torch.finfo(embeds.dtype).min)[:, None]
    out = net.model.language_model(
        inputs_embeds=embeds, attention_mask=hidden_from, position_ids=batch.positions, use_cache=False
    ).last_hidden_state  # fmt: skip
    if batch.said.numel():
        asked = (batch.blocks > 0) & task.named[batch.ids]
        there = (batch.said.sum(1) > 0).gather(1, batch.ids)[asked]
        words = words + F.binary_cross_entropy_with_logits(task.head(out[asked])[:, 0].float(), there.float())
    answers = batch.targets != packing.IGNORED
    logits, targets = net.lm_head(out[answers]).float(), batch.targets[answers]
    sure = torch.isin(targets, task.decisive)
    weight = torch.where(sure, SURE, 1.0)
    return (F.cross_entropy(logits, targets, reduction="none") * weight).sum() / weight.sum() + words


def train(
    pictures: list[Picture], steps: int, reading: int, batch: int = 24, lr: float = 3e-3, seed: int = 0, checkpoint: str | Path | None = None,
    every: int = 100,
) -> tuple["transformers.LlavaForConditionalGeneration", list[float]]:  # fmt: skip
    """Train a mini-lmm on pictures: ``reading`` steps on words in the place of patches, then ``steps`` on pictures; and the losses.

    The tower begins with mini-vit's weights and learns at a quarter of the rate. AdamW (decay 0.02), one-cycle. ``checkpoint``,
    ``every`` and what is raised: see `loop.fit`.
    """
    count(steps, "steps"), count(reading, "reading", 0), count(batch, "batch"), count(seed, "seed", 0), number(lr, "lr", above=0)
    torch.manual_seed(seed)
    task = Task(start())
    task.lmm.set_attn_implementation("eager")  # with heads this narrow, torch's fused attention is the slower one on CPUs
    tower = list(task.lmm.model.vision_tower.parameters())
    rest = [p for p in task.parameters() if not any(p is own for own in tower)]
    optimiser = torch.optim.AdamW([{"params": rest}, {"params": tower}], lr, (0.9, 0.98), weight_decay=0.02)
    total = reading + steps
    schedule = OneCycle(optimiser, [lr, lr / 4], total_steps=total, pct_start=0.1)
    text, groups = Text(), packing.families(pictures)

    def batches(epoch, first):
        for step in range(first, total):
            rng = np.random.default_rng((seed, step))
            if groups and step >= reading and step % PAIRS == 0:
                yield (packing.pairs_of(rng, groups, batch // 2, text),)
                continue
            aloud = step < reading or step % (2 * PAIRS) == 1
            rows = rng.integers(0, len(pictures), batch)
            yield (packing.batch_of(rng, [pictures[row] for row in rows], text, aloud),)

    run = {"name": lmm.NAME, "steps": steps, "reading": reading, "batch": batch, "lr": lr, "pictures": len(pictures), "seed": seed}
    saving = {"checkpoint": checkpoint, "every": every, "run": run, "accelerator": loop.start("bf16")}
    losses = loop.fit(loop.Objective(task, loss), optimiser, batches, total, schedule, clip=1.0, seed=seed, label=lmm.NAME, **saving)
    task.lmm.set_attn_implementation("sdpa")
    return task.lmm.eval(), losses


def start() -> "transformers.LlavaForConditionalGeneration":
    """An untrained mini-lmm whose tower has mini-vit's weights."""
    net = lmm.create()
    lmm.carry_over(net, load_model(lmm.TOWER, device="cpu").net)
    return net


def save(net: nn.Module, folder: str | Path, losses: list[float], facts: dict) -> dict:
    """Write ``mini-lmm.safetensors`` (matrices in float16) and its card; see `weights.write`. Returns the card."""
    state = {key: value for key, value in net.state_dict().items() if key != "lm_head.weight"}  # that is the embedding
    return weights.write(state, lmm.NAME, folder, losses, facts, shipped.ABOUT[lmm.NAME])


def verified(model: TextImage, pictures: list[Picture], seed: int = 0) -> tuple[float, float]:
    """Balanced accuracy and AUROC (percent) of the thesis' question with hard negatives on held-out pictures, two questions on each."""
    rng, shown, asked, truth = np.random.default_rng(seed), [], [], []
    for picture in pictures:
        for new in filter(None, (sentences.shows(rng, picture) for _ in range(2))):
            shown.append(image_of(picture.pixels)), asked.append(reflection.SHOWS.format(name=str(new[0]))), truth.append(new[1])
    return _judged(truth, model.ask_yes(shown, asked))


def compared(model: TextImage, pictures: list[Picture], n: int = 200, seed: int = 0) -> tuple[float, float]:
    """Balanced accuracy and AUROC (percent) of the pairwise question on ``n`` held-out pairs, half the same thing, a quarter look-alikes."""
    text = Text()
    pairs = packing.pairs_of(np.random.default_rng(seed), packing.families(pictures), n, text)
    truth = (pairs.targets == text("yes")[0]).any(1).tolist()
    shown = [tuple(image_of(pairs.pixels[row].numpy()) for row in both) for both in pairs.rows.tolist()]
    return _judged(truth, model.ask_yes(shown, [reflection.SAME] * n))


def _judged(truth, odds):
    return 100 * balanced_accuracy_score(truth, odds > 0), 100 * roc_auc_score(truth, odds)


def image_of(pixels: np.ndarray) -> Image.Image:
    """Pixels (3, S, S) as a PIL picture."""
    return Image.fromarray(pixels.transpose(1, 2, 0))
