#!/usr/bin/env python3
"""One training step while its shape changes, one axis at a time, on random ids (standard library only).

    bench/sweep.py [--build DIR] [--axis NAME]... [--minutes N] [--device D] [--results DIR] [--quick]

    --build DIR    where bench/esmm_bench_step is built [build/release]
    --axis NAME    one of the axes alone (may be repeated); AXES below has them
    --minutes N    after which no point is measured again [9]; every point is measured once, however long it takes
    --results DIR  where DATE-DEVICE-sweep.md, .json and .svg are written [bench/results]
    --quick        the first two values of every axis, once, in two small batches; writes to the build directory

docs/benchmarking.md says what is measured. Exit code: 0; 1 a step failed.
"""
import argparse
import json
import os
import sys
import time
from pathlib import Path
from statistics import median

import machine
from plot import chart, figure
from results import ROOT, SLOW, TAKEN, facts, spread, table, words, write

SHAPE = ("rows", "sample_fields", "common_fields", "sample_ids", "common_ids", "impressions")  # of --random; the rest: flags
BASE = {"batch-size": 5000, "dim": 18, "optimizer": "adam", "threads": os.cpu_count(), "rows": 1_000_000,
        "sample_fields": 10, "common_fields": 13, "sample_ids": 13, "common_ids": 616, "impressions": 57}


def along(key, *values, **fixed):
    return {f"{value:,}".replace(",", " "): {key: value, **fixed} for value in values}


# What stands in the report: how each point differs from BASE.
AXES = {
    "batch size": along("batch-size", 500, 1000, 2000, 5000, 10_000, 20_000, 50_000),
    "rows, Adam": along("rows", 100_000, 1_000_000, 4_000_000, 16_000_000, 64_000_000),
    "rows, row-wise Adagrad": along("rows", 100_000, 1_000_000, 16_000_000, 64_000_000, 200_000_000,
                                          optimizer="rowwise_adagrad"),
    "embedding dimension": along("dim", 4, 8, 12, 18, 32, 64),
    "fields": {f"{sample} + {common}": {"sample_fields": sample, "common_fields": common}
               for sample, common in ((3, 3), (5, 7), (10, 13), (20, 26), (40, 52))},
    "ids of a user": along("common_ids", 13, 100, 300, 616, 2000),
    "ids of an impression": along("sample_ids", 10, 13, 50, 200),
    "impressions of a user": along("impressions", 1, 4, 16, 57, 200),
    "threads": along("threads", *(2**i for i in range(10) if 2**i < os.cpu_count()), os.cpu_count()),
}
HELD = 50_000     # impressions of all batches of a point
ONCE = 15         # seconds: a point that takes longer is measured once
TOO_LARGE = 4     # exit code of a step that does not fit into memory
VOCABULARY = 1.3  # target: cost of an impression with 400 M table rows over that with 1 M


def configuration(change):
    return tuple((BASE | change).items())


def difference(point):
    return ", ".join(f"{key} {value}" for key, value in point if BASE[key] != value) or "base"


class Sweep:
    def __init__(self, options):
        self.step, self.device, self.quick = options.build / "bench/esmm_bench_step", options.device, options.quick
        chosen = {axis: AXES[axis] for axis in options.axis or AXES}
        self.axes = {axis: dict(list(points.items())[:2]) if self.quick else points for axis, points in chosen.items()}
        self.runs = {configuration(change): [] for points in self.axes.values() for change in points.values()}
        self.too_large = {}

    def measure(self, point):
        values = dict(point)
        shape = ",".join(f"{key}={values[key]}" for key in SHAPE)
        flags = [word for key, value in values.items() if key not in SHAPE for word in (f"--{key}", value)]
        batches, passes = (2, 1) if self.quick else (max(2, HELD // values["batch-size"]), 3)
        done = machine.run([self.step, "--random", shape, "--preset", "paper", "--device", self.device, "--batches", batches,
                            "--passes", passes, *flags])
        detail = json.loads(done.output)
        detail.pop("losses")
        peaks = [detail["fma_gflops_before"], detail["probes_after"]["fma_gflops"]]
        return {"point": values, "wall_seconds": done.seconds, "taken_by_others": done.taken, "fma_gflops": peaks, **detail}

    def round(self, enough):
        """Every point once; those that take long only in the first round. Ends after `enough` seconds on the monotonic
        clock, the first round excepted."""
        for point, runs in self.runs.items():
            if point in self.too_large or runs and (runs[0]["wall_seconds"] > ONCE or time.monotonic() > enough):
                continue
            try:
                runs.append(self.measure(point))
                print(f"  {difference(point)}: {runs[-1]['impressions'] / min(runs[-1]['seconds']) / 1e3:.1f} k/s", flush=True)
            except machine.Failed as failure:
                if failure.code != TOO_LARGE:
                    raise
                self.too_large[point] = failure.words


def summarise(runs, best_peak):
    """Of the runs of one point that were made at rest, or of all where none was."""
    kept = [run for run in runs if run["taken_by_others"] <= TAKEN and min(run["fma_gflops"]) >= SLOW * best_peak]
    used = kept or runs
    cost = [seconds / run["impressions"] for run in used for seconds in run["seconds"]]
    return {"kept": len(kept), "rate": spread([1 / each for each in cost]), "cost": median(cost),
            "stages": {stage: median([run["stage_seconds"][stage] / run["impressions"] for run in used])
                       for stage in used[0]["stage_seconds"]},
            "making_seconds": median([run["making_seconds"] for run in used]), "peak_mb": max(run["peak_mb"] for run in used),
            "peak_share": median([run["tower_gflop"] * len(run["seconds"]) / sum(run["seconds"]) /
                                  (sum(run["fma_gflops"]) / 2) for run in used])}


def summaries(sweep):
    """{axis: {point: summary, or why there is none}}. FMA peaks are compared among runs with as many threads."""
    best = {}
    for runs in sweep.runs.values():
        for run in runs:
            best[run["point"]["threads"]] = max(best.get(run["point"]["threads"], 0), *run["fma_gflops"])
    made = {point: summarise(runs, best[dict(point)["threads"]]) if runs else {"too_large": sweep.too_large[point]}
            for point, runs in sweep.runs.items()}
    return {axis: {name: made[configuration(change)] for name, change in points.items()} for axis, points in sweep.axes.items()}


def measured(points):
    return {name: point for name, point in points.items() if "too_large" not in point}


def base_of(axis, points):
    """The point that is like BASE in what the axis changes, else the first."""
    like = [name for name, change in AXES[axis].items()
            if all(BASE[key] == value for key, value in change.items() if key != "optimizer")]
    return points[like[0] if like and like[0] in points else next(iter(points))]


def vocabulary(axes):
    """What the vocabulary costs, in words."""
    for axis, points in axes.items():
        most = list(measured(points))[-1]
        if AXES[axis][most].get("rows", 0) <= BASE["rows"]:
            continue
        ratio = points[most]["cost"] / base_of(axis, points)["cost"]
        verdict = "within" if ratio <= VOCABULARY else "**beyond**"
        yield (f"{axis}: an impression with {most} rows costs {ratio:.2f} of one with 1 000 000, {verdict} the target's "
               f"{VOCABULARY} (set for 400 000 000 rows).")


def report(axes, facts, figure):
    points = [point for points in axes.values() for point in measured(points).values()]
    lines = [f"# One step by shape, {facts['date']}", "", "Made by `bench/sweep.py`; docs/benchmarking.md explains it.", "",
             *table(["", ""], facts.items())]
    if not any(point["kept"] for point in points):
        lines += ["**The machine was at rest in no run. These figures are not results.**", ""]
    elif not all(point["kept"] for point in points):
        lines += ["**Points with 0 runs at rest are not results.**", ""]
    lines += [line for sentence in vocabulary(axes) for line in (sentence, "")]
    lines += [f"![Stages]({figure})", ""]
    for axis, points in axes.items():
        stages = list(next(iter(measured(points).values()))["stages"])
        base = base_of(axis, measured(points))
        lines += [f"## {axis[0].upper()}{axis[1:]}", "",
                  *table(["", "runs at rest", "k impressions/s", "relative cost", *(f"{stage}, ns" for stage in stages),
                          "share of peak", "model made in", "peak MB"],
                         ([name, point["kept"], words(point["rate"], scale=1e-3), f"{point['cost'] / base['cost']:.2f}",
                           *(f"{1e9 * point['stages'][stage]:.0f}" for stage in stages), f"{100 * point['peak_share']:.0f} %",
                           f"{point['making_seconds']:.2f} s", f"{point['peak_mb']:.0f}"]
                          for name, point in measured(points).items())),
                  *(line for name, point in points.items() if "too_large" in point
                    for line in (f"{name}: does not fit ({point['too_large']})", ""))]
    return "\n".join(lines).rstrip() + "\n"


def plot(axes):
    microseconds = lambda point: {stage: 1e6 * seconds for stage, seconds in point["stages"].items()}
    return figure(chart("Microseconds of an impression by stage (median)",
                        {axis: {name: microseconds(point) for name, point in measured(points).items()}
                         for axis, points in axes.items()}, "{:.2f}", stacked=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build/release")
    parser.add_argument("--axis", action="append", choices=list(AXES))
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    options.results = options.results or (options.build if options.quick else ROOT / "bench/results")
    sweep, started, before, rounds = Sweep(options), time.monotonic(), machine.read(), 0
    try:
        while rounds == 0 or (not options.quick and time.monotonic() < started + 60 * options.minutes):
            sweep.round(started + 60 * options.minutes)
            rounds += 1
            print(f"round {rounds} of {len(sweep.runs)} points ({time.monotonic() - started:.0f} s)", flush=True)
    except machine.Failed as failure:
        print(f"sweep: {failure}", file=sys.stderr)
        return 1
    axes = summaries(sweep)
    where = facts() | {
        "step": f"--preset paper, {options.device}; ids uniform over one table",
        "base": ", ".join(f"{key} {value}" for key, value in BASE.items()),
        "time taken": f"{(time.monotonic() - started) / 60:.0f} min, others had "
                      f"{100 * machine.taken_by_others(before, machine.read()):.1f} % of the processors"}
    name = f"{where['date']}-{options.device.replace(':', '-')}-sweep" + ("-quick" if options.quick else "")
    path = write(options.results, name, {"facts": where, "axes": axes, "runs": [run for runs in sweep.runs.values()
                                                                              for run in runs]},
                 lambda figure: report(axes, where, figure), plot(axes))
    print(f"sweep: results in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
