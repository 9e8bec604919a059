"""Ctrl-C while a command or a script still imports what it needs."""

import signal
import subprocess
import sys

import pytest

SLOW_IMPORT = """
import sys, time, types
class Slow:
    def find_spec(self, name, path, target=None):
        if name == {name!r}:
            print("importing", flush=True)
            time.sleep(30)
sys.meta_path.insert(0, Slow())
{then}
"""
COMMAND = "sys.argv = ['auscult', 'data', 'list']; import runpy; runpy.run_module('auscult', run_name='__main__')"


def interrupted(name, then, cwd):
    process = subprocess.Popen(
        # Ctrl-C must reach it, also where the tests run in the background of a script, which ignores that signal.
        ["env", "--default-signal=INT", sys.executable, "-c", SLOW_IMPORT.format(name=name, then=then)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd,
    )  # fmt: skip
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    return process.returncode, errors


@pytest.mark.parametrize(
    ("name", "then"),
    [("typer", COMMAND), ("pydantic", COMMAND), ("torch", "exec(open('workflow_scripts/train.py').read())")],
)
def test_one_word_and_no_traceback(project_dir, name, then):
    status, errors = interrupted(name, then, project_dir)
    assert errors == "interrupted\n"
    assert status == -signal.SIGINT


def test_other_faults_keep_their_traceback(project_dir):
    done = subprocess.run(
        [sys.executable, "-c", "import auscult.interrupts; 1 / 0"],
        capture_output=True, text=True, check=False, cwd=project_dir,
    )  # fmt: skip
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_every_workflow_script_is_quiet_from_its_first_import_on(project_dir):
    scripts = sorted((project_dir / "workflow_scripts").glob("*.py"))
    assert len(scripts) >= 10
    for script in scripts:
        imports = [line for line in script.read_text().splitlines() if line.startswith(("import ", "from "))]
        slow = [line for line in imports if "auscult" in line]
        assert slow[0].startswith("import auscult.interrupts"), script
