"""A million descriptors: stored in shards, searched in pieces, never whole in memory; the planted neighbours come first."""

import subprocess
import sys

import pytest

CODE = """if True:
    import resource, sys
    import numpy as np
    from foir_lib.search.knn import knn
    from foir_lib.store import features
    n, root = int(sys.argv[1]), sys.argv[2]
    queries = np.random.default_rng(1).standard_normal((8, 512), dtype=np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    planted = np.arange(8) * (n // 8) + 5
    def describe(start, stop):
        rows = np.random.default_rng(start).standard_normal((stop - start, 512), dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        for query, row in enumerate(planted):
            if start <= row < stop:
                rows[row - start] = queries[query]
        return {"descriptor": rows}
    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1)
    before = peak()
    stored = features.build({"rows": n}, n, describe, root=root, shard=10_000, progress=False)
    scores, ids = knn(queries, stored.chunks("descriptor"), 10)
    assert (ids[:, 0] == planted).all() and abs(scores[:, 0] - 1).max() < 1e-5 and (scores[:, 1] < 0.9).all()
    assert (np.diff(scores) <= 0).all() and all(len(set(row)) == 10 for row in ids.tolist())
    print(peak() - before)"""


@pytest.mark.slow
@pytest.mark.parametrize("n", [150_000, pytest.param(1_000_000, marks=pytest.mark.claims)])
def test_rows_are_searched_without_being_in_memory(n, tmp_path, record_property):
    done = subprocess.run([sys.executable, "-c", CODE, str(n), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    grown = int(done.stdout)
    record_property("memory", f"{grown / 1e6:.0f} MB more for {n * 2048 / 1e6:.0f} MB of rows")
    assert grown < 130e6
