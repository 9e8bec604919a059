import pytest
import torch
from pydantic import TypeAdapter
from torch.optim import lr_scheduler

from auscult.config import TrainSettings
from auscult.config.optimizer import ScheduleSettings
from auscult.config.train import EarlyStoppingSettings, EmaSettings
from auscult.training.optim import Ema
from auscult.training.schedules import EarlyStopping, Schedules

STEPS_PER_EPOCH, EPOCHS = 4, 6
N = STEPS_PER_EPOCH * EPOCHS
SETTINGS = TypeAdapter(ScheduleSettings)


def optimizer_of(*rates):
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.ones(1))], "lr": rate} for rate in rates], lr=1.0)


def rates_of(*schedules, apply="together", mode="max", metrics=None, base=0.5):
    """The rate at each step of a training."""
    optimizer = optimizer_of(base)
    ours = Schedules(
        [SETTINGS.validate_python(schedule) for schedule in schedules],
        apply,
        optimizer,
        steps_per_epoch=STEPS_PER_EPOCH,
        epochs=EPOCHS,
        mode=mode,
    )
    rates = []
    for step in range(N):
        ours.set_lrs(step)
        rates.append(optimizer.param_groups[0]["lr"])
        if (step + 1) % STEPS_PER_EPOCH == 0 and metrics is not None:
            ours.take_metric(metrics[step // STEPS_PER_EPOCH], step + 1)
    return rates


def torch_rates(make, by, metrics=None, base=0.5):
    optimizer = optimizer_of(base)
    theirs = make(optimizer)
    rates = []
    for step in range(N):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if by == "step" or (step + 1) % STEPS_PER_EPOCH == 0:
            theirs.step(*([] if metrics is None else [metrics[step // STEPS_PER_EPOCH]]))
    return rates


PAIRS = [
    ({"name": "step", "every": 2, "gamma": 0.3}, lambda o: lr_scheduler.StepLR(o, 2, 0.3)),
    ({"name": "multi_step", "milestones": [1, 4], "gamma": 0.3}, lambda o: lr_scheduler.MultiStepLR(o, [1, 4], 0.3)),
    ({"name": "exponential", "gamma": 0.8}, lambda o: lr_scheduler.ExponentialLR(o, 0.8)),
    ({"name": "cosine", "length": 24, "min_factor": 0.1}, lambda o: lr_scheduler.CosineAnnealingLR(o, 24, 0.05)),
    (
        {"name": "linear_warmup", "length": 3, "start_factor": 0.1},
        lambda o: lr_scheduler.LinearLR(o, 0.1, 1.0, total_iters=3),
    ),
]


@pytest.mark.parametrize("by", ["step", "epoch"])
@pytest.mark.parametrize(("settings", "make"), PAIRS, ids=[pair[0]["name"] for pair in PAIRS])
def test_schedules_give_the_rates_of_torch(settings, make, by):
    assert rates_of({**settings, "by": by}) == pytest.approx(torch_rates(make, by), rel=1e-9)


@pytest.mark.parametrize("share", [0.3, 0.5])
def test_one_cycle_gives_the_rates_of_torch(share):
    def make(optimizer):
        return lr_scheduler.OneCycleLR(optimizer, max_lr=0.5, total_steps=N, pct_start=share, cycle_momentum=False)

    # torch refuses a step beyond the last; ours has none there.
    optimizer = optimizer_of(0.5)
    theirs = make(optimizer)
    expected = []
    for step in range(N):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < N - 1:
            theirs.step()
    assert rates_of({"name": "one_cycle", "rising_share": share}) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_reduce_on_plateau_gives_the_rates_of_torch(mode):
    metrics = [0.5, 0.4, 0.45, 0.44, 0.43, 0.39]

    def make(optimizer):
        return lr_scheduler.ReduceLROnPlateau(
            optimizer, mode=mode, factor=0.5, patience=1, threshold=0.0, threshold_mode="abs"
        )

    ours = rates_of({"name": "reduce_on_plateau", "factor": 0.5, "patience": 1}, mode=mode, metrics=metrics)
    assert ours == pytest.approx(torch_rates(make, "epoch", metrics), rel=1e-9)
    assert ours[-1] < ours[0]


def test_an_undefined_metric_is_no_gain():
    rates = rates_of({"name": "reduce_on_plateau", "factor": 0.5, "patience": 0}, metrics=[0.5, None, None, 0.6, 1, 1])
    assert [rates[step] for step in range(0, N, STEPS_PER_EPOCH)] == [0.5, 0.5, 0.25, 0.125, 0.125, 0.125]


def test_together_their_factors_are_multiplied_as_torchs_chain_does():
    def make(optimizer):
        return lr_scheduler.ChainedScheduler(
            [lr_scheduler.StepLR(optimizer, 3, 0.5), lr_scheduler.ExponentialLR(optimizer, 0.9)]
        )

    ours = rates_of({"name": "step", "every": 3, "gamma": 0.5}, {"name": "exponential", "gamma": 0.9})
    assert ours == pytest.approx(torch_rates(make, "epoch"), rel=1e-9)


def test_exponential_and_plateau_together_give_the_rates_of_torch():
    metrics = [0.5, 0.4, 0.45, 0.44, 0.43, 0.39]
    optimizer = optimizer_of(0.5)
    by_time = lr_scheduler.ExponentialLR(optimizer, 0.9)
    by_metric = lr_scheduler.ReduceLROnPlateau(optimizer, "max", 0.5, patience=1, threshold=0.0, threshold_mode="abs")
    expected = []
    for step in range(N):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % STEPS_PER_EPOCH == 0:
            by_time.step()
            by_metric.step(metrics[step // STEPS_PER_EPOCH])
    ours = rates_of(
        {"name": "exponential", "gamma": 0.9},
        {"name": "reduce_on_plateau", "factor": 0.5, "patience": 1},
        metrics=metrics,
    )
    assert ours == pytest.approx(expected, rel=1e-9)
    assert expected[-1] < 0.5 * 0.5 * 0.9**5  # both


def test_in_turn_one_follows_the_other_as_in_torchs_sequence():
    def make(optimizer):
        return lr_scheduler.SequentialLR(
            optimizer,
            [
                lr_scheduler.LinearLR(optimizer, 0.1, 1.0, total_iters=5),
                lr_scheduler.CosineAnnealingLR(optimizer, N - 5),
            ],
            milestones=[5],
        )

    ours = rates_of(
        {"name": "linear_warmup", "length": 5, "start_factor": 0.1}, {"name": "cosine", "by": "step"}, apply="in_turn"
    )
    assert ours == pytest.approx(torch_rates(make, "step"), rel=1e-9)


def test_in_turn_a_warm_up_of_an_epoch_goes_before_epochs():
    ours = rates_of(
        {"name": "linear_warmup", "start_factor": 0.2}, {"name": "step", "every": 1, "gamma": 0.5}, apply="in_turn"
    )
    assert ours[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert ours[4:12] == pytest.approx([0.5] * 4 + [0.25] * 4)


def test_what_the_metric_did_is_saved():
    def build():
        optimizer = optimizer_of(1.0)
        plateau = SETTINGS.validate_python({"name": "reduce_on_plateau", "patience": 0, "factor": 0.5})
        return optimizer, Schedules([plateau], "together", optimizer, steps_per_epoch=1, epochs=9, mode="max")

    _, first = build()
    first.take_metric(0.9, 1)
    first.take_metric(0.8, 2)
    optimizer, second = build()
    second.load_state_dict(first.state_dict())
    second.take_metric(0.85, 3)
    second.set_lrs(3)
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_each_group_keeps_its_proportion():
    optimizer = optimizer_of(1.0, 0.1)
    Schedules(
        [SETTINGS.validate_python({"name": "exponential", "gamma": 0.5})],
        "together", optimizer, steps_per_epoch=1, epochs=3, mode="max",
    ).set_lrs(2)  # fmt: skip
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.25, 0.025])


def test_in_turn_all_but_the_last_need_an_end():
    with pytest.raises(ValueError, match=r"\['cosine'\] need a `length`"):
        TrainSettings.model_validate(
            {"schedules": [{"name": "cosine"}, {"name": "exponential"}], "schedules_apply": "in_turn"}
        )


def test_the_average_equals_the_hand_computation_and_is_put_in_for_a_while():
    module = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.BatchNorm1d(1))
    torch.nn.init.constant_(module[0].weight, 1.0)
    ema = Ema(module, EmaSettings(decay=0.5, is_warmed_up=False))
    for value in (2.0, 4.0):
        torch.nn.init.constant_(module[0].weight, value)
        module[1].num_batches_tracked += 1
        ema.update()
    with ema.applied():
        assert module[0].weight.item() == pytest.approx(0.5 * (0.5 * 1 + 0.5 * 2) + 0.5 * 4)
        assert module[1].num_batches_tracked.item() == 2
    assert module[0].weight.item() == 4.0


def test_a_warmed_up_average_equals_that_of_torch():
    module = torch.nn.Linear(2, 2)
    theirs = torch.optim.swa_utils.AveragedModel(
        module, avg_fn=lambda average, new, n: average + (new - average) * (1 - min(0.99, (1 + n) / (10 + n)))
    )
    theirs.update_parameters(module)  # the first only copies
    ours = Ema(module, EmaSettings(decay=0.99))
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        with torch.no_grad():
            module.weight += torch.randn(2, 2, generator=generator)
        ours.update()
        theirs.update_parameters(module)
    with ours.applied():
        torch.testing.assert_close(module.weight, theirs.module.weight)


def test_early_stopping_counts_evaluations_without_gain():
    stopping = EarlyStopping(EarlyStoppingSettings(patience=1, min_delta=0.1), "min")
    over = []
    for value in (1.0, 0.95, 0.8, None, 0.75):
        stopping.take(value)
        over.append(stopping.is_exhausted)
    assert over == [False, False, False, False, True]
    again = EarlyStopping(EarlyStoppingSettings(patience=1, min_delta=0.1), "min")
    again.load_state_dict(stopping.state_dict())
    assert again.is_exhausted


def test_without_settings_it_never_stops():
    stopping = EarlyStopping(None, "max")
    for _ in range(100):
        stopping.take(0.0)
    assert not stopping.is_exhausted
