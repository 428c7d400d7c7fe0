#!/usr/bin/env python3
"""The measurements of bench/compare.sh (standard library only): engine and PyTorch in turns, on equal batches.

The protocol: each pair is one engine run per precision and one run per peer variant, one after the other, each pair
beginning with another of them, with the FMA peak probed before and after. A pair is kept where the machine was at rest:
both probes near the best and hardly any processor time taken by others. One that is not is repeated, twice at most per
case. Medians of the kept pairs with their spread.
"""
import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import machine
from compare_report import COMPILED, VARIANTS, facts_of, plot, report, summarise
from machine import Failed
from results import ROOT, SLOW, TAKEN, write

ENOUGH = 22 * 60  # seconds, after which no pair is repeated
NO_BF16 = "this CPU has no AVX512-BF16"  # the one refusal that leaves bf16 out; exit code 2


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
    machine.run([program, "synth", "--profile", "ali-ccp", "--rows", rows, "--seed", 1, "--out", work / "many"])
    first_id_only(work / "many", work / "one")
    packed = {}
    for case, log in (("all ids", "many"), ("one id per field", "one")):
        machine.run([program, "convert", "--data", work / log, "--out", work / f"{log}-packed"])
        shutil.rmtree(work / log)
        packed[case] = work / f"{log}-packed" / "train"
    return packed


class Comparison:
    def __init__(self, options, work):
        self.options, self.work = options, work
        self.step, self.program = options.build / "bench" / "esmm_bench_step", options.build / "esmm_gpu"
        self.gated, self.batches, self.pairs, self.repeated = (6, 3, 2, 0) if options.quick else (40, 10, 5, 2)
        self.pairs = options.pairs or self.pairs
        self.variants = VARIANTS + (COMPILED if options.compile else ())
        self.best_peak, self.started = 0.0, time.monotonic()

    @staticmethod
    def measured(command):
        return json.loads(machine.run(command).output)

    def engine(self, data, optimizer, precision, batches, *flags):
        return self.measured([self.step, "--data", data, "--preset", "paper", "--optimizer", optimizer, "--device", "cpu",
                              "--precision", precision, "--batches", batches, "--passes", 2, *flags])

    def peer(self, export, variant, gate):
        variant, *compiled = variant.split()
        flags = ["--compile"] if compiled else []
        return self.measured([self.options.python, ROOT / "bench/peers/esmm_torch.py", "--export", export, "--engine",
                              export / "engine.json", "--variant", variant, "--gate", gate, "--batches", self.batches,
                              "--passes", 1, *flags])

    def seconds(self):
        return time.monotonic() - self.started

    def probe(self):
        peak = self.measured([self.step, "--peak"])["fma_gflops"]
        self.best_peak = max(self.best_peak, peak)
        return peak

    def pair(self, number, runs):
        """`runs`: what to call by name."""
        names = list(runs)
        first = number % len(names)
        order = names[first:] + names[:first]
        peaks, details, taken = [self.probe()], {}, {}
        for name in order:
            before = machine.read()
            details[name] = runs[name](number)
            taken[name] = machine.taken_by_others(before, machine.read())
        peaks.append(self.probe())
        rates = {name: {column: details[name]["impressions"] * len(details[name][key]) / sum(details[name][key])
                        for column, key in (("held", "seconds"), ("loaded", "seconds_with_loading"))} for name in names}
        for detail in details.values():
            detail.pop("losses", None)
        return {"order": order, "fma_gflops": peaks, "taken_by_others": taken, "rates": rates, "details": details}

    def losses(self, data, optimizer, export):
        """Of the gated steps, by precision; bf16 is left out where the processor lacks it, and only there."""
        first = self.engine(data, optimizer, "fp32", self.gated, "--export", export)
        (export / "engine.json").write_text(json.dumps(first))
        try:
            return {"fp32": first["losses"], "bf16": self.engine(data, optimizer, "bf16", self.gated)["losses"]}
        except Failed as refusal:
            if refusal.code != 2 or NO_BF16 not in refusal.words:
                raise
            print(f"  bf16: left out ({refusal.words})", flush=True)
            return {"fp32": first["losses"]}

    def case(self, name, data, optimizer):
        export = self.work / f"export-{name}-{optimizer}".replace(" ", "-")
        losses = self.losses(data, optimizer, export)
        runs = {precision: lambda _, precision=precision: self.engine(data, optimizer, precision, self.batches)
                for precision in losses}
        warm = {variant: self.batches if variant in COMPILED else 2 for variant in self.variants}  # every shape, compiled
        runs |= {variant: lambda number, variant=variant: self.peer(export, variant,
                                                                   self.gated if number == 0 else warm[variant])
                 for variant in self.variants}
        pairs, kept = [], 0
        while len(pairs) < self.pairs or (kept < self.pairs and len(pairs) < self.pairs + self.repeated and
                                          self.seconds() < ENOUGH):
            pair = self.pair(len(pairs), runs)
            pairs.append(pair)
            at_rest = min(pair["fma_gflops"]) >= SLOW * self.best_peak and max(pair["taken_by_others"].values()) <= TAKEN
            kept += at_rest
            print(f"  pair {len(pairs)}: " + "  ".join(f"{key} {rate['held'] / 1e3:.1f} k/s"
                                                      for key, rate in pair["rates"].items()) +
                  ("" if at_rest else "  (machine not at rest)"), flush=True)
        shutil.rmtree(export)
        return {"case": name, "optimizer": optimizer, "pairs": pairs, "losses": losses}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    work = options.build / "compare-data"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    before = machine.read()
    try:
        comparison, cases = Comparison(options, work), []
        for name, data in make_data(comparison.program, work, 60_000 if options.quick else 300_000).items():
            for optimizer in ("adam",) if options.quick else ("adam", "adagrad", "sgd"):
                print(f"{name}, {optimizer} ({comparison.seconds():.0f} s)", flush=True)
                cases.append(comparison.case(name, data, optimizer))
    except Failed as failure:
        print(f"compare: {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work)
    for case in cases:
        summarise(case, comparison.best_peak)
    facts = facts_of(cases, {"seconds": comparison.seconds(),
                             "taken": machine.taken_by_others(before, machine.read())})
    name = f"{facts['date']}-cpu-compare" + ("-quick" if options.quick else "")
    path = write(options.results, name, {"facts": facts, "cases": cases},
                 lambda figure: report(cases, facts, figure), plot(cases))
    print(f"compare: results in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
