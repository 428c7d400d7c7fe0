"""Parquet that pyarrow wrote, and Parquet that pyarrow reads: the same packed bytes as the same log in text, the same
predictions as in CSV.

    parquet_test.py ESMM_GPU
"""
import csv
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 3000


def run(program, *arguments, code=0):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, f"{arguments}\n{done.stderr}"
    return done


def make_log():
    """Columns of a log, as Python values; None is missing."""
    draw = random.Random(7)
    click = [int(draw.random() < 0.4) for _ in range(ROWS)]
    return {
        "request": [10**15 + 3 * i for i in range(ROWS)],
        "click": click,
        "conversion": [int(c and draw.random() < 0.5) for c in click],
        "user": [f"user {draw.randrange(200)}" for _ in range(ROWS)],
        "city": [draw.choice(["Oslo", "Rome", "Wien, AT", None]) for _ in range(ROWS)],
        "item": [draw.choice([draw.randrange(300), 2**62 + draw.randrange(9), -5]) for _ in range(ROWS)],
        "price": [draw.choice([None, draw.randrange(10**6) / 64]) for _ in range(ROWS)],
    }


SCHEMA = """sample_id = "request"
common_key = "user"
sample = ["item"]
common = ["user", "city"]
dense = ["price"]
"""


def write_csv(path, log):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(log)
        writer.writerows(zip(*log.values()))


def packed(path):
    """The files of a packed dataset; of the manifest what does not tell the size of the input."""
    files = {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}
    manifest = json.loads(files.pop("manifest.json"))["content"]
    assert manifest["statistics"].pop("text_bytes") > 0
    return files, manifest


def convert(program, data, out, *more):
    run(program, "convert", "--data", data, "--out", out, "--min-count", 2, *more)
    return packed(out)


def check_same_bytes(program, work):
    """Files of one, or parts and row groups of several, on any number of threads: the packed bytes of the CSV."""
    log = make_log()
    (work / "schema.toml").write_text(SCHEMA)
    write_csv(work / "log.csv", log)
    table = pa.table(log)
    pq.write_table(table.set_column(4, "city", table["city"].dictionary_encode()), work / "log.parquet",
                   row_group_size=700)
    parts = work / "parts"
    parts.mkdir()
    for i, begin in enumerate(range(0, ROWS, 800)):
        part = table.slice(begin, 800).set_column(5, "item", pa.array(map(str, log["item"][begin:begin + 800])))
        pq.write_table(part, parts / f"part-{i:05}.zstd.parquet", compression="zstd", row_group_size=300,
                       version="1.0", data_page_version="2.0")
    (parts / "_SUCCESS").touch()
    schema = ["--schema", work / "schema.toml"]
    expected = convert(program, work / "log.csv", work / "packed", *schema)
    for data in (work / "log.parquet", parts):
        for threads in (1, 3):
            out = work / f"packed-{data.name}-{threads}"
            assert convert(program, data, out, "--threads", threads, *schema) == expected, out
    # Guessed, too: but for the text columns, whose kinds are those of their types, the guesses are the same.
    guessed = convert(program, work / "log.csv", work / "guessed-csv")
    assert convert(program, work / "log.parquet", work / "guessed-parquet") == guessed


def check_lists(program, work):
    """An NVTabular layout: parts with list columns beside files that are no data. The same bags as in field:id lines."""
    draw = random.Random(8)
    rows = [(int(draw.random() < 0.3), draw.randrange(50), [draw.randrange(90) for _ in range(draw.randrange(5))])
            for _ in range(ROWS)]
    (work / "bags.txt").write_text("".join(
        f"{i + 1},{click},0,item:{item}{''.join(f',tags:{t}' for t in tags)}\n"
        for i, (click, item, tags) in enumerate(rows)))
    nvt = work / "nvt"
    nvt.mkdir()
    table = pa.table({
        "click": pa.array([r[0] for r in rows], pa.int8()),
        "conversion": pa.array([0.0] * ROWS, pa.float32()),
        "item": pa.array([r[1] for r in rows], pa.int64()),
        "tags": pa.array([r[2] for r in rows], pa.list_(pa.int64())),
    })
    for i in range(3):
        pq.write_table(table.slice(1000 * i, 1000), nvt / f"part_{i}.parquet")
    pq.write_metadata(table.schema, nvt / "_metadata")
    (nvt / "_file_list.txt").write_text("3\npart_0.parquet\npart_1.parquet\npart_2.parquet\n")
    (nvt / "schema.pbtxt").write_text("feature {}\n")
    expected = convert(program, work / "bags.txt", work / "bags")
    assert convert(program, nvt, work / "nvt-packed") == expected


def check_predictions(program, work):
    """Predictions as Parquet are those of the CSV, bit by bit; the ids have the type of numbers where they are."""
    run(program, "train", "--data", work / "log.parquet", "--schema", work / "schema.toml", "--out", work / "run",
        "--dim", 4, "--hidden", 8, "--epochs", 1, "--min-count", 2, "--threads", 1)
    unlabelled = pq.read_table(work / "log.parquet").drop_columns(["click", "conversion"])
    pq.write_table(unlabelled, work / "unlabelled.parquet")
    for name in ("p.csv", "p.parquet"):
        run(program, "predict", "--run", work / "run", "--data", work / "unlabelled.parquet", "--out", work / name,
            "--threads", 1)
    with open(work / "p.csv") as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(work / "p.parquet")
    assert table.column_names == ["sample_id", "pctr", "pcvr", "pctcvr"]
    assert [str(t) for t in table.schema.types] == ["int64", "float", "float", "float"]
    assert pq.read_metadata(work / "p.parquet").num_rows == len(rows) == ROWS
    assert table["sample_id"].to_pylist() == [int(r["sample_id"]) for r in rows] == make_log()["request"]
    for name in ("pctr", "pcvr", "pctcvr"):
        assert (table[name].to_numpy() == np.array([r[name] for r in rows], np.float32)).all(), name
    assert not list(work.glob(".p.parquet*")) and not list(work.glob("p.parquet.*"))

    renamed = unlabelled.set_column(0, "request", pa.array([f"r{i}" for i in range(ROWS)]))
    pq.write_table(renamed, work / "renamed.parquet")
    run(program, "predict", "--run", work / "run", "--data", work / "renamed.parquet", "--out", work / "p.PARQUET")
    assert pq.read_table(work / "p.PARQUET")["sample_id"].to_pylist() == renamed["request"].to_pylist()


def check_errors(program, work):
    bad = pa.table({"click": [0, 1, 2], "conversion": [0, 0, 0], "item": [1, 2, 3]})
    pq.write_table(bad, work / "bad.parquet", row_group_size=2)
    done = run(program, "convert", "--data", work / "bad.parquet", "--out", work / "none", code=3)
    assert f"{work}/bad.parquet:3: row group 1: click is neither 0 nor 1: \"2\". Fix the row" in done.stderr, done.stderr
    skipped = run(program, "convert", "--data", work / "bad.parquet", "--out", work / "two", "--on-bad-row", "skip")
    assert "skipped 1 bad rows (label)" in skipped.stderr, skipped.stderr


def main():
    program, = sys.argv[1:]
    version = run(program, "--version").stdout
    if "no Parquet" in version:
        print(f"skipped: {version.strip()}")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as name:
        for check in (check_same_bytes, check_lists, check_predictions, check_errors):
            check(program, Path(name))
    print("4 passed, 0 failed")


if __name__ == "__main__":
    main()
