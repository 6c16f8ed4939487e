"""Guests: files of somebody else's rankings and descriptors, scored like ours; every fault of such a file in a sentence."""

import io

import numpy as np
import pytest

from foir_lib import registry
from foir_lib.bench import rows
from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.retrievers import guests


def test_a_guest_is_scored_like_ours(town, tmp_path):
    ranking = town.ranking("GeM")
    ids = town.set.database["image_id"].to_numpy()
    asking = town.set.queries["image_id"]
    lines = [",".join(map(str, [query, *ids[row]])) for query, row in zip(asking, ranking.ids, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(reversed(lines)) + "\n")
    np.save(tmp_path / "b.npy", ranking.ids)
    np.save(tmp_path / "c.npy", ranking.ids.T)
    corpus, gem = town.corpus, registry.parse("retriever", "GeM")
    queries, database = (corpus.described(gem, part).read("descriptor") for part in (corpus.queries(), corpus.database))
    np.savez(tmp_path / "d.npz", queries=7 * queries, database=database)
    guest = ", ".join(f"{n}={tmp_path}/{f}" for n, f in (("A", "a.csv"), ("B", "b.npy"), ("C", "c.npy"), ("D", "d.npz")))
    table = rows.run("ra-2b", "few-landmarks", "few-cnn", guest=guest, cache=str(corpus.cache), progress=False)
    table = table[table["model"] == "guest"].pivot(index="method", columns="metric", values="ours")
    assert set(table.index) == {"A", "B", "C", "D", "D+alphaQE", "D+DF"}
    want = town.score("GeM")["hard"].map * 100
    assert table.loc[["A", "B", "C", "D"], "mAP hard"].tolist() == pytest.approx([want] * 4)
    assert table.loc["D+DF", "mAP hard"] == pytest.approx(100 * town.score("GeM", rerank="DF")["hard"].map)
    np.save(tmp_path / "short.npy", ranking.ids[:, :4])
    assert [len(row) for row in guests.read(tmp_path / "short.npy", town.set)[1]] == [4] * 2
    short = town.ranking(guests.Guest(str(tmp_path / "short.npy")))
    assert (short.ids[:, :4] == ranking.ids[:, :4]).all() and (short.ids[:, 4:] == -1).all(), "what isn't named isn't retrieved"


def test_a_file_that_changed_is_read_again(town, tmp_path):
    path = tmp_path / "ranks.npy"
    for ids in (town.ranking("GeM").ids, town.ranking("MAC").ids):
        np.save(path, ids)
        np.testing.assert_array_equal(town.ranking(guests.Guest(str(path))).ids, ids)


def zipped(kind):
    """The bytes of numbers saved as .npy or .npz."""
    file = io.BytesIO()
    (np.save if kind == "npy" else np.savez)(file, np.zeros((2, 3), int))
    return file.getvalue()


def write(path, content):
    if isinstance(content, str):
        path.write_text(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("a.npy", None, MissingError, "no file"),
        ("a.pkl", "x", InputError, "is no file of a guest"),
        ("a.npy", b"\x93NUMPY junk", IntegrityError, "can't be read"),
        ("a.npz", b"PK junk", IntegrityError, "can't be read"),
        ("a.npz", {"queries": np.eye(3)}, IntegrityError, "database"),
        ("a.npz", zipped("npy"), IntegrityError, "can't be read"),  # an .npy by another name, and the other way round
        ("a.npy", zipped("npz"), IntegrityError, "can't be read"),
        ("a.npz", {"queries": np.array([["a"]] * 2), "database": np.ones((14, 1))}, InputError, "queries, are <U1"),
        ("a.npy", np.array([[-7, 3], [0, 1]]), InputError, "row -7"),
        ("a.npy", np.zeros((4, 14), int), InputError, "2 queries"),
        ("a.npy", np.zeros((2, 14)), InputError, "whole numbers"),
        ("a.npy", np.full((2, 1), 14), InputError, "row 14"),
        ("a.npy", np.zeros((2, 3), int), InputError, "twice"),
        ("a.npz", {"queries": np.ones((2, 4)), "database": np.ones((9, 4))}, InputError, "database \\(14, d\\)"),
        ("a.npz", {"queries": np.ones((2, 4)), "database": np.zeros((14, 4))}, InputError, "zeros"),
        ("a.npz", {"queries": np.full((2, 4), np.nan), "database": np.ones((14, 4))}, InputError, "NaN"),
        ("a.txt", "nobody 1\n", InputError, "line 1 names query 'nobody'"),
        ("a.txt", "{q} nothing\n", InputError, "picture 'nothing'"),
        ("a.txt", "{q} {d}\n{q} {d}\n", InputError, "second time"),
        ("a.txt", "{q} {d} {d}\n", InputError, "twice"),
        ("a.txt", "{q} {d}\n", InputError, "no line for query"),
        ("a.csv", b"\xff\xfe\x00", IntegrityError, "is no text"),
    ],
)
def test_bad_files_are_told_in_one_sentence(town, tmp_path, name, content, error, words):
    if isinstance(content, str):
        content = content.format(
            q=town.set.queries["image_id"].iloc[0], d=town.set.database["image_id"].iloc[0]
        )
    write(tmp_path / name, content)
    with pytest.raises(error, match=words) as caught:
        guests.read(tmp_path / name, town.set)
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_names_of_pictures_in_a_guest(town, tmp_path):
    ranking = town.ranking("GeM")
    ids = [f"C:\\db\\{i}" for i in town.set.database["image_id"]]
    lines = [f"/queries/{query};" + "; ".join(ids[i] for i in row) for query, row in zip(town.set.queries["image_id"], ranking.ids, strict=True)]
    (tmp_path / "a.csv").write_text("\ufeff" + "\n".join(lines))
    np.testing.assert_array_equal(town.ranking(guests.Guest(str(tmp_path / "a.csv"))).ids, ranking.ids)


def test_names_of_guests():
    assert guests.named("HOW=a/b.npy, DELG = c.npz,") == {"HOW": "a/b.npy", "DELG": "c.npz"}
    for text in ("HOW", "=x", "HOW=", "HOW=a,HOW=b"):
        with pytest.raises(InputError, match="NAME=path"):
            guests.named(text)
