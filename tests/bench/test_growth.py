"""What counts as growth beyond what a stage may take."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))


@pytest.mark.parametrize(
    ("times_s", "sizes_mib", "is_flat", "expected"),
    [
        ((1, 2, 4), (100, 200, 400), False, []),
        ((1, 2, 4), (100, 100, 105), True, []),
        ((3, 4, 6), (50, 50, 60), True, []),  # what is done once in any case
        ((1, 4, 16), (100, 200, 400), False, ["time more than linear"]),
        ((5, 6, 16), (100, 200, 400), False, ["time more than linear"]),  # hidden by what is done once
        ((1, 2, 4), (100, 400, 1600), False, ["memory more than linear"]),
        ((1, 2, 4), (100, 200, 400), True, ["memory not flat"]),
    ],
)
def test_growth_is_named(times_s: tuple, sizes_mib: tuple, is_flat: bool, expected: list[str]) -> None:
    from bench.growth import Cost, faults

    assert faults([Cost(*pair) for pair in zip(times_s, sizes_mib, strict=True)], is_flat=is_flat) == expected
