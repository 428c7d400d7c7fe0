"""A click log in the raw layout: its labels, what is known of its truth, and the metrics of predictions for it."""
import itertools
import math
import shutil

import numpy as np


def auc(scores, labels):
    """Mann-Whitney, ties count half; NaN where one class is missing."""
    positive, negative = scores[labels], np.sort(scores[~labels])
    if len(positive) == 0 or len(negative) == 0:
        return math.nan
    wins = np.searchsorted(negative, positive, "left").sum() + np.searchsorted(negative, positive, "right").sum()
    return float(wins) / (2.0 * len(positive) * len(negative))


def read_columns(path, columns):
    """The numbers of a CSV file of `columns` columns with a header, but for the first, the sample's id. [rows, columns - 1]"""
    parts = []
    with open(path) as file:
        file.readline()
        while lines := file.readlines(1 << 24):
            parts.append(np.fromstring("".join(lines).replace("\n", ","), sep=",").reshape(-1, columns)[:, 1:])
    return np.concatenate(parts)


class Log:
    """Labels, and the truth where there is one, of the test half. Conversions without a click are left out."""

    def __init__(self, folder):
        digits = bytearray()
        with open(folder / "sample_skeleton_test.csv", "rb") as file:
            for line in file:
                _, click, conversion, _ = line.split(b",", 3)
                digits += click + conversion
        labels = np.frombuffer(digits, dtype=np.uint8).reshape(-1, 2) == ord("1")
        valid = labels[:, 0] | ~labels[:, 1]
        self.click, self.conversion = labels[:, 0][valid], labels[:, 1][valid]
        truth = folder / "truth_test.csv"
        self.truth = read_columns(truth, 4)[valid] if truth.exists() else None

    def counts(self):
        return {"rows": len(self.click), "clicks": int(self.click.sum()), "conversions": int(self.conversion.sum())}

    def measure(self, pctr, pcvr):
        values = {"cvr_auc": auc(pcvr[self.click], self.conversion[self.click]),
                  "ctcvr_auc": auc(pctr * pcvr, self.conversion)}
        if self.truth is not None:
            would_convert = self.truth[:, 2] > 0.5
            values["entire_cvr_auc"] = auc(pcvr, would_convert)
            values["entire_calibration"] = float(pcvr.sum() / would_convert.sum())
        return values

    def bayes(self):
        """What the true probabilities reach; empty for a real log."""
        return {} if self.truth is None else self.measure(self.truth[:, 0], self.truth[:, 1])


def split_for_validation(folder, out):
    """The first four fifths of the train half as train half, the last as test half."""
    out.mkdir(parents=True, exist_ok=True)
    skeleton = "sample_skeleton_{}.csv".format
    with open(folder / skeleton("train"), "rb") as file:
        cut = sum(1 for _ in file) * 4 // 5
        file.seek(0)
        with open(out / skeleton("train"), "wb") as first:
            first.writelines(itertools.islice(file, cut))
        with open(out / skeleton("test"), "wb") as last:
            shutil.copyfileobj(file, last)
    for half in ("train", "test"):
        (out / f"common_features_{half}.csv").symlink_to((folder / "common_features_train.csv").resolve())
