"""Each optimizer of timm's factory, as our settings build it, against the formulas of its paper or against torch."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from auscult.config.optimizer import OptimizerSettings, TimmOptimizer
from auscult.training.optim import build_optimizer

LR, DECAY, N_STEPS = 0.05, 0.1, 5


class Pair(nn.Module):
    """A matrix, large enough to be factored, and a vector."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(0)
        self.backbone = nn.Linear(18, 20)
        self.head = nn.Identity()
        for parameter in self.parameters():
            parameter.data = torch.from_numpy(rng.normal(0, 0.5, parameter.shape).astype(np.float32))

    def values(self):
        return [parameter.detach().double().numpy().copy() for parameter in self.parameters()]


def drawn(step, index, weights):
    return np.random.default_rng([step, index]).normal(0, 0.1, weights.shape)


def across(step, index, weights):
    """Gradients at right angles to each row of weights, as those before a batch norm are."""
    gradient = drawn(step, index, weights)
    if weights.ndim == 1:
        return gradient
    along = (gradient * weights).sum(1, keepdims=True) / (weights**2).sum(1, keepdims=True)
    return gradient - along * weights


def descend(module, optimizer, gradients=drawn):
    for step in range(1, N_STEPS + 1):
        for index, (parameter, weights) in enumerate(zip(module.parameters(), module.values(), strict=True)):
            parameter.grad = torch.from_numpy(gradients(step, index, weights).astype(np.float32))
        optimizer.step()
    return module.values()


def by_hand(rule, gradients=drawn):
    """Run a rule of one parameter: step, gradient, weights and what it remembers, to new weights."""
    values, memories = Pair().values(), [{}, {}]
    for step in range(1, N_STEPS + 1):
        values = [
            rule(step, gradients(step, index, weights), weights, memory)
            for index, (weights, memory) in enumerate(zip(values, memories, strict=True))
        ]
    return values


def mean_of(memory, name, value, beta, start=0.0):
    memory[name] = beta * memory.get(name, start) + (1 - beta) * value
    return memory[name]


def adam_step(step, gradient, memory, betas=(0.9, 0.999), eps=1e-8):
    first = mean_of(memory, "first", gradient, betas[0]) / (1 - betas[0] ** step)
    second = mean_of(memory, "second", gradient**2, betas[1]) / (1 - betas[1] ** step)
    return first / (np.sqrt(second) + eps)


def norm(values):
    return np.sqrt((values**2).sum())


def adabelief(step, gradient, weights, memory):
    """Zhuang et al. 2020: the variance about the mean, weight decay beside it."""
    weights = weights * (1 - LR * DECAY)
    first = mean_of(memory, "first", gradient, 0.9)
    spread = mean_of(memory, "spread", (gradient - first) ** 2, 0.999)
    return weights - LR * first / (1 - 0.9**step) / np.sqrt(spread / (1 - 0.999**step))


def adan_parts(step, gradient, memory):
    change = gradient - memory.get("before", gradient)
    memory["before"] = gradient
    first = mean_of(memory, "first", gradient, 0.98) / (1 - 0.98**step)
    changes = mean_of(memory, "changes", change, 0.92) / (1 - 0.92**step)
    second = mean_of(memory, "second", (gradient + 0.92 * change) ** 2, 0.99) / (1 - 0.99**step)
    return LR * (first + 0.92 * changes) / (np.sqrt(second) + 1e-8)


def adan(step, gradient, weights, memory):
    """Xie et al. 2022, algorithm 1."""
    return (weights - adan_parts(step, gradient, memory)) / (1 + LR * DECAY)


def adanw(step, gradient, weights, memory):
    return weights * (1 - LR * DECAY) - adan_parts(step, gradient, memory)


def adopt(step, gradient, weights, memory, *, is_decoupled=False):
    """Taniguchi et al. 2024, with the clipping of its second version: the first step only sets the scale."""
    if not is_decoupled:
        gradient = gradient + DECAY * weights
    if step == 1:
        memory["second"] = gradient**2
        return weights
    if is_decoupled:
        weights = weights * (1 - LR * DECAY)
    largest = (step - 1) ** 0.333
    scaled = np.clip(gradient / np.maximum(np.sqrt(memory["second"]), 1e-6), -largest, largest)
    weights = weights - LR * mean_of(memory, "first", scaled, 0.9)
    mean_of(memory, "second", gradient**2, 0.9999)
    return weights


def adoptw(*arguments):
    return adopt(*arguments, is_decoupled=True)


def projected(step_taken, gradient, weights):
    """Heo et al. 2021: what of a step lies along the weights is taken away, where the gradient lies across them."""
    if weights.ndim == 1:
        return step_taken, 1.0
    for shape in ((len(weights), -1), (1, -1)):
        rows, slopes = weights.reshape(shape), gradient.reshape(shape)
        cosines = np.abs((rows * slopes).sum(1)) / np.maximum(
            np.sqrt((rows**2).sum(1)) * np.sqrt((slopes**2).sum(1)), 1e-8
        )
        if cosines.max() < 0.1 / math.sqrt(rows.shape[1]):
            unit = rows / (np.sqrt((rows**2).sum(1, keepdims=True)) + 1e-8)
            steps = step_taken.reshape(shape)
            return (steps - unit * (unit * steps).sum(1, keepdims=True)).reshape(weights.shape), None
    return step_taken, 1.0


def adamp(step, gradient, weights, memory):
    first = mean_of(memory, "first", gradient, 0.9)
    second = mean_of(memory, "second", gradient**2, 0.999)
    taken = (0.9 * first + 0.1 * gradient) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    taken, ratio = projected(taken, gradient, weights)
    return weights * (1 - LR * DECAY * (0.01 if ratio is None else ratio)) - LR / (1 - 0.9**step) * taken


def sgdp(step, gradient, weights, memory):
    memory["first"] = 0.9 * memory.get("first", 0.0) + gradient
    taken, ratio = projected(memory["first"], gradient, weights)
    return weights * (1 - LR * DECAY * (0.1 if ratio is None else ratio) / (1 - 0.9)) - LR * taken


def sgdw(step, gradient, weights, memory):
    """Loshchilov & Hutter 2019."""
    memory["first"] = 0.9 * memory.get("first", 0.0) + gradient
    return weights * (1 - LR * DECAY) - LR * memory["first"]


def nadamw(step, gradient, weights, memory):
    """Dozat 2016 in its short form, with decoupled weight decay."""
    first = mean_of(memory, "first", gradient, 0.9)
    second = mean_of(memory, "second", gradient**2, 0.999)
    ahead = (0.9 * first + 0.1 * gradient) / (1 - 0.9**step)
    return weights * (1 - LR * DECAY) - LR * ahead / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)


def laprop(step, gradient, weights, memory):
    """Ziyin et al. 2020: first the scale, then the mean."""
    second = mean_of(memory, "second", gradient**2, 0.999) / (1 - 0.999**step)
    weights = weights - LR * mean_of(memory, "first", gradient / np.sqrt(second), 0.9) / (1 - 0.9**step)
    return weights * (1 - LR * DECAY)


def lars(step, gradient, weights, memory, *, is_clipped=False):
    """You et al. 2017: each layer moves by a share of its weights' length; larc never moves it further than sgd."""
    trust = 0.001 * norm(weights) / (norm(gradient) + DECAY * norm(weights) + 1e-8)
    trust = min(trust / LR, 1.0) if is_clipped else trust
    scaled = trust * (gradient + DECAY * weights)
    memory["first"] = 0.9 * memory["first"] + scaled if memory else scaled
    return weights - LR * memory["first"]


def larc(*arguments):
    return lars(*arguments, is_clipped=True)


def lion(step, gradient, weights, memory):
    """Chen et al. 2023."""
    sign = np.sign(0.9 * memory.get("first", 0.0) + 0.1 * gradient)
    mean_of(memory, "first", gradient, 0.99)
    return weights * (1 - LR * DECAY) - LR * sign


def madgrad(step, gradient, weights, memory):
    """Defazio & Jelassi 2021, algorithm 1, with eps added to the rate as its authors' code does."""
    start = memory.setdefault("start", weights)
    gradient = gradient + DECAY * weights
    weight = (LR + 1e-6) * math.sqrt(step)
    memory["sum"] = memory.get("sum", 0.0) + weight * gradient
    memory["squares"] = memory.get("squares", 0.0) + weight * gradient**2
    return 0.9 * weights + 0.1 * (start - memory["sum"] / (np.cbrt(memory["squares"]) + 1e-6))


def mars(step, gradient, weights, memory):
    """Yuan et al. 2024, in its AdamW form; vectors go by AdamW itself."""
    if weights.ndim == 1:
        return weights - LR * (DECAY * weights + adam_step(step, gradient, memory, (0.9, 0.99)))
    corrected = gradient + 0.025 * 0.9 / 0.1 * (gradient - memory.get("before", gradient))
    memory["before"] = gradient
    corrected = corrected / max(1.0, norm(corrected))
    return weights - LR * (DECAY * weights + adam_step(step, corrected, memory, (0.9, 0.99)))


MUON = [
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
]


def muon(step, gradient, weights, memory):
    """Jordan et al. 2024: the momentum, its singular values brought near 1; vectors go by AdamW."""
    weights = weights * (1 - LR * DECAY)
    if weights.ndim == 1:
        return weights - LR * adam_step(step, gradient, memory, (0.9, 0.95))
    left, values, right = np.linalg.svd(mean_of(memory, "first", gradient, 0.9), full_matrices=False)
    values = values / norm(values)
    for a, b, c in MUON:
        values = a * values + b * values**3 + c * values**5
    assert (np.abs(values - 1) < 0.2).all()
    return weights - LR * 0.2 * math.sqrt(max(weights.shape)) * (left * values) @ right


def novograd(step, gradient, weights, memory):
    """Ginsburg et al. 2019: one second moment a layer."""
    square = (gradient**2).sum()
    memory["second"] = 0.98 * memory["second"] + 0.02 * square if memory else square
    memory["first"] = 0.95 * memory.get("first", 0.0) + gradient / (np.sqrt(memory["second"]) + 1e-8) + DECAY * weights
    return weights - LR * memory["first"]


def rmsproptf(step, gradient, weights, memory):
    """As TensorFlow: the average of squares starts at 1, eps stands inside the root, the rate inside the momentum."""
    gradient = gradient + DECAY * weights
    square = mean_of(memory, "square", gradient**2, 0.9, start=1.0)
    memory["first"] = 0.9 * memory.get("first", 0.0) + LR * gradient / np.sqrt(square + 1e-10)
    return weights - memory["first"]


def factored(memory, square, beta):
    """Shazeer & Stern 2018: rows and columns alone are remembered of a matrix."""
    if square.ndim == 1:
        return mean_of(memory, "all", square, beta)
    rows = mean_of(memory, "rows", square.mean(1), beta)
    columns = mean_of(memory, "columns", square.mean(0), beta)
    return np.outer(rows, columns) / rows.mean()


def adafactor(step, gradient, weights, memory):
    update = gradient / np.sqrt(factored(memory, gradient**2 + 1e-30, 1 - step**-0.8))
    update = LR * update / max(1.0, norm(update) / math.sqrt(update.size))
    return weights * (1 - LR * DECAY) - update


def adafactorbv(step, gradient, weights, memory):
    """As in Zhai et al. 2022: a first moment in half precision, no clipping."""
    update = gradient / np.sqrt(factored(memory, gradient**2 + 1e-30, min(0.999, 1 - step**-0.8)))
    return weights * (1 - LR * DECAY) - LR * mean_of(memory, "first", update, 0.9)


HALF_PRECISION = {"muon", "adafactorbv"}
RULES = {
    rule.__name__: rule
    for rule in (
        adabelief, adafactor, adafactorbv, adamp, adan, adanw, adopt, adoptw, laprop, larc, lars, lion, madgrad, mars,
        muon, nadamw, novograd, rmsproptf, sgdp, sgdw,
    )
}  # fmt: skip


@pytest.mark.parametrize("gradients", [drawn, across], ids=["drawn", "across"])
@pytest.mark.parametrize("name", RULES)
def test_an_optimizer_of_timm_follows_the_formulas_of_its_paper(name, gradients):
    module = Pair()
    found = descend(module, build_optimizer(module, OptimizerSettings(name=name, lr=LR, weight_decay=DECAY)), gradients)
    expected = by_hand(RULES[name], gradients)
    start = Pair().values()
    for ours, theirs, before in zip(found, expected, start, strict=True):
        # Of the way that was gone, not of the weights.
        way = np.abs(theirs - before).max()
        np.testing.assert_allclose(ours, theirs, atol=way * (2e-2 if name in HALF_PRECISION else 1e-3), rtol=0)
        assert way > 1e-4


def test_gradients_across_the_weights_are_what_p_variants_project():
    weights = Pair().values()[0]
    taken, ratio = projected(weights, across(1, 0, weights), weights)
    np.testing.assert_allclose(taken, 0, atol=1e-7)
    assert ratio is None
    assert projected(weights, drawn(1, 0, weights), weights)[1] == 1.0


TORCH = {
    "adadelta": lambda p: torch.optim.Adadelta(p, lr=LR, weight_decay=DECAY),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=LR, weight_decay=DECAY, eps=1e-8),
    "adamax": lambda p: torch.optim.Adamax(p, lr=LR, weight_decay=DECAY),
    "nadam": lambda p: torch.optim.NAdam(p, lr=LR, weight_decay=DECAY),
    "radam": lambda p: torch.optim.RAdam(p, lr=LR, weight_decay=DECAY),
    "radamw": lambda p: torch.optim.RAdam(p, lr=LR, weight_decay=DECAY, decoupled_weight_decay=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=LR, weight_decay=DECAY, momentum=0.9, alpha=0.9),
}


@pytest.mark.parametrize("name", TORCH)
def test_an_optimizer_that_torch_has_too_steps_as_that_one(name):
    ours, theirs = Pair(), Pair()
    found = descend(ours, build_optimizer(ours, OptimizerSettings(name=name, lr=LR, weight_decay=DECAY)))
    expected = descend(theirs, TORCH[name](theirs.parameters()))
    for mine, other, start in zip(found, expected, Pair().values(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-6)
        assert np.abs(mine - start).max() > 1e-6


@pytest.mark.parametrize("is_decoupled", [False, True])
def test_lamb_follows_the_formulas_of_its_paper(is_decoupled):
    """You et al. 2020: all gradients together are cut to length 1, and each layer's step has its weights' length."""
    values, memories = Pair().values(), [{}, {}]
    for step in range(1, N_STEPS + 1):
        gradients = [drawn(step, index, weights) for index, weights in enumerate(values)]
        length = max(1.0, math.sqrt(sum((gradient**2).sum() for gradient in gradients)))
        for index, (weights, memory) in enumerate(zip(values, memories, strict=True)):
            update = adam_step(step, gradients[index] / length, memory, eps=1e-6)
            if is_decoupled:
                weights = weights * (1 - LR * DECAY)  # noqa: PLW2901
            else:
                update = update + DECAY * weights
            values[index] = weights - LR * norm(weights) / norm(update) * update
    module = Pair()
    name = "lambw" if is_decoupled else "lamb"
    found = descend(module, build_optimizer(module, OptimizerSettings(name=name, lr=LR, weight_decay=DECAY)))
    for ours, theirs in zip(found, values, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


def test_every_optimizer_of_timm_is_held_to_something():
    assert RULES.keys() | TORCH.keys() | {"lamb", "lambw"} == set(TimmOptimizer.__args__)
