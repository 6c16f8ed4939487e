"""Masks of guests: read pair by pair, scored like ours, beside their ranks or after our list; every fault of such a file in a sentence."""

import json

import numpy as np
import pytest
from pycocotools import mask as rle

from foir_lib.bench import limits, rows
from foir_lib.bench.runs import stamp
from foir_lib.data.pixels import true_masks
from foir_lib.data.readers.pixels import answers
from foir_lib.detections import Localisation
from foir_lib.errors import FoirError, InputError, MissingError
from foir_lib.prompts import Box
from foir_lib.retrievers import guests

METRICS = ("mIoU S medium", "mIoU D medium")


def write(path, entries):
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return str(path)


def truth(town):
    """The true masks as a guest writes them: best score on the true pictures of both queries."""
    ids, named = town.set.database["image_id"], town.set.queries["image_id"]
    return [
        {"query": str(named.iloc[q]) if q else q, "image_id": str(ids.iloc[row]) if row % 2 else int(ids.iloc[row]), "segmentation": true[row], "score": 0.5 + row / 100}
        for q, true in enumerate(true_masks(town.set, "medium")) for row in true
    ]  # fmt: skip


def halves(town):
    """The same with the left half of each mask, and no box."""
    entries = []
    for entry in truth(town):
        pixels = rle.decode(entry["segmentation"])
        ends = np.flatnonzero(pixels.any(0))
        pixels[:, (ends[0] + ends[-1] + 1) // 2 :] = 0
        entries.append(entry | {"segmentation": Localisation.of(pixels.astype(bool), 1.0).mask})
    return entries


def test_masks_beside_ranks_and_alone_are_scored_like_ours(town, tmp_path):
    ranking = town.ranking("GeM")
    np.save(tmp_path / "r.npy", ranking.ids)
    right, half = write(tmp_path / "right.json", truth(town)), write(tmp_path / "half.json", halves(town))
    guest = f"RIGHT={tmp_path}/r.npy > {right}, HALF={half}"
    options = {"dataset": "few-landmarks", "model": "few-cnn", "cache": str(town.corpus.cache), "workers": 1, "progress": False}
    table = rows.run("px-2.2", methods=f"GeM, GeM > Guest(path={right!r})", guest=guest, **options)
    cells = table.pivot(index="method", columns="metric", values="ours")
    assert set(table["model"][table["method"].isin(["RIGHT", "HALF"])]) == {"guest"}
    pixels = town.pixel_score("GeM", guests.GuestMasks(half))["medium"].metrics
    for name in ("mAP@50:5:95 S medium", "mAP@50:5:95 D medium"):
        assert cells.loc["RIGHT", name] == cells.loc[f"GeM > Guest(path={right!r})", name] == pytest.approx(cells.loc["GeM", "mAP medium"])
        assert cells.loc["HALF", name] == pytest.approx(100 * pixels[name]) and cells.loc["HALF", name] < cells.loc["RIGHT", name]
    exact = rows.run("px-2.1", methods="GeM", guest=guest, **options).pivot(index="method", columns="metric", values="ours")
    assert [exact.loc["RIGHT", name] for name in METRICS] == [100, 100]
    shares = [rle.area(a["segmentation"]) / rle.area(b["segmentation"]) for a, b in zip(halves(town), truth(town), strict=True)]
    per_query = [[share for share, entry in zip(shares, truth(town), strict=True) if (entry["query"] == 0) == (q == 0)] for q in range(2)]
    assert exact.loc["HALF", "mIoU S medium"] == pytest.approx(100 * np.mean([np.mean(some) for some in per_query]))


def test_what_an_entry_says(town, tmp_path):
    ids = [str(i) for i in town.set.database["image_id"]]
    width, height = town.set.database[["width", "height"]].iloc[0]
    runs = {"size": [int(height), int(width)], "counts": [0, int(height) * 2, int(height) * (int(width) - 2)]}  # its first two columns
    none = {"size": [int(height), int(width)], "counts": [int(height) * int(width)]}
    path = write(tmp_path / "a.json", [
        {"query": 1, "image_id": ids[0], "segmentation": runs, "score": 2},
        {"query": 1, "image_id": f"C:\\db\\{ids[3]}", "bbox": [-3, 4, 10.5, 1e9], "score": -1.5},
        {"query": 0, "image_id": ids[0], "segmentation": [[0, 0, 6, 0, 6, 4, 0, 4]], "bbox": [1, 1, 2, 2], "score": 0},
        {"query": 0, "image_id": ids[1], "segmentation": None, "score": 0.25},
        {"query": 0, "image_id": ids[2], "segmentation": none, "score": 0.5},
    ])  # fmt: skip
    first, second = answers.read(path, town.set)
    assert (second[0].box.tolist(), second[0].score, int(second[0].pixels().sum())) == ([0, 0, 2, height], 2, 2 * height)
    assert second[3].mask is None and second[3].box.tolist() == [0, 4, 7.5, town.set.database["height"].iloc[3]] and second[3].score == -1.5
    assert first[0].pixels().sum() == 24 and first[0].box.tolist() == [1, 1, 3, 3]
    assert not first[1] and first[1].score == 0.25 and not first[2] and first[2].mask is None and list(first) == [0, 1, 2]
    (told, _) = town.localise(guests.GuestMasks(path), [[0, 5], []])
    assert told[0].mask == first[0].mask and not told[5]


def test_a_file_that_changed_is_asked_again(town, tmp_path):
    path, entries = tmp_path / "a.json", truth(town)[:1]
    for score in (0.25, 0.75):
        write(path, [entries[0] | {"score": score}])
        (answer,) = [one for one in town.localise(guests.GuestMasks(str(path)), [np.arange(14)] * 2)[0].values() if one]
        assert answer.score == score


def test_masks_know_the_sets_queries_alone(town, tmp_path):
    guest = guests.GuestMasks(write(tmp_path / "a.json", truth(town)))
    live = town.corpus.live(town.set.open(town.set.queries["image_id"].iloc[0]), [Box(0, 0, 20, 20)])
    for part in (live, town.corpus.queries(whole=True)):
        with pytest.raises(InputError, match=r"a\.json knows the queries of .* by their prompts, and no others"):
            guest.locate(town.corpus, part, 0, np.arange(2))


ENTRY = '{"query": 0, "image_id": "{d}", "score": 1'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        (b"\xff\xfe\x00", "is no UTF-8 text"),
        ('[{"query": 0', "is broken JSON at line 1"),
        ("[" * 100_000, "nested too deeply"),
        ("{}", "holds no list: give"),
        ("7", "holds no list"),
        ("[3]", r"\[0\] lacks the key 'query'"),
        ('[{"query": 0, "image_id": "{d}"}]', r"\[0\] lacks the key 'score'"),
        ('[{"query": true, "image_id": "{d}", "score": 1}]', "'query' = 'True', which is no int or str"),
        ('[{"query": 0, "image_id": null, "score": 1}]', "'image_id' = 'None'"),
        ('[{"query": 0, "image_id": "{d}", "score": "1"}]', "'score' = '1', which is no int or float"),
        ('[{"query": 0, "image_id": "{d}", "score": NaN}]', r"\[0\] has the score nan"),
        (f'[{{"query": 0, "image_id": "{{d}}", "score": 1{"0" * 400}}}]', "give a finite number"),
        ('[{"query": 2, "image_id": "{d}", "score": 1}]', "names query 2, which mini-landmarks"),
        ('[{"query": -1, "image_id": "{d}", "score": 1}]', "names query -1"),
        ('[{"query": "nobody", "image_id": "{d}", "score": 1}]', "names query 'nobody'"),
        ('[{"query": 0, "image_id": "nothing", "score": 1}]', "names picture 'nothing'"),
        ('[{"query": 0, "image_id": "\\ud800<b>", "score": 1}]', "names picture"),
        (f"[{ENTRY}}}, {ENTRY}}}]", r"\[1\] names picture .* a second time for query 0"),
        (f'[{ENTRY}, "segmentation": {{"size": [4, 4], "counts": [16]}}}}]', "a mask of 4 x 4 pixels on a picture of"),
        (f'[{ENTRY}, "segmentation": {{"counts": "04"}}}}]', r"\[0\] has a broken segmentation"),
        (f'[{ENTRY}, "segmentation": {{"size": [{{h}}, {{w}}], "counts": "junk!"}}}}]', r"\[0\] has a broken segmentation"),
        (f'[{ENTRY}, "segmentation": 5}}]', r"\[0\] has a broken segmentation"),
        (f'[{ENTRY}, "segmentation": [[1, 2, 3]]}}]', r"\[0\] has a broken segmentation"),
        (f'[{ENTRY}, "bbox": [1, 2, 3]}}]', "give x, y, width, height"),
        (f'[{ENTRY}, "bbox": [1, 2, 3, "4"]}}]', "give x, y, width, height"),
        (f'[{ENTRY}, "bbox": [1, 2, NaN, 4]}}]', "give x, y, width, height"),
        (f'[{ENTRY}, "bbox": [1, 2, 0, 4]}}]', "of which nothing is on its picture"),
        (f'[{ENTRY}, "bbox": [99999, 2, 5, 4]}}]', "of which nothing is on its picture"),
    ],
)  # fmt: skip
def test_bad_files_are_told_in_one_sentence(town, tmp_path, content, words):
    path = tmp_path / "a.json"
    if isinstance(content, str):
        width, height, image_id = town.set.database[["width", "height", "image_id"]].iloc[0]
        content = content.replace("{d}", str(image_id)).replace("{w}", str(width)).replace("{h}", str(height)).encode()
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        answers.read(path, town.set)
    assert "\n" not in str(caught.value) and "a.json" in str(caught.value) and str(caught.value).isprintable()


def test_damaged_files_are_read_or_refused(town, tmp_path):
    boxes = [{key: entry[key] for key in ("query", "image_id", "score")} | {"bbox": [10.5, 20, 30, 4]} for entry in truth(town)[2:]]
    whole = json.dumps(truth(town)[:2] + boxes).encode()
    rng, path, read = np.random.default_rng(0), tmp_path / "a.json", 0
    for _ in range(150):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), 1):
            damaged[at] = rng.choice(list(b'0123456789abcXYZ"]},\xff'))
        path.write_bytes(bytes(damaged[: rng.integers(1, len(whole) + 1)] if rng.random() < 0.2 else damaged))
        try:
            for of_query in answers.read(path, town.set):
                for row, one in of_query.items():
                    assert one.mask is None or rle.decode(one.mask).shape == tuple(town.set.database[["height", "width"]].iloc[row])
            read += 1
        except FoirError as error:
            assert "a.json" in str(error)
    assert 0 < read < 150


def test_files_by_their_names(tmp_path):
    ranks, shows = tmp_path / "r.npy", tmp_path / "m.json"
    ranks.write_bytes(b""), shows.write_text("[]")
    for text, want in ((f"{ranks} > {shows}", (str(ranks), str(shows))), (f"{ranks}", (str(ranks), "")), (f"{shows}", ("", str(shows)))):
        assert guests.parted(text) == want
    for text, error, words in (
        (f"{ranks} > {ranks}", InputError, "is no file of masks"), (f"{ranks} > {tmp_path}/no.json", MissingError, "no file of a guest's masks"),
        (f"> {tmp_path}/no.json", MissingError, "masks at"), (f"{shows} > {shows}", InputError, "is no file of a guest: give rankings"),
        (">", MissingError, "no file"), (f"{tmp_path}/no.npy > {shows}", MissingError, "no file of a guest"),
    ):  # fmt: skip
        with pytest.raises(error, match=words):
            guests.parted(text)
    values = {"table": "ca-1", "guest": f"A={ranks} > {shows}"}
    with pytest.raises(InputError, match="Nothing is localised in ca-1, so the masks of guest 'A' have no place there"):
        limits.check(values)
    limits.check(values | {"table": "px-2.2", "dataset": "mini-landmarks"})
    for text in (f"A={ranks} > {shows}", f"GeM > Guest(path='{shows}')"):
        assert str(shows) in [path for path, _ in stamp._touched(text)], "other masks are another run"
