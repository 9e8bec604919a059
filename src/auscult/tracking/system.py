"""What a training asks of its machine, under the names that MLflow's page of system metrics shows."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from auscult.storage.files import parse_json
from auscult.tracking.metrics import Point

SYSTEM_FILE = "system.jsonl"
PREFIX = "system/"
_GPU_QUERY = "index,utilization.gpu,memory.used,memory.total,power.draw"
_GPU_TIMEOUT_S = 5
_MEBI = 1024 * 1024


class Sampler:
    """Looks at the machine and at one process with its children, and keeps what it saw in `system.jsonl`.

    Args:
        folder: The run folder.
        pid: The training's process.
        clock_ms: Unix time.
    """

    def __init__(self, folder: Path, pid: int, clock_ms: Callable[[], int]) -> None:
        import psutil  # noqa: PLC0415 (only where a training is watched)

        self._path = folder / SYSTEM_FILE
        self._process = psutil.Process(pid)
        self._clock_ms = clock_ms
        self._gpu_program = shutil.which("nvidia-smi")
        psutil.cpu_percent()  # the first answer is always 0: the next one counts from here
        self._process.cpu_percent()
        self.step = 0

    def start(self, *, fresh: bool) -> None:
        """Go on after what the file holds, or begin a new one."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            self._path.write_text("", encoding="utf-8")
        self.step = max((point.step for point in read_system(self._path)), default=-1) + 1

    def sample(self) -> list[Point]:
        """Look once; the numbers are written to the file and returned."""
        numbers = {f"{PREFIX}{key}": round(value, 2) for key, value in self._numbers()}
        now_ms = self._clock_ms()
        with self._path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(json.dumps({"step": self.step, "time_ms": now_ms, **numbers}) + "\n")
        points = [Point(key, value, self.step, now_ms) for key, value in numbers.items()]
        self.step += 1
        return points

    def _numbers(self) -> Iterator[tuple[str, float]]:
        import psutil  # noqa: PLC0415

        memory = psutil.virtual_memory()
        yield "cpu_utilization_percentage", psutil.cpu_percent()
        yield "system_memory_usage_megabytes", memory.used / _MEBI
        yield "system_memory_usage_percentage", memory.percent
        yield "disk_usage_percentage", psutil.disk_usage(str(self._path.parent)).percent
        try:
            family = [self._process, *self._process.children(recursive=True)]
            yield "process_cpu_utilization_percentage", self._process.cpu_percent()
            yield "process_memory_usage_megabytes", sum(_resident(process) for process in family) / _MEBI
        except psutil.NoSuchProcess:
            pass  # it ended between two looks
        yield from self._gpu_numbers()

    def _gpu_numbers(self) -> Iterator[tuple[str, float]]:
        if self._gpu_program is None:
            return
        command = [self._gpu_program, f"--query-gpu={_GPU_QUERY}", "--format=csv,noheader,nounits"]
        try:
            answer = subprocess.run(  # noqa: S603 (fixed arguments)
                command,
                check=True,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=_GPU_TIMEOUT_S,
            ).stdout
        except (OSError, subprocess.SubprocessError):
            self._gpu_program = None  # no driver: not asked again
            return
        yield from parse_gpus(answer)


def parse_gpus(answer: str) -> Iterator[tuple[str, float]]:
    """Read what nvidia-smi says; what a GPU does not tell is left out.

    >>> dict(parse_gpus("0, 45, 2048, 8192, [N/A]"))["gpu_0_memory_usage_percentage"]
    25.0
    """
    for line in answer.splitlines():
        index, *texts = (text.strip() for text in line.split(","))
        use, used, total, power = (_number(text) for text in (*texts, "", "", "", "")[:4])
        named = {
            "utilization_percentage": use,
            "memory_usage_megabytes": used,
            "memory_usage_percentage": 100 * used / total if used is not None and total else None,
            "power_usage_watts": power,
        }
        yield from ((f"gpu_{index}_{key}", value) for key, value in named.items() if value is not None)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _resident(process: Any) -> int:
    import psutil  # noqa: PLC0415

    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0  # it ended just now


def read_system(path: Path) -> list[Point]:
    """Read `system.jsonl`; none where it is missing. A line that a kill cut off is passed over."""
    points: list[Point] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            record: dict[str, Any] = parse_json(line)
            step, time_ms = int(record.pop("step")), int(record.pop("time_ms"))
        except (ValueError, KeyError, TypeError):
            continue
        points += [Point(key, float(value), step, time_ms) for key, value in record.items()]
    return points
