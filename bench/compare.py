#!/usr/bin/env python3
"""The measurements of bench/compare.sh (standard library only): engine and PyTorch in turns, on equal batches.

The protocol: each pair is one engine run and one run per peer variant, one after the other, with the FMA peak probed
before and after; pairs taken while the machine was slow are dropped; medians of the rest with their spread.
"""
import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

from plot import plot

ROOT = Path(__file__).resolve().parent.parent
VARIANTS = ("joined", "dedup", "factorised")
SLOW = 0.85  # of the best FMA peak seen: pairs below are dropped


class Failed(Exception):
    pass


def run(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{Path(str(command[0])).name}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def first_id_only(source, target):
    """Copies a raw Ali-CCP log, of every field its first id alone."""
    target.mkdir()
    for path in source.glob("*_*.csv"):
        if not path.name.startswith(("sample_skeleton", "common_features")):
            continue
        with open(path) as lines, open(target / path.name, "w") as out:
            for line in lines:
                *head, _, features = line.rstrip("\n").split(",")
                fields = {}
                for record in features.split("\x01"):
                    fields.setdefault(record.split("\x02", 1)[0], record)
                out.write(",".join([*head, str(len(fields)), "\x01".join(fields.values())]) + "\n")


def make_data(program, work, rows):
    """Packed train halves by case."""
    run([program, "synth", "--profile", "ali-ccp", "--rows", rows, "--seed", 1, "--out", work / "many"])
    first_id_only(work / "many", work / "one")
    packed = {}
    for case, log in (("all ids", "many"), ("one id per field", "one")):
        run([program, "convert", "--data", work / log, "--out", work / f"{log}-packed"])
        packed[case] = work / f"{log}-packed" / "train"
    return packed


class Comparison:
    def __init__(self, options, work):
        self.options, self.work = options, work
        self.step, self.program = options.build / "bench" / "esmm_bench_step", options.build / "esmm_gpu"
        self.batches, self.pairs = (10, 2) if options.quick else (50, 5)

    def engine(self, data, optimizer, *flags):
        return json.loads(run([self.step, "--data", data, "--preset", "paper", "--optimizer", optimizer, "--device", "cpu",
                               "--batches", self.batches, "--passes", 2, *flags]))

    def peer(self, export, engine, variant):
        return json.loads(run([self.options.python, ROOT / "bench/peers/esmm_torch.py", "--export", export, "--engine",
                               engine, "--variant", variant, "--passes", 2]))

    def probe(self):
        return json.loads(run([self.step, "--probe"]))["fma_gflops"]

    def case(self, name, data, optimizer):
        export = self.work / f"export-{name}-{optimizer}".replace(" ", "-")
        first = self.engine(data, optimizer, "--export", export)
        losses = export / "engine.json"
        losses.write_text(json.dumps(first))
        pairs, precisions = [], ["fp32"]
        try:
            bf16_losses = self.engine(data, optimizer, "--precision", "bf16")["losses"]
            precisions.append("bf16")
        except Failed as refusal:
            bf16_losses = None
            print(f"  bf16: skipped ({refusal})", flush=True)
        for number in range(self.pairs):
            peaks, rates = [self.probe()], {}
            details = {}
            for precision in precisions:
                details[precision] = self.engine(data, optimizer, "--precision", precision)
            for variant in VARIANTS:
                details[variant] = self.peer(export, losses, variant)
            peaks.append(self.probe())
            for key, detail in details.items():
                rates[key] = {column: detail["impressions"] / min(detail[seconds]) for column, seconds in
                              (("held", "seconds"), ("loaded", "seconds_with_loading"))}
            pairs.append({"fma_gflops": peaks, "rates": rates, "details": details})
            print(f"  pair {number + 1}/{self.pairs}: " + "  ".join(
                f"{key} {rate['held'] / 1e3:.1f} k/s" for key, rate in rates.items()), flush=True)
        shutil.rmtree(export)
        return {"case": name, "optimizer": optimizer, "pairs": pairs, "losses": first["losses"], "bf16_losses": bf16_losses}


def summarise(case, best_peak):
    kept = [pair for pair in case["pairs"] if min(pair["fma_gflops"]) >= SLOW * best_peak]
    case["dropped"] = len(case["pairs"]) - len(kept)
    case["too_slow"] = not kept
    kept = kept or case["pairs"]
    spread = lambda values: {"median": median(values), "min": min(values), "max": max(values)}
    keys = list(kept[0]["rates"])
    case["rates"] = {key: {column: spread([pair["rates"][key][column] for pair in kept]) for column in ("held", "loaded")}
                     for key in keys}
    case["ratios"] = {variant: {column: spread([pair["rates"]["fp32"][column] / pair["rates"][variant][column]
                                                for pair in kept]) for column in ("held", "loaded")}
                      for variant in VARIANTS}
    engine = [(pair, pair["details"]["fp32"]) for pair in kept]
    case["peak_share"] = spread([detail["tower_gflop"] / min(detail["seconds"]) / (sum(pair["fma_gflops"]) / 2)
                                 for pair, detail in engine])
    stages = engine[0][1]["stage_seconds"]
    case["stages"] = {stage: median([detail["stage_seconds"][stage] / detail["batches"] for _, detail in engine])
                      for stage in stages}
    case["step"] = median([min(detail["seconds"]) / detail["batches"] for _, detail in engine])
    case["gate"] = max(pair["details"][variant]["gate_worst_over_bound"] for pair in kept for variant in VARIANTS)


def report(cases, facts):
    lines = [f"# Engine and PyTorch, {facts['date']}", "", "Made by `bench/compare.sh`; docs/benchmarking.md explains it.", "",
             "| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in facts.items()), ""]
    if any(case["too_slow"] for case in cases):
        lines += ["**The machine was never at rest in some cases (too_slow in the JSON): those figures are not results.**", ""]
    k = lambda s: f"{s['median'] / 1e3:.1f} ({s['min'] / 1e3:.1f}–{s['max'] / 1e3:.1f})"
    x = lambda s: f"{s['median']:.1f} ({s['min']:.1f}–{s['max']:.1f})"
    for column, title in (("held", "without loading"), ("loaded", "with loading")):
        keys = list(cases[0]["rates"])
        lines += [f"Thousand impressions per second {title}, median (minimum–maximum):", "",
                  "| case | optimizer | " + " | ".join(("engine " if key.endswith(("32", "16")) else "PyTorch ") + key
                                                        for key in keys) + " |", "| --- " * (len(keys) + 2) + "|"]
        lines += [f"| {case['case']} | {case['optimizer']} | " +
                  " | ".join(k(case["rates"][key][column]) for key in keys) + " |" for case in cases]
        lines += ["", f"The engine (fp32) over PyTorch {title}, ratio within each pair:", "",
                  "| case | optimizer | " + " | ".join(VARIANTS) + " |", "| --- " * (len(VARIANTS) + 2) + "|"]
        lines += [f"| {case['case']} | {case['optimizer']} | " +
                  " | ".join(x(case["ratios"][v][column]) for v in VARIANTS) + " |" for case in cases] + [""]
    lines += ["Share of the measured fp32 FMA peak that a step's factorised tower arithmetic reaches; the sum of the stages over",
              "the whole step; greatest loss difference to PyTorch over its bound; pairs dropped:", "",
              "| case | optimizer | share of peak | stages / step | gate | dropped |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [f"| {c['case']} | {c['optimizer']} | {100 * c['peak_share']['median']:.0f} % | "
              f"{sum(c['stages'].values()) / c['step']:.2f} | {c['gate']:.3f} | {c['dropped']} of {len(c['pairs'])} |"
              for c in cases]
    if any(case["bf16_losses"] for case in cases):
        lines += ["", "Loss by step, fp32 and bf16:", "", "| case | optimizer | step | fp32 | bf16 |", "| --- " * 5 + "|"]
        for case in cases:
            every = max(1, len(case["losses"]) // 5)
            lines += [f"| {case['case']} | {case['optimizer']} | {s + 1} | {sum(case['losses'][s]):.5f} | "
                      f"{sum(case['bf16_losses'][s]):.5f} |" for s in range(0, len(case["losses"]), every)]
    return "\n".join(lines) + "\n"


def describe_machine(cases):
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
               platform.machine())
    git = lambda *words: subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True).stdout.strip()
    changed = " (and uncommitted changes)" if git("status", "--porcelain", "--untracked-files=no") else ""
    peer = cases[0]["pairs"][0]["details"]["joined"]
    return {"date": datetime.date.today().isoformat(), "CPU": cpu, "threads": os.cpu_count(),
            "commit": (git("rev-parse", "--short=12", "HEAD") or "unknown") + changed,
            "PyTorch": f"{peer['torch']}, {peer['blas']}, {peer['threads']} threads",
            "model": f"--preset paper, batch 5000, {cases[0]['pairs'][0]['details']['fp32']['parameters']} parameters"}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    work = options.build / "compare-data"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        comparison, cases = Comparison(options, work), []
        for name, data in make_data(comparison.program, work, 60_000 if options.quick else 500_000).items():
            for optimizer in ("adam",) if options.quick else ("sgd", "adagrad", "adam"):
                print(f"{name}, {optimizer}", flush=True)
                cases.append(comparison.case(name, data, optimizer))
    except Failed as failure:
        print(f"compare: {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work)
    best = max(peak for case in cases for pair in case["pairs"] for peak in pair["fma_gflops"])
    for case in cases:
        summarise(case, best)
    facts = describe_machine(cases)
    name = f"{facts['date']}-cpu-compare" + ("-quick" if options.quick else "")
    (options.results / f"{name}.json").write_text(json.dumps({"facts": facts, "cases": cases}, indent=1) + "\n")
    (options.results / f"{name}.md").write_text(report(cases, facts))
    (options.results / f"{name}.svg").write_text(plot(cases))
    print(f"compare: results in {options.results / name}.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
