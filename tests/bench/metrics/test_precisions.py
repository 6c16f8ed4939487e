"""What computing in fewer bits does to lists, by hand and on a set of the mini world."""

import numpy as np
import pytest
import torch
from tiny import pictures, vit, world

from foir_lib import load_model
from foir_lib.bench import precisions
from foir_lib.errors import InputError
from foir_lib.search.ranking import Ranking


def ranking(ids):
    ids = np.array(ids)
    return Ranking(np.arange(len(ids)), ids, np.tile(np.arange(ids.shape[1], 0, -1, dtype=np.float32), (len(ids), 1)), 4)


def test_agreement_by_hand():
    one, other = ranking([[0, 1, 2], [3, 1, 0]]), ranking([[0, 2, 1], [1, 3, 2]])
    assert precisions.agreement(one, other, 2) == {"same first": 50.0, "same": 75.0}  # {0, 1} and {0, 2}; {3, 1} and {1, 3}
    assert precisions.agreement(one, one, 3) == {"same first": 100.0, "same": 100.0}


def test_precisions_are_near_each_other_but_not_the_same_and_each_has_its_own_features(tmp_path):
    networks = {name: load_model("mini-vit-small", device="cpu", precision=name) for name in ("fp32", "bf16", "fp16")}
    assert len({net.key for net in networks.values()}) == 3 and networks["bf16"].key.endswith(", bf16")
    x = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    vectors = {name: net.embed(x) for name, net in networks.items()}
    assert {v.dtype for v in vectors.values()} == {torch.float32}
    for name, most in (("bf16", 0.02), ("fp16", 0.005)):
        apart = (vectors[name] - vectors["fp32"]).norm(dim=1)
        assert (0 < apart).all() and (apart < most).all(), (name, apart)
    tokens = networks["bf16"].tokens(x, 2)
    assert tokens.dtype == torch.float32 and not torch.equal(tokens, networks["fp32"].tokens(x, 2))
    assert not torch.equal(networks["bf16"].tokens(x, 2), networks["fp16"].tokens(x, 2))


def test_the_table_compares_with_the_first(tmp_path):
    def load(precision):
        net = vit()
        net.precision, net.key = precision, f"tiny, {precision}"
        return net

    table = precisions.compared(world(pictures(tmp_path)), load, k=5, cache=tmp_path / "cache", progress=False)
    first = table[table["precision"] == "fp32"]
    assert (first["difference"] == 0).all() and (first[["same first", "same"]] == 100).all(axis=None) and first["low"].isna().all()
    others = table[table["precision"] != "fp32"]
    assert set(others["precision"]) == {"bf16", "fp16"} and (others["low"] <= others["difference"]).all() and (others["difference"] <= others["high"]).all()
    assert len(list((tmp_path / "cache").iterdir())) == 3, "no features are taken for those of another precision"


def test_an_unknown_precision_is_refused():
    with pytest.raises(InputError, match="There is no precision .int8.: .*fp32, bf16, fp16"):
        load_model("mini-vit-small", device="cpu", precision="int8")
