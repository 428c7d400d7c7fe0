#!/usr/bin/env python3
"""Trains many steps on a small dataset and watches the process: neither its memory nor its open files may grow.

usage: soak_test.py BINARY [--steps N]

The run evaluates and writes checkpoints all along. VmRSS and the number of open files are read from /proc while it holds
the lock of its directory: what libraries touch when the process is torn down is not the run's. The first tenth, in which
buffers still grow, is left out. Of the rest, median and maximum of the memory in the second half may exceed those of the
first by 16 bytes per step of a half, and by 64 pages at least. Least and median number of open files may not grow: the
greatest is chance, since a checkpoint and its directory are open for a millisecond only.
"""
import argparse
import json
import os
import statistics
import subprocess
import time

from workload import check, workload

ROWS, BATCH, EVERY = 1000, 16, 200
PAGE = 4096


def rss(process):
    with open("/proc/{}/status".format(process)) as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


def open_files(process):
    directory = "/proc/{}/fd".format(process)
    return [os.readlink(os.path.join(directory, name)) for name in os.listdir(directory)]


def watch(arguments):
    """(bytes, open files) at equal intervals of a run that must succeed."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    samples = []
    while process.poll() is None:
        try:
            sample, files = rss(process.pid), open_files(process.pid)
            if any(name.endswith("/.lock") for name in files):
                samples.append((sample, len(files)))
        except (OSError, StopIteration):  # a file, or the process, is gone meanwhile
            pass
        time.sleep(0.02)
    errors = process.communicate()[1].decode()
    check(process.returncode == 0, "exit {}: {}".format(process.returncode, errors))
    return samples


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--steps", type=int, default=20000, metavar="N")
    options = parser.parse_args()
    epochs = -(-options.steps * BATCH // ROWS)
    train = "--model esmm --batch-size {} --epochs {} --checkpoint-every {} --log-every {} --log-level warn".format(
        BATCH, epochs, EVERY, EVERY)
    with workload(options.binary, ROWS, train) as work:
        samples = watch(work.train(work.path("run")))
        with open(work.path("run/summary.json")) as file:
            steps = json.load(file)["steps"]
    check(steps >= options.steps and len(samples) >= 20, "only {} steps and {} samples".format(steps, len(samples)))
    samples = samples[len(samples) // 10:]
    half = len(samples) // 2
    first, second = list(zip(*samples[:half])), list(zip(*samples[half:]))
    slack = max(64 * PAGE, 16 * steps // 2)
    print("{} steps, {} epochs, {} samples".format(steps, epochs, len(samples)))
    for name, measure in (("median", statistics.median), ("maximum", max)):
        before, after = measure(first[0]), measure(second[0])
        print("{} of the resident memory: {:.0f} kB in the first half, {:.0f} kB in the second".format(
            name, before / 1024, after / 1024))
        check(after - before <= slack, "its memory grows")
    for name, measure in (("least", min), ("median", statistics.median)):
        before, after = measure(first[1]), measure(second[1])
        print("{} number of open files: {:.0f} and {:.0f}".format(name, before, after))
        check(after <= before, "its open files grow")


if __name__ == "__main__":
    main()
