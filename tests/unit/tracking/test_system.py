import os

from auscult.tracking.system import SYSTEM_FILE, Sampler, parse_gpus, read_system


def test_looks_at_the_machine_are_numbered_on_after_a_resume(tmp_path):
    clock = iter(range(1000, 9000, 1000))
    sampler = Sampler(tmp_path, os.getpid(), lambda: next(clock))
    sampler.start(fresh=True)
    sampler.sample()
    sampler.sample()
    with (tmp_path / SYSTEM_FILE).open("a") as stream:
        stream.write('{"step": 2, "time_')
    again = Sampler(tmp_path, os.getpid(), lambda: next(clock))
    again.start(fresh=False)
    assert again.step == 2
    points = read_system(tmp_path / SYSTEM_FILE)
    assert [(p.step, p.timestamp_ms) for p in points if p.key == "system/cpu_utilization_percentage"] == [
        (0, 1000),
        (1, 2000),
    ]
    memory = [p.value for p in points if p.key == "system/process_memory_usage_megabytes"]
    assert all(10 < value < 100_000 for value in memory)


def test_gpus_are_read_as_nvidia_smi_tells_them():
    assert dict(parse_gpus("0, 45, 2048, 8192, 71.5\n1, [N/A], 0, 8192, [N/A]\n")) == {
        "gpu_0_utilization_percentage": 45.0,
        "gpu_0_memory_usage_megabytes": 2048.0,
        "gpu_0_memory_usage_percentage": 25.0,
        "gpu_0_power_usage_watts": 71.5,
        "gpu_1_memory_usage_megabytes": 0.0,
        "gpu_1_memory_usage_percentage": 0.0,
    }
