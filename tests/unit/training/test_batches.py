import numpy as np
import pytest
import torch

from auscult.config import OptimizerSettings
from auscult.models import Normalisation
from auscult.training.batches import ResidentBatches
from auscult.training.history import History, is_better
from auscult.training.optimizers import build_optimizer
from auscult.training.seeds import Purpose, derive_seed, sample_order

CPU = torch.device("cpu")


def batches_of(n, batch_size):
    rng = np.random.default_rng(0)
    spectrograms = rng.normal(-50, 10, (n, 3, 4)).astype(np.float16)
    targets = np.arange(n, dtype=np.float32)[:, None]
    normalisation = Normalisation.from_bands(np.array([-50.0, -40, -30]), np.array([10.0, 5, 2]))
    return spectrograms, ResidentBatches(spectrograms, targets, normalisation, batch_size, CPU)


@pytest.mark.parametrize(("n", "sizes"), [(9, [5, 4]), (16, [8, 8]), (17, [6, 6, 5]), (3, [3]), (1, [1])])
def test_batches_are_of_nearly_equal_size_and_never_too_large(n, sizes):
    _, batches = batches_of(n, 8)
    assert [len(batch.targets) for batch in batches(np.arange(n))] == sizes


def test_batches_hold_the_asked_examples_normalised():
    spectrograms, batches = batches_of(10, 4)
    order = np.random.default_rng(1).permutation(10)
    got = list(batches(order))
    assert torch.cat([batch.targets for batch in got])[:, 0].tolist() == order.tolist()
    expected = (spectrograms[order].astype(np.float32) - [[-50], [-40], [-30]]) / np.float32([[10], [5], [2]])
    np.testing.assert_allclose(torch.cat([batch.spectrograms for batch in got]), expected, rtol=1e-6)
    assert batches.spectrograms_db.dtype == torch.float16
    assert torch.equal(batches.spectrograms_db, torch.from_numpy(spectrograms))


def test_waiting_is_measured():
    _, batches = batches_of(10, 4)
    list(batches(np.arange(10)))
    assert batches.wait_s > 0


def test_the_order_is_a_function_of_seed_and_epoch():
    assert sample_order(50, 3, 1).tolist() == sample_order(50, 3, 1).tolist()
    assert sorted(sample_order(50, 3, 1)) == list(range(50))
    orders = {tuple(sample_order(50, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_seeds_of_purposes_and_epochs_are_distinct_and_stay_as_they_are():
    seeds = {derive_seed(seed, purpose, epoch) for seed in range(5) for purpose in Purpose for epoch in range(5)}
    assert len(seeds) == 5 * len(Purpose) * 5
    # A change of these numbers changes every training: raise STATE_VERSION with it.
    assert derive_seed(0, Purpose.WEIGHTS) == 1317536309490288386
    assert derive_seed(12, Purpose.ORDER, 3) == 2270022485663693458


@pytest.mark.parametrize(
    ("values", "losses", "mode", "best"),
    [
        ([0.5, 0.9, 0.9, 0.7], [1, 1, 1, 1], "max", 1),
        ([0.5, 0.9, 0.9, 0.7], [3, 3, 2, 1], "max", 2),
        ([None, 0.2, None, 0.1], [4, 3, 2, 1], "max", 1),
        ([0.5, 0.2, 0.2], [1, 1, 2], "min", 1),
        ([float("nan"), 0.1], [1, 1], "max", 1),
        ([None, None], [1, 1], "max", None),
    ],
)
def test_the_best_of_equals_has_the_lower_loss_and_undefined_never_counts(values, losses, mode, best):
    rows = [
        {"epoch": epoch, "val/f1": value, "val/loss": loss}
        for epoch, (value, loss) in enumerate(zip(values, losses, strict=True))
    ]
    found = None
    for row in rows:
        if is_better(row, found, "val/f1", mode):
            found = row
    assert (None if found is None else found["epoch"]) == best


def test_history_is_on_disk_at_once_and_put_right_at_the_start(tmp_path):
    history = History(tmp_path, [])
    history.append({"epoch": 1, "val/auroc": None})
    history.append({"epoch": 2, "val/auroc": 0.5})
    text = (tmp_path / "metrics.jsonl").read_text()
    assert text == '{"epoch": 1, "val/auroc": null}\n{"epoch": 2, "val/auroc": 0.5}\n'
    resumed = History(tmp_path, history.rows[:1])
    assert (tmp_path / "metrics.jsonl").read_text() == text.splitlines(keepends=True)[0]
    resumed.write_csv()
    assert (tmp_path / "history.csv").read_text().splitlines() == ["epoch,val/auroc", "1,"]


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"name": "adam", "lr": 0.02, "weight_decay": 0.1}, torch.optim.Adam),
        ({"name": "adamw", "lr": 0.02, "weight_decay": 0.1}, torch.optim.AdamW),
        ({"name": "sgd", "lr": 0.02, "momentum": 0.8, "weight_decay": 0.1}, torch.optim.SGD),
    ],
)
def test_optimizers_step_as_those_of_torch_do(settings, kind):
    ours, theirs = (torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    arguments = {key: value for key, value in settings.items() if key != "name"}
    pair = [(ours, build_optimizer([ours], OptimizerSettings(**settings))), (theirs, kind([theirs], **arguments))]
    for _ in range(3):
        for parameter, optimizer in pair:
            optimizer.zero_grad()
            (parameter**2).sum().backward()
            optimizer.step()
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours.detach(), torch.tensor([1.0, -2.0]))


def test_sgd_with_momentum_equals_the_hand_computation():
    parameter = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = build_optimizer([parameter], OptimizerSettings(name="sgd", lr=0.1, momentum=0.9))
    for _ in range(2):
        optimizer.zero_grad()
        (3 * parameter).sum().backward()
        optimizer.step()
    # First step 0.1 * 3; second 0.1 * (0.9 * 3 + 3).
    assert parameter.item() == pytest.approx(1 - 0.3 - 0.57, rel=1e-6)
