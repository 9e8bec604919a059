"""Ensembles: the mean of probabilities, equal members, the file and its refusals."""

import copy
import json

import numpy as np
import pytest
import torch
from tests.unit.models.test_saved import SHAPE, make

from auscult.config import SpectrogramSettings
from auscult.errors import DataError
from auscult.models import Normalisation, SavedModel, average_models, load_model, save_model
from auscult.models.ensemble import mean_logits


@pytest.fixture
def spectrograms():
    return np.random.default_rng(1).normal(-50, 10, (5, *SHAPE)).astype(np.float16)


def trained(seed: int, kind: str = "multi_label") -> SavedModel:
    """A model with weights and a normalisation of its own."""
    model = make(kind=kind)
    module = copy.deepcopy(model.classifier)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in module.parameters():
            weights.add_(0.3 * torch.randn(weights.shape, generator=generator))
    rng = np.random.default_rng(seed)
    normalisation = Normalisation.from_bands(rng.normal(-50, 5, SHAPE[0]), rng.uniform(5, 15, SHAPE[0]))
    meta = {**model.meta, "weights_sha256": str(seed), "normalisation": normalisation.to_json()}
    return SavedModel(module.eval(), normalisation, meta)


def averaged(*models: SavedModel) -> SavedModel:
    return average_models(models, [f"1/seed{k}" for k in range(len(models))], {"best_epoch": 1})


@pytest.mark.parametrize("kind", ["multi_label", "multi_class"])
def test_the_probability_is_the_mean_of_those_of_the_members(spectrograms, kind):
    models = [trained(seed, kind) for seed in range(3)]
    expected = np.mean([model.predict_proba(spectrograms) for model in models], axis=0)
    np.testing.assert_allclose(averaged(*models).predict_proba(spectrograms), expected, atol=1e-7)
    assert np.abs(models[0].predict_proba(spectrograms) - expected).max() > 0.01


@pytest.mark.parametrize("kind", ["multi_label", "multi_class"])
@pytest.mark.parametrize("n", [2, 3, 7])
def test_equal_members_give_the_member_back(spectrograms, kind, n):
    model = trained(5, kind)
    ensemble = averaged(*[model] * n)
    assert (ensemble.logits(spectrograms) == model.logits(spectrograms)).all()
    assert (ensemble.predict_proba(spectrograms) == model.predict_proba(spectrograms)).all()


@pytest.mark.parametrize("is_exclusive", [True, False])
def test_sure_members_neither_overflow_nor_lose_their_order(is_exclusive):
    logits = torch.tensor([[[200.0, -200.0]], [[90.0, -90.0]], [[-1e4, 1e4]]])
    found = mean_logits(logits, is_exclusive=is_exclusive)
    assert torch.isfinite(found).all()
    both = found.double().softmax(1) if is_exclusive else found.double().sigmoid()
    np.testing.assert_allclose(both, [[2 / 3, 1 / 3]], atol=1e-4)


@pytest.mark.parametrize("kind", ["multi_label", "multi_class"])
def test_shifts_give_the_mean_over_rolled_clips(spectrograms, kind):
    model = trained(3, kind)
    settings = SpectrogramSettings.model_validate(model.meta["spectrogram"])
    frame_s = settings.hop_samples / model.meta["clips"]["sample_rate_hz"]
    shifted = SavedModel(
        model.module, model.normalisation, {**model.meta, "shifts_s": [-3 * frame_s, 0.0, 2 * frame_s]}
    )
    assert shifted.shifts == (-3, 0, 2)
    rolled = [model.predict_proba(np.roll(spectrograms, shift, axis=2)) for shift in (-3, 0, 2)]
    np.testing.assert_allclose(shifted.predict_proba(spectrograms), np.mean(rolled, axis=0), atol=1e-6)
    assert np.abs(shifted.predict_proba(spectrograms) - rolled[1]).max() > 1e-4


def test_shifts_are_saved_with_the_model_and_shared_by_an_ensemble(tmp_path, spectrograms):
    models = [trained(seed) for seed in range(2)]
    shifted = [SavedModel(one.module, one.normalisation, {**one.meta, "shifts_s": [0.0, 0.5]}) for one in models]
    ensemble = averaged(*shifted)
    described = {**ensemble.meta, "thresholds": {"a": 0.4, "b": 0.6}}
    save_model(tmp_path, SavedModel(ensemble.module, ensemble.normalisation, described))
    assert json.loads((tmp_path / "model.json").read_text())["format_version"] == 5
    expected = np.mean([model.predict_proba(spectrograms) for model in shifted], axis=0)
    np.testing.assert_allclose(load_model(tmp_path).predict_proba(spectrograms), expected, atol=1e-5)
    with pytest.raises(DataError, match="shifts_s"):
        averaged(models[0], shifted[1])


def test_the_file_holds_all_members(tmp_path, spectrograms):
    models = [trained(seed) for seed in range(2)]
    ensemble = averaged(*models)
    described = {**ensemble.meta, "thresholds": {"a": 0.4, "b": 0.6}}
    save_model(tmp_path, SavedModel(ensemble.module, ensemble.normalisation, described))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    loaded = load_model(tmp_path)
    # A loaded model computes with channels innermost.
    np.testing.assert_allclose(loaded.logits(spectrograms), ensemble.logits(spectrograms), rtol=1e-5)
    assert loaded.embed(spectrograms).shape[1] == sum(model.embed(spectrograms).shape[1] for model in models)
    assert loaded.meta["n_parameters"] == 2 * models[0].meta["n_parameters"]
    for member, model in zip(loaded.members, models, strict=True):
        np.testing.assert_allclose(member.logits(spectrograms), model.logits(spectrograms), rtol=1e-5)
    assert [member["weights_sha256"] for member in loaded.meta["members"]] == ["0", "1"]
    assert json.loads((tmp_path / "model.json").read_text())["format_version"] == 4


def test_models_of_two_kinds_are_refused():
    other = trained(1)
    other.meta["spectrogram"] = {**other.meta["spectrogram"], "n_fft": 256}
    with pytest.raises(DataError, match=r"1/seed1 cannot be averaged with 1/seed0: spectrogram.n_fft"):
        averaged(trained(0), other)


def test_what_needs_one_network_says_that_there_are_several():
    with pytest.raises(DataError, match="an ensemble of 2 trainings"):
        _ = averaged(trained(0), trained(1)).classifier
