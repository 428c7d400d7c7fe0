"""Tables and plots of a comparison: means and standard deviations over seeds, differences paired by seed."""
import math

import numpy as np

# CVR AUC / CTCVR AUC on the public sample, mean ± std of 10 runs (arXiv:1804.07931, table 2).
PAPER = {"base": "66.00±.37 / 62.07±.45", "aman": "65.21±.59 / 63.53±.57", "oversampling": "67.18±.32 / 63.05±.48",
         "unbias": "66.65±.28 / 63.56±.70", "division": "67.56±.48 / 63.62±.09", "esmm_ns": "68.25±.44 / 64.44±.62",
         "esmm": "68.56±.37 / 65.32±.49"}
METRICS = {"cvr_auc": "CVR AUC (clicks)", "ctcvr_auc": "CTCVR AUC (all)", "entire_cvr_auc": "CVR AUC (entire space)",
           "entire_calibration": "calibration (entire space)"}
# Two-sided 95 % quantiles of Student's t, by degrees of freedom.
STUDENT = [math.nan, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
           2.131, 2.120, 2.110, 2.101, 2.093]
COLOURS = ("#c8553d", "#1b6ca8", "#7a9e7e", "#e09f3e", "#8d6a9f", "#59a5d8", "#555555", "#b0a030")


def mean_and_deviation(values):
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def paired_interval(values, reference):
    """Mean and half width of the 95 % confidence interval of the difference, over seeds."""
    difference = np.array(values) - np.array(reference)
    n = len(difference)
    if n < 2:
        return float(difference.mean()), math.nan
    return float(difference.mean()), STUDENT[min(n, len(STUDENT)) - 1] * float(difference.std(ddof=1)) / math.sqrt(n)


def table(results, bayes, with_paper):
    """One world's methods. results: method -> metric -> one number per seed; bayes: metric -> number, or empty."""
    metrics = [m for m in METRICS if m in next(iter(results.values()))]
    ranking = "entire_cvr_auc" if "entire_cvr_auc" in metrics else "cvr_auc"
    reference = "esmm" if "esmm" in results else next(iter(results))
    differences = ["cvr_auc"] if ranking == "cvr_auc" else ["cvr_auc", ranking]
    heads = [METRICS[m] for m in metrics] + [f"{METRICS[m]} − {reference}'s, 95 % interval" for m in differences]
    heads += ["to Bayes (entire space)"] if bayes else []
    heads += ["paper: CVR / CTCVR AUC, %"] if with_paper else []
    lines = ["| method | " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(heads)]
    for name, own in results.items():
        cells = ["{:.4f} ± {:.4f}".format(*mean_and_deviation(own[m])) for m in metrics]
        for m in differences:
            gain = "{:+.4f} ± {:.4f}".format(*paired_interval(own[m], results[reference][m]))
            cells.append("" if name == reference else gain)
        cells += [f"{np.mean(own[ranking]) - bayes[ranking]:+.4f}"] if bayes else []
        cells += [PAPER.get(name, "")] if with_paper else []
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if bayes:
        known = " | ".join(f"{bayes[m]:.4f}" for m in metrics)
        lines.append(f"| truth (Bayes) | {known} |" + " |" * (len(heads) - len(metrics)))
    return "\n".join(lines) + "\n"


def text(x, y, words, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


def svg(height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="640" height="{height}" font-family="sans-serif" font-size="12">'
            '<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n")


def scale(values, begin, end):
    """A linear map of the range of `values`, with a margin, onto [begin, end]."""
    low, high = min(values), max(values)
    pad = 0.05 * (high - low) or 0.01
    return lambda v: begin + (end - begin) * (v - low + pad) / (high - low + 2 * pad)


def ticks(values):
    """Three to seven round numbers in the range of `values`."""
    low, high = min(values), max(values)
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-4) / 3))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (factor * step) < 7)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def plot_methods(results, metric, bayes):
    """A dot and a bar of one standard deviation per method; dashed: Bayes."""
    spans = {name: mean_and_deviation(own[metric]) for name, own in results.items()}
    ends = [m + s * k for m, s in spans.values() for k in (-1, 1) if not math.isnan(s)] + [m for m, _ in spans.values()]
    ends += [bayes[metric]] if bayes else []
    x, bottom = scale(ends, 150, 550), 36 + 24 * len(spans)
    parts = [text(150, 18, f"{METRICS[metric]}, mean and one standard deviation over seeds")]
    for tick in ticks(ends):
        parts += [f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="30" y2="{bottom}" stroke="#ddd"/>',
                  text(x(tick), bottom + 16, f"{tick:.4g}", "middle")]
    for i, (name, (mean, deviation)) in enumerate(spans.items()):
        y, s = 45 + 24 * i, 0.0 if math.isnan(deviation) else deviation
        parts += [text(10, y + 4, name), f'<circle cx="{x(mean):.1f}" cy="{y}" r="4"/>', text(565, y + 4, f"{mean:.4f}"),
                  f'<line x1="{x(mean - s):.1f}" x2="{x(mean + s):.1f}" y1="{y}" y2="{y}" stroke="black"/>']
    if bayes:
        parts.append(f'<line x1="{x(bayes[metric]):.1f}" x2="{x(bayes[metric]):.1f}" y1="30" y2="{bottom}" stroke="red" '
                     'stroke-dasharray="4"/>')
    return svg(bottom + 26, parts)


def plot_values(option, sweep, metric):
    """A line per method over the values of an option, in equal steps; dashed: Bayes. sweep: value -> (results, bayes)."""
    values = list(sweep)
    x = lambda i: 60 + (400 * i / (len(values) - 1) if len(values) > 1 else 200)
    lines = {name: [mean_and_deviation(results[name][metric]) for results, _ in sweep.values()]
             for name in next(iter(sweep.values()))[0]}
    known = [bayes[metric] for _, bayes in sweep.values() if bayes]
    ends = [m for line in lines.values() for m, _ in line] + known
    y = scale(ends, 300, 40)
    parts = [text(60, 18, f"{METRICS[metric]} by {option}, mean and one standard deviation over seeds")]
    for tick in ticks(ends):
        parts += [f'<line x1="60" x2="460" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#ddd"/>',
                  text(52, y(tick) + 4, f"{tick:.4g}", "end")]
    parts += [text(x(i), 325, value, "middle") for i, value in enumerate(values)]
    if len(known) == len(values):
        lines = {"Bayes": [(m, math.nan) for m in known], **lines}
    for row, (name, line) in enumerate(lines.items()):
        style = 'stroke="red" stroke-dasharray="4"' if name == "Bayes" else f'stroke="{COLOURS[row % len(COLOURS)]}"'
        points = " ".join(f"{x(i):.1f},{y(mean):.1f}" for i, (mean, _) in enumerate(line))
        parts.append(f'<polyline points="{points}" fill="none" stroke-width="2" {style}/>')
        parts.append(f'<line x1="480" x2="500" y1="{46 + 20 * row}" y2="{46 + 20 * row}" stroke-width="2" {style}/>')
        parts.append(text(506, 50 + 20 * row, f"{name} {line[-1][0]:.4f}"))
        parts += [f'<line x1="{x(i):.1f}" x2="{x(i):.1f}" y1="{y(m - s):.1f}" y2="{y(m + s):.1f}" {style}/>'
                  for i, (m, s) in enumerate(line) if not math.isnan(s)]
    return svg(340, parts)
