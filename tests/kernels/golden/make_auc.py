#!/usr/bin/env python3
"""Writes auc.json: areas under the ROC curve from scikit-learn that the metrics tests compare with.

Every score is a float32 number, so that both sides see the same one.

    pip install scikit-learn numpy && python make_auc.py
"""
import json
import pathlib

import numpy as np
import sklearn
from sklearn.metrics import roc_auc_score

rng = np.random.default_rng(20180417)
cases = []


def add(name, scores, labels):
    scores = np.asarray(scores, dtype=np.float32).astype(np.float64)
    labels = np.asarray(labels, dtype=np.int64)
    cases.append({"name": name, "scores": scores.tolist(), "labels": labels.tolist(),
                  "auc": float(roc_auc_score(labels, scores))})


add("two_right", [0.1, 0.9], [0, 1])
add("two_wrong", [0.9, 0.1], [0, 1])
add("two_tied", [0.5, 0.5], [0, 1])
add("constant_scores", [0.25] * 9, [0, 1, 0, 0, 1, 0, 1, 1, 0])
add("hand_made", [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
add("signed_zeros_tie", [-0.0, 0.0, 0.0, -0.0, -1.0, 1.0], [0, 1, 0, 1, 1, 0])
add("negative_logits", [-8.0, -7.5, -7.5, -0.5, 0.5, 3.0, -3.0], [0, 0, 1, 1, 1, 0, 1])
tiny, huge = np.float32(1e-45), np.finfo(np.float32).max
add("denormals_and_largest", [tiny, 0.0, -tiny, 2 * tiny, huge, -huge, huge, 1e-38], [1, 0, 0, 1, 1, 0, 0, 1])
labels = rng.random(300) < 0.3
add("random", rng.normal(size=300) + 0.5 * labels, labels)
labels = rng.random(400) < 0.1
add("few_distinct_scores", np.round(rng.random(400) * 5 + 0.5 * labels) / 7, labels)
add("one_positive", rng.random(200), np.arange(200) == 57)
add("one_negative", rng.random(200), np.arange(200) != 57)
scores = (1.0 + np.arange(64) * 2.0**-23).astype(np.float32)  # neighbouring floats, told apart in the last bit only
add("neighbouring_floats", rng.permutation(scores), rng.random(64) < 0.5)

out = pathlib.Path(__file__).with_name("auc.json")
header = {"made_by": "make_auc.py", "scikit-learn": sklearn.__version__, "numpy": np.__version__}
text = ",\n".join(json.dumps(case) for case in cases)
out.write_text(f'{{"source": {json.dumps(header)},\n"cases": [\n{text}\n]}}\n')
print(f"{out}: {len(cases)} cases, {out.stat().st_size / 1024:.0f} KB")
