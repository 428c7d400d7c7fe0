#!/usr/bin/env python3
"""How much of a world's CVR can be learnt from N impressions, at best: a calculation, nothing is trained.

An ideal learner knows the law that the effects of ids were drawn from (docs/synth.md) and sees the effect of one id as if
all others were known: of an id with prior variance v and Fisher information J in its labels, the share J·v / (1 + J·v) of
the variance is learnt (J = rows with the id · rate · (1 − rate)). Products of user and item factors count as not learnt,
nor do ids of new users. `conversions`: from the clicked impressions' conversions alone, as BASE learns. `and clicks`: the
part ρ of the conversion logit that is the click logit is learnt from the clicks of all impressions, as ESMM might.

    bench/quality/limit.py [--click-rate P] [--conversion-rate P] [--selection-bias X] [ROWS ...]
"""
import argparse
import pathlib
import re

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CLICK_SPREAD, CONVERSION_SPREAD, INTERACTION, SEGMENTS, USER_ROWS = 1.0, 1.1, 0.08, 8, 58
COMBINED_WITH = {"508": "206", "509": "207", "702": "216", "853": "210"}


def small_fields():
    """name -> vocabulary, zipf, mean ids, missing, counted, weight, latent weight: the table of the profile `small`."""
    source = (ROOT / "io/synth_profile.cpp").read_text()
    rows = re.findall(r'\{"(\w+)", ([^}]*)\}', source[source.index("small_fields"):source.index("ali_ccp_fields")])
    return {name: [float(number) for number in numbers.split(",")] for name, numbers in rows}


def frequencies(fields, name, users):
    """Share of a field's occurrences that each id has in the train half."""
    if name == "101":
        return np.full(users, 1 / users)
    if name in COMBINED_WITH:
        return np.repeat(frequencies(fields, COMBINED_WITH[name], users), SEGMENTS) / SEGMENTS
    vocabulary, zipf = fields[name][:2]
    return np.diff(np.arange(1, vocabulary + 2) ** (1 - zipf)) / ((vocabulary + 1) ** (1 - zipf) - 1)


def learnt_share(fields, labelled, rate, variance, rows):
    """Of a logit of this variance, whose labels have this rate in the labelled rows out of all."""
    total = sum(field[5] for field in fields.values()) + INTERACTION
    share, users = 0.0, max(1, int(rows / USER_ROWS))
    for name, (_, _, mean_ids, missing, _, weight, _) in fields.items():
        frequency = frequencies(fields, name, users)
        information = labelled * (1 - missing) * mean_ids * frequency * rate * (1 - rate)
        signal = information * variance * weight / total / mean_ids
        known = 0.5 if name == "101" else 1.0  # every second user of the test half is new
        share += known * weight / total * float((frequency * signal / (1 + signal)).sum())
    return share


def bias_for(logit, rate, weights):
    """What to add to the logits so that the weighted mean probability is the rate."""
    low, high = -20.0, 20.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if np.average(sigmoid(logit + middle), weights=weights) > rate else (middle, high)
    return low


def sigmoid(logit):
    return 1 / (1 + np.exp(-logit))


def expected_auc(scores, p):
    """Of labels that are drawn with the probabilities p."""
    p = p[np.argsort(scores)]
    lower = np.cumsum(1 - p) - (1 - p) / 2
    return float((p * lower).sum() / (p.sum() * (1 - p).sum()))


def aucs(shares, click_rate, conversion_rate, rho, draws=400_000):
    """CVR AUC over the entire space of predictions that explain these shares of the conversion logit, and of the truth."""
    known, rest, other = np.random.default_rng(1).normal(size=(3, draws))
    values = []
    for share in [*shares, 1.0]:
        standardised = np.sqrt(share) * known + np.sqrt(1 - share) * rest
        click = CLICK_SPREAD * (rho * standardised + np.sqrt(1 - rho**2) * other)
        pctr = sigmoid(click + bias_for(click, click_rate, None))
        logit = CONVERSION_SPREAD * standardised
        values.append(expected_auc(known, sigmoid(logit + bias_for(logit, conversion_rate, pctr))))
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--click-rate", type=float, default=0.1)
    parser.add_argument("--conversion-rate", type=float, default=0.1)
    parser.add_argument("--selection-bias", type=float, default=0.5)
    parser.add_argument("rows", nargs="*", type=float, default=[3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 1e8])
    options = parser.parse_args()
    fields, rho = small_fields(), options.selection_bias
    print("| impressions | conversions | learnt: conversions | and clicks | AUC: conversions | and clicks | truth |")
    print("| --- |" + " --- |" * 6)
    for rows in options.rows:
        clicks, variance = rows * options.click_rate, CONVERSION_SPREAD ** 2
        alone = learnt_share(fields, clicks, options.conversion_rate, variance, rows)
        of_clicks = learnt_share(fields, rows, options.click_rate, CLICK_SPREAD ** 2, rows)
        rest = learnt_share(fields, clicks, options.conversion_rate, variance * (1 - rho ** 2), rows)
        both = rho ** 2 * of_clicks + (1 - rho ** 2) * rest
        one, two, truth = aucs((alone, both), options.click_rate, options.conversion_rate, rho)
        print(f"| {rows:,.0f} | {clicks * options.conversion_rate:,.0f} | {alone:.2f} | {both:.2f} | {one:.4f} | {two:.4f} | {truth:.4f} |")


if __name__ == "__main__":
    main()
