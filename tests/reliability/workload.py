"""A small log, its packed form and a run, made by esmm_gpu: what the reliability scripts disturb."""
import contextlib
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time


def check(holds, what):
    if not holds:
        sys.exit("{}: {}".format(os.path.basename(sys.argv[0]), what))


def run(arguments, seconds=None, before=None, environment=None):
    """Runs it; kills it after `seconds`. `before` is called in the new process, `environment` is added to its own.
    Returns (exit code or None when killed, stderr)."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=before,
                               env=dict(os.environ, **(environment or {})))
    try:
        errors = process.communicate(timeout=seconds)[1]
        return process.returncode, errors.decode()
    except subprocess.TimeoutExpired:
        process.kill()
        return None, process.communicate()[1].decode()


def tree(directory):
    """Every file's hash, by name; of a run only what does not tell the time."""
    hashes = {}
    for folder, _, files in os.walk(directory):
        for file in files:
            path = os.path.join(folder, file)
            with open(path, "rb") as opened:
                content = opened.read()
            if "checkpoints" in folder:
                for key in (b'"train_seconds":"', b'"xxh3":"'):
                    content = re.sub(key + b'[0-9a-f]{16}', key, content, count=1)
            hashes[os.path.relpath(path, directory)] = hashlib.sha256(content).hexdigest()
    for name in ("config.toml", "summary.json", "report.html", ".lock"):
        hashes.pop(name, None)
    return {name: value for name, value in hashes.items() if not name.startswith("events.out.tfevents.")}


def leftovers(directory):
    return [os.path.join(folder, name) for folder, folders, files in os.walk(directory)
            for name in folders + files if ".tmp-" in name]


def said(errors):
    """The line that ends the program, if there is exactly one."""
    lines = [line for line in errors.splitlines() if line.startswith("esmm_gpu: ")]
    return lines[0] if len(lines) == 1 else ""


def largest_file(directory):
    return max(os.path.getsize(os.path.join(folder, file)) for folder, _, files in os.walk(directory) for file in files)


class Workload:
    """`rows` impressions in each half, packed into work/packed; the options are those of every run that is trained."""

    def __init__(self, binary, work, rows, options):
        self.binary, self.work = os.path.abspath(binary), work
        self.options = ["--dim", "8", "--threads", "2", "--seed", "3"] + options.split()
        self.log, self.packed = self.path("log"), self.path("packed")
        self.succeed([self.binary, "synth", "--out", self.log, "--rows", str(rows), "--seed", "1"])
        self.convert_seconds = self.succeed(self.convert(self.packed))
        self.good_packed = tree(self.packed)

    def path(self, name):
        return os.path.join(self.work, name)

    def convert(self, out):
        return [self.binary, "convert", "--data", self.log, "--out", out, "--threads", "2"]

    def train(self, out):
        return [self.binary, "train", "--data", self.packed, "--out", out] + self.options

    def train_on(self, out):
        """Resumes the run; begins again where none was set up."""
        started = os.path.exists(os.path.join(out, "config.toml"))
        return [self.binary, "train", "--resume", out] if started else self.train(out)

    @staticmethod
    def succeed(arguments):
        """The seconds it takes."""
        began = time.monotonic()
        code, errors = run(arguments)
        check(code == 0, "{}: exit {}: {}".format(" ".join(arguments[1:]), code, errors))
        return time.monotonic() - began

    def undisturbed(self):
        """Trains work/undisturbed: the files that every other run must end with, and the seconds it takes."""
        out = self.path("undisturbed")
        seconds = self.succeed(self.train(out)) if not os.path.exists(out) else None
        return tree(out), seconds


@contextlib.contextmanager
def workload(binary, rows, options):
    with tempfile.TemporaryDirectory() as work:
        yield Workload(binary, work, rows, options)
