"""PromptState: edits, selection and history of prompts on a picture, and masks made of strokes; no widget."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from matplotlib.path import Path

from foir_lib.errors import InputError
from foir_lib.prompts import Box, Mask, Point
from foir_lib.view.widgets.state import HISTORY, PromptState

SIZE = (40, 30)


def state_of(*prompts):
    state = PromptState(SIZE)
    for prompt in prompts:
        state.add(prompt)
    return state


def snapshot(state):
    """All that a state shows, comparable: masks as bytes."""
    prompts = [("mask", p.array.tobytes()) if isinstance(p, Mask) else p for p in state.prompts]
    return prompts, state.selected


def says(error):
    """The message of a caught error: one sentence, on one line."""
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text and not re.search(r"\.\s+[A-Z]", text), text
    return text


def a_mask(*boxes):
    array = np.zeros(SIZE[::-1], dtype=bool)
    for x0, y0, x1, y1 in boxes:
        array[y0:y1, x0:x1] = True
    return Mask(array)


# ---- prompts and the selected one


def test_added_prompts_are_selected_and_clipped():
    state = state_of(Box(-5, 2, 20, 50), Point(3, 4))
    assert state.prompts == (Box(0, 2, 20, 30), Point(3, 4))
    assert (state.selected, state.prompt) == (1, Point(3, 4))
    state.select(0)
    assert state.prompt == Box(0, 2, 20, 30)
    with pytest.raises(InputError, match="no prompt -1"):
        state.select(-1)  # where there are marks, one asks
    assert state.selected == 0 and len(state.prompts) == 2


def test_a_prompt_alone_takes_the_place_of_all_in_one_step():
    state = state_of(Point(1, 1), Point(2, 2))
    state.add(Box(3, 3, 9, 9), alone=True)
    assert state.prompts == (Box(3, 3, 9, 9),) and state.selected == 0
    state.add(Point(4, 4))
    state.stroke([(20, 20)], 2, alone=True)
    assert len(state.prompts) == 1 and isinstance(state.prompt, Mask)
    state.stroke([(30, 20)], 2, alone=True)  # onto the selected mask, which is alone already
    assert len(state.prompts) == 1 and state.prompt.array[20, [20, 30]].all()
    state.lasso([(1, 1), (9, 1), (9, 9)], new=True)
    assert len(state.prompts) == 2 and not state.prompt.array[20, 20]
    state.lasso([(0, 0), (9, 0), (9, 5)], erase=True, new=True)  # erasing is of the selected one
    assert len(state.prompts) == 2
    for _ in range(4):
        state.undo()
    assert state.prompts == (Box(3, 3, 9, 9), Point(4, 4))
    state.undo()
    state.undo()
    assert state.prompts == (Point(1, 1), Point(2, 2)) and state.selected == 1


@pytest.mark.parametrize(
    "prompt", [Box(50, 5, 60, 10), Point(40, 5), Point(-0.5, 5), Mask(np.ones((5, 5))), None, "box"]
)
def test_what_is_off_the_picture_is_refused_and_nothing_changes(prompt):
    state = state_of(Box(1, 1, 9, 9))
    before = snapshot(state)
    for change in (state.add, state.replace):
        with pytest.raises(InputError) as error:
            change(prompt)
        says(error)
        assert snapshot(state) == before
    state.undo()
    assert not state.prompts and not state.can_undo  # a refusal is no step


@pytest.mark.parametrize(("remove", "selected", "left"), [(0, 0, 0), (0, 2, 1), (2, 2, 1), (2, 0, 0), (1, 1, 1)])
def test_removing_selects_the_neighbour_or_keeps_the_selected(remove, selected, left):
    points = [Point(i, i) for i in range(3)]
    state = state_of(*points)
    state.select(selected)
    state.remove(remove)
    del points[remove]
    assert state.prompts == tuple(points) and state.selected == left


def test_removing_the_last_prompt_selects_none():
    state = state_of(Point(1, 1))
    state.remove()
    assert state.prompts == () and state.selected == -1
    with pytest.raises(InputError, match="No prompt is selected"):
        state.remove()


def test_replacing_selects_the_new_one():
    state = state_of(Point(1, 1), Point(2, 2))
    state.replace(Box(1, 2, 3, 4), 0)
    assert state.prompts == (Box(1, 2, 3, 4), Point(2, 2)) and state.selected == 0


@pytest.mark.parametrize(
    ("prompt", "step", "expected"),
    [
        (Box(10, 10, 20, 15), (3, -4), Box(13, 6, 23, 11)),
        (Box(10, 10, 20, 15), (100, 100), Box(30, 25, 40, 30)),
        (Box(10, 10, 20, 15), (-100, 0.5), Box(0, 10.5, 10, 15.5)),
        (Point(10, 10, window=5), (-3, 2), Point(7, 12, window=5)),
        (Point(10, 10), (-11, 100), Point(0, 29.99)),
        (Point(10, 10), (100, 0), Point(39.99, 10)),
    ],
)
def test_moving_stops_at_the_edge(prompt, step, expected):
    state = state_of(prompt)
    state.move(*step)
    assert state.prompt == expected


def test_masks_move_by_whole_pixels_and_keep_their_shape():
    state = state_of(a_mask((2, 3, 6, 9)))
    state.stroke([(10, 6), (14, 6)], 2)
    before = state.prompt.array
    state.move(5.4, -1.6)
    np.testing.assert_array_equal(state.prompt.array, np.roll(before, (-2, 5), (0, 1)))
    state.move(100, 100)
    box = state.prompt.box(SIZE)
    assert (box.x1, box.y1) == SIZE and state.prompt.array.sum() == before.sum()
    steps = state.can_undo
    state.move(0.3, 0.4)  # less than a pixel: no step
    state.undo()
    assert steps and state.prompt.box(SIZE).x0 == 7


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ((4, 5), Box(10, 10, 24, 20)),
        ((-50, -50), Box(10, 10, 11, 11)),
        ((100, -1), Box(10, 10, 40, 14)),
    ],
)
def test_a_resized_box_stays_on_the_picture_and_keeps_a_pixel(step, expected):
    state = state_of(Box(10, 10, 20, 15))
    state.resize(*step)
    assert state.prompt == expected


def test_only_boxes_are_resized():
    for prompt in (Point(1, 1), a_mask((1, 1, 3, 3))):
        with pytest.raises(InputError, match="Only a box") as error:
            state_of(prompt).resize(1, 1)
        says(error)


# ---- history


def test_undo_and_redo_by_hand():
    state = state_of(Point(1, 1), Point(2, 2))
    state.move(1, 0)
    assert state.can_undo and not state.can_redo
    state.undo()
    assert state.prompt == Point(2, 2)
    state.undo()
    assert state.prompts == (Point(1, 1),) and state.selected == 0
    state.redo()
    state.redo()
    state.redo()  # nothing more to do: nothing happens
    assert state.prompts == (Point(1, 1), Point(3, 2)) and not state.can_redo
    state.undo()
    state.clear()
    assert not state.can_redo and not state.prompts
    state.undo()
    assert state.prompts == (Point(1, 1), Point(2, 2)) and state.selected == 1


def test_history_is_bounded():
    state = state_of(Point(0, 0))
    for _ in range(HISTORY + 20):
        state.move(0.1, 0)
    steps = 0
    while state.can_undo:
        state.undo()
        steps += 1
    assert steps == HISTORY and state.prompt.x == pytest.approx(2.0)


def test_what_changes_nothing_is_no_step():
    state = state_of(Box(0, 0, 10, 10))
    state.move(-5, 0)
    state.replace(Box(0, 0, 10, 10))
    state.resize(0, 0)
    state.undo()
    assert state.prompts == () and not state.can_undo
    state.clear()
    assert not state.can_undo and state.can_redo


def test_history_keeps_no_pixels():
    state = state_of()
    for i in range(30):
        state.stroke([(i, 5)], 3)
    assert len(state.masks) == 1
    state.clear()
    assert state.masks == {}


# ---- painting


def test_a_stroke_makes_a_mask_then_adds_to_it():
    state = state_of(Point(3, 3))
    state.stroke([(5, 5), (9, 5)], 1)
    assert state.selected == 1
    rows = ["".join(".#"[v] for v in row) for row in state.prompt.array[3:7, 3:11].astype(int)]
    assert rows == ["........", ".######.", ".######.", "........"]  # centres 0.5 off the line, 0.71 off its ends
    state.lasso([(20, 10), (24, 10), (24, 13), (20, 13)])
    assert state.selected == 1 and state.prompt.array.sum() == 12 + 12
    state.stroke([(22, 0), (22, 30)], 1, erase=True)
    assert state.prompt.array.sum() == 12 + 6
    state.select(0)
    state.stroke([(30, 20)], 2)
    assert len(state.prompts) == 3 and state.prompts[1].array.sum() == 18


def test_the_finest_brush_paints_a_pixel_wherever_it_touches():
    for x, y in [(5, 5), (5.5, 5.5), (0, 0), (40, 30), (7.5, 3)]:
        state = state_of()
        state.stroke([(x, y)], 0.01)
        assert 1 <= state.prompt.array.sum() <= 4


@pytest.mark.parametrize(
    ("draw", "why"),
    [
        (lambda s: s.stroke([(-30, -20)], 3), "empty"),
        (lambda s: s.lasso([(1, 1), (5, 5), (9, 9)]), "empty"),
        (lambda s: s.lasso([(1, 1), (5, 5)]), "2 points"),
        (lambda s: s.stroke([], 3), "0 points"),
        (lambda s: s.stroke([(1, 1)], 0), "radius"),
        (lambda s: s.stroke([(1, 1)], 41), "radius"),
        (lambda s: s.stroke([(1, math.nan)], 3), "numbers"),
        (lambda s: s.stroke([(1, 1)], 3, erase=True), "nothing to erase"),
        (lambda s: s.stroke([(1, 1)] * 50_001, 3), "50001 points"),
    ],
)
def test_an_empty_mask_is_refused(draw, why):
    state = state_of(Box(1, 1, 5, 5))
    before = snapshot(state)
    with pytest.raises(InputError, match=why) as error:
        draw(state)
    says(error)
    assert snapshot(state) == before


def test_a_mask_can_not_be_erased_to_nothing():
    state = state_of(a_mask((5, 5, 8, 8)))
    before = snapshot(state)
    with pytest.raises(InputError, match="erased to nothing"):
        state.stroke([(6, 6)], 10, erase=True)
    assert snapshot(state) == before
    state.stroke([(30, 20)], 3, erase=True)  # where nothing is: no step
    state.undo()
    assert not state.prompts


def test_a_mask_given_in_code_lies_below_the_strokes():
    base = a_mask((5, 5, 15, 15))
    state = state_of(base)
    assert state.prompt is base
    (described,) = state.describe()
    assert state.bases() == {described["base"]: base} and described["strokes"] == []
    state.stroke([(20, 10)], 4)
    state.stroke([(5, 5)], 4, erase=True)
    assert state.prompt.array[10, 22] and state.prompt.array[12, 12] and not state.prompt.array[6, 6]
    state.move(3, 2)
    assert state.describe()[0]["offset"] == (3, 2) and state.prompt.array[14, 15]


coordinates = st.floats(-10, 50).map(lambda v: round(v, 2))
points = st.tuples(coordinates, coordinates)
y_centres, x_centres = (c + 0.5 for c in np.mgrid[: SIZE[1], : SIZE[0]])


def distance(path):
    """Distance of every pixel's centre to a line, by complex numbers: independent of the code."""
    z = x_centres + 1j * y_centres
    line = [complex(*p) for p in path]
    best = np.full(z.shape, np.inf)
    for a, b in zip(line, line[1:] or line):
        share = ((z - a) / (b - a)).real.clip(0, 1) if a != b else 0
        best = np.minimum(best, abs(z - (a + share * (b - a))))
    return best


@given(st.lists(points, min_size=1, max_size=5), st.floats(0.75, 15))
def test_a_stroke_is_what_lies_within_its_radius(path, radius):
    away, state = distance(path), state_of()
    try:
        state.stroke(path, radius)
    except InputError:
        assert away.min() > radius - 1e-6
        return
    sure = abs(away - radius) > 1e-6
    np.testing.assert_array_equal(state.prompt.array[sure], (away <= radius)[sure])


@given(st.lists(points, min_size=3, max_size=3, unique=True))
def test_a_triangle_is_filled_as_matplotlib_fills_it(corners):
    state = state_of()
    centres = np.stack([x_centres.ravel(), y_centres.ravel()], 1)
    inside = Path([*corners, corners[0]]).contains_points(centres).reshape(SIZE[::-1])
    sure = distance([*corners, corners[0]]) > 1e-6
    try:
        state.lasso(corners)
    except InputError:
        assert not (inside & sure).any()
        return
    np.testing.assert_array_equal(state.prompt.array[sure], inside[sure])


def test_where_a_lasso_crosses_itself_it_is_filled_by_the_even_odd_rule():
    state = state_of()
    state.lasso([(0, 0), (20, 0), (20, 20), (0, 20), (0, 0), (5, 5), (15, 5), (15, 15), (5, 15), (5, 5)])
    assert state.prompt.array[2, 10] and not state.prompt.array[10, 10]


# ---- edits as the browser sends them

numbers = st.one_of(st.integers(-100, 100), st.floats(-100, 100), st.floats(), st.just(10**400), st.booleans())
junk = st.one_of(st.none(), numbers, st.text(max_size=5), st.lists(numbers, max_size=3))
prompts = st.one_of(
    st.fixed_dictionaries({"kind": st.just("box"), "x0": numbers, "y0": numbers, "x1": numbers, "y1": numbers}),
    st.fixed_dictionaries({"kind": st.just("point"), "x": numbers, "y": numbers}, optional={"window": junk}),
    st.dictionaries(st.sampled_from(["kind", "x", "x0"]), st.one_of(junk, st.sampled_from(["box", "point"]))),
    junk,
)
paths = st.one_of(st.lists(points, max_size=5), st.lists(st.lists(numbers, max_size=3), max_size=4), junk)
arguments = {
    "prompt": prompts, "index": st.one_of(st.integers(-2, 3), junk), "dx": st.one_of(numbers, junk), "dy": numbers,
    "points": paths, "radius": st.one_of(st.floats(0, 50), junk), "erase": st.one_of(st.booleans(), junk),
    "alone": st.one_of(st.booleans(), junk), "new": st.one_of(st.booleans(), junk),
}  # fmt: skip
names = ["add", "replace", "remove", "clear", "select", "move", "resize", "stroke", "lasso", "undo", "redo"]
edits = st.one_of(
    junk,
    st.fixed_dictionaries({"op": st.one_of(st.sampled_from(names), junk)}, optional=arguments),
    st.fixed_dictionaries({"op": st.sampled_from(names)} | arguments),
)


def check(state):
    """What holds in every state."""
    (width, height), described = SIZE, state.describe()
    assert json.loads(json.dumps(described, allow_nan=False)) is not None
    assert state.selected in range(len(state.prompts)) or (state.selected == -1 and not state.prompts)
    assert len(described) == len(state.prompts)
    assert state.prompt is (None if state.selected < 0 else state.prompts[state.selected])
    for prompt in state.prompts:
        box = prompt.box(SIZE, (3, 4))
        assert 0 <= box.x0 < box.x1 <= width and 0 <= box.y0 < box.y1 <= height
        assert prompt.tokens((3, 4), SIZE).any()
        if isinstance(prompt, Box):
            assert prompt == box  # nothing of it is off the picture


class Sessions(RuleBasedStateMachine):
    """Any edits, sane or not: the present is one of the states that a person saw, and the way back is exact."""

    @initialize()
    def start(self):
        self.state = PromptState(SIZE)

    @rule(edit=edits)
    def garbage_or_not(self, edit):
        self._do(lambda: self.state.edit(edit), edit.get("op") if isinstance(edit, dict) else None)

    @rule(x=coordinates, y=coordinates, w=st.floats(1, 30), h=st.floats(1, 30))
    def box(self, x, y, w, h):
        self._do(lambda: self.state.add(Box(x, y, x + w, y + h)))

    @rule(path=st.lists(points, min_size=1, max_size=4), radius=st.floats(0.5, 10), erase=st.booleans())
    def brush(self, path, radius, erase):
        self._do(lambda: self.state.stroke(path, radius, erase))

    @precondition(lambda self: self.state.prompts)
    @rule(dx=coordinates, dy=coordinates, index=st.integers(0, 20))
    def move(self, dx, dy, index):
        self.state.select(index % len(self.state.prompts))
        self._do(lambda: self.state.move(dx, dy))

    def _do(self, change, name=""):
        state, before, steps = self.state, snapshot(self.state), self.state.steps
        try:
            change()
        except InputError as error:
            assert str(error).endswith(".") and "\n" not in str(error)
            assert snapshot(state) == before and state.steps == steps
            return
        after = snapshot(state)
        if name in ("undo", "redo", "select"):
            return
        if state.steps == steps:  # nothing to undo: only the selection may differ
            assert after[0] == before[0]
            return
        state.undo()
        assert snapshot(state) == before and state.can_redo
        state.redo()
        assert snapshot(state) == after and not state.can_redo

    @invariant()
    def holds(self):
        if hasattr(self, "state"):
            check(self.state)


Sessions.TestCase.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
TestSessions = Sessions.TestCase


def test_edits_say_what_is_wrong():
    state = state_of()
    for edit, why in [
        ({"op": "explode"}, "unknown"),
        ({"op": "describe"}, "unknown"),
        ({"op": "move", "dx": 1, "dy": 1}, "No prompt is selected"),
        ({"op": "add", "prompt": {"kind": "box", "x0": 1}}, "incomplete"),
        ({"op": "add"}, "incomplete"),
        ({"op": "select", "index": 4}, "no prompt 4"),
        ({"op": "select", "index": True}, "no prompt True"),
        ({"op": "add", "prompt": {"kind": "point", "x": "1", "y": 2}}, "no finite number"),
    ]:
        with pytest.raises(InputError, match=why) as error:
            state.edit(edit)
        says(error)


def test_an_edit_of_the_browser_is_the_method():
    state = state_of()
    state.edit({"op": "add", "prompt": {"kind": "box", "x0": 1, "y0": 2, "x1": 9, "y1": 8}, "view": "a", "n": 1})
    state.edit({"op": "move", "dx": 2, "dy": 0})
    assert state.describe() == [{"kind": "box", "x0": 3.0, "y0": 2.0, "x1": 11.0, "y1": 8.0}]
    state.edit({"op": "undo"})
    state.edit({"op": "stroke", "points": [[20, 20], [25, 20]], "radius": 3, "erase": False})
    assert state.describe()[1]["strokes"] == [{"points": ((20, 20), (25, 20)), "radius": 3, "erase": False}]
    assert state.describe()[1]["box"] == [17, 17, 28, 23]
