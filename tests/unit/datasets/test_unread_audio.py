"""Sound that is not read is named, never passed over."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pydantic import TypeAdapter
from tests.encoded import CODECS, encode, tone

from auscult.config import DatasetSettings
from auscult.datasets.folder import AUDIO_SUFFIXES, UNREAD_AUDIO_SUFFIXES
from auscult.datasets.ingest import ingest
from auscult.storage.tables import read_recordings


def ingested(root: Path, output: Path) -> tuple[list[str], dict[str, str]]:
    settings = TypeAdapter(DatasetSettings).validate_python(
        {"description": "a test", "root": str(root), "layout": "manifest"}
    )
    ingest(root, "set", settings, output)
    rejected = pd.read_csv(output / "rejected.csv")
    return read_recordings(output / "recordings.parquet")["path"].tolist(), dict(
        zip(rejected["file"], rejected["reason"], strict=True)
    )


def test_a_folder_of_what_phones_write_is_read_without_a_table(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for suffix, (codec, rate_hz) in CODECS.items():
        encode(root / f"{suffix[1:]}{suffix}", tone(rate_hz), codec, rate_hz)
    found, rejected = ingested(root, tmp_path / "out")
    assert sorted(found) == sorted(f"{suffix[1:]}{suffix}" for suffix in CODECS)
    assert not rejected


@pytest.mark.parametrize("suffix", [".ds2", ".mid", ".PCM"])
def test_sound_of_a_kind_that_is_not_read_is_a_rejection_of_its_own(
    tmp_path: Path, root: Path, write_wav: Callable, suffix: str
) -> None:
    write_wav("a.wav")
    (root / f"b{suffix}").write_bytes(b"\x03ds2\x00\x01")
    found, rejected = ingested(root, tmp_path / "out")
    assert found == ["a.wav"]
    assert list(rejected) == [f"b{suffix}"]
    assert rejected[f"b{suffix}"].startswith("unread audio: not read")
    assert f"decodes {suffix.lower()} files" in rejected[f"b{suffix}"]
    assert "convert it to wav or flac" in rejected[f"b{suffix}"]


def test_no_suffix_is_both_read_and_not_read() -> None:
    assert not set(AUDIO_SUFFIXES) & set(UNREAD_AUDIO_SUFFIXES)
