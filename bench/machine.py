"""Running programs, and what the machine's processors do beside them (Linux; standard library only)."""
import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    def __init__(self, program, code, words):
        super().__init__(f"{program}: {words or code}")
        self.code, self.words = code, words


def run(command):
    """Waits for the command: its `output`, wall and processor `seconds`, greatest resident memory, and the share of all
    processor time that others took meanwhile. Raises Failed."""
    command = [str(part) for part in command]
    before, started = read(), time.monotonic()
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        try:
            process = subprocess.Popen(command, stdout=output, stderr=errors)
        except OSError as error:
            raise Failed(command[0], 127, f"{error.strerror}. Build it, or name the directory with --build.") from error
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds, after = time.monotonic() - started, read()
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            raise Failed(Path(command[0]).name, process.returncode, errors.read().strip())
        return SimpleNamespace(output=output.read(), seconds=seconds, cpu_seconds=usage.ru_utime + usage.ru_stime,
                               peak_mb=usage.ru_maxrss / 1024, taken=taken_by_others(before, after))


def read():
    """Processor seconds since the start of the machine: all, busy, stolen by other guests; and this process's, with the
    children that it has waited for."""
    with open("/proc/stat") as file:
        user, nice, system, idle, iowait, irq, softirq, steal = (int(n) / TICKS for n in file.readline().split()[1:9])
    busy = user + nice + system + irq + softirq
    own = os.times()
    return {"all": busy + idle + iowait + steal, "busy": busy, "stolen": steal,
            "own": own.user + own.system + own.children_user + own.children_system}


def taken_by_others(before, after):
    """The share of all processor time between two reads that other processes and other guests had."""
    spent = {key: after[key] - before[key] for key in before}
    return max(0.0, spent["busy"] - spent["own"] + spent["stolen"]) / max(spent["all"], 1 / TICKS)


def cpu_name():
    return next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
                platform.machine())
