#!/usr/bin/env python3
"""From text to predictions with the esmm_gpu program, as its users run it: what every command takes (standard library only).

    bench/end_to_end.py [--build DIR] [--rows N] [--rounds N] [--device D] [--results DIR] [--quick]

    --build DIR    where esmm_gpu and bench/esmm_bench_step are built [build/release]; the data go there, too
    --rows N       impressions of each half of the synthetic Ali-CCP log [1000000]
    --rounds N     how often everything is done [3]
    --results DIR  where DATE-DEVICE-end-to-end.md, .json and .svg are written [bench/results]
    --quick        2000 rows, one round; its files stay in the build directory

docs/benchmarking.md says what is measured. Exit code: 0; 1 a command failed, or the results of two commands disagree.
"""
import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import machine
from plot import chart, figure
from results import ROOT, TAKEN, facts, spread, table, words, write

MODEL = ("--preset", "paper")


def size(*paths):
    """Bytes of files, and of all files in directories."""
    return sum(file.stat().st_size for path in paths for file in ([path] if path.is_file() else path.rglob("*"))
               if file.is_file())


def phases(program, work, rows, device):
    """Each command: name, arguments, what it reads and writes, and impressions."""
    log, packed, run, again, csv = (work / name for name in ("log", "packed", "run", "run-from-text", "predictions.csv"))
    text = [log / f"{name}_{half}.csv" for half in ("train", "test") for name in ("sample_skeleton", "common_features")]
    train = ("train", *MODEL, "--epochs", 1, "--device", device, "--log-level", "warn")
    return [
        ("synth", ("synth", "--profile", "ali-ccp", "--rows", rows, "--seed", 1, "--out", log), [], [log], 2 * rows),
        ("convert", ("convert", "--data", log, "--out", packed), text, [packed], 2 * rows),
        ("train", (*train, "--data", packed, "--out", run), [packed], [run], 2 * rows),
        ("eval", ("eval", "--run", run, "--data", packed, "--device", device, "--json"), [packed / "test"], [], rows),
        ("predict", ("predict", "--run", run, "--data", packed, "--device", device, "--out", csv), [packed / "test"], [csv],
         rows),
        ("train from text", (*train, "--data", log, "--out", again), text, [again], 2 * rows)]


def check(work, evaluated, rows):
    """The commands must have seen the same data and the same model."""
    summary, other = (json.loads((work / run / "summary.json").read_text()) for run in ("run", "run-from-text"))
    with open(work / "predictions.csv") as lines:
        predicted = sum(1 for _ in lines) - 1
    for what, holds in (("predict wrote one line per impression", predicted == rows),
                        ("eval and train measured the same", evaluated == summary["metrics"]["valid"]),
                        ("training from packed data and from text is the same", summary["metrics"] == other["metrics"])):
        if not holds:
            raise machine.Failed("end_to_end", 1, f"it does not hold that {what}")
    return summary


def one_round(options, work):
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    measured, evaluated = {}, None
    for name, arguments, reads, writes, impressions in phases(options.build / "esmm_gpu", work, options.rows, options.device):
        done = machine.run([options.build / "esmm_gpu", *arguments])
        evaluated = json.loads(done.output) if name == "eval" else evaluated
        measured[name] = {"seconds": done.seconds, "cpu_seconds": done.cpu_seconds, "peak_mb": done.peak_mb,
                          "taken_by_others": done.taken, "impressions": impressions, "read_mb": size(*reads) / 1e6,
                          "written_mb": size(*writes) / 1e6}
    summary = check(work, evaluated, options.rows)
    step = machine.run([options.build / "bench/esmm_bench_step", "--data", work / "packed/train", *MODEL, "--device",
                        options.device])
    measured["train"] |= {key: summary[key] for key in ("samples_per_second", "stage_seconds", "metrics")}
    return {"phases": measured, "step": json.loads(step.output) | {"taken_by_others": step.taken}}


def summarise(rounds):
    """Spreads by command, over the rounds in which the machine was at rest for it; over all where it never was."""
    busy = []

    def at_rest(name, runs):
        kept = [run for run in runs if run["taken_by_others"] <= TAKEN]
        if not kept:
            busy.append(name)
        return kept or runs

    phases = {name: at_rest(name, [round["phases"][name] for round in rounds]) for name in rounds[0]["phases"]}
    steps, trained = at_rest("step", [round["step"] for round in rounds]), phases["train"]
    rate = lambda column: spread([run["impressions"] / seconds for run in steps for seconds in run[column]])
    columns = {"seconds": lambda run: run["seconds"], "cpu_seconds": lambda run: run["cpu_seconds"],
               "peak_mb": lambda run: run["peak_mb"], "read_mb": lambda run: run["read_mb"],
               "written_mb": lambda run: run["written_mb"], "rate": lambda run: run["impressions"] / run["seconds"],
               "mb_per_second": lambda run: run["read_mb"] / run["seconds"],
               "cores": lambda run: run["cpu_seconds"] / run["seconds"]}
    return {"phases": {name: {column: spread([value(run) for run in kept]) for column, value in columns.items()} |
                       {"kept": len(kept)} for name, kept in phases.items()},
            "rates": {"in `train`, with loading": spread([run["samples_per_second"] for run in trained]),
                      "held batches, without loading": rate("seconds"),
                      "the same, with loading": rate("seconds_with_loading")},
            "stages": {stage: spread([run["stage_seconds"][stage] for run in trained])
                       for stage in trained[0]["stage_seconds"]},
            "never_at_rest": busy}


def report(result, facts, figure):
    lines = [f"# From text to predictions, {facts['date']}", "",
             "Made by `bench/end_to_end.py`; docs/benchmarking.md explains it.", "",
             *table(["", ""], facts.items())]
    if result["never_at_rest"]:
        lines += [f"**Others had more than {100 * TAKEN:.0f} % of the processors in every round of: "
                  f"{', '.join(result['never_at_rest'])}. Those figures are not results.**", ""]
    lines += [f"![Seconds]({figure})", "", "Every command, median (minimum–maximum) of its rounds at rest:", "",
              *table(["command", "rounds", "seconds", "k impressions/s", "MB read", "MB/s", "MB written", "CPU seconds",
                      "cores busy", "peak MB"],
                     ([name, phase["kept"], words(phase["seconds"], "{:.2f}"), words(phase["rate"], "{:.0f}", scale=1e-3),
                       f"{phase['read_mb']['median']:.1f}",
                       words(phase["mb_per_second"], "{:.0f}") if phase["read_mb"]["median"] else "",
                       f"{phase['written_mb']['median']:.1f}", f"{phase['cpu_seconds']['median']:.2f}",
                       f"{phase['cores']['median']:.2f}", f"{phase['peak_mb']['max']:.0f}"]
                      for name, phase in result["phases"].items())),
              "`train` trains on one half for one epoch and evaluates on the other; the rate counts both. Its own account, in seconds:", "",
              *table(list(result["stages"]), [[words(stage, "{:.2f}") for stage in result["stages"].values()]]),
              "Thousand impressions per second of training alone:", "",
              *table(list(result["rates"]), [[words(rate, "{:.0f}", scale=1e-3) for rate in result["rates"].values()]])]
    return "\n".join(lines).rstrip() + "\n"


def plot(result):
    bars = lambda values, scale=1.0: {name: {"": value["median"] * scale} for name, value in values.items()}
    return figure(chart("Seconds of every command (median)",
                        bars({name: phase["seconds"] for name, phase in result["phases"].items()}), "{:.2f}"),
                  chart("Seconds of train by stage (median)", bars(result["stages"]), "{:.2f}"),
                  chart("Thousand impressions per second of training alone (median)", bars(result["rates"], 1e-3)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build/release")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    options.rows = options.rows or (2000 if options.quick else 1_000_000)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.results = options.results or (options.build if options.quick else ROOT / "bench/results")
    work, started, before, rounds = options.build / "end-to-end-data", time.monotonic(), machine.read(), []
    try:
        for number in range(options.rounds):
            rounds.append(one_round(options, work))
            print(f"round {number + 1}: " + "  ".join(f"{name} {phase['seconds']:.2f} s"
                                                     for name, phase in rounds[-1]["phases"].items()), flush=True)
    except machine.Failed as failure:
        print(f"end_to_end: {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    result = summarise(rounds)
    where = facts() | {
        "log": f"synth --profile ali-ccp --rows {options.rows} --seed 1, just written: in the page cache",
        "model": f"{' '.join(MODEL)}, one epoch, {options.device}",
        "time taken": f"{(time.monotonic() - started) / 60:.0f} min, others had "
                      f"{100 * machine.taken_by_others(before, machine.read()):.1f} % of the processors"}
    name = f"{where['date']}-{options.device.replace(':', '-')}-end-to-end" + ("-quick" if options.quick else "")
    path = write(options.results, name, {"facts": where, "result": result, "rounds": rounds},
                 lambda figure: report(result, where, figure), plot(result))
    print(f"end_to_end: results in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
