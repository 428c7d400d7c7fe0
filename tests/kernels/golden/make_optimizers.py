#!/usr/bin/env python3
"""Writes optimizers.json: trajectories of the published optimizers that the optimizer tests compare with.

SGD, Adagrad, Adam and SparseAdam are PyTorch's own, in float64; FTRL-Proximal and row-wise Adagrad are written here
from their definitions, in float64. Every input is a float32 number, so that both sides see the same one.

    pip install torch numpy && python make_optimizers.py
"""
import json
import pathlib

import numpy as np
import torch

STEPS = 20
RECORDED = (1, 2, 5, 10, 20)  # steps, counted from 1, whose resulting weights are written
ROWS, DIM = 6, 5
DENSE = 13
rng = np.random.default_rng(20180417)


def f32(x):
    """The nearest float32 number(s), as float64."""
    return np.asarray(x, dtype=np.float32).astype(np.float64)


def gradients(shape):
    """Gradients of very different sizes, some exactly zero."""
    g = rng.normal(size=shape) * 10.0 ** rng.integers(-4, 2, size=shape)
    return f32(g * (rng.random(shape) > 0.1))


def dense_inputs():
    return f32(rng.normal(size=DENSE)), [{"gradient": gradients(DENSE)} for _ in range(STEPS)]


def row_inputs():
    steps = []
    for _ in range(STEPS):
        rows = np.sort(rng.choice(ROWS, size=rng.integers(1, ROWS), replace=False))
        steps.append({"rows": rows, "gradient": gradients((len(rows), DIM))})
    return f32(rng.normal(size=(ROWS, DIM)) * 0.1), steps


def run_torch(make, weights, steps, sparse):
    parameter = torch.nn.Parameter(torch.tensor(weights))
    optimizer = make([parameter])
    trajectory = []
    for step in steps:
        gradient = torch.tensor(step["gradient"])
        if sparse:
            gradient = torch.sparse_coo_tensor(torch.tensor(step["rows"])[None, :], gradient, parameter.shape,
                                               check_invariants=True).coalesce()
        parameter.grad = gradient
        optimizer.step()
        trajectory.append(parameter.detach().numpy().copy())
    return trajectory


def run_touched(update, weights, steps):
    """update(weights of the touched rows, their gradients, rows) for own implementations; dense has one row."""
    weights = weights.copy()
    trajectory = []
    for step in steps:
        rows = step.get("rows", slice(None))
        weights[rows] = update(weights[rows], step["gradient"], rows)
        trajectory.append(weights.copy())
    return trajectory


def ftrl(shape, alpha, beta, l1, l2, initial):
    """FTRL-Proximal, per coordinate: McMahan et al., Ad Click Prediction, KDD 2013, algorithm 1."""
    z, n = np.zeros(shape), np.full(shape, initial)

    def update(w, g, rows):
        sigma = (np.sqrt(n[rows] + g**2) - np.sqrt(n[rows])) / alpha
        z[rows] += g - sigma * w
        n[rows] += g**2
        closed = -(z[rows] - np.sign(z[rows]) * l1) / ((beta + np.sqrt(n[rows])) / alpha + l2)
        return np.where(np.abs(z[rows]) <= l1, 0.0, closed)

    return update


def rowwise_adagrad(rows, lr, eps, initial):
    """FBGEMM's EXACT_ROWWISE_ADAGRAD: one accumulator per row, of the mean squared gradient element."""
    accumulator = np.full(rows, initial)

    def update(w, g, touched):
        accumulator[touched] += np.mean(g**2, axis=1)
        return w - lr * g / (np.sqrt(accumulator[touched]) + eps)[:, None]

    return update


cases = []


def add(name, kind, weights, steps, trajectory, **hyper):
    written = []
    for i, step in enumerate(steps):
        after = {"weights": trajectory[i]} if i + 1 in RECORDED else {}
        written.append({key: value.tolist() for key, value in {**step, **after}.items()})
    cases.append({"name": name, "kind": kind, **hyper, "initial": weights.tolist(), "steps": written})


LR, L2, EPS, INITIAL = (float(f32(x)) for x in (0.01, 0.001, 1e-8, 0.1))
BETAS = (float(f32(0.9)), float(f32(0.999)))
CASES = {
    "sgd": ("sgd", lambda p: torch.optim.SGD(p, lr=LR), {}),
    "sgd_l2": ("sgd", lambda p: torch.optim.SGD(p, lr=LR, weight_decay=L2), {"l2": L2}),
    "adagrad": ("adagrad", lambda p: torch.optim.Adagrad(p, lr=LR, eps=EPS), {}),
    "adagrad_initial": ("adagrad", lambda p: torch.optim.Adagrad(p, lr=LR, eps=EPS, initial_accumulator_value=INITIAL),
                        {"initial_accumulator": INITIAL}),
    "adagrad_l2": ("adagrad", lambda p: torch.optim.Adagrad(p, lr=LR, eps=EPS, weight_decay=L2), {"l2": L2}),
    "adam": ("adam", lambda p: torch.optim.Adam(p, lr=LR, betas=BETAS, eps=EPS), {}),
    "adam_l2": ("adam", lambda p: torch.optim.Adam(p, lr=LR, betas=BETAS, eps=EPS, weight_decay=L2), {"l2": L2}),
    "adam_large_epsilon": ("adam", lambda p: torch.optim.Adam(p, lr=LR, betas=BETAS, eps=LR), {"epsilon": LR}),
}
for name, (kind, make, hyper) in CASES.items():
    weights, steps = dense_inputs()
    add(f"dense_{name}", kind, weights, steps, run_torch(make, weights, steps, False), learning_rate=LR, **hyper)

SPARSE = {
    "sgd": ("sgd", lambda p: torch.optim.SGD(p, lr=LR), {}),
    "adagrad": ("adagrad", lambda p: torch.optim.Adagrad(p, lr=LR, eps=EPS), {}),
    "adam": ("adam", lambda p: torch.optim.SparseAdam(p, lr=LR, betas=BETAS, eps=EPS), {}),
    "adam_large_epsilon": ("adam", lambda p: torch.optim.SparseAdam(p, lr=LR, betas=BETAS, eps=LR), {"epsilon": LR}),
}
for name, (kind, make, hyper) in SPARSE.items():
    weights, steps = row_inputs()
    add(f"rows_{name}", kind, weights, steps, run_torch(make, weights, steps, True), learning_rate=LR, **hyper)

for name, initial in (("rowwise_adagrad", 0.0), ("rowwise_adagrad_initial", INITIAL)):
    weights, steps = row_inputs()
    add(f"rows_{name}", "rowwise_adagrad", weights, steps,
        run_touched(rowwise_adagrad(ROWS, LR, EPS, initial), weights, steps), learning_rate=LR,
        initial_accumulator=initial)

FTRL_L1, FTRL_L2, ALPHA = (float(f32(x)) for x in (0.3, 0.05, 0.05))
for name, l1, l2, initial in (("ftrl", 0.0, 0.0, 0.0), ("ftrl_l1_l2", FTRL_L1, FTRL_L2, INITIAL)):
    hyper = {"learning_rate": ALPHA, "ftrl_beta": 1.0, "ftrl_l1": l1, "ftrl_l2": l2, "initial_accumulator": initial}
    weights, steps = dense_inputs()
    add(f"dense_{name}", "ftrl", weights, steps,
        run_touched(ftrl(DENSE, ALPHA, 1.0, l1, l2, initial), weights, steps), **hyper)
    weights, steps = row_inputs()
    add(f"rows_{name}", "ftrl", weights, steps,
        run_touched(ftrl((ROWS, DIM), ALPHA, 1.0, l1, l2, initial), weights, steps), **hyper)

out = pathlib.Path(__file__).with_name("optimizers.json")
header = {"made_by": "make_optimizers.py", "torch": torch.__version__.split("+")[0], "numpy": np.__version__}
text = ",\n".join(json.dumps(case) for case in cases)
out.write_text(f'{{"source": {json.dumps(header)},\n"cases": [\n{text}\n]}}\n')
print(f"{out}: {len(cases)} cases, {out.stat().st_size / 1024:.0f} KB")
