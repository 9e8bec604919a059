"""The clock's ratio, the check that comes before it, and the table beside the last one."""

import time
from pathlib import Path

import pytest

pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))


def work(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def comparison(**changes: object):
    from bench.measure import Comparison

    given = {"title": "a/b", "peer": "peer", "ours": lambda: work(0.02), "theirs": lambda: work(0.06), "least": 1.0}
    return Comparison(**given | {"check": lambda: None} | changes)


def test_a_peer_that_takes_three_times_as_long_gives_a_ratio_of_three() -> None:
    from bench.measure import Options, measure

    row = measure(comparison(), Options(is_tiny=False))
    assert row.ratio == pytest.approx(3, rel=0.2)
    assert not row.is_too_slow


def test_one_that_is_slower_than_asked_is_too_slow_but_not_on_tiny_input() -> None:
    from bench.measure import Options, measure

    slow = comparison(least=4.0)
    assert measure(slow, Options(is_tiny=False)).is_too_slow
    assert not measure(slow, Options(is_tiny=True)).is_too_slow


def test_results_that_differ_are_no_comparison() -> None:
    from bench.measure import Options, measure

    def differ() -> None:
        raise AssertionError("1 is not 2")

    with pytest.raises(AssertionError, match="a/b, peer: the results differ\n1 is not 2"):
        measure(comparison(check=differ), Options(is_tiny=True))


def test_a_row_is_worse_when_it_lost_more_than_a_quarter_and_an_absent_peer_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.measure import Row
    from bench.table import read_ratios, show, write_table

    path = tmp_path / "results.json"
    write_table(path, [Row("a", "peer", 2.0, 1.0, 3.0, None), Row("b", "peer", 2.0, 1.0, 3.0, None)])
    before = read_ratios(path)
    assert before == {"a | peer": 2.0, "b | peer": 2.0}
    now = [
        Row("a", "peer", 1.61, 1, 2, None),
        Row("b", "peer", 1.59, 1, 2, None),
        Row("c", "peer", None, None, None, 1),
    ]
    show(now, before)
    a, b, c = [line for line in capsys.readouterr().out.splitlines() if line.startswith("│ ") and " peer " in line]
    assert "worse" not in a
    assert "worse" in b
    assert "not installed" in c
    write_table(path, [Row("a", "peer", 5.0, 5, 5, None)])
    assert read_ratios(path) == {"a | peer": 5.0, "b | peer": 2.0}


def test_no_table_is_no_ratio(tmp_path: Path) -> None:
    from bench.table import read_ratios

    assert read_ratios(tmp_path / "none.json") == {}
