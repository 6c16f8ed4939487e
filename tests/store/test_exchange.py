"""Embeddings in the layouts of others: what is written is read again to the bit, and each fault is one sentence."""

import pickle

import faiss
import numpy as np
import pytest

from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.store.arrays import Arrays
from foir_lib.store.exchange import hdf5, index_file, laion

X = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
PATHS = [f"a/{i} ü.jpg" for i in range(10)]


@pytest.fixture
def parquet():
    return pytest.importorskip("pyarrow.parquet", reason="the extra scale isn't installed")


@pytest.fixture
def folder(tmp_path, parquet):
    """Embeddings of ten pictures in files of four rows."""
    assert laion.write(tmp_path, Arrays({"descriptor": X}), "descriptor", PATHS, "net 1", shard=4, half=False, progress=False) == 3
    return tmp_path


def test_what_is_written_is_read_again(folder, parquet):
    read = laion.read(folder)
    assert len(read) == 10 and read.paths.tolist() == PATHS and read.key == "net 1" and read.layout == {"descriptor": ("float32", (4,))}
    for rows in (None, slice(3, 9), [9, 0, 4, 4], [], np.arange(10) % 2 == 0):
        np.testing.assert_array_equal(read.read("descriptor", rows), X[slice(None) if rows is None else rows if len(np.shape(rows)) == 0 else np.asarray(rows, bool if len(rows) == 10 else int)])
    assert np.load(folder / "img_emb" / "img_emb_0001.npy").tolist() == X[4:8].tolist()  # as others read it
    assert parquet.read_table(folder / "metadata" / "metadata_0002.parquet").to_pydict() == {"image_path": PATHS[8:]}


def test_half_precision_is_the_default(tmp_path, parquet):
    laion.write(tmp_path, Arrays({"descriptor": X}), "descriptor", PATHS, "k", progress=False)
    np.testing.assert_array_equal(laion.read(tmp_path).read("descriptor"), X.astype(np.float16))


def test_a_run_that_was_stopped_goes_on_and_a_shorter_one_leaves_nothing_of_a_longer(folder):
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*_000?.*")}
    (folder / "metadata" / "metadata_0001.parquet").unlink()
    damaged = folder / "img_emb" / "img_emb_0002.npy"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    laion.write(folder, Arrays({"descriptor": X}), "descriptor", PATHS, "net 1", shard=4, half=False, progress=False)
    again = {path.name for path, time in times.items() if path.stat().st_mtime_ns != time}
    assert again == {f"{kind}_000{n}.{end}" for n in (1, 2) for kind, end in (("img_emb", "npy"), ("metadata", "parquet"))}
    assert laion.write(folder, Arrays({"descriptor": X[:4]}), "descriptor", PATHS[:4], "net 1", shard=4, half=False, progress=False) == 1
    assert len(laion.read(folder)) == 4


def without_paths(folder, parquet):
    import pyarrow

    parquet.write_table(pyarrow.table({"url": PATHS[:4]}), folder / "metadata" / "metadata_0000.parquet")


def fewer_paths(folder, parquet):
    import pyarrow

    parquet.write_table(pyarrow.table({"image_path": PATHS[:3]}), folder / "metadata" / "metadata_0000.parquet")


def of_another_run(folder, parquet):
    laion.write(folder / "o", Arrays({"descriptor": X}), "descriptor", PATHS, "net 2", shard=4, half=False, progress=False)
    for name in ("img_emb/img_emb_0001.npy", "metadata/metadata_0001.parquet"):
        (folder / "o" / name).replace(folder / name)


def vectors_of_another_run(folder, parquet):
    np.save(folder / "img_emb" / "img_emb_0001.npy", X[4:8] + 1)


def half(folder, parquet):
    np.save(folder / "img_emb" / "img_emb_0002.npy", X[8:].astype(np.float16))


def cut(name):
    def act(folder, parquet):
        (folder / name).write_bytes((folder / name).read_bytes()[:-5])

    return act


def pickled(folder, parquet):
    with (folder / "img_emb" / "img_emb_0000.npy").open("wb") as file:
        np.save(file, np.array([print], object), allow_pickle=True)


def unpicklable(folder, parquet):
    (folder / "img_emb" / "img_emb_0000.npy").write_bytes(pickle.dumps(X))


@pytest.mark.parametrize(("damage", "error", "words"), [
    (without_paths, IntegrityError, "has no column image_path, it has url: without paths nobody knows"),
    (fewer_paths, IntegrityError, "img_emb_0000.npy has 4 rows, metadata_0000.parquet has 3: they must align"),
    (of_another_run, IntegrityError, "img_emb_0001.npy is of another run than the files before it"),
    (half, IntegrityError, "img_emb_0002.npy is of another run than the files before it"),
    (vectors_of_another_run, IntegrityError, "img_emb_0001.npy isn't what metadata_0001.parquet was written for"),
    (cut("img_emb/img_emb_0001.npy"), IntegrityError, r"img_emb_0001.npy can't be read as vectors \(.*\): write or fetch both files again"),
    (cut("metadata/metadata_0001.parquet"), IntegrityError, r"metadata_0001.parquet can't be read as a table \(.*\): write or fetch"),
    (pickled, IntegrityError, "can't be read as vectors"),
    (unpicklable, IntegrityError, "can't be read as vectors"),
    (lambda folder, _: (folder / "metadata" / "metadata_0002.parquet").unlink(), MissingError, "There is no metadata_0002.parquet"),
    (lambda folder, _: (folder / "img_emb" / "img_emb_0002.npy").unlink(), MissingError, "There is no img_emb_0002.npy in .*, which metadata_0002.parquet is of"),
    (lambda folder, _: [p.unlink() for p in folder.rglob("*0001.*")], IntegrityError, "img_emb_0002.npy is of another run than the files before it, or one is missing"),
    (lambda folder, _: [p.unlink() for p in folder.rglob("*_000*")], MissingError, "There are no embeddings in"),
])  # fmt: skip
def test_a_fault_is_one_sentence(folder, parquet, damage, error, words):
    damage(folder, parquet)
    with pytest.raises(error, match=words):
        laion.read(folder)


def test_embeddings_of_others_have_no_note(tmp_path, parquet):
    import pyarrow

    (tmp_path / "img_emb").mkdir(), (tmp_path / "metadata").mkdir()
    for number, rows in enumerate((slice(0, 6), slice(6, 10))):
        np.save(tmp_path / "img_emb" / f"img_emb_{number}.npy", X[rows].astype(np.float16))
        parquet.write_table(pyarrow.table({"caption": PATHS[rows], "image_path": PATHS[rows]}), tmp_path / "metadata" / f"metadata_{number}.parquet")
    read = laion.read(tmp_path)
    np.testing.assert_array_equal(read.read("descriptor"), X.astype(np.float16))
    assert read.paths.tolist() == PATHS and read.key == ""


def test_what_does_not_fit_is_not_written(tmp_path, parquet):
    with pytest.raises(InputError, match="9 paths and array 'x' of 10 rows"):
        laion.write(tmp_path, Arrays({"x": X}), "x", PATHS[1:], "k")
    with pytest.raises(InputError, match="one vector and one path for each picture"):
        laion.write(tmp_path, Arrays({"x": X[:, None]}), "x", PATHS, "k")
    assert not list(tmp_path.iterdir())


# ---- HDF5


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py", reason="the extra scale isn't installed")


def stored(h5py, path, **arrays):
    with h5py.File(path, "w") as file:
        for name, x in arrays.items():
            file.create_dataset(name, data=x, **({"dtype": h5py.string_dtype("ascii")} if name == "index" else {"compression": "gzip"}))
    return path


def test_partitions_as_ilias_releases_them(tmp_path, h5py):
    names = [f"distractors/{i}.jpg" for i in range(10)]
    files = [stored(h5py, tmp_path / f"f_{n:05d}.hdf5", features=X[rows].astype(np.float16), index=names[rows]) for n, rows in enumerate((slice(0, 7), slice(7, 10)))]
    read = hdf5.read(files)
    assert len(read) == 10 and read.ids.tolist() == names and read.layout == {"features": ("float16", (4,))}
    for rows in (None, [9, 1, 8, 1, 0], slice(5, 9), []):
        np.testing.assert_array_equal(read.read("features", rows), X.astype(np.float16)[slice(None) if rows is None else np.asarray(rows, int) if isinstance(rows, list) else rows])


def test_local_features_as_ames_releases_them(tmp_path, h5py):
    x = np.random.default_rng(1).normal(size=(3, 5, 13)).astype(np.float32)
    (tmp_path / "test_gallery.txt").write_text("a.jpg,12,3\nb.jpg,1,1\nc.jpg,1,1\n")
    path = stored(h5py, tmp_path / "dinov2_gallery_local.hdf5", features=x)
    assert hdf5.read(path).ids is None
    read = hdf5.read(path, tmp_path / "test_gallery.txt")
    assert read.ids.tolist() == ["a.jpg", "b.jpg", "c.jpg"]
    np.testing.assert_array_equal(read.read("features", [2, 0]), x[[2, 0]])


@pytest.mark.parametrize(("damage", "error", "words"), [
    (lambda h, p: stored(h, p, feats=X), IntegrityError, "has no features, a row of numbers for each picture; it has feats"),
    (lambda h, p: stored(h, p, features=X, index=["a"]), IntegrityError, "has 10 rows of features and 1 names"),
    (lambda h, p: stored(h, p, features=X[:, :2]), IntegrityError, r"holds \('float32', \(2,\)\), one.hdf5 \('float32', \(4,\)\): partitions must be of one network"),
    (lambda h, p: p.write_bytes(stored(h, p, features=X).read_bytes()[:-40]), IntegrityError, r"can't be read as HDF5 \(.*\): fetch it again"),
    (lambda h, p: p.write_bytes(b"no"), IntegrityError, "can't be read as HDF5"),
    (lambda h, p: None, MissingError, "There is no HDF5 file"),
])  # fmt: skip
def test_a_fault_of_a_partition_is_one_sentence(tmp_path, h5py, damage, error, words):
    one = stored(h5py, tmp_path / "one.hdf5", features=X)
    damage(h5py, tmp_path / "two.hdf5")
    with pytest.raises(error, match=words):
        hdf5.read([one, tmp_path / "two.hdf5"])
    (tmp_path / "n.txt").write_text("a\nb\n")
    with pytest.raises(IntegrityError, match="n.txt names 2 pictures, the features are of 10"):
        hdf5.read(one, tmp_path / "n.txt")


# ---- faiss


def test_an_index_file_opens_in_faiss_and_is_read_again(tmp_path):
    index = index_file.build(iter([(0, X[:6]), (6, X[6:])]), 4)
    index_file.write(index, tmp_path / "x.faiss")
    scores, ids = faiss.read_index(str(tmp_path / "x.faiss")).search(X[:3], 10)
    np.testing.assert_array_equal(ids, np.argsort(-(X[:3] @ X.T), axis=1))
    assert index_file.read(tmp_path / "x.faiss", 4, 10).ntotal == 10
    for d, n in ((5, 10), (4, 9)):
        with pytest.raises(IntegrityError, match=f"holds 10 vectors of 4 dimensions, not {n} of {d}: build it again"):
            index_file.read(tmp_path / "x.faiss", d, n)
    (tmp_path / "x.faiss").write_bytes((tmp_path / "x.faiss").read_bytes()[:-8])
    with pytest.raises(IntegrityError, match="can't be read as an index"):
        index_file.read(tmp_path / "x.faiss", 4, 10)
    with pytest.raises(MissingError, match="There is no index file"):
        index_file.read(tmp_path / "y.faiss", 4, 10)
    with pytest.raises(InputError, match="faiss makes no index 'Flatt'"):
        index_file.build(iter([]), 4, "Flatt")
    with pytest.raises(InputError, match="Vectors from 3 on follow, 0 is next"):
        index_file.build(iter([(3, X)]), 4)
