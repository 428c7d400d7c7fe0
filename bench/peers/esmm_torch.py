#!/usr/bin/env python3
"""ESMM in PyTorch, taking the engine's own training steps: same initial parameters, batches and optimizer.

    esmm_torch.py --export DIR --engine STEP.json [--variant joined|dedup|factorised] [--compile] [--threads N]

DIR and STEP.json come from `esmm_bench_step --export DIR` (docs/benchmarking.md). First the correctness gate: the losses
of the first --gate steps must be the engine's. Then passes over the first --batches batches are timed, without and with
reading them from disk. Prints JSON. Exit code: 0; 2 something is missing here (NumPy, PyTorch, a fast BLAS); 3 the gate failed.
"""
import argparse
import json
import os
import resource
import sys
import time
from pathlib import Path

try:
    import numpy as np
    import torch
    from torch import nn
except ImportError as missing:
    print(f"esmm_torch: {missing}. Install bench/peers/requirements.txt, or use bench/compare.sh, which does it.",
          file=sys.stderr)
    sys.exit(2)

FLOAT_EPSILON = 2.0**-24


def refuse(code, message):
    print(f"esmm_torch: {message}", file=sys.stderr)
    sys.exit(code)


def blas():
    """The library that multiplies matrices; reference BLAS is 20 times slower than any of these."""
    config = torch.__config__.show()
    for mark, name in (("Math Kernel Library", "MKL"), ("OpenBLAS", "OpenBLAS"), ("BLAS_INFO=open", "OpenBLAS"),
                       ("BLAS_INFO=flame", "BLIS")):
        if mark in config:
            return name
    return refuse(2, "PyTorch was built with no fast BLAS (MKL, OpenBLAS or BLIS); a comparison would mean nothing")


# ---- Data ----------------------------------------------------------------------------------------------------------
def load_parameters(path):
    """A safetensors file: 8 bytes of header length, the header as JSON, the values."""
    data = Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            values = np.frombuffer(data[begin:end], dtype="<f4").reshape(entry["shape"])
            tensors[name] = torch.from_numpy(values.copy())
    return tensors


def to_torch(array, kind):
    return torch.from_numpy(array.astype(kind))


class Batch:
    """What a variant needs of a batch, on `device`. joined: each impression has its user's ids as bags of its own."""

    def __init__(self, directory, fields, variant, device):
        load = lambda name: np.load(f"{directory}/{name}.npy")
        begin = load("common_begin").astype(np.int64)
        user = np.repeat(np.arange(len(begin) - 1), np.diff(begin))
        sample = [load(f"sample_{part}") for part in ("rows", "weights", "offsets")]
        common = [load(f"common_{part}") for part in ("rows", "weights", "offsets")]
        if variant == "joined":
            common = self.join(common, user, fields)
        self.sample, self.common = self.bags(sample, device), self.bags(common, device)
        self.user = to_torch(user, np.int64).to(device)
        click, conversion = load("click"), load("conversion")
        self.click = to_torch(click, np.float32).to(device)
        self.both = to_torch(click * conversion, np.float32).to(device)

    @staticmethod
    def bags(parts, device):
        rows, weights, offsets = parts
        return tuple(t.to(device) for t in (to_torch(rows, np.int64), to_torch(offsets, np.int64),
                                            torch.from_numpy(weights)))

    @staticmethod
    def join(common, user, fields):
        rows, weights, offsets = common
        counts = np.diff(offsets.astype(np.int64)).reshape(-1, fields)[user].ravel()
        starts = offsets[:-1].astype(np.int64).reshape(-1, fields)[user].ravel()
        joined = np.concatenate(([0], np.cumsum(counts)))
        place = np.arange(joined[-1]) + np.repeat(starts - joined[:-1], counts)
        return rows[place], weights[place], joined


# ---- The model -----------------------------------------------------------------------------------------------------
class Towers(nn.Module):
    """Both towers from pooled embeddings to two logits. Their first layers are one product, as in the engine."""

    def __init__(self, meta, initial):
        super().__init__()
        self.relu, self.depth = meta["activation"] == "relu", len(meta["hidden"])
        keep = lambda *parts: nn.Parameter(torch.cat(parts, -1).contiguous())
        both = lambda name: [initial[f"{tower}.{name}"] for tower in ("ctr", "cvr")]
        self.common, self.sample = keep(*both("0.weight_common")), keep(*both("0.weight_sample"))
        self.bias = keep(*both("0.bias"))
        layers = [str(l) for l in range(1, self.depth)] + ["output"]
        self.weights = nn.ParameterList(w for layer in layers for w in both(f"{layer}.weight"))
        self.biases = nn.ParameterList(b for layer in layers for b in both(f"{layer}.bias"))
        slopes = [] if self.relu else [keep(*both("0.slope"))] + [
            nn.Parameter(s) for l in range(1, self.depth) for s in both(f"{l}.slope")]
        self.slopes = nn.ParameterList(slopes)

    def activate(self, z, index):
        return torch.relu(z) if self.relu else torch.where(z > 0, z, z * self.slopes[index])

    def forward(self, common, sample, user, variant):
        if variant == "factorised":
            first = (common @ self.common)[user] + torch.addmm(self.bias, sample, self.sample)
        else:
            common = common if variant == "joined" else common[user]
            first = torch.addmm(self.bias, torch.cat((common, sample), 1), torch.cat((self.common, self.sample), 0))
        a = list(self.activate(first, 0).chunk(2, 1))
        for layer in range(self.depth):
            for t in range(2):
                index = 2 * layer + t
                a[t] = torch.addmm(self.biases[index], a[t], self.weights[index].reshape(a[t].shape[1], -1))
                if layer + 1 < self.depth:
                    a[t] = self.activate(a[t], 1 + index)
        return a[0].squeeze(1), a[1].squeeze(1)


def losses(ctr, cvr, click, both):
    """BCE(click, pCTR) and BCE(click * conversion, pCTR * pCVR), from logits."""
    log_product = nn.functional.logsigmoid(ctr) + nn.functional.logsigmoid(cvr)
    log_rest = torch.log1p(-torch.exp(log_product))
    return (nn.functional.binary_cross_entropy_with_logits(ctr, click),
            -(both * log_product + (1 - both) * log_rest).mean())


class Peer:
    def __init__(self, meta, initial, variant, device, compiled):
        self.meta, self.variant = meta, variant
        arena = torch.cat([initial[name] for name in meta["tables"]])
        self.table = nn.EmbeddingBag.from_pretrained(arena, freeze=False, mode="sum", sparse=True,
                                                     include_last_offset=True).to(device)
        self.towers = Towers(meta, initial).to(device)
        self.head = torch.compile(self.tail) if compiled else self.tail
        rate, dense = meta["lr"], list(self.towers.parameters())
        if meta["optimizer"] == "sgd":
            self.optimizers = [torch.optim.SGD([*self.table.parameters(), *dense], lr=rate)]
        elif meta["optimizer"] == "adagrad":
            self.optimizers = [torch.optim.Adagrad([*self.table.parameters(), *dense], lr=rate, eps=meta["epsilon"],
                                                   initial_accumulator_value=meta["initial_accumulator"])]
        elif meta["optimizer"] == "adam":
            options = dict(lr=rate, betas=(meta["beta1"], meta["beta2"]), eps=meta["epsilon"])
            self.optimizers = [torch.optim.SparseAdam(list(self.table.parameters()), **options),
                               torch.optim.Adam(dense, **options)]
        else:
            refuse(2, f"no counterpart of the optimizer {meta['optimizer']}")

    def tail(self, common, sample, batch_user, click, both):
        return losses(*self.towers(common, sample, batch_user, self.variant), click, both)

    def pool(self, bags, fields):
        rows, offsets, weights = bags
        return self.table(rows, offsets, per_sample_weights=weights).view(-1, fields * self.meta["dim"])

    def step(self, batch):
        common = self.pool(batch.common, self.meta["common_fields"])
        sample = self.pool(batch.sample, self.meta["sample_fields"])
        ctr, ctcvr = self.head(common, sample, batch.user, batch.click, batch.both)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        (ctr + ctcvr).backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return ctr, ctcvr


# ---- Gate and timing -----------------------------------------------------------------------------------------------
def gate(peer, batches, expected):
    """Greatest difference of the summed losses over the first steps, relative to its bound.

    A logit is a sum of K products (K: the widest layer's inputs), so its relative rounding error is at most
    K * 2^-24 on either side; every step adds an error of that order to the parameters. Bound at step t (from 1):
    2 * t * K * 2^-24 * max(1, loss)."""
    widest = max(peer.towers.common.shape[0] + peer.towers.sample.shape[0], *peer.meta["hidden"])
    worst = 0.0
    for t, (batch, engine) in enumerate(zip(batches, expected), 1):
        ours, theirs = sum(part.item() for part in peer.step(batch)), sum(engine)
        bound = 2 * t * widest * FLOAT_EPSILON * max(1.0, abs(theirs))
        worst = max(worst, abs(ours - theirs) / bound)
        if not abs(ours - theirs) <= bound:
            refuse(3, f"gate: loss of step {t} is {ours:.7f} here and {theirs:.7f} in the engine; "
                      f"fp32 allows a difference of {bound:.1e}. Nothing was timed.")
    return worst


def timed(device, work):
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    started = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--export", required=True, help="directory of esmm_bench_step --export")
    parser.add_argument("--engine", required=True, help="JSON that esmm_bench_step printed")
    parser.add_argument("--variant", choices=("joined", "dedup", "factorised"), default="joined")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--gate", type=int, default=50, help="steps of the gate, which are also the warm-up")
    parser.add_argument("--batches", type=int, help="batches that are timed [all]")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="torch.compile for towers and loss")
    parser.add_argument("--tf32", action="store_true", help="on CUDA")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        refuse(2, "PyTorch sees no CUDA card")

    meta = json.loads(Path(arguments.export, "model.json").read_text())
    expected = json.loads(Path(arguments.engine).read_text())["losses"]
    initial = load_parameters(Path(arguments.export, "model.safetensors"))
    directories = [f"{arguments.export}/{b:04}" for b in range(meta["batches"])]
    timed_directories = directories[:arguments.batches]
    load = lambda directory: Batch(directory, meta["common_fields"], arguments.variant, arguments.device)
    batches = [load(directory) for directory in directories[:max(arguments.gate, len(timed_directories))]]
    library = blas()

    peer = Peer(meta, initial, arguments.variant, arguments.device, arguments.compile)
    worst = gate(peer, batches[:arguments.gate], expected)
    torch.backends.cuda.matmul.allow_tf32 = arguments.tf32
    batches = batches[:len(timed_directories)]
    held = [timed(arguments.device, lambda: [peer.step(batch) for batch in batches]) for _ in range(arguments.passes)]
    loaded = [timed(arguments.device, lambda: [peer.step(load(directory)) for directory in timed_directories])
              for _ in range(arguments.passes)]
    print(json.dumps({"torch": torch.__version__, "blas": library, "onednn": torch.backends.mkldnn.is_available(),
                      "threads": torch.get_num_threads(), "device": arguments.device, "variant": arguments.variant,
                      "compile": arguments.compile, "optimizer": meta["optimizer"], "batches": len(batches),
                      "impressions": sum(batch.click.numel() for batch in batches), "gated_steps": arguments.gate,
                      "gate_worst_over_bound": worst, "seconds": held, "seconds_with_loading": loaded,
                      "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}, indent=2))


if __name__ == "__main__":
    main()
