"""A simulated user teaches a memory things of DAVIS' frames with a real network: px-learning; the whole set and all rounds are a claim."""

import pytest

from foir_lib.bench import rows
from foir_lib.bench.memory import interactions

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
WEIGHTS = "deit_tiny_patch16_224"


@pytest.mark.parametrize("dataset", ["davis(n_frames=8)", pytest.param("davis", marks=pytest.mark.claims)])
def test_a_memory_learns_the_things_of_videos(dataset, foir_data, tmp_path, record_property):
    """Of a video's frames one begins, six ask, and what is left (one of eight, three of ten) comes by: more interactions change nothing."""
    for needed in ("davis-frames", f"weights/{WEIGHTS}.safetensors"):
        if not (foir_data / needed).exists():
            pytest.skip(f"no {needed} in the folder FOIR_DATA")
    where = {"data_root": str(foir_data / "davis-frames"), "weights": str(foir_data / "weights" / f"{WEIGHTS}.safetensors")}
    found = rows.run("px-learning", dataset, WEIGHTS, **where, device="cpu", progress=False, cache=str(tmp_path))
    assert found["ours"].between(0, 100).all() and found["metric"].nunique() == len(interactions.KINDS)
    for metric, part in found.groupby("metric", sort=False):
        words = [f"{row.ours:.1f}" + ("" if row.low != row.low else f" ({row.low:+.1f} to {row.high:+.1f})") for row in part.itertuples()]
        record_property(metric, f"after {', '.join(row.method.split()[1] for row in part.itertuples())} interactions a thing: {', '.join(words)}")
    boxes = found[found["metric"] == "accuracy (Crop, by box)"]["ours"].tolist()
    assert boxes[0] > 50 and boxes[-1] >= boxes[0] - 2 and boxes[-2] == boxes[-1], boxes
