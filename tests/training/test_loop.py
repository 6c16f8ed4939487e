"""The loop of all trainings: steps by hand, epochs, resuming with what a run keeps, and what is refused."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.scheduler import MultiStepLRScheduler

from foir_lib.errors import InputError, IntegrityError
from foir_lib.training import loop

pytestmark = pytest.mark.usefixtures("one_thread")


def scale(start=1.0):
    """A network of one number, its loss (w x - y)^2, and SGD at 0.1."""
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(net.weight, start)
    task = loop.Objective(net, lambda net, x, y: (net(x) - y).square().mean())
    return net, task, torch.optim.SGD(net.parameters(), 0.1)


def ones(n, y=0.0):
    """Epochs of ``n`` batches x = 1."""
    return lambda epoch, first: ((torch.ones(1, 1), torch.full((1, 1), y)) for _ in range(first, n))


def test_steps_by_hand():
    net, task, optimiser = scale()
    losses = loop.fit(task, optimiser, ones(3), 3)
    assert losses == pytest.approx([1.0, 0.64, 0.4096]) and net.weight.item() == pytest.approx(0.512)  # w <- 0.8 w


def test_the_gradient_is_clipped_and_the_rate_follows_its_schedule():
    net, task, optimiser = scale(10.0)
    schedule = MultiStepLRScheduler(optimiser, [2], 0.1, t_in_epochs=False)  # timm: from step 2 - 1 on
    loop.fit(task, optimiser, ones(2), 2, schedule, clip=1.0)
    assert net.weight.item() == pytest.approx(10 - 0.1 - 0.01)


def test_epochs_and_where_they_are_taken_up(tmp_path):
    starts, (_, task, optimiser) = [], scale()

    def batches(epoch, first):
        starts.append((epoch, first))
        return ones(3)(epoch, first)

    for steps in (4, 8):  # the second run goes on
        _, task, optimiser = scale()
        losses = loop.fit(task, optimiser, batches, steps, per_epoch=3, checkpoint=tmp_path / "run", every=2)
    assert starts == [(0, 0), (1, 0), (1, 1), (2, 0)]
    assert losses == pytest.approx([0.64**step for step in range(8)])


def test_a_resumed_run_has_its_random_numbers_and_what_it_kept(tmp_path):
    def train(steps, checkpoint):
        torch.manual_seed(1)
        extra, net = {}, torch.nn.Sequential(torch.nn.Linear(4, 1), torch.nn.Dropout(0.5))

        def batches(epoch, first):
            if not first:
                extra["noise"] = torch.full((1, 1), float(epoch))
            return ((torch.ones(1, 4), extra["noise"]) for _ in range(first, 3))

        task = loop.Objective(net, lambda net, x, y: (net(x) - y).square().mean())
        optimiser = torch.optim.AdamW(net.parameters(), 0.1)
        return loop.fit(task, optimiser, batches, steps, per_epoch=3, seed=5, checkpoint=checkpoint, extra=extra)

    straight = train(6, None)
    assert len(set(straight)) > 3, "dropout is at work"
    train(5, tmp_path / "run")
    assert train(6, tmp_path / "run") == straight


def test_a_checkpoint_of_another_run_says_what_differs(tmp_path):
    path = tmp_path / "run"
    for run in ({"lr": 1, "size": 32}, {"lr": 1, "size": 32}):
        _, task, optimiser = scale()
        loop.fit(task, optimiser, ones(1), 1, checkpoint=path, run=run)
    with pytest.raises(InputError, match=r"another run \(size 32 and not 48\): give another path or remove it\.$"):
        loop.fit(task, optimiser, ones(1), 1, checkpoint=path, run={"lr": 1, "size": 48})
    torch.save([1], path)
    with pytest.raises(InputError, match="another run"):
        loop.fit(task, optimiser, ones(1), 1, checkpoint=path)


class Command:
    """What a pickle may run when it is opened."""

    def __reduce__(self):
        return print, ("opened",)


def test_nothing_but_tensors_and_numbers_is_opened(tmp_path, capsys):
    torch.save({"run": {}, "losses": Command()}, tmp_path / "run")
    _, task, optimiser = scale()
    with pytest.raises(IntegrityError, match="run"):
        loop.fit(task, optimiser, ones(1), 1, checkpoint=tmp_path / "run")
    assert "opened" not in capsys.readouterr().out


def test_a_loss_that_is_no_number_stops_the_run_and_spoils_nothing(tmp_path):
    net, task, optimiser = scale()
    batches = lambda epoch, first: iter([(torch.ones(1, 1), torch.zeros(1, 1)), (torch.ones(1, 1), torch.full((1, 1), torch.nan))])  # noqa: E731
    with pytest.raises(InputError, match=r"^The loss is nan at step 2: choose a smaller lr, or clip\.$"):
        loop.fit(task, optimiser, batches, 2, checkpoint=tmp_path / "run", every=1)
    assert net.weight.item() == pytest.approx(0.8)
    assert torch.load(tmp_path / "run", weights_only=True)["losses"] == [1.0]


def test_each_training_of_a_process_has_its_own_precision():
    types = []
    for precision in ("bf16", "no"):
        net, task, optimiser = scale()
        task.loss = lambda net, x, y: (types.append(net(x).dtype), net(x).float().sum())[1]
        loop.fit(task, optimiser, ones(1), 1, accelerator=loop.start(precision))
    assert types == [torch.bfloat16, torch.float32]


# --- what can't be, and what isn't finite any more


@pytest.mark.parametrize("changes", [{"steps": 0}, {"steps": 1.5}, {"every": 0}, {"clip": 0}, {"clip": float("inf")}, {"clip": float("nan")}])
def test_numbers_that_can_not_be_are_refused_before_the_first_step(changes, tmp_path):
    _, task, optimiser = scale()
    with pytest.raises(InputError, match=f"{next(iter(changes))}=.* must be a"):
        loop.fit(task, optimiser, pytest.fail, **{"steps": 1, "checkpoint": tmp_path / "run"} | changes)
    assert not list(tmp_path.iterdir())


def test_weights_that_the_last_step_spoilt_are_never_saved(tmp_path):
    """The loss of the last step is finite, its gradient isn't."""
    for checkpoint in (None, tmp_path / "run"):
        net, task, optimiser = scale()
        task.loss = lambda net, x, y: (net.weight - net.weight.detach()).abs().sqrt().sum() + x.sum()
        with pytest.raises(InputError, match=r"^The weights hold NaN or infinite numbers after step 1: choose a smaller lr, or clip\.$"):
            loop.fit(task, optimiser, ones(1), 1, checkpoint=checkpoint)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of one step as bytes."""
    path = tmp_path_factory.mktemp("run") / "run"
    torch.manual_seed(0)
    net = torch.nn.Linear(4, 1)
    loop.fit(loop.Objective(net, lambda net, x: net(x).square().mean()), torch.optim.AdamW(net.parameters(), 0.1), four, 1, checkpoint=path)
    return path.read_bytes()


def four(epoch, first):
    return ((torch.ones(1, 4),) for _ in range(first, 9))


def resumed(path, steps=2):
    torch.manual_seed(0)
    net = torch.nn.Linear(4, 1)
    return loop.fit(loop.Objective(net, lambda net, x: net(x).square().mean()), torch.optim.AdamW(net.parameters(), 0.1), four, steps, checkpoint=path)


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_checkpoint_is_refused_or_harmless(checkpoint, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("a")
    (folder / "whole").write_bytes(checkpoint)
    if data.draw(st.booleans()):
        spoilt = checkpoint[: data.draw(st.integers(0, len(checkpoint) - 1))]
    else:
        bit = data.draw(st.integers(0, 8 * len(checkpoint) - 1))
        spoilt = checkpoint[: bit // 8] + bytes([checkpoint[bit // 8] ^ 1 << bit % 8]) + checkpoint[bit // 8 + 1 :]
    (folder / "run").write_bytes(spoilt)
    try:
        losses = resumed(folder / "run")
    except (InputError, IntegrityError) as error:
        assert "\n" not in str(error) and str(folder / "run") in str(error)
    else:
        assert losses == resumed(folder / "whole")


@pytest.mark.parametrize(
    "change",
    [{"task": {}}, {"task": 3}, {"optimiser": {}}, {"optimiser": None}, {"losses": "x"}, {"losses": [float("nan")]}, {"extra": 3},
     {"task": {"net.weight": torch.ones(7, 7), "net.bias": torch.ones(1)}}, {"task": {"net.weight": torch.full((1, 4), torch.nan), "net.bias": torch.ones(1)}}],
)  # fmt: skip
def test_a_checkpoint_of_other_content_is_refused(checkpoint, tmp_path, change):
    (tmp_path / "run").write_bytes(checkpoint)
    torch.save(torch.load(tmp_path / "run", weights_only=True) | change, tmp_path / "run")
    with pytest.raises(IntegrityError, match=r"Checkpoint .*run is damaged or of another network: remove it, and training begins again\.$"):
        resumed(tmp_path / "run")
    torch.save({"run": {}}, tmp_path / "run")
    with pytest.raises(IntegrityError, match="is damaged or of another network"):
        resumed(tmp_path / "run")


def test_a_place_for_checkpoints_is_tried_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    _, task, optimiser = scale()
    with pytest.raises(InputError, match="Can't write"):
        loop.fit(task, optimiser, pytest.fail, 1, checkpoint=tmp_path / "file" / "run")


def test_a_mini_vit_resumes_no_damaged_checkpoint_and_takes_no_odd_number(tmp_path):
    from foir_lib.training.mini import vit

    scenes = torch.zeros(4, 3, 32, 32, dtype=torch.uint8), torch.ones(4, 2, dtype=torch.bool)
    for odd in ({"steps": 0}, {"lr": float("nan")}, {"lr": float("inf")}, {"batch": 0}):
        with pytest.raises(InputError, match=f"{next(iter(odd))}=.* must be a"):
            vit.train("mini-vit-small", **{"steps": 1, "pixels": scenes[0], "labels": scenes[1]} | odd)
    (tmp_path / "run").write_bytes(b"PK\x03\x04 damaged")
    with pytest.raises(IntegrityError, match="can't be read: remove it, and training begins again"):
        vit.train("mini-vit-small", 1, *scenes, checkpoint=tmp_path / "run")
