"""What the tests of the repository itself share: the programs below `tools/`, as modules."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def tool(project_dir: Path) -> Callable[[str], ModuleType]:
    def loaded(path: str) -> ModuleType:
        file = project_dir / "tools" / path
        name = f"tools_{file.stem}"
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, file)
            sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[name])
        return sys.modules[name]

    return loaded
