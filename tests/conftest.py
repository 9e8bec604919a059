"""What all tests share: where the project and the real recordings lie."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

PROJECT = Path(__file__).resolve().parents[1]

if "PYTEST_XDIST_WORKER" in os.environ:
    # Test processes run side by side, one a core: were each to use all cores, all would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # What starts with more threads all the same (a page's own commands do) gives its core away while one waits.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# The same examples every time: a change fails by what it did, never by the day's luck. `make fuzz` draws new ones.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the long proofs at their full length (make soak)")


LONG_S = 1800
"""A long proof that took longer hangs: on a busy machine one takes some three times as long as alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG_S))


@pytest.fixture(scope="session")
def soak(request: pytest.FixtureRequest) -> bool:
    """Whether a long proof runs at its full length: all kills, all collections."""
    return bool(request.config.getoption("--soak"))


@pytest.fixture(scope="session")
def project_dir() -> Path:
    return PROJECT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real recordings, which are never part of the repository; tests that need them skip where they are absent."""
    folder = Path(os.environ.get("AUSCULT_REAL_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}; set AUSCULT_REAL_DATA to their folder")
    return folder
