"""How mini-lmm was trained: first to answer from the words of patches alone, then from pictures, many questions to each; pairs between."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor, nn

from foir_lib.errors import count, number
from foir_lib.methods.memory import reflection
from foir_lib.models import weights
from foir_lib.models.mini import lmm, shipped
from foir_lib.models.zoo import load_model
from foir_lib.training import loop
from foir_lib.training.mini import sentences
from foir_lib.training.mini.views import Picture
from foir_lib.training.mini.vit import OneCycle, normalise

ROOM = 112  # tokens of questions and answers that follow a picture
PAIRS = 6  # every so many steps one of pairs
IGNORED = -100


class Batch(NamedTuple):
    """Sequences of images (or words in their place) and questions that don't see each other, T = images * TOKENS + room tokens.

    pixels uint8 (n, 3, S, S), or none (0, ...); rows int (B, images): which of them stand before each sequence; ids, positions, targets int
    (B, T): tokens, their places as if their question stood alone, and what is to come next (IGNORED but for answers); blocks
    int (B, T): 0 for images, i for question i; said bool (n, TOKENS, V): words of each patch.
    """

    pixels: Tensor
    rows: Tensor
    ids: Tensor
    positions: Tensor
    targets: Tensor
    blocks: Tensor
    said: Tensor


class Task(nn.Module):
    """mini-lmm, and a linear layer that is thrown away: it reads from each patch of the tower the words of what is there."""

    def __init__(self, net: "transformers.LlavaForConditionalGeneration"):
        super().__init__()
        self.lmm = net
        self.head = nn.Linear(net.config.vision_config.hidden_size, net.config.text_config.vocab_size)


class Text:
    """Sentences to tokens, remembered."""

    def __init__(self):
        self.tokenizer, self.known = lmm.tokenizer(), {}

    def __call__(self, text: str) -> list[int]:
        if text not in self.known:
            self.known[text] = self.tokenizer.encode(text).ids
        return self.known[text]


def batch_of(rng: np.random.Generator, some: list[Picture], text: Text, reading: bool = False) -> Batch:
    """As many questions as fit behind each picture, or, ``reading``, behind the words of its patches, one each."""
    blank, rows = text(lmm.IMAGE), torch.arange(len(some))[:, None]
    sequences, said = [], torch.zeros(len(some), lmm.TOKENS, text.tokenizer.get_vocab_size())
    for row, picture in enumerate(some):
        words = sentences.cells(picture)
        for cell, names in enumerate(words):
            said[row, cell, [text(name)[0] for name in names]] = 1 / len(names)
        images = [text(names[int(rng.integers(len(names)))])[0] for names in words] if reading else blank * lmm.TOKENS
        sequences.append(_sequence(images, _questions(rng, picture, text), ROOM))
    return Batch(torch.from_numpy(np.stack([picture.pixels for picture in some]))[: 0 if reading else None], rows, *_stacked(sequences), said)


def pairs_of(rng: np.random.Generator, groups: list[list[Picture]], n: int, text: Text) -> Batch:
    """``n`` pairs of pictures of single things before the question of sameness: half the same thing, a quarter look-alikes.

    ``groups``: pictures of one family of look-alikes each.
    """
    pictures, rows, sequences = [], [], []
    question = text(reflection.SAME)
    for i in range(n):
        group = groups[int(rng.integers(len(groups)))]
        one = group[int(rng.integers(len(group)))]
        same = [other for other in group if other is not one and main(other).identity == main(one).identity]
        alike = [other for other in group if main(other).identity != main(one).identity]
        if i % 2 == 0 and same:
            other = same[int(rng.integers(len(same)))]
        elif alike and rng.random() < 0.5:
            other = alike[int(rng.integers(len(alike)))]
        else:
            others = groups[int(rng.integers(len(groups)))]
            other = others[int(rng.integers(len(others)))]
        answer = "yes" if main(one).identity == main(other).identity else "no"
        rows.append([len(pictures), len(pictures) + 1])
        pictures += [one, other]
        sequences.append(_sequence(text(lmm.IMAGE) * 2 * lmm.TOKENS, [(question, text(answer))], len(question) + 2))
    pixels = torch.from_numpy(np.stack([picture.pixels for picture in pictures]))
    return Batch(pixels, torch.tensor(rows), *_stacked(sequences), torch.zeros(len(pictures), 0, 0))


def main(picture: Picture):
    """The thing that a picture is of: the largest of those that can be seen for sure."""
    sure = [thing for thing in picture.things if thing.sure]
    return max(sure, key=lambda one: (one.box[2] - one.box[0]) * (one.box[3] - one.box[1]))


def families(pictures: list[Picture]) -> list[list[Picture]]:
    """Pictures of single things by their families of look-alikes, at least two in each."""
    groups = {}
    for picture in pictures:
        if sum(thing.sure for thing in picture.things) == 1:
            groups.setdefault(main(picture).family, []).append(picture)
    return [group for group in groups.values() if len(group) > 1]


def _questions(rng, picture, text):
    asked, left = [], ROOM
    for _ in range(40):
        new = sentences.question(rng, picture)
        if new is None:
            continue
        question, answer = text(new[0]), text(new[1])
        if (left := left - len(question) - len(answer) - 1) < 0:
            break
        asked.append((question, answer))
    return asked


def _sequence(images, asked, room):
    """ids, positions, targets, blocks (T,) of one sequence."""
    n, end = len(images), lmm.SPECIAL.index(lmm.END)
    out = np.zeros((4, n + room), np.int64)
    out[0, :n], out[1, :n], out[2], out[3, n:] = images, range(n), IGNORED, -1
    at = n
    for block, (question, answer) in enumerate(asked, 1):
        tokens = [*question, *answer]
        stop = at + len(tokens)
        out[0, at:stop], out[1, at:stop], out[3, at:stop] = tokens, range(n, n + len(tokens)), block
        out[2, at + len(question) - 1 : stop] = [*answer, end]
        at = stop
    return out


def _stacked(sequences):
    return [torch.from_numpy(part) for part in np.stack(sequences, 1)]


def loss(task: Task, batch: Batch) -> Tensor:
    """Cross-entropy of the answers; on single pictures also half of that of the patches' words, from the tower by a layer of its own."""
    net = task.lmm
    embeds, dense = net.get_input_embeddings()(batch.ids), 0.0
    if len(batch.pixels):
        hidden = net.model.vision_tower(normalise(batch.pixels), output_hidden_states=True).hidden_states[-1][:, 1:]
        vision = net.model.multi_modal_projector(hidden)[batch.rows].flatten(1, 2)
        embeds = torch.cat([vision, embeds[:, vision.shape[1] :]], 1)
        if batch.said.numel():
            dense = F.cross_entropy(task.head(hidden).flatten(0, 1), batch.said.flatten(0, 1))
    order = torch.arange(batch.ids.shape[1])
    own = (batch.blocks[:, None, :] == 0) | (batch.blocks[:, None, :] == batch.blocks[:, :, None])
    hidden_from = torch.where(own & (order <= order[:, None]), 0.0, torch.finfo(embeds.dtype).min)[:, None]
    out = net.model.language_model(inputs_embeds=embeds, attention_mask=hidden_from, position_ids=batch.positions, use_cache=False)
    there = batch.targets != IGNORED
    return F.cross_entropy(net.lm_head(out.last_hidden_state[there]), batch.targets[there]) + 0.5 * dense


def train(
    pictures: list[Picture], steps: int, reading: int, batch: int = 24, lr: float = 2e-3, seed: int = 0, checkpoint: str | Path | None = None,
    every: int = 100,
) -> tuple["transformers.LlavaForConditionalGeneration", list[float]]:  # fmt: skip
    """Train a mini-lmm on pictures: ``reading`` steps on words in the place of patches, then ``steps`` on pictures; and the losses.

    The tower begins with mini-vit's weights and learns at a quarter of the rate. AdamW (decay 0.05), one-cycle. ``checkpoint``,
    ``every`` and what is raised: see `loop.fit`.
    """
    count(steps, "steps"), count(reading, "reading", 0), count(batch, "batch"), count(seed, "seed", 0), number(lr, "lr", above=0)
    torch.manual_seed(seed)
    task = Task(start())
    task.lmm.set_attn_implementation("eager")  # with heads this narrow, torch's fused attention is the slower one on CPUs
    tower = list(task.lmm.model.vision_tower.parameters())
    rest = [p for p in task.parameters() if not any(p is own for own in tower)]
    optimiser = torch.optim.AdamW([{"params": rest}, {"params": tower}], lr, weight_decay=0.05)
    total = reading + steps
    schedule = OneCycle(optimiser, [lr, lr / 4], total_steps=total, pct_start=0.15)
    text, groups = Text(), families(pictures)

    def batches(epoch, first):
        for step in range(first, total):
            rng = np.random.default_rng((seed, step))
            if step >= reading and step % PAIRS == 0:
                yield (pairs_of(rng, groups, batch // 2, text),)
                continue
            aloud = step < reading or step % (2 * PAIRS) == 1
            rows = rng.integers(0, len(pictures), batch)
            yield (batch_of(rng, [pictures[row] for row in rows], text, aloud),)

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


def verified(model, pictures: list[Picture], seed: int = 0) -> tuple[float, float]:
    """Balanced accuracy and AUROC of the thesis' question with hard negatives on held-out pictures, two questions on each."""
    from sklearn.metrics import roc_auc_score

    rng, shown, asked, truth = np.random.default_rng(seed), [], [], []
    for picture in pictures:
        for new in (sentences.shows(rng, picture) for _ in range(2)):
            if new:
                shown.append(picture.pixels), asked.append(reflection.SHOWS.format(name=str(new[0]))), truth.append(new[1])
    odds = model.ask_yes([_image(pixels) for pixels in shown], asked)
    return 100 * balanced_accuracy_score(truth, odds > 0), 100 * roc_auc_score(truth, odds)


def _image(pixels):
    from PIL import Image

    return Image.fromarray(pixels.transpose(1, 2, 0))
