"""Prompts: pixels of the picture to patch tokens, by hand-worked grids and an independent derivation."""

import io
import math
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from foir_lib.errors import InputError
from foir_lib.prompts import Box, Mask, Point, crop, patch_shares


def drawn(*rows):
    """A token mask drawn with # and . as a flat bool array."""
    return np.array([c == "#" for c in "".join(rows)])


def mask_of(width, height, *boxes):
    array = np.zeros((height, width), dtype=bool)
    for x0, y0, x1, y1 in boxes:
        array[y0:y1, x0:x1] = True
    return Mask(array)


def says(error):
    """The message of a caught error: one sentence, on one line."""
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text and not re.search(r"\.\s+[A-Z]", text), text
    return text


# --- boxes -----------------------------------------------------------------------------------------

SIZE, GRID = (40, 30), (3, 4)  # patches of 10 x 10 pixels


@pytest.mark.parametrize(
    ("box", "coverage", "expected"),
    [
        ((0, 0, 40, 30), 0.0, drawn("####", "####", "####")),
        (
            (10, 10, 20, 20),
            0.0,
            drawn("....", ".#..", "...."),
        ),  # exactly one patch: edges don't spill over
        ((9.9, 10, 20.1, 20), 0.0, drawn("....", "###.", "....")),  # a tenth of a pixel is overlap
        ((5, 5, 25, 15), 0.0, drawn("###.", "###.", "....")),
        (
            (5, 5, 25, 15),
            0.25,
            drawn("###.", "###.", "...."),
        ),  # corners are covered 1/4, the middle 1/2
        ((5, 5, 25, 15), 0.26, drawn(".#..", ".#..", "....")),
        (
            (5, 5, 25, 15),
            0.51,
            drawn("....", ".#..", "...."),
        ),  # none: the patch under the centre (15, 10)
        ((39, 29, 40, 30), 0.0, drawn("....", "....", "...#")),
        ((-100, -100, 11, 5), 0.0, drawn("##..", "....", "....")),  # clipped to the picture
        (
            (35, 25, 400, 300),
            0.9,
            drawn("....", "....", "...#"),
        ),  # clipped, then the centre's patch
    ],
)
def test_box_tokens_by_hand(box, coverage, expected):
    tokens = Box(*box).tokens(GRID, SIZE, coverage)
    assert tokens.dtype == bool and tokens.shape == (12,)
    np.testing.assert_array_equal(tokens, expected)


def test_patches_that_are_no_whole_number_of_pixels():
    # 7 pixels, 3 columns: edges at 0, 2.33, 4.67, 7; 5 pixels, 2 rows: edges at 0, 2.5, 5
    np.testing.assert_array_equal(Box(2, 0, 3, 2).tokens((2, 3), (7, 5)), drawn("##.", "..."))
    np.testing.assert_array_equal(Box(3, 2, 4, 3).tokens((2, 3), (7, 5)), drawn(".#.", ".#."))
    np.testing.assert_array_equal(
        mask_of(7, 5, (2, 2, 3, 3)).tokens((2, 3), (7, 5)), drawn("##.", "##.")
    )
    # pixel (2, 2) covers 1/3 x 1/2 of patch 0 and 2/3 x 1/2 of patch 1, each patch being 7/3 x 5/2 pixels
    share = (2 / 3 * 1 / 2) / (7 / 3 * 5 / 2)
    one = mask_of(7, 5, (2, 2, 3, 3))
    np.testing.assert_array_equal(one.tokens((2, 3), (7, 5), share), drawn(".#.", ".#."))
    np.testing.assert_array_equal(
        one.tokens((2, 3), (7, 5), share + 1e-6), drawn("...", ".#.")
    )  # centre (2.5, 2.5)


def test_a_grid_finer_than_the_picture():
    np.testing.assert_array_equal(
        Box(0, 0, 1, 1).tokens((4, 4), (2, 2)), drawn("##..", "##..", "....", "....")
    )
    np.testing.assert_array_equal(
        mask_of(2, 2, (1, 0, 2, 1)).tokens((4, 4), (2, 2)), drawn("..##", "..##", "....", "....")
    )


def test_a_tiny_box_still_has_a_token():
    tokens = Box(20.0, 10.0, 20.0 + 1e-13, 10.0 + 1e-13).tokens(GRID, SIZE)
    np.testing.assert_array_equal(tokens, drawn("....", "..#.", "...."))


def test_box_pixels_and_clipping():
    np.testing.assert_array_equal(
        Box(1.5, 0, 3, 1).pixels((4, 2)), [[False, True, True, False], [False] * 4]
    )
    assert Box(-5, 2, 100, 9.5).box((40, 30)) == Box(0, 2, 40, 9.5)
    assert Box(5, 5, 25, 15).pixels(SIZE).sum() == 200


# --- points ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        (Point(25, 15), drawn(".###", ".###", ".###")),
        (Point(25, 15, window=1), drawn("....", "..#.", "....")),
        (Point(0, 0), drawn("##..", "##..", "....")),
        (Point(39.9, 29.9), drawn("....", "..##", "..##")),
        (Point(39, 0), drawn("..##", "..##", "....")),
        (Point(0, 15), drawn("##..", "##..", "##..")),
        (
            Point(10, 10, window=1),
            drawn("....", ".#..", "...."),
        ),  # an edge belongs to the patch that starts there
        (Point(9.999, 10, window=1), drawn("....", "#...", "....")),
        (Point(0, 0, window=99), drawn("####", "####", "####")),
    ],
)
def test_point_tokens_by_hand(point, expected):
    np.testing.assert_array_equal(point.tokens(GRID, SIZE), expected)
    np.testing.assert_array_equal(
        point.tokens(GRID, SIZE, coverage=1.0), expected
    )  # patches are whole


def test_point_window_in_pixels():
    assert Point(25, 15).box(SIZE, GRID) == Box(10, 0, 40, 30)
    assert Point(0, 0).box(SIZE, GRID) == Box(0, 0, 20, 20)
    assert Point(0, 0).pixels(SIZE, GRID).sum() == 400
    with pytest.raises(InputError, match="grid"):
        Point(0, 0).box(SIZE)


@given(width=st.integers(1, 3000), columns=st.integers(1, 40))
def test_the_last_float_before_the_edge_is_on_the_last_patch(width, columns):
    point = Point(math.nextafter(width, 0), 0, window=1)
    np.testing.assert_array_equal(
        np.flatnonzero(point.tokens((1, columns), (width, 1))), [columns - 1]
    )


def test_window_may_be_a_whole_float():
    np.testing.assert_array_equal(
        Point(25, 15, window=3.0).tokens(GRID, SIZE), Point(25, 15).tokens(GRID, SIZE)
    )


# --- masks -----------------------------------------------------------------------------------------


def test_mask_tokens_by_hand():
    mask = mask_of(40, 30, (5, 5, 15, 15), (39, 29, 40, 30))
    np.testing.assert_array_equal(mask.tokens(GRID, SIZE), drawn("##..", "##..", "...#"))
    np.testing.assert_array_equal(mask.tokens(GRID, SIZE, 0.25), drawn("##..", "##..", "...."))
    # 101 pixels, centroid (100 * 10 + 39.5) / 101 = 10.29 across, (100 * 10 + 29.5) / 101 = 10.19 down
    np.testing.assert_array_equal(mask.tokens(GRID, SIZE, 1.0), drawn("....", ".#..", "...."))
    assert mask.box(SIZE) == Box(5, 5, 40, 30)


def test_masks_of_0_and_255_and_floats():
    array = np.zeros((30, 40), np.uint8)
    array[3, 4] = 255
    for kind in (np.uint8, np.int32, np.float32, bool):
        mask = Mask(array.astype(kind))
        assert mask.pixels(SIZE).dtype == bool and mask.pixels(SIZE).sum() == 1
        np.testing.assert_array_equal(mask.tokens(GRID, SIZE), drawn("#...", "....", "...."))


def test_mask_keeps_its_own_copy():
    array = np.ones((2, 2), bool)
    mask = Mask(array)
    array[:] = False
    assert mask.pixels((2, 2)).all()
    with pytest.raises(ValueError):
        mask.array[0, 0] = False


def supersampled(pixels, grid):
    """Coverage by brute force: every pixel split so finely that patch edges fall between the parts."""
    (height, width), (rows, columns) = pixels.shape, grid
    fine = pixels.repeat(rows, 0).repeat(columns, 1)  # height * rows by width * columns parts
    return fine.reshape(rows, height, columns, width).mean((1, 3))


sizes = st.tuples(st.integers(1, 13), st.integers(1, 13))
grids = st.tuples(st.integers(1, 6), st.integers(1, 6))


@st.composite
def masks(draw):
    """A non-empty mask with its grid; patches are mostly no whole number of pixels."""
    (width, height), grid = draw(sizes), draw(grids)
    bits = draw(st.lists(st.booleans(), min_size=width * height, max_size=width * height))
    array = np.array(bits).reshape(height, width)
    array[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
    return array, grid


@given(masks(), st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.75, 1.0]))
@settings(deadline=None)
def test_mask_coverage_against_supersampling(case, coverage):
    array, grid = case
    size = array.shape[::-1]
    share = supersampled(array, grid)
    expected = share > 0 if coverage == 0 else share >= coverage - 1e-9
    if not expected.any():
        ys, xs = np.nonzero(array)
        row = min(int((ys.mean() + 0.5) * grid[0] / size[1]), grid[0] - 1)
        column = min(int((xs.mean() + 0.5) * grid[1] / size[0]), grid[1] - 1)
        expected[row, column] = True
    np.testing.assert_array_equal(Mask(array).tokens(grid, size, coverage), expected.ravel())


@given(masks(), st.floats(0, 1), st.floats(0, 1))
@example((np.array([[True], [False]]), (2, 1)), 0.0, 1e-229)
@settings(deadline=None)
def test_more_coverage_never_adds_tokens(case, a, b):
    array, grid = case
    low, high = sorted((a, b))
    many, few = (Mask(array).tokens(grid, array.shape[::-1], c) for c in (low, high))
    assert many.any() and few.any()
    share = supersampled(array, grid).ravel()
    if (share >= high + 1e-6).any():  # no fall-back took part
        assert not (few & ~many).any()


@given(sizes, grids, st.data())
@settings(deadline=None)
def test_a_whole_box_is_the_same_as_its_mask(size, grid, data):
    width, height = size
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    coverage = data.draw(st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]))
    box, mask = Box(x0, y0, x1, y1), mask_of(width, height, (x0, y0, x1, y1))
    np.testing.assert_array_equal(
        box.tokens(grid, size, coverage), mask.tokens(grid, size, coverage)
    )
    np.testing.assert_array_equal(box.pixels(size), mask.pixels(size))
    assert mask.box(size) == box


# --- what can't be used ----------------------------------------------------------------------------

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: Box(300, 10, 280, 60), ["300", "280", "x1 must be greater than x0"]),
        (lambda: Box(10, 60, 20, 60), ["60", "y1 must be greater than y0"]),
        (lambda: Box(NAN, 0, 1, 1), ["nan", "finite"]),
        (lambda: Box(0, 0, INF, 1), ["inf", "finite"]),
        (lambda: Box(0, -INF, 1, 1), ["-inf", "finite"]),
        (lambda: Box("a", 1, 2, 3), ["'a'", "finite"]),
        (lambda: Box(0, 0, 10**400, 3), ["1e400", "finite"]),
        (lambda: Point(-(10**400), 3), ["-1e400", "finite"]),
        (lambda: Box(None, 1, 2, 3), ["None", "finite"]),
        (lambda: Box(1, 1, [5], 3), ["[5]", "finite"]),
        (lambda: Box(50, 0, 60, 10).tokens(GRID, SIZE), ["50", "40 x 30"]),
        (lambda: Box(-9, -9, 0, 0).tokens(GRID, SIZE), ["-9", "40 x 30"]),
        (lambda: Box(0, 30, 5, 31).pixels(SIZE), ["30", "40 x 30"]),
        (lambda: Box(0, 40, 5, 41).box(SIZE), ["40", "outside"]),
        (lambda: Box(0, 0, 5, 5).tokens(GRID, SIZE, coverage=1.5), ["1.5", "between 0"]),
        (lambda: Box(0, 0, 5, 5).tokens(GRID, SIZE, coverage=NAN), ["nan"]),
        (lambda: Box(0, 0, 5, 5).tokens((0, 4), SIZE), ["(0, 4)"]),
        (lambda: Box(0, 0, 5, 5).tokens(GRID, (0, 30)), ["(0, 30)"]),
        (lambda: Point(NAN, 0), ["nan", "finite"]),
        (lambda: Point(0, INF), ["inf", "finite"]),
        (lambda: Point("x", 1), ["'x'", "finite"]),
        (lambda: Point(1, None), ["None", "finite"]),
        (lambda: Point(5, 5, window="3"), ["'3'", "odd"]),
        (lambda: Point(5, 5, window=4), ["4", "odd"]),
        (lambda: Point(5, 5, window=0), ["0", "odd"]),
        (lambda: Point(5, 5, window=-3), ["-3", "odd"]),
        (lambda: Point(5, 5, window=2.5), ["2.5", "odd"]),
        (lambda: Point(5, 5, window=NAN), ["nan", "odd"]),
        (lambda: Point(40, 5).tokens(GRID, SIZE), ["40", "40 x 30"]),
        (lambda: Point(5, -1).tokens(GRID, SIZE), ["-1", "outside"]),
        (lambda: Mask(np.zeros((30, 40))), ["40 x 30", "empty"]),
        (lambda: Mask(np.zeros((0, 0))), ["0 x 0", "empty"]),
        (lambda: Mask(np.ones((30, 40, 3))), ["(30, 40, 3)", "one channel"]),
        (lambda: Mask(np.ones(5)), ["(5,)", "one channel"]),
        (lambda: Mask(np.full((3, 4), NAN)), ["finite"]),
        (lambda: Mask(np.full((3, 4), INF)), ["finite"]),
        (lambda: Mask([["a"]]), ["Mask", "zeros and ones"]),
        (lambda: Mask([[None, 1]]), ["Mask", "object"]),
        (lambda: Mask([[1], [1, 2]]), ["Mask", "different lengths"]),
        (lambda: Mask(None), ["()", "one channel"]),
        (lambda: Mask(np.ones((40, 30))).tokens(GRID, SIZE), ["30 x 40", "40 x 30"]),
        (lambda: Mask(np.ones((30, 41))).pixels(SIZE), ["41 x 30", "40 x 30"]),
    ],
)
def test_bad_prompts_are_named_in_one_sentence(make, names):
    with pytest.raises(InputError) as error:
        make()
    text = says(error)
    for name in names:
        assert name in text


# --- crops -----------------------------------------------------------------------------------------

PICTURE = Image.fromarray(np.arange(30 * 40 * 3, dtype=np.uint16).reshape(30, 40, 3).astype(np.uint8))


@pytest.mark.parametrize(
    ("prompt", "grid", "x", "y"),
    [(Box(2, 1, 5, 3), None, (2, 5), (1, 3)), (Box(2.5, 0.9, 4.1, 1.0), None, (2, 5), (0, 1)),
     (Box(-9, 3, 3, 99), None, (0, 3), (3, 30)), (Box(39.9, 29.9, 40, 30), None, (39, 40), (29, 30)),
     (Point(15, 15), (3, 4), (0, 30), (0, 30)), (mask_of(40, 30, (7, 8, 9, 9)), None, (7, 9), (8, 9))],
)  # fmt: skip
def test_crops_by_hand(prompt, grid, x, y):
    part, corner = crop(PICTURE, prompt, grid)
    np.testing.assert_array_equal(part, np.asarray(PICTURE)[slice(*y), slice(*x)])
    assert corner == (x[0], y[0]) and all(type(c) is int for c in corner)


@given(st.tuples(st.floats(-5, 45), st.floats(-5, 35)), st.tuples(st.floats(1e-9, 60), st.floats(1e-9, 60)))
def test_a_crop_is_every_pixel_that_the_box_touches(low, length):
    high = [a + b for a, b in zip(low, length)]
    if not all(a < b for a, b in zip(low, high)) or low[0] >= 40 or low[1] >= 30 or min(high) <= 0:
        return
    box = Box(*low, *high)
    part, (x0, y0) = crop(PICTURE, box)
    want = np.zeros((30, 40), bool)
    want[y0 : y0 + part.height, x0 : x0 + part.width] = True
    np.testing.assert_array_equal(box.pixels(PICTURE.size), want)
    assert min(part.size) >= 1


def test_a_crop_off_the_picture_is_refused():
    with pytest.raises(InputError, match="outside the 40 x 30 picture"):
        crop(PICTURE, Box(40, 0, 41, 3))
    with pytest.raises(InputError, match="grid"):
        crop(PICTURE, Point(5, 5))


# --- masks that aren't zeros and ones ---------------------------------------------------------------------


@pytest.mark.parametrize("quality", [20, 75, 95])
def test_a_mask_saved_as_a_jpeg_is_the_mask(quality):
    painted = Image.new("L", (80, 60))
    ImageDraw.Draw(painted).ellipse((11, 7, 54, 43), fill=255)
    file = io.BytesIO()
    painted.save(file, "JPEG", quality=quality)
    pixels = np.asarray(Image.open(file))
    assert len(np.unique(pixels)) > 2
    assert (Mask(pixels).array != (np.asarray(painted) > 0)).mean() < 0.01, "0.2 if everything above 0 counted"


@pytest.mark.parametrize(
    ("values", "inside"),
    [
        ([0.97, 0.003, 0.5, 0.4], [1, 0, 1, 0]),  # probabilities
        ([254.7, 0.2, 127.1, 127.6], [1, 0, 0, 1]),  # greys that were resized
        (np.array([0, 255, 0, 255], np.uint8), [0, 1, 0, 1]),
        (np.array([0, 38, 38, 0], np.uint8), [0, 1, 1, 0]),  # one colour of a palette
        (np.array([3, 250, 3, 250], np.uint8), [0, 1, 0, 1]),
        (np.array([0, 65535, 0, 0], np.uint16), [0, 1, 0, 0]),
        ([0, 1, 0, 1], [0, 1, 0, 1]),
        ([0.0, 1.0, 1.0, 0.0], [0, 1, 1, 0]),
        ([False, True, False, False], [0, 1, 0, 0]),
    ],
)
def test_values_of_a_mask_count_from_half_of_their_range(values, inside):
    np.testing.assert_array_equal(Mask(np.array([values])).array, np.array([inside], bool))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0, 1, 2], "holds the labels 0, 1, 2: choose which are meant, e.g. mask == 2"),
        ([0, 15, 255], "holds the labels 0, 15, 255"),
        ([1.0, 2.0, 7.0], "holds the labels 1, 2, 7"),
        (list(range(100)), "holds the labels 0, 1, 2, 3, ..."),
        ([-1, 0, 1], "values from -1 to 1: give zeros and ones, or probabilities"),
        ([0.3, 0.3, 0.2], "is empty"),
    ],
)
def test_masks_that_may_mean_several_things_are_refused(values, words):
    with pytest.raises(InputError, match=re.escape(words)):
        Mask(np.array([values]))


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 127, 128, 255]))
def test_two_levels_are_a_mask_in_any_type(width, height, seed, top):
    inside = np.random.default_rng(seed).random((height, width)) < 0.5
    inside[0, 0] = True
    for kind in (np.uint8, np.int16, np.float32, np.int64):
        np.testing.assert_array_equal(Mask((inside * np.uint8(top)).astype(kind)).array, inside)


@pytest.mark.parametrize(("shape", "grid"), [((7, 5), (3, 4)), ((3, 2), (7, 5)), ((12, 8), (3, 4)), ((1, 1), (3, 2)), ((9, 11), (1, 1))])
def test_shares_of_patches_are_means_of_pixels_cut_into_small_squares(shape, grid):
    """Every pixel becomes rows x columns squares, of which each patch holds a whole number."""
    pixels = np.random.default_rng(sum(shape)).random(shape) > 0.5
    squares = np.kron(pixels, np.ones(grid)).reshape(grid[0], shape[0], grid[1], shape[1])
    np.testing.assert_allclose(patch_shares(pixels, grid), squares.mean((1, 3)), atol=1e-12)
