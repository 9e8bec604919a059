"""One strict reader: text stays as it is written, numbers are numbers, and no file ends the interpreter."""

import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from auscult.config.base import Label, Settings
from auscult.config.documents import MAX_BYTES, dump_yaml, parse_yaml, read_yaml
from auscult.config.files import named_file
from auscult.config.resolve import load_experiment, load_task
from auscult.errors import ConfigError


@pytest.mark.parametrize(
    "text", ["017", "0x1F", "0b1", "1_000", "12:30", "2026-02-30", "2026-01-01", "yes", "no", "off", "+3", "1.2.3"]
)
def test_what_is_no_plain_number_is_text(text):
    assert parse_yaml(f"a: {text}", "x") == {"a": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 1e-3), ("1.0e-3", 1e-3), ("-2", -2), (".5", 0.5), ("5.", 5.0), ("0", 0), ("true", True)],
)
def test_numbers_and_booleans(text, value):
    found = parse_yaml(f"a: {text}", "x")["a"]
    assert found == value
    assert isinstance(found, type(value))


class _Section(Settings):
    epochs: int = 1
    rate: float = 1.0
    rates: tuple[float, ...] = ()
    by_name: dict[str, int] = Field(default={})
    label: Label = ""


@pytest.mark.parametrize(
    "wrong",
    [
        "epochs: yes", "epochs: true", "epochs: '3'", "epochs: 3.0", "rate: true", "rate: '1'", "rates: [1, true]",
        "by_name: {a: true}", "epochs: 017", "epochs: 1_000",
    ],
)  # fmt: skip
def test_true_and_text_are_no_numbers(wrong):
    with pytest.raises(ValidationError):
        _Section.model_validate(parse_yaml(wrong, "x"))


def test_whole_numbers_are_numbers_too():
    assert _Section.model_validate(parse_yaml("{epochs: 3, rate: 2, rates: [1, 1e-3]}", "x")).rates == (1.0, 1e-3)


@pytest.mark.parametrize("text", ["1.10", "017", "1", "1e5", "12:30"])
def test_a_label_is_kept_as_it_is_written(text):
    assert _Section.model_validate(parse_yaml(f"label: {text}", "x")).label == text


_EIGHT = ", ".join(["{}"] * 8)
_BOMB = "a: &a [" + _EIGHT.format(*"xxxxxxxx") + "]\n"
_BOMB += "".join(f"{name}: &{name} [{_EIGHT.format(*[f'*{before}'] * 8)}]\n" for before, name in pairwise("abcdefgh"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!int abc", "'abc' cannot be read as int .* line 1, column 4"),
        ("a: !!bool foo", "cannot be read as bool"),
        ("a: !!timestamp 2026-02-30", "cannot be read as timestamp"),
        ("a: " + "9" * 5000, "cannot be read as int"),
        ("[" * 100_000, "deeper than 50 levels"),
        ("a: &a [*a]", "holds itself"),
        (_BOMB, "more than 200,000 values"),
        ("!!python/object/apply:os.system [echo]", "could not determine a constructor"),
        ("a: 1\na: 2", "stands here twice"),
        ("? [a]\n: b", "is not text"),
    ],
)  # fmt: skip
def test_each_fault_is_one_message_with_its_line(text, message):
    with pytest.raises(ConfigError, match=r"(?s)file\.yaml: not valid YAML.*" + message) as caught:
        parse_yaml(text, "file.yaml")
    assert "line" in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_file_that_is_none_of_ours_is_refused(tmp_path):
    (tmp_path / "large.yaml").write_bytes(b"a: " + b"x" * MAX_BYTES)
    with pytest.raises(ConfigError, match="larger than 4 MB"):
        read_yaml(tmp_path / "large.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        read_yaml(tmp_path)
    with pytest.raises(ConfigError, match="preset"):
        named_file(tmp_path, "x" * 5000, "preset", "here")


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(_PLAIN, st.booleans())
def test_what_is_written_is_read_back(value, flow):
    assert parse_yaml(dump_yaml({"a": value}, flow=flow), "x") == {"a": value}


@given(st.sampled_from(["1e5", "017", "12:30", "1_0", "yes", "2026-01-01", ".5", "0x1", "~", "-1", "null"]))
def test_other_readers_take_our_text_for_text_too(text):
    assert yaml.safe_load(dump_yaml({"a": text})) == {"a": text}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train: {epochs: yes}", r"train\.epochs: found 'yes'; .*\(line 3\)"),
        ("train:\n  batch_size: 16\n  epochs: 1_000", r"train\.epochs: found '1_000'; .*\(line 5\)"),
        ("jobs: [{}, {model: {name: mixnet}}]", r"unknown model 'mixnet'.*\(line 3\)"),
        ("descriptions: x", r"unknown key 'descriptions', did you mean 'description'\?.*"),
        ("evaluate: {seed: true}", r"evaluate\.seed: found True; .*\(line 3\)"),
    ],
)
def test_a_fault_names_file_key_and_line(tmp_path, line, said):
    config = Path(shutil.copytree(Path("config"), tmp_path / "config"))
    path = config / "experiments" / "pneumonia" / "odd.yaml"
    rest = "clips: {}\nspectrogram: {}\nsplit: {kind: patients}\nmodel: {name: mixednet}\ndescription: x\n"
    path.write_text(f"task: pneumonia\ndatasets: [icbhi]\n{line}\n{rest}")
    with pytest.raises(ConfigError, match=rf"odd\.yaml: .*{said}"):
        load_experiment(config, "pneumonia", "odd")


def test_a_number_in_a_place_for_text_is_refused_with_the_text_to_quote(tmp_path):
    path = tmp_path / "config" / "tasks" / "odd.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("description: 1.10\ntype: binary\ntargets: [ill]\n")
    said = r"odd\.yaml: description: found 1\.1; expected text; quote it: '1\.10' \(line 1\)"
    with pytest.raises(ConfigError, match=said):
        load_task(tmp_path / "config", "odd")
