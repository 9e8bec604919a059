"""A real Slurm of one node on this machine, with two counted GPUs that are no real ones.

    python tests/cluster/one_node_slurm.py start FOLDER
    python tests/cluster/one_node_slurm.py start FOLDER --accounting     # enforces accounts and qualities of service
    python tests/cluster/one_node_slurm.py stop
    python tests/cluster/one_node_slurm.py check                         # whether one can be started here

Needs root and Debian's `slurm-wlm`, `munge`, and for accounting `slurmdbd`, `mariadb-server-core` and
`mariadb-client-core`. Slurm reads its configuration from `/etc/slurm` alone (the jobs get no SLURM_CONF), so what lies
there is put aside and comes back on `stop`. State and logs of the daemons lie in FOLDER.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ETC = Path("/etc/slurm")
FILES = ("slurm.conf", "gres.conf", "slurmdbd.conf")
ASIDE = ".before-tests"
STATE = ETC / "one_node_slurm.json"
PACKAGES = {
    "slurm-wlm": ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol"),
    "munge": ("munged",),
    "slurmdbd": ("slurmdbd",),
    "mariadb-server-core": ("mariadbd", "mariadb-install-db"),
    "mariadb-client-core": ("my_print_defaults",),  # without which mariadb-install-db ends at once
}
DAEMONS = ("slurmd", "slurmctld", "slurmdbd", "mariadbd", "munged")
"""In the order in which they are ended."""
N_GPUS = 2
N_CPUS = 8
MEMORY_MB = 64_000
START_WITHIN_S = 60.0

SLURM_CONF = """\
ClusterName=onenode
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
{accounting}
SchedulerParameters=batch_sched_delay=0,sched_interval=2
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=20
MinJobAge=1800
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} Gres=gpu:{gpus} Feature=lungs State=UNKNOWN
NodeName=spare NodeAddr=127.0.0.2 CPUs=1 RealMemory=1000 State=DOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} MaxTime=INFINITE State=UP
"""
NO_ACCOUNTING = """\
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none"""
ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=associations,limits,qos
AccountingStoreFlags=job_comment
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2"""
DATABASE_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={store_port}
StorageUser=slurm
StoragePass={password}
"""
ACCOUNTS = (
    "add cluster onenode",
    "add account lungs cluster=onenode Description=lungs Organization=tests",
    "add qos daytime,overnight",
    "add user root account=lungs",
    "modify user root set qos+=daytime,overnight",
)
"""What `sacctmgr` is told: the user may ask for two qualities of service beside the default one."""
# A counted resource wants a device file each: these two exist everywhere.
GRES_CONF = "AutoDetect=off\nName=gpu File=/dev/zero\nName=gpu File=/dev/null\n"


def why_impossible() -> str | None:
    """Return why no cluster can be started here; None: it can."""
    if os.geteuid() != 0:
        return "starting Slurm needs root"
    missing = [name for names in PACKAGES.values() for name in names if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not found; apt-get install {' '.join(PACKAGES)}"
    if not STATE.exists():
        for name in ("slurmctld", "slurmd", "slurmdbd"):
            if subprocess.run(["pidof", name], capture_output=True, check=False).returncode == 0:
                return f"{name} already runs here, and its configuration must not be replaced"
    return None


def start(folder: Path, *, accounting: bool = False) -> None:
    """Start the cluster and wait until its node takes jobs; one left over by a killed test run is stopped first.

    Args:
        folder: For state and logs.
        accounting: With a database of accounts, without which no job is taken.
    """
    reason = why_impossible()
    if reason is not None:
        sys.exit(f"error: {reason}")
    if STATE.exists():
        stop()
    folder = folder.resolve()
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    host = socket.gethostname().partition(".")[0]
    pids: dict[str, int] = {}
    _put_aside(pids)
    try:
        controller_port, node_port, accounts_port, store_port = _free_ports(4)
        (ETC / "slurm.conf").write_text(
            SLURM_CONF.format(
                host=host,
                folder=folder,
                controller_port=controller_port,
                node_port=node_port,
                cpus=N_CPUS,
                memory_mb=MEMORY_MB,
                gpus=N_GPUS,
                accounting=ACCOUNTING.format(port=accounts_port, folder=folder) if accounting else NO_ACCOUNTING,
            )
        )
        (ETC / "gres.conf").write_text(GRES_CONF)
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        munge = [
            f"--{name}={folder}/munge.{name.removesuffix('-file')}" for name in ("socket", "pid-file", "seed-file")
        ]
        munge += [f"--key-file={key}", f"--log-file={folder}/munged.log"]
        _launch(pids, "munged", ["munged", "--foreground", "--force", *munge], folder)
        _wait_for("munged", (folder / "munge.socket").exists, folder)
        if accounting:
            _keep_accounts(pids, folder, accounts_port, store_port)
        _launch(pids, "slurmctld", ["slurmctld", "-D", "-c"], folder)
        _wait_for("slurmctld", lambda: _answers(["scontrol", "ping"], "UP"), folder)
        _launch(pids, "slurmd", ["slurmd", "-D", "-N", host], folder)
        _wait_for("slurmd", lambda: _answers(["sinfo", "--noheader", "--format=%T"], "idle"), folder)
    except BaseException:
        stop()
        raise


def stop() -> None:
    """Cancel all jobs, end the daemons and give `/etc/slurm` back as it was; nothing to stop is no error."""
    if not STATE.exists():
        return
    pids: dict[str, int] = json.loads(STATE.read_text())
    if "slurmd" in pids:
        _cancel_all()
    for name in DAEMONS:
        if name in pids:
            _end(name, pids[name])
    for name in FILES:
        (ETC / name).unlink(missing_ok=True)
        aside = ETC / f"{name}{ASIDE}"
        if aside.exists():
            aside.rename(ETC / name)
    STATE.unlink()


def _keep_accounts(pids: dict[str, int], folder: Path, port: int, store_port: int) -> None:
    """Start a database and Slurm's daemon before it, and register the user."""
    password = secrets.token_hex(16)
    start_sql = folder / "start.sql"
    _write_private(
        start_sql,
        f"CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED BY '{password}';\n"
        "GRANT ALL ON slurm_acct_db.* TO slurm@localhost;\n",
    )
    data = ["--no-defaults", f"--datadir={folder}/accounts", "--user=root"]
    _do(["mariadb-install-db", *data, "--auth-root-authentication-method=normal", "--skip-test-db"], 120)
    store = ["mariadbd", *data, f"--socket={folder}/accounts.socket", f"--pid-file={folder}/mariadbd.pid"]
    store += ["--bind-address=127.0.0.1", f"--port={store_port}", f"--init-file={start_sql}"]
    store += ["--innodb-lock-wait-timeout=900", "--innodb-flush-log-at-trx-commit=0"]
    _launch(pids, "mariadbd", store, folder)
    _wait_for("mariadbd", lambda: _listens(store_port), folder)
    conf = DATABASE_CONF.format(folder=folder, port=port, store_port=store_port, password=password)
    _write_private(ETC / "slurmdbd.conf", conf)
    _launch(pids, "slurmdbd", ["slurmdbd", "-D"], folder)
    _wait_for("slurmdbd", lambda: _listens(port), folder)
    for line in ACCOUNTS:
        _do(["sacctmgr", "--immediate", *line.split()], 60)


def _do(command: list[str], within_s: float) -> None:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=within_s
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with status {done.returncode}:\n{done.stdout[-2000:]}")


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _listens(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def _put_aside(pids: dict[str, int]) -> None:
    """Move the machine's own files away; from here on `stop` brings them back."""
    ETC.mkdir(exist_ok=True)
    for name in FILES:
        if (ETC / name).exists():
            (ETC / name).rename(ETC / f"{name}{ASIDE}")
    STATE.write_text(json.dumps(pids))


def _launch(pids: dict[str, int], name: str, command: list[str], folder: Path) -> None:
    with (folder / f"{name}.out").open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    pids[name] = process.pid
    STATE.write_text(json.dumps(pids))


def _wait_for(name: str, is_ready: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while not is_ready():
        if time.monotonic() > deadline:
            texts = [path.read_text(errors="replace")[-2000:] for path in sorted(folder.glob(f"{name}*.[lo][ou][gt]"))]
            raise TimeoutError(f"{name} was not ready within {START_WITHIN_S:g} s:\n" + "\n".join(texts))
        time.sleep(0.2)


def _answers(command: list[str], expected: str) -> bool:
    try:
        return expected in subprocess.run(command, capture_output=True, text=True, check=False, timeout=10).stdout
    except subprocess.TimeoutExpired:
        return False


def _cancel_all() -> None:
    deadline = time.monotonic() + 60
    try:
        subprocess.run(["scancel", "--user=root"], capture_output=True, check=False, timeout=20)
        while subprocess.run(
            ["squeue", "--noheader"], capture_output=True, text=True, check=False, timeout=20
        ).stdout.strip():
            if time.monotonic() > deadline:
                sys.stderr.write("warning: jobs outlive the cluster; slurmctld.log tells their states\n")
                return
            time.sleep(0.5)
    except subprocess.TimeoutExpired:
        sys.stderr.write("warning: the controller does not answer; its jobs were not cancelled\n")


def _end(name: str, pid: int) -> None:
    """End a daemon by its number, if that number is still its own."""
    for number, within_s in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 10.0)):
        if not _is(name, pid):
            return
        os.kill(pid, number)
        deadline = time.monotonic() + within_s
        while _is(name, pid) and time.monotonic() < deadline:
            time.sleep(0.1)


def _is(name: str, pid: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        return fields[0].endswith(f"({name}") and fields[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("start")
    starting.add_argument("folder", type=Path)
    starting.add_argument("--accounting", action="store_true")
    commands.add_parser("stop")
    commands.add_parser("check")
    arguments = parser.parse_args()
    if arguments.command == "start":
        start(arguments.folder, accounting=arguments.accounting)
    elif arguments.command == "stop":
        stop()
    else:
        sys.exit(why_impossible())


if __name__ == "__main__":
    main()
