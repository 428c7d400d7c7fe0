#!/usr/bin/env python3
"""Compares the methods of the ESMM paper by the paper's protocol: train on the first half of a log, test on the second.

    bench/quality/run.py                      10 seeds of every method in a synthetic world of 1 M impressions per half
    bench/quality/run.py --quick              3 seeds, 100 k impressions
    bench/quality/run.py --data ALI_CCP_DIR   a real log (no truth: the entire-space columns are left out)
    bench/quality/run.py --vary shuffle=common_row,impression --methods base,esmm
    bench/quality/run.py --vary selection-bias=0,0.5,0.9 --methods base,esmm     another world for each value

Every method's pCVR is multiplied with the pCTR of one separate CTR net, BASE's, for the CTCVR AUC. All methods have the
same hyper-parameters. Writes report.md, results.json and an SVG plot per metric into --out. NumPy comes from
requirements.txt, into build/quality_venv, when it is not there.
"""
import argparse
import functools
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
try:
    import numpy as np
except ImportError:
    venv = ROOT / "build" / "quality_venv"
    if pathlib.Path(sys.prefix) == venv:
        raise
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([venv / "bin/pip", "install", "--quiet", "-r", ROOT / "bench/quality/requirements.txt"], check=True)
    os.execv(venv / "bin/python", [venv / "bin/python", *sys.argv])

from log import Log, read_columns, split_for_validation
from report import plot_methods, plot_values, table

METHODS = ["base", "aman", "oversampling", "unbias", "division", "esmm_ns", "esmm", "esmm_aux"]
WORLD_OPTIONS = ["rows", "users", "profile", "selection-bias", "click-rate", "conversion-rate"]  # of `synth`


class Program:
    """esmm_gpu, and the folder in which its worlds and runs are kept."""

    def __init__(self, binary, work):
        self.binary, self.work = str(binary), work

    def __call__(self, *arguments):
        result = subprocess.run([self.binary, *map(str, arguments), "--log-level", "warn"], capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"esmm_gpu {' '.join(map(str, arguments))}: exit {result.returncode}\n{result.stderr}")
        sys.stderr.write(result.stderr)  # warnings, of a pCVR that collapsed for one

    def world(self, name, flags):
        """The folder of a synthetic log."""
        folder = self.work / name
        if not folder.exists():
            self("synth", "--out", folder, *flags)
        return folder

    def pack(self, folder, name):
        packed = self.work / name
        if not packed.exists():
            self("convert", "--data", folder, "--out", packed)
        return packed

    def scores(self, name, packed, log, train):
        """Trains with these options and predicts, unless that was done before; (pctr, pcvr) of the test half."""
        run = self.work / "runs" / name
        kept, unfinished, csv = run / "predictions.npy", run / "unfinished.npy", run / "predictions.csv"
        if not (run / "model.safetensors").exists():
            shutil.rmtree(run, ignore_errors=True)
            self("train", "--data", packed / "train", "--out", run, *as_flags(train))
            shutil.rmtree(run / "checkpoints", ignore_errors=True)
        if not kept.exists():
            self("predict", "--run", run, "--data", packed / "test", "--out", csv)
            np.save(unfinished, read_columns(csv, 4)[:, :2].astype(np.float32))  # the engine's floats, exactly
            unfinished.rename(kept)
            csv.unlink()
        pctr, pcvr = np.load(kept).astype(np.float64).T  # packing left conversions without a click out, as the log does
        assert len(pctr) == len(log.click), f"{kept}: {len(pctr)} predictions for {len(log.click)} impressions"
        return pctr, pcvr


def tune(program, folder, methods, train, rates):
    """THE rule: the learning rate with the best CTCVR AUC on the last fifth of the train half, averaged over methods."""
    split = program.work / "validation"
    if not split.exists():
        split_for_validation(folder, split)
    packed, log, means = program.pack(split, "validation_packed"), Log(split), {}
    for rate in rates:
        scored = {m: program.scores(f"tune-{m}-{rate}", packed, log, train | {"model": m, "seed": 1, "lr": rate})
                  for m in dict.fromkeys(["base", *methods])}
        pctr = scored["base"][0]
        means[rate] = float(np.mean([log.measure(pctr, scored[m][1])["ctcvr_auc"] for m in methods]))
        print(f"validation: lr {rate}: mean CTCVR AUC {means[rate]:.4f}", flush=True)
    return max(means, key=means.get), means


def compare(program, dataset, methods, seeds, train, suffix=""):
    """method -> metric -> one number per seed, and of the truth the means. dataset(seed): folder, packed folder, test half."""
    results, truths = {method: {} for method in methods}, []
    for seed in range(1, seeds + 1):
        _, packed, log = dataset(seed)
        truths.append(log.bayes())
        pctr = None
        for method in dict.fromkeys(["base", *methods]):  # first: its CTR net is everyone's
            own, pcvr = program.scores(f"{method}{suffix}-{seed}", packed, log, train | {"model": method, "seed": seed})
            pctr = own if pctr is None else pctr
            if method in methods:
                for metric, number in log.measure(pctr, pcvr).items():
                    results[method].setdefault(metric, []).append(number)
        print(f"{suffix[1:]} seed {seed}: ".lstrip() + ", ".join(f"{m} {r['cvr_auc'][-1]:.4f}" for m, r in results.items()),
              flush=True)
    return results, {metric: float(np.mean([truth[metric] for truth in truths])) for metric in truths[0]}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build/release/esmm_gpu")
    parser.add_argument("--data", type=pathlib.Path, help="raw Ali-CCP directory with both halves; else a synthetic world")
    parser.add_argument("--rows", default="1000000", help="of each half of the world")
    parser.add_argument("--world", default="", help="further OPTION=VALUE,... of the world: " + ", ".join(WORLD_OPTIONS[1:]))
    parser.add_argument("--world-seed", type=int, default=1)
    parser.add_argument("--worlds", action="store_true", help="every seed in a world of its own, whose seed it also is")
    parser.add_argument("--train", default="", help="OPTION=VALUE,...: further options of `train`, the same for every method")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--vary", help="OPTION=VALUE,...: every method with each value of an option of `train`, or in a "
                                       "world of its own for one of " + ", ".join(WORLD_OPTIONS))
    parser.add_argument("--tune", help="RATE,RATE,...: choose the learning rate on a validation split")
    parser.add_argument("--lr", default="0.001", help="learning rate without --tune")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="3 seeds and 100,000 impressions")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/quality")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.seeds = "100000", 3
    return options


def pairs(text):
    """OPTION=VALUE,... as a dictionary."""
    return dict(pair.split("=", 1) for pair in text.split(",") if pair)


def as_flags(options):
    return [word for key, value in options.items() for word in (f"--{key}", value)]


def cpu_seconds():
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usages)


def main():
    options = parse()
    started = time.monotonic()
    program = Program(options.binary, options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    world = pairs(options.world) | {"rows": options.rows}
    option, _, values = (options.vary or "").partition("=")
    values = values.split(",") if option else [""]

    @functools.cache
    def dataset(own, seed):
        """Folder, packed folder and test half of the log. own: the options of this world, as pairs."""
        suffix = "".join(f"-{key}-{value}" for key, value in own) + (f"-seed-{seed}" if options.worlds else "")
        seed = seed if options.worlds else options.world_seed
        folder = options.data or program.world(f"world{suffix}", [*as_flags(world | dict(own)), "--seed", seed])
        return folder, program.pack(folder, f"packed{suffix}"), Log(folder)

    methods = options.methods.split(",")
    train = {"epochs": options.epochs, "batch-size": options.batch_size, "threads": options.threads, "lr": options.lr}
    train, tuned = train | pairs(options.train), {}
    if options.tune:
        train["lr"], tuned = tune(program, dataset((), 1)[0], methods, train, options.tune.split(","))

    sweep, counts = {}, {}
    for value in values:
        suffix = f"-{option}-{value}" if option else ""
        own = ((option, value),) if option in WORLD_OPTIONS else ()
        varied = {option: value} if option and not own else {}
        sweep[value] = compare(program, functools.partial(dataset, own), methods, options.seeds, train | varied, suffix)
        counts[value] = dataset(own, 1)[2].counts()

    about = {"command": " ".join(sys.argv), "test half": counts if option else counts[""], "seeds": options.seeds, "lr": train["lr"],
             "validation": tuned, "wall seconds": round(time.monotonic() - started, 1), "CPU seconds": round(cpu_seconds(), 1)}
    (options.out / "results.json").write_text(json.dumps({"about": about, "option": option, "values": {
        value: {"results": results, "bayes": bayes} for value, (results, bayes) in sweep.items()}}, indent=1))
    head = "".join(f"- {key}: {value}\n" for key, value in about.items() if value != {})
    tables = "".join((f"\n## {option} {value}\n" if option else "") + "\n" + table(*sweep[value], with_paper=not option) for value in values)
    (options.out / "report.md").write_text(head + tables)
    for metric in next(iter(sweep[values[0]][0].values())):
        picture = plot_values(option, sweep, metric) if option else plot_methods(*(sweep[""][0], metric, sweep[""][1]))
        (options.out / f"{metric}.svg").write_text(picture)
    print(tables + f"{about['wall seconds']:.0f} s, {about['CPU seconds']:.0f} CPU seconds; {options.out}/report.md")


if __name__ == "__main__":
    main()
