"""The head explorer and the figures of maps on a real photograph with a real pretrained ViT of three heads."""

import numpy as np
import pytest

from foir_lib import load_model, load_set
from foir_lib.retrievers.baselines import CBIR
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.heads import PHS
from foir_lib.view.explorers.heads import HeadExplorer
from foir_lib.view.figures import heads as attention_figures

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("ignore:.*area")]
NAME = "deit_tiny_patch16_224"


def test_heads_and_maps_of_coco(foir_data):
    weights, root = foir_data / "weights" / f"{NAME}.safetensors", foir_data / "coco-free"
    if not weights.is_file() or not root.is_dir():
        pytest.skip(f"no coco-free or no {weights.name} in the folder FOIR_DATA")
    coco, model = load_set("coco", root=str(root)), load_model(NAME, weights=weights, device="cpu")
    corpus, phs = Corpus(coco, model, progress=False), PHS(h_on=1)
    explorer, inside, chosen = HeadExplorer(model, h_on=1), [], []
    for query in range(0, len(coco.queries), 40):
        row = coco.queries.iloc[query]
        picture = coco.open(row["image_id"])
        explorer.ask(row["prompt"], picture=picture)
        live = corpus.live(picture, [row["prompt"]])
        one, plain = phs.describe(live), CBIR().describe(live)
        assert (explorer.heads == one.read("on")[0]).all() and len(explorer.gallery.rows[0]["items"]) == 3
        assert explorer.cosine == pytest.approx(float((one.read("descriptor") * plain.read("descriptor")).sum()), abs=1e-5)
        assert explorer.roi_attention.argmax() == explorer.heads.argmax()
        maps = attention_figures.attention_maps(model, picture, row["prompt"], h_on=1)
        on = row["prompt"].tokens(model.grid, picture.size)
        inside.append([maps[name][on].sum() for name in ("Vanilla", "FA", "PHS")])
        chosen.append(int(explorer.heads.argmax()))
    vanilla, fa, phs = np.mean(inside, 0)
    assert vanilla < fa < phs  # the bias adds a little, the choice more
    assert len(set(chosen)) > 1  # it is the prompt that chooses
    explorer.close()
