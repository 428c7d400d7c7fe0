"""Models of every method and configuration, exported and run by ONNX Runtime: what `predict` says of the same rows.

    export_test.py ESMM_GPU [CASE]
Every token of the log goes through examples/serving, so the mapping from raw ids is judged as well.
"""
import csv
import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples/serving"))
from esmm_features import Encoder, only  # noqa: E402

# Both sides compute in fp32 from the same parameters; a sum of n terms differs by at most about n * 6e-8 of its terms.
TOLERANCE = 1e-5
ROWS = 400
onnxruntime.set_default_logger_severity(3)  # it warns of inputs with defaults


def run(program, *arguments, code=0):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, f"exit code {done.returncode}, not {code}: {arguments}\n{done.stderr}"
    return done.stderr


# ---- Logs, and their rows as a server has them ----------------------------------------------------------------------

def bag(rng, most, token, weighted):
    tokens = [token(rng) for _ in range(rng.randrange(most + 1))]
    return {t: round(rng.uniform(-3, 9), 4) if weighted else 1.0 for t in tokens}


def labels(rng, strength):
    click = rng.random() < strength
    return int(click), int(click and rng.random() < strength)


def raw_log(folder):
    """Users and impressions in the raw Ali-CCP layout, with values, several ids per field and empty bags."""
    rng = random.Random(1)
    number = lambda r: str(r.randrange(12) ** 2)
    users = [{"101": bag(rng, 1, number, False), "109_14": bag(rng, 9, number, True)} for _ in range(40)]
    samples, common_row, skeleton = [], [], []
    record = lambda row: "\x01".join(f"{f}\x02{t}\x03{v}" for f, b in row.items() for t, v in b.items())
    count = lambda row: sum(len(b) for b in row.values())
    for i in range(ROWS):
        row = {"205": bag(rng, 1, number, False), "210": bag(rng, 5, number, True), "301": {str(rng.randrange(3)): 1.0}}
        user = rng.randrange(len(users))
        click, conversion = labels(rng, 0.2 + 0.2 * int(next(iter(row["301"]))))
        skeleton.append(f"{i},{click},{conversion},u{user},{count(row)},{record(row)}\n")
        samples.append(row)
        common_row.append(user)
    folder.mkdir()
    (folder / "sample_skeleton_train.csv").write_text("".join(skeleton))
    (folder / "common_features_train.csv").write_text(
        "".join(f"u{u},{count(row)},{record(row)}\n" for u, row in enumerate(users)))
    schema = folder / "schema.toml"
    schema.write_text('sample = ["205", "210", "301"]\ncommon = ["101", "109_14"]\n[tables]\n"109_14" = "210"\n')
    return ["--data", folder, "--schema", schema], folder, dict(samples=samples, common=users, common_row=common_row)


def text_log(folder):
    """field:id lines with text for ids, also of a field whose name is none for a file."""
    rng = random.Random(2)
    token = lambda r: r.choice(["007", "shoes", "größe", "12", "9223372036854775808"]) + r.choice(["", "x"])
    samples, lines = [], []
    for i in range(ROWS):
        row = {"item/category": bag(rng, 3, token, True), "history": bag(rng, 6, token, True)}
        click, conversion = labels(rng, 0.5 if "shoes" in row["history"] else 0.2)
        features = [f"{f}:{t}:{v}" for f, b in row.items() for t, v in b.items()] or ["history:none:1"]
        if features == ["history:none:1"]:
            row["history"] = {"none": 1.0}
        lines.append(f"{i},{click},{conversion},{','.join(features)}\n")
        samples.append(row)
    folder.mkdir()
    (folder / "log.txt").write_text("".join(lines))
    return ["--data", folder / "log.txt"], folder / "log.txt", dict(samples=samples)


def csv_log(folder):
    """Ids and dense columns, one constant, some cells missing."""
    rng = random.Random(3)
    samples, lines = [], ["sample_id,click,purchase,item,shop,price,weight\n"]
    for i in range(ROWS):
        item = rng.choice(["", "a", "b", "17", "18"])
        price = None if rng.random() < 0.2 else round(rng.uniform(0.1, 900), 2)
        click, conversion = labels(rng, 0.3 + 0.3 * (item == "a"))
        shop = rng.randrange(9)
        lines.append(f"{i},{click},{conversion},{item},{shop},{'' if price is None else price},1.5\n")
        row = {"item": [item] if item else [], "shop": [str(shop)], "weight": 1.5}
        samples.append(row if price is None else row | {"price": price})
    folder.mkdir()
    (folder / "log.csv").write_text("".join(lines))
    return ["--data", folder / "log.csv"], folder / "log.csv", dict(samples=samples)


# ---- Cases ----------------------------------------------------------------------------------------------------------

FIELDS = """[fields."210"]\ntransform = "log1p"\n[fields."109_14"]\ntransform = "clipped"\nclip = 2.5
[fields."205"]\npooling = "mean"\n[fields."301"]\npooling = "sum"\n[fields."101"]\npooling = "sqrtn"\n"""
CASES = {
    "esmm": (raw_log, [], ""),
    "esmm_fields": (raw_log, ["--activation", "relu", "--dropout", "0.3", "--hidden", "16"], FIELDS),
    "esmm_mean_hash": (raw_log, ["--pooling", "mean", "--encoding", "hash", "--buckets", "50"], ""),
    "esmm_aux": (text_log, ["--model", "esmm_aux", "--pooling", "sqrtn"], ""),
    "esmm_ns": (raw_log, ["--model", "esmm_ns"], FIELDS),
    "base": (csv_log, ["--model", "base"], ""),
    "aman": (text_log, ["--model", "aman", "--value-transform", "log1p"], ""),
    "oversampling": (csv_log, ["--model", "oversampling", "--encoding", "hash", "--buckets", "64"], ""),
    "unbias": (text_log, ["--model", "unbias", "--value-transform", "clipped", "--value-clip", "1.5"], ""),
    "division": (raw_log, ["--model", "division", "--hidden", "16,8,4"], ""),
}


def predictions(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([np.float32(row[name]) for row in rows]) for name in ("pctr", "pcvr", "pctcvr")}


def compare(session, feed, expected, what):
    names = list(expected)
    for name, value in zip(names, session.run(names, feed)):
        assert value.shape == expected[name].shape, (what, name, value.shape)
        worst = np.max(np.abs(value - expected[name]))
        assert worst <= TOLERANCE, f"{what}: {name} differs by {worst}"
        print(f"{what}: {name} in {expected[name].min():.3g}..{expected[name].max():.3g}, differs by {worst:.2g}")


def check_case(program, work, name):
    make_log, flags, fields = CASES[name]
    train, data, rows = make_log(work / f"{name}_log")
    config = work / f"{name}.toml"
    config.write_text(fields)
    out = work / name
    run(program, "train", *train, "--out", out, "--config", config, "--min-count", 3, "--batch-size", 50, "--dim", 5,
        *([] if "--hidden" in flags else ["--hidden", "16,8"]), "--embedding-stddev", 0.5, "--lr", 0.02,
        "--epochs", 3, "--threads", 1, *flags)
    run(program, "predict", "--run", out, "--data", data, "--out", work / f"{name}.csv", "--threads", 1)
    expected = predictions(work / f"{name}.csv")
    assert np.ptp(expected["pctr"]) > 0.1 and np.ptp(expected["pcvr"]) > 0.01, "the model tells no rows apart"

    model = work / f"{name}.onnx"
    run(program, "export", "--run", out, "--format", "onnx", "--out", model)
    onnx.checker.check_model(str(model), full_check=True)
    session = onnxruntime.InferenceSession(str(model))
    description = session.get_modelmeta().custom_metadata_map["esmm"]
    encoder = Encoder(description, model.with_suffix(".vocab"))
    feed = only(session, encoder.encode(**rows))
    compare(session, feed, expected, name)
    return session, encoder, feed, expected, rows, out


def check_esmm(program, work, session, encoder, feed, expected, rows, run_path):
    """What does not depend on the method: defaults, unknown ids, parts of a batch, large tables, Triton's form."""
    # One user, sent once, without naming the rows: what a request for one user's candidates is.
    user = rows["common_row"][0]
    mine = [i for i, u in enumerate(rows["common_row"]) if u == user]
    request = encoder.encode([rows["samples"][i] for i in mine], common=[rows["common"][user]])
    del request["common_row"]
    compare(session, request, {k: v[mine] for k, v in expected.items()}, "one user")
    # Without values all are 1.
    ones = feed | {name: np.ones_like(feed[name]) for name in ("sample_values", "common_values")}
    bare = {name: value for name, value in feed.items() if not name.endswith("_values")}
    names = list(expected)
    for a, b in zip(session.run(names, ones), session.run(names, bare)):
        np.testing.assert_array_equal(a, b)
    # Rows that do not exist are row 0, unknown: never another table's row.
    unknown = feed | {"sample_ids": np.zeros_like(feed["sample_ids"])}
    for row in (-1, 10**6, json.loads(session.get_modelmeta().custom_metadata_map["esmm"])["sample_fields"][0]["rows"]):
        outside = feed | {"sample_ids": np.full_like(feed["sample_ids"], row)}
        if row not in (-1, 10**6):  # past the end of the first field's table; inside of others, perhaps
            first = np.repeat(np.arange(len(feed["sample_offsets"]) - 1) % 3, np.diff(feed["sample_offsets"])) == 0
            outside["sample_ids"][~first] = 0
        for a, b in zip(session.run(names, outside), session.run(names, unknown)):
            np.testing.assert_array_equal(a, b)
    # No ids at all.
    empty = encoder.encode([{}, {}], common=[{}])
    assert session.run(["pctr"], only(session, empty))[0].shape == (2,)

    large = work / "large.onnx"
    run(program, "export", "--run", run_path, "--out", large, "--external-data-mb", 0)
    assert (work / "large.onnx.data").stat().st_size > 0 and large.stat().st_size < (work / "esmm.onnx").stat().st_size
    onnx.checker.check_model(str(large))
    compare(onnxruntime.InferenceSession(str(large)), feed, expected, "external data")

    run(program, "export", "--run", run_path, "--format", "triton", "--out", work / "triton")
    triton = onnxruntime.InferenceSession(str(work / "triton/1/model.onnx"))
    assert not triton.get_overridable_initializers()
    compare(triton, feed, expected, "triton")
    config = (work / "triton/config.pbtxt").read_text()
    named = {name: (kind, dims) for name, kind, dims in
             re.findall(r'name: "(\w+)" data_type: (\w+) dims: \[ (.*?) \]', config)}
    kinds = {"tensor(int64)": "TYPE_INT64", "tensor(float)": "TYPE_FP32"}
    for value in triton.get_inputs() + triton.get_outputs():
        dims = ", ".join(str(d) if isinstance(d, int) else "-1" for d in value.shape)
        assert named.pop(value.name) == (kinds[value.type], dims), value.name
    assert not named, named

    for again in range(2):
        run(program, "export", "--run", run_path, "--out", work / f"again{again}.onnx")
    assert (work / "again0.onnx").read_bytes() == (work / "again1.onnx").read_bytes()
    assert "exists" in run(program, "export", "--run", run_path, "--format", "triton", "--out", work / "triton", code=2)
    assert "Choose onnx|triton" in run(program, "export", "--run", run_path, "--format", "tf", "--out", "x", code=2)
    assert "not between 0 and" in run(program, "export", "--run", run_path, "--out", "x", "--external-data-mb", 4000,
                                      code=2)
    run(program, "export", "--run", run_path, "--out", work / "none/x.onnx", code=5)


def main():
    program, *chosen = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for case in chosen or CASES:
            result = check_case(program, work, case)
            if case == "esmm":
                check_esmm(program, work, *result)
    print(f"{len(chosen or CASES)} passed, 0 failed")


if __name__ == "__main__":
    main()
