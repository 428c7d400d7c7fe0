"""Event files of runs, read by TensorBoard: the numbers of metrics.jsonl, each step once, also after a resumption.

    tensorboard_test.py ESMM_GPU
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def run(program, *arguments):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments}\n{done.stderr}"


def scalars(path):
    reader = EventAccumulator(str(path), size_guidance={"scalars": 0})
    reader.Reload()
    return {tag: {e.step: e.value for e in reader.Scalars(tag)} for tag in reader.Tags()["scalars"]}


def check_against_metrics(path):
    found = scalars(path)
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    expected = {}
    for line in lines:
        step, split = line.pop("step"), line.pop("split", "train")
        for name, value in line.items():
            if name not in ("impressions", "clicks", "conversions") and value is not None:
                expected.setdefault(f"{split}/{name}", {})[step] = np.float32(value)
    assert {"train/loss", "train/ctr_loss", "valid/ctr_auc", "valid/cvr_calibration"} <= set(expected)
    for tag, points in expected.items():
        read = {step: np.float32(value) for step, value in found[tag].items()}
        assert read == points, f"{path}: {tag}: {read}, not {points}"
    return found, expected


def main():
    program, = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        run(program, "synth", "--out", work / "log", "--rows", 600, "--seed", 3)
        train = ["train", "--data", work / "log", "--batch-size", 100, "--log-every", 2, "--dim", 4, "--hidden", "8",
                 "--min-count", 2, "--threads", 1]
        run(program, *train, "--out", work / "run", "--epochs", 2, "--checkpoint-every", 4)
        found, _ = check_against_metrics(work / "run")
        assert sorted(found["train/loss"]) == [2, 4, 6, 8, 10, 12]
        assert sorted(found["norm/tables"]) == sorted(found["norm/towers"]) == [4, 8, 12]
        rates = list(found["train/rows_per_second"].values())
        assert len(rates) == 6 and all(0 < rate < 1e9 for rate in rates), rates
        final = json.loads((work / "run/summary.json").read_text())["metrics"]["train"]
        assert found["train/ctcvr_logloss"] == {12: np.float32(final["ctcvr_logloss"])}

        # A run that went on to step 12 after its checkpoint of step 8, and is resumed from there.
        (work / "run/checkpoints/step-0000000012.safetensors").unlink()
        run(program, "train", "--resume", work / "run", "--epochs", 3, "--threads", 1)
        files = sorted((work / "run").glob("events.out.tfevents.*"))
        assert len(files) == 2, files
        found, _ = check_against_metrics(work / "run")
        assert sorted(found["train/loss"]) == list(range(2, 19, 2))

        run(program, *train, "--out", work / "off", "--tensorboard", "off")
        assert not list((work / "off").glob("events*"))
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main()
