"""Edits of `model.json`: each is refused, or changes no answer; none is taken in silence."""

import json
import time

import numpy as np
import pytest
import safetensors.torch
from tests.unit.models.test_saved import SHAPE, make

from auscult.config.description import DIGEST_KEY, check_digest, description_digest, write_description
from auscult.config.train import PretrainedSettings
from auscult.errors import DataError
from auscult.evaluation.compare import read_result
from auscult.inference.predictions import FileOutputs, _Queue
from auscult.models import load_model, save_model
from auscult.reports.jobs import _read_description
from auscult.training.pretrained import load_pretrained

SLOWEST_S = 5.0


def put(*keys, to):
    """Return an edit that sets the value at a place."""

    def edit(meta):
        inner = meta
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = to(inner[keys[-1]]) if callable(to) else to

    return edit


def rename(old, new):
    return lambda values: {new if key == old else key: value for key, value in values.items()}


POINT = {"thresholds": {"a": 0.25, "b": 0.5}}
# What an edit is called -> the edit, and whether types refuse it also where no digest does.
EDITS = {
    "mean of zeros": (put("normalisation", "mean_db", to=lambda values: [0.0] * len(values)), False),
    "mean of NaN": (put("normalisation", "mean_db", 0, to=float("nan")), True),
    "mean of text": (put("normalisation", "mean_db", 0, to="-50"), True),
    "a band too few": (put("normalisation", "mean_db", to=lambda values: values[1:]), True),
    "a band too many": (put("normalisation", "std_db", to=lambda values: [*values, 1.0]), True),
    "no deviation": (put("normalisation", "std_db", 3, to=0.0), True),
    "negative deviation": (put("normalisation", "std_db", to=lambda values: [-value for value in values]), True),
    "infinite deviation": (put("normalisation", "std_db", 0, to=float("inf")), True),
    "no normalisation": (put("normalisation", to={}), True),
    "f_max_hz of 1": (put("spectrogram", "f_max_hz", to=1.0), False),
    "f_min_hz above f_max_hz": (
        put("spectrogram", to=lambda old: {**old, "f_min_hz": 2000.0, "f_max_hz": 900.0}),
        True,
    ),
    "mel bands as text": (put("spectrogram", "n_mels", to="128"), True),
    "another hop": (put("spectrogram", "hop_samples", to=128), False),
    "another sample rate": (put("clips", "sample_rate_hz", to=4000), False),
    "sample rate of 0": (put("clips", "sample_rate_hz", to=0), True),
    "sample rate of true": (put("clips", "sample_rate_hz", to=True), True),
    "unknown key in clips": (put("clips", to=lambda old: {**old, "rate": 1}), True),
    "temperature of -1": (lambda meta: meta.update(temperature=-1), True),
    "temperature of 0": (lambda meta: meta.update(temperature=0), True),
    "temperature of 2": (lambda meta: meta.update(temperature=2.0), False),
    "threshold moved": (put("thresholds", "a", to=0.9), False),
    "threshold of NaN": (put("thresholds", "a", to=float("nan")), True),
    "threshold as text": (put("thresholds", "a", to="0.25"), True),
    "thresholds a number": (put("thresholds", to=0.0), True),
    "thresholds empty": (put("thresholds", to={}), True),
    "threshold of another target": (put("thresholds", to=rename("a", "c")), True),
    "classes in another order": (put("targets", to=lambda names: names[::-1]), True),
    "target renamed": (put("targets", 0, to="c"), True),
    "both orders changed": (lambda meta: (meta["targets"].reverse(), meta["task"]["targets"].reverse()), False),
    "another aggregation": (put("task", "aggregate", to={"method": "max"}), False),
    "operating point of one level": (lambda meta: meta.update(operating_points={"clip": POINT}), True),
    "conformal quantile of 2": (
        lambda meta: meta.update(
            conformal={"alpha": 0.1, "level": "clip", "classes": {"a": {"positive": {"quantile": 2.0, "n": 9}}}}
        ),
        True,
    ),
    "huge input": (put("input_shape", to=[10**9, 10**9]), True),
    "digest of the weights": (put("weights_sha256", to="0" * 64), True),
    "digest of the description": (put(DIGEST_KEY, to="0" * 64), False),
    "no digest of the description": (lambda meta: meta.pop(DIGEST_KEY), False),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    save_model(folder, make())
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    for name in ("model.json", "model.safetensors"):
        (tmp_path / name).write_bytes((saved / name).read_bytes())
    return tmp_path


def edited(folder, edit):
    meta = json.loads((folder / "model.json").read_text())
    edit(meta)
    return meta


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_refused_at_once(folder, name):
    (folder / "model.json").write_text(json.dumps(edited(folder, EDITS[name][0])))
    start_s = time.perf_counter()
    with pytest.raises(DataError, match=r"model\.json: |its SHA-256 is"):
        load_model(folder)
    assert time.perf_counter() - start_s < SLOWEST_S


def test_thirty_six_edits_are_tried():
    assert len(EDITS) == 36


@pytest.mark.parametrize("name", [name for name, (_, is_typed) in EDITS.items() if is_typed])
def test_what_no_model_is_is_refused_where_the_digest_was_made_anew(folder, name):
    meta = edited(folder, EDITS[name][0])
    try:
        digest = description_digest(meta)
    except ValueError:  # NaN and infinity have no digest, and no JSON
        digest = "0" * 64
    (folder / "model.json").write_text(json.dumps({**meta, DIGEST_KEY: digest}))
    with pytest.raises(DataError, match=r"model\.json: |its SHA-256 is"):
        load_model(folder)


def test_order_and_blanks_are_no_edit(folder):
    stored = np.random.default_rng(1).normal(-50, 10, (2, *SHAPE)).astype(np.float16)
    before = load_model(folder).predict_proba(stored)
    meta = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(dict(reversed(meta.items())), indent=7))
    assert (load_model(folder).predict_proba(stored) == before).all()


def test_a_key_that_stands_twice_is_refused(folder):
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(
        text.replace('"thresholds"', '"thresholds": {"a": 0.9, "b": 0.9}, "thresholds"', 1)
    )
    with pytest.raises(DataError, match=r"'thresholds'.* stand twice"):
        load_model(folder)


def test_a_model_of_an_earlier_version_is_taken_with_a_warning(folder, caplog):
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    safetensors.torch.save_file(weights, folder / "model.safetensors")
    from auscult.storage.files import sha256_file

    meta = edited(folder, lambda meta: meta.pop(DIGEST_KEY))
    meta["weights_sha256"] = sha256_file(folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps(meta))
    assert load_model(folder).targets == ("a", "b")
    assert "whether it was changed cannot be told" in caplog.text


def test_pretrained_weights_of_a_touched_result_are_refused(folder):
    model = load_model(folder)
    write_description(folder, model.meta | {"weights_sha256": "0" * 64})
    with pytest.raises(DataError, match="its SHA-256 is"):
        load_pretrained(
            model.classifier, PretrainedSettings(result=str(folder)), make_settings(model.meta), model.input_shape
        )


def make_settings(meta):
    from pydantic import TypeAdapter

    from auscult.config.model import ModelSettings

    return TypeAdapter(ModelSettings).validate_python(meta["architecture"])


def test_a_probability_that_is_no_number_is_an_error_of_its_file_alone(tmp_path):
    one, two = FileOutputs(tmp_path / "one.wav"), FileOutputs(tmp_path / "two.wav")
    queue = _Queue(lambda clips: np.where(clips > 0, np.nan, 0.5), 8)
    queue.add(one, np.array([[1.0]]))
    queue.add(two, np.array([[0.0]]))
    queue.flush()
    assert "gives no number" in (one.fault or "") and two.fault is None


def test_reports_and_comparisons_read_no_touched_description(folder):
    path = folder / "model.json"
    meta = edited(folder, EDITS["threshold moved"][0])
    path.write_text(json.dumps(meta))
    with pytest.raises(DataError, match="does not match its description_sha256"):
        read_result(folder)
    with pytest.raises(DataError, match="does not match its description_sha256"):
        _read_description(path)
    for nothing in ([], "x", None):
        with pytest.raises(DataError, match=r"model\.json: found"):
            check_digest(nothing, path)
