#!/usr/bin/env python3
"""Lets calls of the C library fail in esmm_gpu: it must say so in one line, exit with 5 and leave what was good, good.

usage: fault_test.py BINARY FAILING_CALLS [--points N] [--faults NAME...] [--export]

FAILING_CALLS is the library built from failing_calls.cpp. For `convert`, `train` and `train --resume`, and for each kind
of fault (full: a disk that is full from some write on; single failures of write, fsync, rename, mkdir, open, read), N of
the calls that an undisturbed program makes fail in turn, one in each program, spread evenly from the first to the
last. After each: exit 5, one line with the system's reason, no temporary files; the dataset is whole or absent; the run
goes on and ends with the undisturbed bytes. A failing open or read may also do no harm, where the program looks for what
the dead have left, and where resuming falls back on an older checkpoint: then the result must be the undisturbed one.

--export (needs ONNX): `export` over an older one is killed before each of its last four renames and before N renames,
fsyncs and writes in all. What has the model's name is then the old model with all that belongs to it, the new one, or
nothing; the next export leaves the new one and nothing else. So does one where the file system cannot exchange names.
"""
import argparse
import errno
import json
import os
import shutil
import signal

from workload import check, leftovers, run, said, tree, workload

TRAIN = "--model esmm --batch-size 64 --epochs 2 --checkpoint-every 3 --log-every 2 --hidden 8"
FAULTS = {"full": ("write", "+", errno.ENOSPC), "write": ("write", "", errno.EIO), "fsync": ("fsync", "", errno.EIO),
          "rename": ("rename", "", errno.ENOSPC), "mkdir": ("mkdir", "", errno.ENOSPC),
          "open": ("open", "", errno.EMFILE), "read": ("read", "", errno.EIO)}


class Faults:
    def __init__(self, work, library):
        self.work, self.library = work, os.path.abspath(library)
        self.out = work.path("out")
        self.good_run, _ = work.undisturbed()
        self.broken_off = work.path("broken-off")  # a run whose disk was full after some checkpoints
        writes = self.counts(work.train(self.out))["write"]
        self.run(work.train(self.broken_off), "write:{}+:{}".format(writes * 2 // 3, errno.ENOSPC))
        check(os.listdir(self.broken_off + "/checkpoints"), "no checkpoint to resume from")

    def run(self, arguments, fault="", counts=""):
        added = {"LD_PRELOAD": self.library, "ESMM_FAIL_UNDER": self.work.work}
        if fault:
            added["ESMM_FAIL"] = fault
        if counts:
            added["ESMM_FAIL_COUNTS"] = counts
        return run(arguments, environment=added)

    def counts(self, arguments):
        file = self.work.path("counts.json")
        code, errors = self.run(arguments, counts=file)
        check(code == 0, "exit {}: {}".format(code, errors))
        with open(file) as opened:
            return json.load(opened)

    def start_from(self, state):
        shutil.rmtree(self.out, ignore_errors=True)
        if state:
            shutil.copytree(state, self.out)

    def check_convert(self, finished, what):
        absent = not finished and not os.path.exists(self.out)
        check(absent or tree(self.out) == self.work.good_packed, what + "left a dataset that is not whole")

    def check_train(self, finished, what):
        if not finished:
            self.work.succeed(self.work.train_on(self.out))
        files = {name: content for name, content in tree(self.out).items() if not name.endswith(".damaged")}
        check(files == self.good_run, what + "the run ended with other files or bytes")

    def try_all(self, name, arguments, state, check_result, options):
        self.start_from(state)
        counts = self.counts(arguments)
        failures = harmless = 0
        for call, stays, error in (FAULTS[fault] for fault in options.faults):
            if counts[call] == 0:
                continue
            steps = max(options.points - 1, 1)
            for number in sorted({1 + (counts[call] - 1) * i // steps for i in range(options.points)}):
                self.start_from(state)
                fault = "{}:{}{}:{}".format(call, number, stays, error)
                code, errors = self.run(arguments, fault)
                what = "{} with {} ({}): exit {}: {}".format(name, fault, os.strerror(error), code, errors)
                if code == 0 and call in ("open", "read"):
                    harmless += 1
                else:
                    failures += 1
                    check(code == 5 and os.strerror(error) in said(errors), what)
                check(not leftovers(self.work.work), "{}left behind: {}".format(what, leftovers(self.work.work)))
                check_result(code == 0, what)
        print("{}: {} faults with exit 5, {} without harm; what was there before stayed good".format(
            name, failures, harmless))

    def export(self, run_directory, *more):
        return [self.work.binary, "export", "--run", run_directory, "--out", self.out + "/model.onnx", *more]

    def export_over(self, state, arguments):
        """The files of an export over those in the directory `state`, or over nothing."""
        self.start_from(state)
        os.makedirs(self.out, exist_ok=True)
        self.work.succeed(self.export(*arguments))
        return tree(self.out)

    def kill_exports(self, points):
        first, retrained, other = (self.work.path(name) for name in ("undisturbed", "retrained", "other"))
        self.work.succeed(self.work.train(retrained) + ["--lr", "0.01"])
        raw = [self.work.binary, "train", "--data", self.work.log, "--out", other, "--min-count", "2"]
        self.work.succeed(raw + self.work.options)
        beside = ("--external-data-mb", "0")  # the tables
        cases = {"same ids": ((first,), (retrained,)), "other ids": ((first,), (other,)),
                 "tables beside": ((first, *beside), (retrained, *beside)),
                 "tables inside": ((first, *beside), (retrained,))}
        for name, (old, new) in cases.items():
            left = {"old": 0, "new": 0, "none": 0}
            good = {"new": self.export_over(None, new), "old": self.export_over(None, old)}
            state = self.work.path("exported")
            shutil.rmtree(state, ignore_errors=True)
            shutil.copytree(self.out, state)
            counts = self.counts(self.export(*new))
            last = {("rename", n) for n in range(max(1, counts["rename"] - 3), counts["rename"] + 1)}
            spread = {(call, 1 + (counts[call] - 1) * i // max(points - 1, 1))
                      for call in ("rename", "fsync", "write") for i in range(points)}
            for call, number in sorted(last | spread):
                self.start_from(state)
                code, errors = self.run(self.export(*new), "{}:{}:kill".format(call, number))
                check(code == -signal.SIGKILL, "export ({}): exit {}: {}".format(name, code, errors))
                found = tree(self.out)
                whole = [which for which in good if good[which].items() <= found.items()]
                check(whole or "model.onnx" not in found,
                      "export ({}) killed at {} {} left {}".format(name, call, number, sorted(found)))
                left[whole[0] if whole else "none"] += 1
                self.work.succeed(self.export(*new))
                check(tree(self.out) == good["new"], "the next export left {}".format(sorted(tree(self.out))))
            check(left["old"] and (name in ("other ids", "tables beside") or not left["none"]), name + ": " + str(left))
            if name == "other ids":  # on a file system that cannot exchange names
                self.start_from(state)
                code, errors = self.run(self.export(*new), "rename:{}:{}".format(counts["rename"] - 1, errno.EINVAL))
                check(code == 0 and tree(self.out) == good["new"], "without exchange: exit {}: {}".format(code, errors))
            print("export over another ({}): {} kills left the old one, {} the new, {} none".format(
                name, left["old"], left["new"], left["none"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("failing_calls")
    parser.add_argument("--points", type=int, default=20, metavar="N")
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS), metavar="NAME")
    parser.add_argument("--export", action="store_true")
    options = parser.parse_args()
    with workload(options.binary, rows=300, options=TRAIN) as work:
        faults = Faults(work, options.failing_calls)
        faults.try_all("convert", work.convert(faults.out), None, faults.check_convert, options)
        faults.try_all("train", work.train(faults.out), None, faults.check_train, options)
        resume = [work.binary, "train", "--resume", faults.out]
        faults.try_all("train --resume", resume, faults.broken_off, faults.check_train, options)
        if options.export:
            faults.kill_exports(options.points)


if __name__ == "__main__":
    main()
