"""The bench measures what it says it measures, on sizes that take no time."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from foir_lib import load_model
from foir_lib.bench.speed import coattention, consistency, extraction, heads, objects, pixels, run
from foir_lib.models.vit import ViT
from foir_lib.retrievers.base import Retriever
from foir_lib.retrievers.corpus import Corpus

FEW = (("mini-vit", 30, ("CBIR", "PHS")), ("mini-vit", 30, ("PHS(query_db=True)",)))


def test_all_measures_at_once(tmp_path):
    out = tmp_path / "bench.json"
    report = run.main(out, "mini-vit", "cpu", repeats=1, n_states=100, n_dimensions=8, page=FEW)
    assert json.loads(out.read_text()) == report
    table = run.markdown(report)
    assert len(report["results"]) == 17 and len(table.splitlines()) == 2 + 2 + 17
    for line in report["results"]:
        assert line["ratio"] == pytest.approx(line["a_ms"] / line["b_ms"]) and line["a_ms"] > 0
        assert f"| {line['measure']} | {line['ratio']:.3f} |" in table
    assert [r["measure"] for r in report["results"]][:2] == list(run.EXTRACTION)
    assert [r["measure"] for r in report["results"]][-3:] == list(run.PIXELS)
    assert [r["measure"] for r in report["results"]][-5:-3] == [
        "CBIR + PHS for a new prompt / encoding the picture, mini-vit",
        "PHS(query_db=True) for a new prompt / encoding the picture, mini-vit",
    ]


def test_the_cost_of_a_graph_is_that_of_its_pairs(monkeypatch):
    pairs, real = [], consistency.spatial.verify
    monkeypatch.setattr(consistency.spatial, "verify", lambda a, b, **options: pairs.append((len(a.points), len(b.points), options)) or real(a, b, **options))
    row = consistency.verifying(1, n_features=40, side=120)
    assert len(pairs) == 2 * 50 and row["pairs"] == 50, "one warm-up and one repeat"
    assert {a for a, _, _ in pairs} == {40} and pairs[0][2] == {"threshold": 10.0, "iterations": 1000}
    assert f"minutes for 1,000 pictures: {row['a_ms'] / 60:.1f}" in row["what"]


def test_the_costs_of_small_objects_say_what_they_are(monkeypatch):
    model = load_model("mini-vit-small", device="cpu")
    monkeypatch.setattr(objects, "STEPS", 12)
    passes, climbs, forward = [], [], model.net.forward_features
    monkeypatch.setattr(model.net, "forward_features", lambda x: passes.append(x.requires_grad) or forward(x))
    real = objects.refinement.refine
    monkeypatch.setattr(objects.refinement, "refine", lambda *a, **more: climbs.append((len(a[1]), len(a[4]), more["stop"])) or real(*a, **more))
    row = objects.refining(model, 1, n=2)
    assert passes == [True] * 2 and climbs == [(2, 1, 0.0)] * 2, "one warm-up and one repeat of each: a pass counts for all steps"
    assert "12 steps" in row["what"] and row["ratio"] == pytest.approx(row["a_ms"] / row["b_ms"])
    row = objects.early_stop(model, 1, n=2)
    assert climbs[2:] == [(2, 2, objects.EARLY), (2, 2, 0.0)] * 2 and 11 <= row["steps"] <= 12
    row = objects.indexing(model, 1, most=3, side=256)
    assert 0 < row["ratio"] < 1 and all(part in row["what"] for part in ("detector", "crops", "refinement"))
    row = objects.index_size(model, 1, 90)
    assert row["bytes_per_image"] == 4 * 96 and "10 pictures" in row["what"] and "3456" in row["what"]


def test_outlines_are_timed_on_stored_patches(monkeypatch):
    model, passes, matched = load_model("mini-vit-small", device="cpu"), [], []
    real, locate = ViT.patches, pixels.Dense.locate
    monkeypatch.setattr(ViT, "patches", lambda self, x, block=None: passes.append(len(x)) or real(self, x, block))
    monkeypatch.setattr(pixels.Dense, "locate", lambda self, corpus, part, m, rows: matched.append((len(rows), len(passes))) or locate(self, corpus, part, m, rows))
    together, alone, one = pixels.matching(model, 1, n=3)
    # a first embedding of 3 and the query; then twice (warm-up, repeat) with matching, 3 + 1 query, and without, 3; then without twice
    assert sum(passes) == 3 + 1 + 2 * (3 + 1 + 3) + 2 * 3
    assert [n for n, _ in matched] == [1, 3, 3, 3, 3, 12, 12] and matched[-1][1] == matched[-2][1] == len(passes), "a list embeds nothing"
    assert alone["bytes_per_image"] == 2 * 96 * 28 * 28 and "150528 bytes" in alone["what"]  # 448 / 16 patches a side
    assert one["b_ms"] == 1000 and one["ratio"] == pytest.approx(one["a_ms"] / 1000) and together["a_ms"] > 0


def test_coattention_is_timed_on_a_memory_map(tmp_path):
    path = coattention.write(tmp_path / "c", 5000)
    assert path.stat().st_size == 5000 * 10 * 512 * 2
    pieces = list(coattention.mapped(path))
    assert [x.shape for x in pieces] == [(4096, 10, 512), (904, 10, 512)]
    assert all(isinstance(x, np.memmap) and x.dtype == np.float16 and not x.flags.writeable for x in pieces)
    np.testing.assert_allclose(np.linalg.norm(pieces[1][:9].astype(np.float32), axis=-1), 1, atol=1e-3)
    timed = []

    def compare(a, b, device, repeats, what):
        scores, products = torch.cat(a()), b()
        cosines = products.reshape(5000, 10)  # of unit clusters and a unit query
        weights = torch.softmax(10 * cosines, 1)
        x = torch.from_numpy(np.concatenate(pieces)).float()
        want = (weights * cosines).sum(1) / (weights[..., None] * x).sum(1).norm(dim=1)
        assert torch.allclose(scores, want, atol=1e-3)
        timed.append((device, repeats))
        return {"ratio": 2.0, "a_ms": 150.0, "b_ms": 75.0, "what": what}

    result = coattention.coattention_search(compare, "cpu", 7, 5000, tmp_path)
    assert result["bytes_per_image"] == 10_240 and result["ms_per_million"] == 30_000 and timed == [("cpu", 3)]
    for words in ("5000 pictures", "10240 bytes", "10.2 GB, 30000 ms", "21 GB, 530 ms"):
        assert words in result["what"]
    assert {p.name for p in tmp_path.iterdir()} == {"c"}, "nothing is left behind"


@pytest.mark.slow
def test_the_clusters_are_never_whole_in_memory():
    """Peak memory of a process (mapped pages count) grows by far less than the file that it streams, 307 MB."""
    code = """if True:
        import resource
        from foir_lib.bench.speed import coattention
        def once(a, b, *_):
            a(), b()
            return {"a_ms": 1.0}
        def peak(n):
            coattention.coattention_search(once, "cpu", 1, n)
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(peak(5000), peak(30000))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())  # kilobytes on Linux
    assert (after - before) * (1024 if sys.platform == "linux" else 1) < 100e6


def test_a_new_prompt_is_ranked_without_describing_the_picture_again(monkeypatch):
    """Every pair of lists has a box of its own, and all methods rank all stored states; only the other side runs the network."""
    searched, passes = [], []
    live, tokens, score = Corpus.live, ViT.tokens, Retriever.score

    def asking(self, picture, prompts=(None,)):
        searched.append((*prompts, len(passes)))
        return live(self, picture, prompts)

    def scored(self, corpus, query, database, k):
        results.append((str(self), len(query), len(database), k))
        return score(self, corpus, query, database, k)

    results = []
    monkeypatch.setattr(Corpus, "live", asking)
    monkeypatch.setattr(Retriever, "score", scored)
    monkeypatch.setattr(ViT, "tokens", lambda self, x, n: passes.append(len(x)) or tokens(self, x, n))
    heads.prompt_to_list("mini-vit", 30, ("CBIR", "PHS"), "cpu", repeats=3)
    assert results == [("CBIR", 1, 30, 30), ("PHS", 1, 30, 30)] * 4  # a warm-up, then three
    lists, others = [one for one in searched if one[0]], [one for one in searched if one[0] is None]
    assert len({prompt for prompt, _ in lists}) == len(lists) == len(others) == 4
    assert [n for _, n in lists] == [0, 2, 3, 4]  # the picture is described in the warm-up alone
    assert passes == [1] * (1 + 4)  # and by the other side each time


def test_random_states_fit_the_model(tmp_path):
    model = load_model("mini-vit", pretrained=False, device="cpu")
    features = heads.random_states(model, 300, tmp_path)
    assert len(features) == 300 and features.names == ["descriptor", "heads", "residual"]
    assert [json.loads(path.read_text())["n"] for path in tmp_path.glob("*/key.json")] == [300]
    assert features.read("heads").shape == (300, model.net.embed_dim) and features.read("residual").std() > 0.9


def test_extraction_is_timed_from_files_and_decoding_counts_beside_the_network(monkeypatch):
    """Every repeat starts from an empty store, so that all pictures are decoded and described again."""
    model, described, decoded = load_model("mini-vit-small", device="cpu"), [], []
    real, prepare = ViT.tokens, ViT.preprocess
    monkeypatch.setattr(ViT, "tokens", lambda self, x, n: described.append(len(x)) or real(self, x, n))
    monkeypatch.setattr(ViT, "preprocess", lambda self, picture: decoded.append(1) or prepare(self, picture))
    bare, possible = extraction.extraction(model, 2, n=6, batch=4)
    assert sum(described) == 3 * 6, "a warm-up and two repeats"
    assert len(decoded) == 6 + 3 * (6 + 6), "the batches of the bare pass; then extraction and decoding alone, each time"
    assert bare["a_ms"] == possible["a_ms"] and possible["b_ms"] > bare["b_ms"] > 0
    assert bare["ratio"] == pytest.approx(bare["a_ms"] / bare["b_ms"]) and 0 < bare["share"] < possible["share"]
