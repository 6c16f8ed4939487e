"""The retrieval explorer on real photographs with a real pretrained ViT: what it shows is what the batches compute."""

import numpy as np
import pytest

from foir_lib import Point, load_model, load_set
from foir_lib.bench.experiment import Experiment
from foir_lib.view.explorers.retrieval import RetrievalExplorer

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*area")]
NAME = "deit_tiny_patch16_224"


def test_a_query_of_coco_and_a_photograph_of_one_s_own(foir_data, tmp_path, monkeypatch):
    weights, root = foir_data / "weights" / f"{NAME}.safetensors", foir_data / "coco-free"
    if not weights.is_file() or not root.is_dir():
        pytest.skip(f"no coco-free or no {weights.name} in the folder FOIR_DATA")
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))
    coco, model = load_set("coco", root=str(root)), load_model(NAME, weights=weights, device="cpu")
    experiment = Experiment(coco, model, progress=False)
    explorer = RetrievalExplorer(experiment.corpus, ("CBIR", "PHS(h_on=1)"), k=20)
    assert (explorer.options.h_on.value, explorer.options.h_on.max) == (1, 3)  # three heads
    rankings = {name: experiment.ranking(name, k=20) for name in ("CBIR", "PHS(h_on=1)")}
    hits, chance = 0, 0.0
    for query in range(0, len(coco.queries), 20):
        row = coco.queries.iloc[query]
        explorer.ask(row["prompt"], picture=row["image_id"])
        assert explorer.panel.label == row["label"]
        for method, ranking in rankings.items():
            table = explorer.results[method]
            assert np.allclose(table["score"], ranking.scores[query], atol=5e-6)
            assert len(set(table["row"]) & set(ranking.ids[query])) >= 19  # near ties at the end
            hits += sum(table["right"])
            chance += 20 * len(coco.protocols["contains"].positives(query)) / len(coco.database)
        thumbs = [item["image"] for row in explorer.gallery.rows for item in row["items"]]
        assert len(thumbs) == 40 and all(1000 < len(image) < 20_000 for image in thumbs)
        assert not any("can't be shown" in item["alt"] for row in explorer.gallery.rows for item in row["items"])
    assert hits > 1.2 * chance  # what a random order would find
    found = explorer.results["CBIR"]["row"][0]
    own = coco.open(coco.database["image_id"].iloc[found])
    explorer.ask(Point(own.width / 2, own.height / 2), picture=own)  # as if uploaded: it finds itself
    assert explorer.results["CBIR"]["row"][0] == found and explorer.results["CBIR"]["score"][0] > 0.999
    explorer.close()
