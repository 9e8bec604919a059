import numpy as np
import pytest
import torch
from torch.nn import functional

from auscult.config import LossSettings, TaskSettings
from auscult.errors import InfeasibleError
from auscult.training.losses import Loss, build_loss, class_weights

NAN = float("nan")
CPU = torch.device("cpu")


def task_of(kind, *targets):
    rules = {"toy": {name: {"column": "x", "positive": ["1"], "negative": "others"} for name in targets}}
    values = {"description": "toy", "type": kind, "targets": targets, "level": "clip"}
    return TaskSettings.model_validate(values if kind == "multi_class" else {**values, "datasets": rules})


BOTH = task_of("multi_label", "crackle", "wheeze")
DIGITS = task_of("multi_class", "a", "b", "c")


def test_weights_equal_the_hand_computation():
    # crackle: 1 positive, 3 negative, 1 unknown; wheeze: 2 and 2, 1 unknown.
    targets = np.array([[1, 1], [0, 1], [0, NAN], [0, 0], [NAN, 0]], dtype=np.float32)
    weights = class_weights(targets, BOTH, LossSettings())
    np.testing.assert_allclose(weights, [[4 / (2 * 3), 1.0], [4 / (2 * 1), 1.0]], rtol=1e-6)
    assert class_weights(targets, BOTH, LossSettings(class_weights="none")).tolist() == [[1, 1], [1, 1]]


def test_weights_of_classes_equal_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    classes = np.array([0, 0, 0, 1, 2, 2])
    targets = np.concatenate([np.eye(3)[classes], np.full((2, 3), NAN)]).astype(np.float32)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=classes)
    np.testing.assert_allclose(class_weights(targets, DIGITS, LossSettings()), expected, rtol=1e-6)


def test_an_answer_that_never_occurs_cannot_be_weighed():
    targets = np.array([[1, 1], [0, 1], [0, NAN]], dtype=np.float32)
    with pytest.raises(InfeasibleError, match=r"wheeze: 2 of 2 known clips are positive"):
        class_weights(targets, BOTH, LossSettings())


def test_bce_equals_torch_where_all_is_known():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 2, generator=generator)
    targets = torch.randint(0, 2, (6, 2), generator=generator).float()
    loss = Loss("bce", torch.ones(2, 2))(logits, targets).mean()
    torch.testing.assert_close(loss, functional.binary_cross_entropy_with_logits(logits, targets))


def test_weighted_bce_equals_the_hand_computation():
    weights = torch.tensor([[0.5], [3.0]])
    loss = Loss("bce", weights)(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [0.0]])).mean()
    expected = (3.0 * np.log(2) + 0.5 * np.log1p(np.exp(2.0))) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_unknown_cells_are_as_if_they_were_not_there():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(5, 2, generator=generator).requires_grad_()
    targets = torch.tensor([[1, NAN], [0, 1], [NAN, 0], [NAN, NAN], [1, 0]])
    weights = torch.tensor([[0.7, 1.2], [2.0, 0.9]])
    loss = Loss("bce", weights)(logits, targets).mean()
    loss.backward()
    known = ~targets.isnan()
    cell_weights = torch.stack(
        [weights[int(value), column] for row in targets for column, value in enumerate(row) if not value.isnan()]
    )
    removed = logits.detach()[known].clone().requires_grad_()
    cells = functional.binary_cross_entropy_with_logits(removed, targets[known], weight=cell_weights)
    cells.backward()
    torch.testing.assert_close(loss, cells)
    torch.testing.assert_close(logits.grad[known], removed.grad)
    assert (logits.grad[~known] == 0).all()


def test_cross_entropy_equals_torch_with_unknown_rows_removed():
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(5, 3, generator=generator)
    classes = torch.tensor([0, 2, 1, 1])
    targets = torch.cat([torch.eye(3)[classes], torch.full((1, 3), NAN)])
    weights = torch.tensor([0.5, 1.5, 2.0])
    loss = Loss("cross_entropy", weights)(logits, targets)
    expected = functional.cross_entropy(logits[:4], classes, weight=weights, reduction="sum")
    torch.testing.assert_close(loss.total, expected)
    assert loss.n_known == 4


def test_sums_of_batches_add_up_to_the_whole():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(7, 2, generator=generator)
    targets = torch.where(torch.rand(7, 2, generator=generator) < 0.3, NAN, 1.0)
    loss = Loss("bce", torch.ones(2, 2))
    whole, first, rest = loss(logits, targets), loss(logits[:3], targets[:3]), loss(logits[3:], targets[3:])
    torch.testing.assert_close(first.total + rest.total, whole.total)
    assert first.n_known + rest.n_known == whole.n_known


def test_a_batch_without_a_known_cell_has_loss_zero():
    logits = torch.zeros(2, 1, requires_grad=True)
    loss = Loss("bce", torch.ones(2, 1))(logits, torch.full((2, 1), NAN)).mean()
    loss.backward()
    assert loss == 0
    assert (logits.grad == 0).all()


def test_auto_takes_the_loss_of_the_task():
    two = np.array([[1, 0], [0, 1]], dtype=np.float32)
    assert build_loss(two, BOTH, LossSettings(), CPU).kind == "bce"
    assert build_loss(np.eye(3, dtype=np.float32), DIGITS, LossSettings(), CPU).kind == "cross_entropy"
