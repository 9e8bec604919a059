import pytest
import torch
from torch import nn

from auscult.config import TrainSettings
from auscult.config.model import TestCnnSettings
from auscult.config.optimizer import DECOUPLED, OptimizerSettings, TimmOptimizer
from auscult.errors import ConfigError
from auscult.models import build_model
from auscult.training.optim import PARTS, FrozenPart, build_optimizer, parameter_groups


class Toy(nn.Module):
    """Two layers of a backbone and a head, each one number; what the optimizer sees is the sum of squares."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
        self.head = nn.Linear(1, 1)
        for value, parameter in enumerate(self.parameters(), start=1):
            nn.init.constant_(parameter, float(value))

    def descend(self, optimizer, n_steps=3):
        for _ in range(n_steps):
            optimizer.zero_grad()
            sum((parameter**2).sum() for parameter in self.parameters()).backward()
            optimizer.step()
        return [parameter.item() for parameter in self.parameters()]


@pytest.mark.parametrize(
    ("settings", "kind", "arguments"),
    [
        ({"name": "adam"}, torch.optim.Adam, {}),
        ({"name": "adam", "betas": (0.8, 0.9), "eps": 1e-3}, torch.optim.Adam, {"betas": (0.8, 0.9), "eps": 1e-3}),
        ({"name": "adamw"}, torch.optim.AdamW, {}),
        ({"name": "adam", "decoupled_weight_decay": True}, torch.optim.AdamW, {}),
        ({"name": "sgd", "momentum": 0.8}, torch.optim.SGD, {"momentum": 0.8}),
        ({"name": "sgd", "nesterov": True}, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
        ({"name": "sgd", "momentum": 0.8, "dampening": 0.3}, torch.optim.SGD, {"momentum": 0.8, "dampening": 0.3}),
        ({"name": "sgd", "maximize": True}, torch.optim.SGD, {"momentum": 0.9, "maximize": True}),
        ({"name": "nadam"}, torch.optim.NAdam, {}),
        ({"name": "radam"}, torch.optim.RAdam, {}),
    ],
)
def test_optimizers_step_as_those_of_torch_do(settings, kind, arguments):
    ours, theirs = Toy(), Toy()
    settings = OptimizerSettings(lr=0.02, weight_decay=0.1, **settings)
    expected = theirs.descend(kind(theirs.parameters(), lr=0.02, weight_decay=0.1, **arguments))
    assert ours.descend(build_optimizer(ours, settings)) == pytest.approx(expected, rel=1e-6)
    assert expected != Toy().descend(torch.optim.SGD(Toy().parameters(), lr=1.0))


def test_sgd_with_momentum_equals_the_hand_computation():
    toy = Toy()
    toy.descend(build_optimizer(toy, OptimizerSettings(name="sgd", lr=0.1, momentum=0.9)), n_steps=2)
    # Gradient 2x. First step: 0.1 * 2; x = 0.8. Second: 0.1 * (0.9 * 2 + 1.6).
    assert next(toy.parameters()).item() == pytest.approx(0.8 - 0.34, rel=1e-6)


def test_decoupled_sgd_shrinks_weights_beside_the_step():
    toy = Toy()
    settings = OptimizerSettings(name="sgd", decoupled_weight_decay=True, lr=0.1, momentum=0.0, weight_decay=0.5)
    toy.descend(build_optimizer(toy, settings), n_steps=1)
    assert next(toy.parameters()).item() == pytest.approx(1.0 * (1 - 0.1 * 0.5) - 0.1 * 2.0, rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "kind", "momentum"),
    [({"name": "sgd"}, torch.optim.SGD, 0.9), ({"name": "adam"}, torch.optim.Adam, None)],
)
def test_decoupled_decay_is_what_shrinking_between_backward_and_step_is(settings, kind, momentum):
    ours, theirs = Toy(), Toy()
    decoupled = OptimizerSettings(decoupled_weight_decay=True, lr=0.05, weight_decay=0.3, **settings)
    found = ours.descend(build_optimizer(ours, decoupled), n_steps=5)
    optimizer = kind(theirs.parameters(), lr=0.05, **({} if momentum is None else {"momentum": momentum}))
    for _ in range(5):
        optimizer.zero_grad()
        sum((parameter**2).sum() for parameter in theirs.parameters()).backward()
        with torch.no_grad():
            for parameter in theirs.parameters():
                parameter.mul_(1 - 0.05 * 0.3)
        optimizer.step()
    assert found == pytest.approx([parameter.item() for parameter in theirs.parameters()], rel=1e-5)


def test_settings_that_an_optimizer_has_not_are_refused():
    for fault in (
        {"name": "adam", "dampening": 0.1},
        {"name": "sgd", "dampening": 0.1, "nesterov": True},
        {"name": "lamb", "maximize": True},
        {"name": "sgd", "maximize": True, "decoupled_weight_decay": True},
    ):
        with pytest.raises(ValueError, match="belongs to"):
            OptimizerSettings(**fault)


def test_all_but_the_head_is_frozen_front_end_too():
    module = nn.ModuleDict({name: nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)) for name in PARTS})
    frozen = FrozenPart(module, TrainSettings(freeze="all_but_head", thaw_epoch=3))
    for epoch, expected in ((1, {"head"}), (3, set(PARTS))):
        module.train()
        frozen.apply(epoch)
        assert {name for name, part in module.items() if part[0].weight.requires_grad} == expected
        assert {name for name, part in module.items() if part[1].training} == expected


@pytest.mark.parametrize("name", TimmOptimizer.__args__)
def test_every_optimizer_of_timm_is_known_there_and_descends(name):
    model = build_model(TestCnnSettings(name="test_cnn"), 2, (32, 40))
    optimizer = build_optimizer(model, OptimizerSettings(name=name, lr=0.01))
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.ones(2, 32, 40)).square().sum().backward()
        optimizer.step()
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    assert all(new.isfinite().all() for new in model.parameters())


def test_decoupled_names_are_optimizers():
    for name in DECOUPLED:
        assert OptimizerSettings(name=name, decoupled_weight_decay=True).name == name
    with pytest.raises(ValueError, match="has its own way"):
        OptimizerSettings(name="lion", decoupled_weight_decay=True)


def test_a_setting_that_the_optimizer_does_not_take_is_named():
    with pytest.raises(ConfigError, match=r"sgd takes not all of \['betas'\]"):
        build_optimizer(Toy(), OptimizerSettings(name="sgd", betas=(0.9, 0.99)))
    with pytest.raises(ValueError, match="nesterov"):
        OptimizerSettings(name="adam", nesterov=True)


def test_each_part_has_its_rate_and_decay():
    settings = OptimizerSettings.model_validate(
        {
            "lr": 0.1,
            "weight_decay": 0.5,
            "groups": {"head": {"lr": 1.0}, "backbone": {"weight_decay": 0.25}},
            "decay_norms_and_biases": False,
        }
    )
    found = {
        (group["name"], group["lr"], group["weight_decay"], len(group["params"]))
        for group in parameter_groups(Toy(), settings)
    }
    assert found == {
        ("backbone", 0.1, 0.25, 2),
        ("backbone", 0.1, 0.0, 2),
        ("head", 1.0, 0.5, 1),
        ("head", 1.0, 0.0, 1),
    }


def test_the_rates_of_layers_fall_towards_the_input():
    toy = Toy()
    groups = parameter_groups(toy, OptimizerSettings(lr=0.8, layer_decay=0.5))
    assert {group["name"]: group["lr"] for group in groups} == {"backbone/0": 0.2, "backbone/1": 0.4, "head": 0.8}
    assert sum(len(group["params"]) for group in groups) == 6


@pytest.mark.parametrize("name", ["mixednet", "timm/test_convnext", "cnn6"])
def test_layers_of_real_models_follow_each_other(name):
    from pydantic import TypeAdapter

    from auscult.config.model import ModelSettings

    model = build_model(TypeAdapter(ModelSettings).validate_python({"name": name}), 1, (64, 96))
    groups = parameter_groups(model, OptimizerSettings(lr=1.0, layer_decay=0.5))
    parameters = [parameter for group in groups for parameter in group["params"]]
    assert len({id(parameter) for parameter in parameters}) == len(parameters) == len(list(model.parameters()))
    rates = {group["name"]: group["lr"] for group in groups}
    n_layers = len(rates) - 1
    assert n_layers >= 3
    assert rates["head"] == 1.0
    assert [rates[f"backbone/{layer}"] for layer in range(n_layers)] == [0.5 ** (n_layers - k) for k in range(n_layers)]
    # The first convolution is the lowest, what stands last the highest.
    of = {id(parameter): group["name"] for group in groups for parameter in group["params"]}
    backbone = [of[id(parameter)] for name, parameter in model.named_parameters() if name.startswith("backbone")]
    assert backbone[0] == "backbone/0"
    assert backbone[-1] == f"backbone/{n_layers - 1}"
