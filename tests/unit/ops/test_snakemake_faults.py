"""A fault of settings or input is told once and attempted once; whatever else Snakemake says stays."""

import errno
import logging
import os
import time

import pytest

from auscult.errors import BusyError, DataError
from auscult.logs import fault_path, stage_log
from auscult.ops.snakemake_faults import BriefFormatter, Faults, speak_briefly

SCRIPT_ENDED = (
    'RuleException:\nCalledProcessError in file "/x/rules/ingest.smk", line 77:\n'
    "Command 'set -euo pipefail;  python /x/.snakemake/scripts/tmp1.ingest.py' returned non-zero exit status 1."
)


class Job:
    """As Snakemake's, as far as it is asked."""

    def __init__(self, log):
        self.log = [log]

    @property
    def restart_times(self):
        return 3


@pytest.fixture
def job_class():
    return type("OneJob", (Job,), {"restart_times": Job.restart_times})


def fail(log, error):
    with pytest.raises((SystemExit, RuntimeError)), stage_log(log):
        raise error


def record(text, level=logging.ERROR, **said):
    made = logging.LogRecord("snakemake", level, "", 0, text, None, None)
    vars(made).update(said)
    return made


def test_a_fault_of_the_input_is_not_attempted_again_and_any_other_is(tmp_path, job_class):
    Faults().never_again(job_class)
    bad, broken, whole = (tmp_path / name for name in ("bad.log", "broken.log", "whole.log"))
    fail(bad, DataError("no usable recording"))
    fail(broken, RuntimeError("out of memory"))
    with stage_log(whole):
        pass
    assert [job_class(log).restart_times for log in (bad, broken, whole)] == [0, 3, 3]


def test_what_may_pass_is_attempted_again(tmp_path, job_class):
    Faults().never_again(job_class)
    busy, full = tmp_path / "busy.log", tmp_path / "full.log"
    fail(busy, BusyError("the run is being trained by another process"))
    unwritten = DataError("could not be written")
    unwritten.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    fail(full, unwritten)
    absent = DataError("not readable")
    absent.__cause__ = FileNotFoundError(errno.ENOENT, "No such file or directory")
    fail(tmp_path / "absent.log", absent)
    assert [job_class(log).restart_times for log in (busy, full, tmp_path / "absent.log")] == [3, 3, 0]


def test_the_fault_of_an_earlier_command_does_not_count(tmp_path, job_class):
    log = tmp_path / "a.log"
    fail(log, DataError("no usable recording"))
    faults = Faults()
    faults.never_again(job_class)
    a_second_ago = fault_path(log).stat().st_mtime - 1
    os.utime(fault_path(log), (a_second_ago, a_second_ago))
    assert job_class(log).restart_times == 3


def test_an_attempt_that_goes_well_leaves_no_fault(tmp_path):
    log = tmp_path / "a.log"
    fail(log, DataError("no usable recording"))
    assert fault_path(log).read_text() == "no usable recording\n"
    with stage_log(log):
        assert not fault_path(log).exists()


@pytest.fixture
def say(tmp_path):
    return BriefFormatter(logging.Formatter("%(message)s"), Faults()).format


def test_a_stage_s_own_message_is_not_repeated_on_the_terminal(say, tmp_path):
    log = tmp_path / "ingest.log"
    fail(log, DataError("no usable recording"))
    assert say(record(SCRIPT_ENDED)) == ""
    text = say(record("Error in rule ingest", rule_name="ingest", log=[str(log)], aux={}))
    assert text == f"Rule ingest ended by the fault above, which another attempt would meet again (log: {log})"
    assert say(record("WorkflowError:\nAt least one job did not complete successfully.")) == ""


def test_the_message_of_a_job_that_ran_elsewhere_is_shown(say, tmp_path):
    log = tmp_path / "ingest.log"
    fail(log, DataError("no usable recording"))
    text = say(record("Error", rule_name="ingest", log=[str(log)], aux={"slurm_logfile": "7.log"}))
    assert text == f"Rule ingest ended: no usable recording (log: {log})"


@pytest.mark.parametrize(
    "text",
    [
        'RuleException:\nCalledProcessError in file "/x/rules/train.smk", line 1:\n'
        "Command '/x/.snakemake/scripts/tmp1.train.py' died with <Signals.SIGKILL: 9>.",
        "OSError: [Errno 28] No space left on device",
        "Error in rule train",
        "WorkflowError:\nStorage provider is not there",
    ],
)
def test_all_else_is_told_as_snakemake_tells_it(say, text):
    assert say(record(text)) == text
    assert say(record(text, rule_name="train", log=["absent.log"], aux={})) == text


def test_pages_of_changed_params_are_one_line(say):
    page = "Union of exclusive params before and now across all output: before: " + "x" * 9000 + " now: " + "y" * 9000
    text = (
        f"Job 4: Ingesting\nReason: Missing output files: a; Params have changed since last execution: {page}; "
        "Software environment definition has changed since last execution"
    )
    assert say(record(text, logging.INFO)) == (
        "Job 4: Ingesting\nReason: Missing output files: a; Params have changed since last execution "
        "(`auscult explain TARGET` says which); Software environment definition has changed since last execution"
    )


def test_what_the_rules_refuse_is_one_message(say):
    while_read = (
        'WorkflowError in file "/x/rules/common.smk", line 37:\nask for the result\nand so on\n'
        '  File "/x/Snakefile", line 31, in <module>\n  File "/x/rules/common.smk", line 37, in checked'
    )
    assert say(record(while_read)) == "error: ask for the result\nand so on"
    of_inputs = (
        'InputFunctionException in rule publish in file "/x/rules/report.smk", line 35:\nError:\n  WorkflowError:\n'
        "    unknown experiment\n    and so on\nWildcards:\n  task=a\nTraceback:\n"
        '  File "/x/rules/common.smk", line 38, in checked (rule publish, line 65, /x/rules/report.smk)'
    )
    assert say(record(of_inputs)) == "error: unknown experiment\nand so on"
    other = of_inputs.replace("/x/rules/common.smk", "/x/rules/other.smk")
    assert say(record(other)) == other


def test_only_the_terminal_is_brief(tmp_path):
    logger = logging.Logger("snakemake")
    terminal, file = logging.StreamHandler(), logging.FileHandler(tmp_path / "log", encoding="utf-8")
    terminal.name, file.name = "DefaultStreamHandler", "DefaultLogFileHandler"
    for handler in (terminal, file):
        handler.setFormatter(logging.Formatter())
        logger.addHandler(handler)
    speak_briefly(logger, Faults())
    assert isinstance(terminal.formatter, BriefFormatter)
    assert not isinstance(file.formatter, BriefFormatter)
    file.close()


def test_an_input_that_lies_ahead_of_the_clock_is_refused_before_the_work(tmp_path, capsys):
    ahead, rounded, missing = tmp_path / "ahead.h5", tmp_path / "rounded.h5", tmp_path / "missing.h5"
    for path, ahead_s in ((ahead, 3600), (rounded, 1)):
        path.touch()
        os.utime(path, (time.time() + ahead_s,) * 2)
    with pytest.raises(SystemExit), stage_log(tmp_path / "a.log", [missing, rounded, ahead]):
        pytest.fail("the stage has begun")
    said = capsys.readouterr().err
    assert f"{ahead}: its time lies 1:00:00 ahead of this disk's clock" in said
    assert fault_path(tmp_path / "a.log").is_file()
    with stage_log(tmp_path / "b.log", [missing, rounded, tmp_path]):
        pass
