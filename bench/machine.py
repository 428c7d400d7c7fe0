"""What the machine's processors do beside the process that is measured (Linux; standard library only)."""
import os
import platform

TICKS = os.sysconf("SC_CLK_TCK")


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
