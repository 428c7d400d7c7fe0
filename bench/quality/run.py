#!/usr/bin/env python3
"""Compares the methods of the ESMM paper by the paper's protocol: train on the first half of a log, test on the second.

    bench/quality/run.py                      10 seeds of every method in a synthetic world of 1 M impressions per half
    bench/quality/run.py --quick              3 seeds, 100 k impressions
    bench/quality/run.py --data ALI_CCP_DIR   a real log (no truth: the entire-space columns are left out)
    bench/quality/run.py --vary shuffle=common_row,impression --methods base,esmm

Every method's pCVR is multiplied with the pCTR of one separate CTR net, BASE's, for the CTCVR AUC. All methods have the
same hyper-parameters. Writes report.md, results.json and cvr_auc.svg into --out. NumPy comes from requirements.txt, into
build/quality_venv, when it is not there.
"""
import argparse
import json
import math
import os
import pathlib
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

METHODS = ["base", "aman", "oversampling", "unbias", "division", "esmm_ns", "esmm"]
# CVR AUC / CTCVR AUC on the public sample, mean ± std of 10 runs (arXiv:1804.07931, table 2).
PAPER = {"base": "66.00±.37 / 62.07±.45", "aman": "65.21±.59 / 63.53±.57", "oversampling": "67.18±.32 / 63.05±.48",
         "unbias": "66.65±.28 / 63.56±.70", "division": "67.56±.48 / 63.62±.09", "esmm_ns": "68.25±.44 / 64.44±.62",
         "esmm": "68.56±.37 / 65.32±.49"}
METRICS = {"cvr_auc": "CVR AUC (clicks)", "ctcvr_auc": "CTCVR AUC (all)", "entire_cvr_auc": "CVR AUC (entire space)",
           "entire_calibration": "calibration (entire space)"}
# Two-sided 95 % quantiles of Student's t, by degrees of freedom.
STUDENT = [math.nan, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
           2.131, 2.120, 2.110, 2.101, 2.093]


def auc(scores, labels):
    """Mann-Whitney, ties count half."""
    positive, negative = scores[labels], np.sort(scores[~labels])
    if len(positive) == 0 or len(negative) == 0:
        return math.nan
    wins = np.searchsorted(negative, positive, "left").sum() + np.searchsorted(negative, positive, "right").sum()
    return float(wins) / (2.0 * len(positive) * len(negative))


def read_columns(path, columns):
    """The numbers of a CSV file of `columns` columns with a header. [rows, columns]"""
    with open(path) as file:
        file.readline()
        return np.fromstring(file.read().replace("\n", ","), sep=",").reshape(-1, columns)


class Log:
    """Labels, and the truth where there is one, of the test half."""

    def __init__(self, folder):
        with open(folder / "sample_skeleton_test.csv") as file:
            labels = np.array([[int(cell) for cell in line.split(",", 3)[1:3]] for line in file], dtype=bool)
        self.valid = labels[:, 0] | ~labels[:, 1]  # no conversion without a click
        self.click, self.conversion = labels[:, 0][self.valid], labels[:, 1][self.valid]
        truth = folder / "truth_test.csv"
        self.truth = read_columns(truth, 4)[self.valid] if truth.exists() else None

    def measure(self, pctr, pcvr):
        values = {"cvr_auc": auc(pcvr[self.click], self.conversion[self.click]),
                  "ctcvr_auc": auc(pctr * pcvr, self.conversion)}
        if self.truth is not None:
            would_convert = self.truth[:, 3] > 0.5
            values["entire_cvr_auc"] = auc(pcvr, would_convert)
            values["entire_calibration"] = float(pcvr.sum() / would_convert.sum())
        return values

    def bayes(self):
        return {} if self.truth is None else self.measure(self.truth[:, 1], self.truth[:, 2])


class Program:
    def __init__(self, binary, work):
        self.binary, self.work, self.seconds = str(binary), work, 0.0

    def __call__(self, *arguments):
        result = subprocess.run([self.binary, *map(str, arguments), "--log-level", "warn"], capture_output=True, text=True)
        if result.returncode != 0:
            sys.exit(f"esmm_gpu {' '.join(map(str, arguments))}: exit {result.returncode}\n{result.stderr}")

    def scores(self, name, packed, log, flags):
        """Trains and predicts; (pctr, pcvr) of the test half."""
        run, csv = self.work / "runs" / name, self.work / "predictions.csv"
        if not (run / "model.safetensors").exists():
            self("train", "--data", packed / "train", "--out", run, *flags)
        self("predict", "--run", run, "--data", packed / "test", "--out", csv)
        columns = read_columns(csv, 4)
        return columns[log.valid, 1], columns[log.valid, 2]


def split_for_validation(folder, out):
    """The first four fifths of the train half as train half, the last as test half."""
    out.mkdir(parents=True, exist_ok=True)
    lines = (folder / "sample_skeleton_train.csv").read_bytes().splitlines(keepends=True)
    cut = len(lines) * 4 // 5
    (out / "sample_skeleton_train.csv").write_bytes(b"".join(lines[:cut]))
    (out / "sample_skeleton_test.csv").write_bytes(b"".join(lines[cut:]))
    common = (folder / "common_features_train.csv").read_bytes()
    for half in ("train", "test"):
        (out / f"common_features_{half}.csv").write_bytes(common)


def tune(program, folder, methods, flags, rates):
    """THE rule: the learning rate with the best CTCVR AUC on the last fifth of the train half, averaged over methods."""
    split, packed = program.work / "validation", program.work / "validation_packed"
    if not packed.exists():
        split_for_validation(folder, split)
        program("convert", "--data", split, "--out", packed)
    log, means = Log(split), {}
    for rate in rates:
        scored = {m: program.scores(f"tune-{m}-{rate}", packed, log, [*flags, "--model", m, "--seed", 1, "--lr", rate])
                  for m in dict.fromkeys(["base", *methods])}
        pctr = scored["base"][0]
        means[rate] = float(np.mean([log.measure(pctr, scored[m][1])["ctcvr_auc"] for m in methods]))
        print(f"validation: lr {rate}: mean CTCVR AUC {means[rate]:.4f}", flush=True)
    return max(means, key=means.get), means


def mean_and_deviation(values):
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def paired_interval(values, reference):
    """Mean and half width of the 95 % confidence interval of the difference, over seeds."""
    difference = np.array(values) - np.array(reference)
    n = len(difference)
    if n < 2:
        return float(difference.mean()), math.nan
    return float(difference.mean()), STUDENT[min(n, len(STUDENT)) - 1] * float(difference.std(ddof=1)) / math.sqrt(n)


def table(results, bayes, names):
    metrics = [m for m in METRICS if m in next(iter(results.values()))]
    reference = "esmm" if "esmm" in results else names[0]
    lines = ["| method | " + " | ".join(METRICS[m] for m in metrics) + f" | CVR AUC − {reference}'s, 95 % interval | paper: CVR / CTCVR AUC, % |",
             "| --- |" + " --- |" * (len(metrics) + 2)]
    for name in names:
        cells = ["{:.4f} ± {:.4f}".format(*mean_and_deviation(results[name][m])) for m in metrics]
        gain = "{:+.4f} ± {:.4f}".format(*paired_interval(results[name]["cvr_auc"], results[reference]["cvr_auc"]))
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {gain if name != reference else ''} | {PAPER.get(name, '')} |")
    if bayes:
        lines.append("| truth (Bayes) | " + " | ".join(f"{bayes[m]:.4f}" for m in metrics) + " | | |")
    return "\n".join(lines) + "\n"


def plot(results, metric, bayes, names):
    """A dot and a bar of one standard deviation per method."""
    spans = [mean_and_deviation(results[n][metric]) for n in names]
    values = [m + s * k for m, s in spans for k in (-1, 1) if not math.isnan(m + s)] + [m for m, _ in spans]
    values += [bayes[metric]] if bayes else []
    low, high = min(values), max(values)
    pad = 0.05 * (high - low) or 0.01
    x = lambda v: 150 + 400 * (v - low + pad) / (high - low + 2 * pad)
    rows = [f'<text x="150" y="18">{METRICS[metric]}, mean and one standard deviation over seeds</text>']
    for i, (name, (mean, deviation)) in enumerate(zip(names, spans)):
        y, s = 45 + 24 * i, 0.0 if math.isnan(deviation) else deviation
        rows.append(f'<text x="10" y="{y + 4}">{name}</text><circle cx="{x(mean):.1f}" cy="{y}" r="4"/>'
                    f'<line x1="{x(mean - s):.1f}" x2="{x(mean + s):.1f}" y1="{y}" y2="{y}" stroke="black"/>'
                    f'<text x="565" y="{y + 4}">{mean:.4f}</text>')
    if bayes:
        rows.append(f'<line x1="{x(bayes[metric]):.1f}" x2="{x(bayes[metric]):.1f}" y1="30" y2="{36 + 24 * len(names)}" '
                    'stroke="red" stroke-dasharray="4"/>')
    return ('<svg xmlns="http://www.w3.org/2000/svg" width="640" height="%d" font-family="sans-serif" font-size="12">'
            '<rect width="100%%" height="100%%" fill="white"/>%s</svg>\n' % (50 + 24 * len(names), "".join(rows)))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build/release/esmm_gpu")
    parser.add_argument("--data", type=pathlib.Path, help="raw Ali-CCP directory with both halves; else a synthetic world")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each half of the world")
    parser.add_argument("--profile", default="small", help="of the world: small or ali-ccp")
    parser.add_argument("--world-seed", type=int, default=1)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--vary", help="OPTION=VALUE,VALUE,...: every method with each value of an option of `train`")
    parser.add_argument("--tune", help="RATE,RATE,...: choose the learning rate on a validation split")
    parser.add_argument("--lr", default="0.001", help="learning rate without --tune")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="3 seeds and 100,000 impressions")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/quality")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.seeds = 100_000, 3
    return options


def main():
    options = parse()
    started = time.monotonic()
    program = Program(options.binary, options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    folder, packed = options.data or options.out / "world", options.out / "packed"
    if options.data is None and not folder.exists():
        program("synth", "--out", folder, "--rows", options.rows, "--profile", options.profile, "--seed", options.world_seed)
    if not packed.exists():
        program("convert", "--data", folder, "--out", packed)
    log = Log(folder)
    methods = options.methods.split(",")
    flags = ["--epochs", options.epochs, "--batch-size", options.batch_size, "--threads", options.threads]
    tuned, rate = {}, options.lr
    if options.tune:
        rate, tuned = tune(program, folder, methods, flags, options.tune.split(","))
    flags += ["--lr", rate]
    option, values = (options.vary.split("=")[0], options.vary.split("=")[1].split(",")) if options.vary else (None, [None])

    results = {}
    for seed in range(1, options.seeds + 1):
        pctr = None
        for value in values:
            extra = [] if option is None else [f"--{option}", value]
            for method in dict.fromkeys(["base", *methods]):  # first: its CTR net is everyone's
                name = method if value is None else f"{method} {value}"
                own, pcvr = program.scores(f"{name.replace(' ', '-')}-{seed}", packed, log,
                                           [*flags, "--model", method, "--seed", seed, *extra])
                pctr = own if pctr is None else pctr
                if method not in methods:
                    continue
                for metric, number in log.measure(pctr, pcvr).items():
                    results.setdefault(name, {}).setdefault(metric, []).append(number)
        print(f"seed {seed}: " + ", ".join(f"{n} {r['cvr_auc'][-1]:.4f}" for n, r in results.items()), flush=True)

    names, bayes = list(results), log.bayes()
    seconds = time.monotonic() - started
    about = {"command": " ".join(sys.argv), "rows": len(log.click), "clicks": int(log.click.sum()),
             "conversions": int(log.conversion.sum()), "seeds": options.seeds, "lr": rate, "validation": tuned,
             "seconds": round(seconds, 1)}
    (options.out / "results.json").write_text(json.dumps({"about": about, "bayes": bayes, "results": results}, indent=1))
    head = "".join(f"- {key}: {value}\n" for key, value in about.items() if value != {})
    (options.out / "report.md").write_text(head + "\n" + table(results, bayes, names))
    for metric in next(iter(results.values())):
        (options.out / f"{metric}.svg").write_text(plot(results, metric, bayes, names))
    print(table(results, bayes, names) + f"{seconds:.0f} s; {options.out}/report.md")


if __name__ == "__main__":
    main()
