#!/usr/bin/env python3
"""Kills esmm_gpu and takes its disk away at many instants; what it leaves must be the previous or the next good state.

usage: crash_test.py BINARY [--train N] [--convert N] [--limits N] [--seed S]

--train N    kill -9 `train` (and each of its resumptions) N times in all; every run must end with the undisturbed bytes
--convert N  kill -9 `convert` N times; the dataset is whole or absent, and the next convert leaves nothing else behind
--limits N   let no file grow beyond N different sizes (RLIMIT_FSIZE) in `train` and `convert`: exit 5, one line, no
             temporary files, and earlier checkpoints still good
"""
import argparse
import hashlib
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

TRAIN = ["--model", "esmm", "--dim", "8", "--batch-size", "128", "--epochs", "4", "--checkpoint-every", "5",
         "--log-every", "2", "--threads", "2", "--seed", "3"]


def check(holds, what):
    if not holds:
        sys.exit("crash_test: " + what)


def run(arguments, seconds=None, limit=None):
    """Runs it; kills it after `seconds`. Returns (exit code or None when killed, stderr)."""
    def set_limit():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=set_limit)
    try:
        errors = process.communicate(timeout=seconds)[1]
        return process.returncode, errors.decode()
    except subprocess.TimeoutExpired:
        process.kill()
        return None, process.communicate()[1].decode()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def tree(directory):
    """Every file's hash, by name; of a run only what does not tell the time."""
    hashes = {}
    for folder, _, files in os.walk(directory):
        for file in files:
            path = os.path.join(folder, file)
            content = read(path)
            if "checkpoints" in folder:
                for key in (b'"train_seconds":"', b'"xxh3":"'):
                    content = re.sub(key + b'[0-9a-f]{16}', key, content, count=1)
            hashes[os.path.relpath(path, directory)] = hashlib.sha256(content).hexdigest()
    for name in ("config.toml", "summary.json", "report.html", ".lock"):
        hashes.pop(name, None)
    # Event files hold times, and each process has one.
    return {name: value for name, value in hashes.items() if not name.startswith("events.out.tfevents.")}


def leftovers(directory):
    return [os.path.join(folder, name) for folder, folders, files in os.walk(directory)
            for name in folders + files if ".tmp-" in name]


class Crashes:
    def __init__(self, binary, work, seed):
        self.binary, self.work, self.random = binary, work, random.Random(seed)
        self.log = self.path("log")
        code, errors = run([binary, "synth", "--out", self.log, "--rows", "3000", "--seed", "1"])
        check(code == 0, "synth failed: " + errors)
        self.packed = self.path("packed")
        self.convert_seconds = self.timed(self.convert(self.packed))
        self.good_packed = tree(self.packed)

    def path(self, name):
        return os.path.join(self.work, name)

    def convert(self, out):
        return [self.binary, "convert", "--data", self.log, "--out", out, "--threads", "2"]

    def train(self, out):
        return [self.binary, "train", "--data", self.packed, "--out", out] + TRAIN

    def timed(self, arguments):
        began = time.monotonic()
        code, errors = run(arguments)
        check(code == 0, "{} failed: {}".format(arguments[1], errors))
        return time.monotonic() - began

    def undisturbed(self):
        out = self.path("undisturbed")
        seconds = self.timed(self.train(out))
        return tree(out), seconds

    def kill_train(self, times):
        good, seconds = self.undisturbed()
        killed = runs = resumed = 0
        out = self.path("killed")
        while killed < times:
            shutil.rmtree(out, ignore_errors=True)
            runs += 1
            while True:
                started = os.path.exists(os.path.join(out, "config.toml"))
                resumed += started
                command = [self.binary, "train", "--resume", out] if started else self.train(out)
                patience = self.random.uniform(0, 1.1 * seconds) if killed < times else None
                code, errors = run(command, patience)
                if code == 0:
                    break
                check(code is None, "exit {} after {} kills: {}".format(code, killed, errors))
                killed += 1
            check(tree(out) == good, "run {} ended with other files or bytes".format(runs))
        print("train: {} kills in {} runs with {} resumptions; all ended with the undisturbed bytes".format(
            killed, runs, resumed))

    def kill_convert(self, times):
        out, whole = self.path("converted/packed"), 0
        for _ in range(times):
            shutil.rmtree(os.path.dirname(out), ignore_errors=True)
            run(self.convert(out), self.random.uniform(0, self.convert_seconds))
            if os.path.exists(out):
                whole += 1
            else:
                code, errors = run(self.convert(out))
                check(code == 0, "convert after a kill: exit {}: {}".format(code, errors))
            check(tree(out) == self.good_packed, "a killed convert left other bytes")
            check(os.listdir(os.path.dirname(out)) == ["packed"], "left behind: " + str(os.listdir(os.path.dirname(out))))
        print("convert: {} kills, {} of them after the end; nothing but whole datasets".format(times, whole))

    def limit_files(self, times):
        good, _ = self.undisturbed() if not os.path.exists(self.path("undisturbed")) else (
            tree(self.path("undisturbed")), 0)
        largest = {"convert": self.largest(self.packed), "train": self.largest(self.path("undisturbed"))}
        refused = 0
        for i in range(times):
            for command in ("convert", "train"):
                out = self.path("limited")
                shutil.rmtree(out, ignore_errors=True)
                arguments = self.convert(out) if command == "convert" else self.train(out)
                limit = largest[command] * i // times
                code, errors = run(arguments, limit=limit)
                said = [line for line in errors.splitlines() if line.startswith("esmm_gpu: ")]
                check(code == 5 and len(said) == 1 and "too large" in said[0],
                      "{} with files of {} bytes at most: exit {}: {}".format(command, limit, code, errors))
                check(not leftovers(self.work), "left behind: " + str(leftovers(self.work)))
                refused += 1
                if command == "convert":
                    check(not os.path.exists(out), "a dataset that was not finished has its name")
                elif os.path.exists(os.path.join(out, "config.toml")):
                    code, errors = run([self.binary, "train", "--resume", out])
                    check(code == 0 and tree(out) == good, "not resumed: exit {}: {}".format(code, errors))
        print("limits: {} refusals with exit 5; what was there before stayed good".format(refused))

    @staticmethod
    def largest(directory):
        return max(os.path.getsize(os.path.join(folder, file))
                   for folder, _, files in os.walk(directory) for file in files)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    for what in ("train", "convert", "limits"):
        parser.add_argument("--" + what, type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        crashes = Crashes(os.path.abspath(options.binary), work, options.seed)
        if options.train:
            crashes.kill_train(options.train)
        if options.convert:
            crashes.kill_convert(options.convert)
        if options.limits:
            crashes.limit_files(options.limits)


if __name__ == "__main__":
    main()
