#!/usr/bin/env python3
"""Kills esmm_gpu and takes its disk away at many instants; what it leaves must be the previous or the next good state.

usage: crash_test.py BINARY [--train N] [--convert N] [--limits N] [--memory N] [--seed S]

--train N    kill -9 `train` (and each of its resumptions) N times in all; every run must end with the undisturbed bytes
--convert N  kill -9 `convert` N times; the dataset is whole or absent, and the next convert leaves nothing else behind
--limits N   let no file grow beyond N different sizes (RLIMIT_FSIZE) in `train` and `convert`: exit 5, one line, no
             temporary files, and earlier checkpoints still good
--memory N   give `convert` and `train` N different sizes of memory (RLIMIT_AS), from a little more than the program
             needs to start to what it needs to finish: exit 4, one line, no temporary files, and what was there before still good
"""
import argparse
import os
import random
import resource
import shutil

from workload import check, largest_file, leftovers, run, said, tree, workload

TRAIN = "--model esmm --batch-size 128 --epochs 4 --checkpoint-every 5 --log-every 2"


def kill_train(work, times, chance):
    good, seconds = work.undisturbed()
    killed = runs = resumed = 0
    out = work.path("killed")
    while killed < times:
        shutil.rmtree(out, ignore_errors=True)
        runs += 1
        code = None
        while code != 0:
            command = work.train_on(out)
            resumed += "--resume" in command
            code, errors = run(command, chance.uniform(0, 1.1 * seconds) if killed < times else None)
            check(code in (0, None), "exit {} after {} kills: {}".format(code, killed, errors))
            killed += code is None
        check(tree(out) == good, "run {} ended with other files or bytes".format(runs))
    print("train: {} kills in {} runs with {} resumptions; all ended with the undisturbed bytes".format(
        killed, runs, resumed))


def kill_convert(work, times, chance):
    out, whole = work.path("converted/packed"), 0
    for _ in range(times):
        shutil.rmtree(os.path.dirname(out), ignore_errors=True)
        run(work.convert(out), chance.uniform(0, work.convert_seconds))
        if os.path.exists(out):
            whole += 1
        else:
            work.succeed(work.convert(out))
        check(tree(out) == work.good_packed, "a killed convert left other bytes")
        check(os.listdir(os.path.dirname(out)) == ["packed"], "left behind: " + str(os.listdir(os.path.dirname(out))))
    print("convert: {} kills, {} of them after the end; nothing but whole datasets".format(times, whole))


def limit_files(work, times):
    good, _ = work.undisturbed()
    refused = 0
    for i in range(times):
        for make, largest in ((work.convert, work.packed), (work.train, work.path("undisturbed"))):
            out = work.path("limited")
            shutil.rmtree(out, ignore_errors=True)
            limit = largest_file(largest) * i // times
            code, errors = run(make(out), before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
            check(code == 5 and "too large" in said(errors),
                  "{} with files of {} bytes at most: exit {}: {}".format(make.__name__, limit, code, errors))
            check(not leftovers(work.work), "left behind: " + str(leftovers(work.work)))
            refused += 1
            if make == work.convert:
                check(not os.path.exists(out), "a dataset that was not finished has its name")
            else:
                work.succeed(work.train_on(out))
                check(tree(out) == good, "a run that was refused ended with other files or bytes")
    print("limits: {} refusals with exit 5; what was there before stayed good".format(refused))


MB = 1 << 20


def with_memory(arguments, megabytes):
    return run(arguments, before=lambda: resource.setrlimit(resource.RLIMIT_AS, (megabytes * MB, megabytes * MB)))


def least_memory(arguments, out):
    """Megabytes with which it succeeds, to 2."""
    too_few, enough = 0, 8192
    while enough - too_few > 2:
        shutil.rmtree(out, ignore_errors=True)
        middle = (too_few + enough) // 2
        succeeds = with_memory(arguments, middle)[0] == 0
        too_few, enough = (too_few, middle) if succeeds else (middle, enough)
    return enough


def limit_memory(work, times):
    good, _ = work.undisturbed()
    out, refused = work.path("starved"), 0
    starts = least_memory([work.binary, "--version"], out) + 16  # nearer to it the libraries that it loads may fail
    for make, bytes_of in ((work.convert, work.good_packed), (work.train, good)):
        finishes = least_memory(make(out), out)
        for i in range(times):
            megabytes = starts + (finishes - starts) * i // times
            what = "{} with {} MB of memory: ".format(make.__name__, megabytes)
            shutil.rmtree(out, ignore_errors=True)
            code, errors = with_memory(make(out), megabytes)
            starved = code == 4 and any(word in said(errors) for word in ("out of memory", "out of system", "cannot be started"))
            check(code == 0 or starved, "{}exit {}: {}".format(what, code, errors))
            check(not leftovers(work.work), "left behind: " + str(leftovers(work.work)))
            refused += starved
            if starved:
                work.succeed(work.train_on(out) if make == work.train else make(out))
            check(tree(out) == bytes_of, what + "ended with other files or bytes")
    check(refused > 0, "the limits refused nothing")
    print("memory: {} refusals with exit 4; what was there before stayed good".format(refused))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    for what in ("train", "convert", "limits", "memory"):
        parser.add_argument("--" + what, type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with workload(options.binary, rows=3000, options=TRAIN) as work:
        if options.train:
            kill_train(work, options.train, chance)
        if options.convert:
            kill_convert(work, options.convert, chance)
        if options.limits:
            limit_files(work, options.limits)
        if options.memory:
            limit_memory(work, options.memory)


if __name__ == "__main__":
    main()
