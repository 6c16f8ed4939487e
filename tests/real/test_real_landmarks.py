"""The real ground truth of the revisited benchmarks: published counts, and scores of seeded random rankings."""

import numpy as np
import pytest

from foir_lib.bench import metrics
from foir_lib.bench.metrics.mean_ap import mean_average_precision
from foir_lib.data import ground_truth, load_set
from foir_lib.data.readers import revisited

pytestmark = pytest.mark.real
SCORES = {  # of default_rng(q).permutation(n) for query q, by the published evaluation program
    "roxford5k": (4993, {"easy": 0.009226, "medium": 0.017295, "hard": 0.009986}),
    "rparis6k": (6322, {"easy": 0.017006, "medium": 0.040614, "hard": 0.025370}),
}


@pytest.fixture(params=SCORES)
def truth(request, foir_data):
    path = foir_data / "landmarks" / f"gnd_{request.param}.pkl"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the folder FOIR_DATA")
    return request.param, path


def test_random_rankings_score_what_the_published_program_gives(truth):
    name, path = truth
    n, wanted = SCORES[name]
    gnd = revisited.read_truth(path)
    protocols = ground_truth.protocols(gnd["gnd"], n)
    assert len(gnd["imlist"]) == n and list(protocols) == list(wanted)
    ranking = [np.random.default_rng(q).permutation(n) for q in range(70)]
    for level, want in wanted.items():
        value = mean_average_precision(ranking, protocols[level]).map
        assert value == pytest.approx(want, abs=5e-7) and value == metrics.revisited(ranking, gnd["gnd"], level)


def test_a_perfect_ranking_scores_one(truth):
    gnd = revisited.read_truth(truth[1])
    n = len(gnd["imlist"])
    for protocol in ground_truth.protocols(gnd["gnd"], n).values():
        first = [np.concatenate([protocol.ignored_of(q), protocol.positives(q)]) for q in range(70)]
        ranking = [np.concatenate([ids, np.setdiff1d(np.arange(n), ids)]) for ids in first]
        assert mean_average_precision(ranking, protocol).map == 1


def test_eleven_landmarks_and_boxes_with_area(truth):
    found = revisited.read_truth(truth[1])
    labels = revisited.landmarks(found)
    assert len(set(labels)) == 11 and not set(labels) & {"oxford", "general"}
    assert all(len(set(labels[i : i + 5])) == 1 for i in range(0, 55, 5)), "five queries each in the original sets"
    boxes = np.array([one["bbx"] for one in found["gnd"]])
    assert boxes.shape == (70, 4) and (boxes[:, 2:] > boxes[:, :2]).all()


@pytest.mark.slow
def test_a_pretrained_network_finds_easy_pictures_of_mini_landmarks_before_hard_ones(foir_data, tmp_path, monkeypatch):
    timm, torch = pytest.importorskip("timm"), pytest.importorskip("torch")
    from safetensors.torch import load_file

    weights = foir_data / "weights" / "resnet18_to_layer3.safetensors"
    if not weights.is_file():
        pytest.skip(f"no {weights.name} in the folder FOIR_DATA")
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))
    made = load_set("mini-landmarks", seed=5, n_landmarks=18, n_queries=18, n_database=300)
    net = timm.create_model("resnet18", features_only=True, out_indices=(3,)).eval()
    net.load_state_dict({key: value.float() for key, value in load_file(weights).items()}, strict=False)

    @torch.inference_mode()
    def gem(picture):
        x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
        x = (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
            :, None, None
        ]
        return torch.nn.functional.normalize(net(x)[0].clamp(min=1e-6).pow(3).mean((2, 3)).pow(1 / 3))[0].numpy()

    database = np.array([gem(made.open(i)) for i in made.database["image_id"]])
    queries = np.array([gem(made.open(q.image_id).crop(tuple(map(int, vars(q.prompt).values())))) for q in made.queries.itertuples()])  # fmt: skip
    middle = database.mean(0)
    ranking = np.argsort(-(queries - middle) @ (database - middle).T, axis=1)
    chance = np.array([np.random.default_rng(q).permutation(300) for q in range(18)])
    easy, hard = (mean_average_precision(ranking, made.protocols[level]).map for level in ("easy", "hard"))
    assert easy > 2 * hard and easy > 0.25
    assert hard > 1.3 * mean_average_precision(chance, made.protocols["hard"]).map


def test_lists_of_positives_beside_the_groups_of_the_pixel_benchmark(truth):
    """The thesis counts 26 and 25 groups of queries with one list, and 1,985 and 3,957 pictures to label; these files hold others."""
    name, path = truth
    lists = {frozenset(one["easy"]) | frozenset(one["hard"]) for one in revisited.read_truth(path)["gnd"]}
    counts = len(lists), sum(map(len, lists)), len(frozenset().union(*lists))
    assert counts == {"roxford5k": (24, 2423, 788), "rparis6k": (24, 6236, 2651)}[name]
