"""The refinement's step equals the objective differentiated through the whole network; where it ends; its edges."""

import plain_legrad
import pytest
import timm
import torch
import torch.nn.functional as F

from foir_lib import load_model
from foir_lib.errors import InputError
from foir_lib.methods import legrad, refinement
from foir_lib.methods.refinement import refine
from foir_lib.models.vit import ViT

OWNER = torch.tensor([0, 0, 0, 2, 2])  # vector 1 has no crops


@pytest.fixture(scope="module")
def model():
    return load_model("mini-vit", device="cpu")


def crops(model, n=5, seed=1):
    """Pictures, tokens before the last block, shares of masks, raw embeddings."""
    generator = torch.Generator().manual_seed(seed)
    side = model.image_size
    x = torch.randn(n, 3, side, side, generator=generator)
    x = F.interpolate(torch.randn(n, 3, 8, 8, generator=generator), size=side, mode="bilinear") + 0.3 * x
    x = x.to(next(model.net.parameters()).dtype)
    rows, columns = model.grid
    masks = torch.zeros(n, rows, columns, dtype=x.dtype)
    for i in range(n):
        masks[i, i % (rows - 1) : i % (rows - 1) + 2, 1:3] = torch.tensor([[1.0, 0.5], [0.25, 1.0]])
    tokens = model.tokens(x, model.depth - 1)
    return x, tokens, masks.flatten(1), model.embed(x, unit=False)


def run(model, n=5, owner=OWNER, seed=1, **options):
    _, tokens, masks, raw = crops(model, n, seed)
    start = refinement.means(raw, owner, int(owner.max()) + 1)
    start = torch.where(start.any(1, keepdim=True), start, torch.ones_like(start))
    return start, refine(model, tokens, masks, F.normalize(raw, dim=-1), start, owner, **options)


# ---- the step


@pytest.mark.parametrize("score", legrad.SCORES)
@pytest.mark.parametrize(
    ("name", "options", "project"),
    [
        ("mini-vit", None, False),
        ("vit_small_patch14_reg4_dinov2", {"img_size": 42, "depth": 2}, False),
        ("vit_base_patch16_clip_quickgelu_224.openai", {"img_size": 48, "depth": 2}, True),
    ],
)
def test_a_step_is_that_of_the_whole_network(name, options, project, score):
    torch.manual_seed(5)
    model = load_model(name, device="cpu") if options is None else ViT(timm.create_model(name, **options), name)
    model.net.double()
    x, tokens, masks, _ = crops(model)
    raw = model.embed(x, project, unit=False)
    embeddings, start = F.normalize(raw, dim=-1), refinement.means(raw, OWNER, 3)
    start[1] = 1.0
    v = start.clone().requires_grad_()
    optimiser = torch.optim.AdamW([v], lr=0.1, weight_decay=0)
    values = []
    for _ in range(3):
        optimiser.zero_grad()
        total = plain_legrad.objective(model.net, x, masks, embeddings, v, OWNER.tolist(), 0.03, score, project)
        values.append(total.detach())
        (-total.sum()).backward()
        optimiser.step()
    result = refine(model, tokens, masks, embeddings, start, OWNER, steps=3, score=score, project=project)
    torch.testing.assert_close(result.vectors, v.detach(), rtol=0, atol=1e-4)
    torch.testing.assert_close(result.objective, torch.stack(values), rtol=0, atol=1e-6)
    assert (result.vectors - start)[[0, 2]].abs().max() > 0.05 and torch.equal(result.vectors[1], start[1])


def test_vectors_do_not_depend_on_how_crops_are_batched(model):
    _, whole = run(model, steps=12)
    for batch in (1, 2, 3):  # 1: a vector's crops one after the other, the last block again in each step
        _, parted = run(model, steps=12, batch=batch)
        torch.testing.assert_close(parted.vectors, whole.vectors, rtol=0, atol=2e-3)
    _, tokens, masks, raw = (part[:3] for part in crops(model))
    first = torch.zeros(3, dtype=torch.long)
    alone = refine(model, tokens, masks, F.normalize(raw, dim=-1), raw.mean(0, keepdim=True), first, steps=12)
    torch.testing.assert_close(alone.vectors[0], whole.vectors[0], rtol=0, atol=2e-3)


def test_the_network_runs_once_for_all_steps(model, monkeypatch):
    calls = []
    real = model.tap
    monkeypatch.setattr(model, "tap", lambda tokens, *rest, **more: calls.append(len(tokens)) or real(tokens, *rest, **more))
    run(model, steps=5)
    assert calls == [5]
    calls.clear()
    run(model, steps=5, batch=3)
    assert calls == [3, 2]
    calls.clear()
    run(model, steps=5, batch=2)
    assert calls == [2, 1] * 5 + [2], "the crops of the first vector are more than are held at a time"


# ---- where it ends


@pytest.mark.parametrize("name", ["mini-vit", "mini-vit-large"])
def test_with_one_object_and_a_large_alpha_it_ends_at_the_crops_embedding(name):
    model = load_model(name, device="cpu")
    _, tokens, masks, raw = crops(model, 1)
    unit = F.normalize(raw, dim=-1)
    for seed in (0, 1):
        start = torch.randn(raw.shape, generator=torch.Generator().manual_seed(seed))
        assert F.cosine_similarity(start, raw) < 0.3
        result = refine(model, tokens, masks, unit, start, torch.zeros(1, dtype=torch.long), alpha=100.0)
        assert F.cosine_similarity(result.vectors, raw) > 0.99


def test_the_objective_rises_and_the_curves_are_kept(model):
    start, result = run(model)
    assert result.objective.shape == result.cosine.shape == (80, 3) and result.steps.tolist() == [80, 0, 80]
    first, last = result.objective[0], result.objective[-10:].mean(0)
    assert (last[[0, 2]] > first[[0, 2]] + 0.1).all() and last[1] == first[1] == 0
    torch.testing.assert_close(result.cosine[0], torch.ones(3))
    assert (result.cosine[-1, [0, 2]] < 0.99).all() and result.cosine[-1, 1] == 1
    _, again = run(model)
    assert torch.equal(again.vectors, result.vectors)


def test_a_unit_start_is_thrown_away_by_the_first_step_and_renorm_keeps_the_length(model):
    _, tokens, masks, raw = crops(model)
    unit, owner = F.normalize(raw, dim=-1), torch.arange(5)
    thrown = refine(model, tokens, masks, unit, unit, owner, steps=2)
    free = refine(model, tokens, masks, unit, raw, owner, steps=2)
    assert (thrown.cosine[1] < 0.8).all() and (free.cosine[1] > 0.95).all()
    held = refine(model, tokens, masks, unit, raw, owner, steps=20, renorm=True)
    torch.testing.assert_close(held.vectors.norm(dim=1), raw.norm(dim=1))
    assert not torch.allclose(held.vectors, refine(model, tokens, masks, unit, raw, owner, steps=20).vectors, atol=1e-3)


def test_options_of_the_climb(model):
    start, adamw = run(model, steps=8)
    _, sgd = run(model, steps=8, optimizer="sgd", lr=1.0)
    assert (sgd.objective[-1, [0, 2]] > sgd.objective[0, [0, 2]]).all() and not torch.allclose(sgd.vectors, adamw.vectors, atol=1e-2)
    _, dice = run(model, steps=8, overlap="dice")
    assert (dice.objective[0, [0, 2]] > adamw.objective[0, [0, 2]]).all(), "2 a / (b + a) is more than a / b"
    for option, value in (("overlap", "giou"), ("optimizer", "adam"), ("score", "cls")):
        with pytest.raises(InputError, match=value):
            run(model, steps=1, **{option: value})
    with pytest.raises(InputError, match="must rise"):
        run(model, owner=torch.tensor([0, 1, 0, 2, 2]))


def test_who_stops_early_stays_where_it_stopped(model):
    _, whole = run(model, steps=60)
    _, early = run(model, steps=60, stop=0.05)
    taken = early.steps
    assert (taken[[0, 2]] > refinement.WINDOW).all() and taken.min() == 0 and (taken < 60).all()
    for p in (0, 2):
        n = int(taken[p])
        torch.testing.assert_close(early.objective[:n, p], whole.objective[:n, p], rtol=0, atol=0.02)
        assert (early.objective[n:, p] == early.objective[n - 1, p]).all() and (early.cosine[n:, p] == early.cosine[-1, p]).all()
        gain = early.objective[n - 1, p] - early.objective[n - 1 - refinement.WINDOW, p]
        assert gain < 0.05


# ---- by hand


def test_overlaps_by_hand():
    maps, shares = torch.tensor([[1.0, 0.5, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.5, 0.0]])
    torch.testing.assert_close(refinement.soft_iou(maps, shares), torch.tensor([1 / 2.0]))  # 1 / (2, .5, .5, 0 less 1)
    torch.testing.assert_close(refinement.dice(maps, shares), torch.tensor([2 / 3.0]))
    same = torch.tensor([[1.0, 0.0, 1.0]])
    assert refinement.soft_iou(same, same) == refinement.dice(same, same) == 1
    nothing = torch.zeros(1, 3)
    for overlap in (refinement.soft_iou, refinement.dice):
        assert overlap(nothing, nothing) == overlap(same, nothing) == overlap(nothing, same) == 0


def test_the_second_term_is_the_printed_one_of_raw_vectors_or_of_unit_ones():
    raw, start, owner = torch.tensor([[3.0, 4.0], [0.0, 2.0], [6.0, 8.0]]), torch.tensor([[0.0, 2.0], [1.5, 0.0]]), torch.tensor([0, 0, 1])
    none = torch.zeros(3, 5)

    def term(lengths):
        pulls = refinement.pulls(raw, start, owner, lengths)
        return refinement.objective(none, none, F.normalize(start, dim=-1), pulls, owner, alpha=0.5)

    torch.testing.assert_close(term("raw"), torch.tensor([0.5 * (2 * 4 + 2 * 2), 0.5 * 1.5 * 6]))
    torch.testing.assert_close(term("unit"), torch.tensor([0.5 * (0.8 + 1), 0.5 * 0.6]))
    with pytest.raises(InputError, match="lengths 'long'"):
        refinement.pulls(raw, start, owner, "long")



def test_the_objective_by_hand():
    maps, shares = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.5]])
    unit, embeddings = torch.tensor([[0.6, 0.8], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])
    value = refinement.objective(maps, shares, unit, embeddings, torch.tensor([0, 0, 1]), alpha=0.5)
    torch.testing.assert_close(value, torch.tensor([1 + 0.5 + 0.5 * (0.6 + 0.8), 0.5 + 0.5 * 0.8]))


def test_means_of_owners():
    vectors = torch.tensor([[1.0, 3.0], [3.0, 5.0], [7.0, 0.0]])
    assert refinement.means(vectors, torch.tensor([0, 0, 2]), 3).tolist() == [[2, 4], [0, 0], [7, 0]]


# ---- edges


def test_no_object_leaves_the_start(model):
    _, tokens, masks, raw = crops(model, 2)
    none = torch.zeros(0, dtype=torch.long)
    result = refine(model, tokens[:0], masks[:0], raw[:0], raw, none)
    assert torch.equal(result.vectors, raw) and result.steps.tolist() == [0, 0] and result.objective.shape == (80, 2)


def test_hundreds_of_objects_in_one_picture(model):
    n = 230
    _, tokens, masks, raw = crops(model, n)
    owner = torch.zeros(n, dtype=torch.long)
    result = refine(model, tokens, masks, F.normalize(raw, dim=-1), raw.mean(0, keepdim=True), owner, steps=3, batch=50)
    assert result.vectors.isfinite().all() and result.objective[0] > n * 0.01
    assert result.objective[-1] > result.objective[0]


def test_masks_that_are_empty_whole_or_equal(model):
    _, tokens, masks, raw = crops(model, 2)
    unit, owner = F.normalize(raw, dim=-1), torch.tensor([0, 0])
    for shares in (torch.zeros_like(masks), torch.ones_like(masks), masks[:1].expand(2, -1)):
        for same in (tokens, tokens[:1].expand(2, -1, -1)):
            result = refine(model, same, shares, unit, raw.mean(0, keepdim=True), owner, steps=20)
            assert result.vectors.isfinite().all() and result.objective.isfinite().all() and result.cosine.isfinite().all()


def test_constant_heat_maps(model):
    _, tokens, masks, raw = crops(model, 2)
    flat = tokens.mean((0, 1), keepdim=True).expand_as(tokens)  # every token alike: no patch stands out
    unit = F.normalize(raw, dim=-1)
    result = refine(model, flat, masks, unit, raw, torch.arange(2), steps=5)
    assert result.vectors.isfinite().all() and result.objective.isfinite().all()
    ((attention, z),) = legrad.taps(model, flat)
    with legrad.differentiable():
        maps = legrad.min_max(legrad.relevance(attention, z, unit, model.n_prefix))
    assert (maps == 0).all() and (result.objective[0] > 0).all(), "what remains is alpha's term"
