#!/usr/bin/env bash
# bench/step on a tiny log: its JSON, its export, its refusals; and the peer's where NumPy or PyTorch is missing.
#   step_test.sh ESMM_GPU ESMM_BENCH_STEP
set -euo pipefail

program=$1 step=$2
peer=$(cd "$(dirname "$0")/../../bench/peers" && pwd)/esmm_torch.py
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $*" >&2
    exit 1
}
# refused CODE TEXT COMMAND...: it ends with this exit code and one line that contains the text.
refused() {
    local expected=$1 text=$2 code=0
    shift 2
    "$@" >/dev/null 2>"$work/err" || code=$?
    ((code == expected)) || fail "exit code $code, not $expected: $*"
    grep -qF -e "$text" "$work/err" || { cat "$work/err" >&2; fail "no \"$text\": $*"; }
}

"$program" synth --rows 600 --seed 1 --out "$work/log" >/dev/null 2>&1
"$program" convert --data "$work/log" --out "$work/packed" >/dev/null 2>&1
data=$work/packed/train

"$step" --data "$data" --batch-size 100 --batches 4 --passes 2 --export "$work/export" >"$work/step.json"
python3 - "$work" <<'PYTHON'
import json, struct, sys
from pathlib import Path

work = Path(sys.argv[1])
result = json.loads((work / "step.json").read_text())
assert result["batches"] == 4 and result["impressions"] == 400, result
assert len(result["losses"]) == 4 and len(result["seconds"]) == 2 and len(result["seconds_with_loading"]) == 2, result
assert set(result["stage_seconds"]) == {"sort_ids", "pool_embeddings", "towers_forward", "two_task_loss",
                                        "towers_backward", "update"}, result
assert all(seconds > 0 for seconds in result["stage_seconds"].values()), result

def npy(name, kind, size):
    data = (work / "export" / name).read_bytes()
    assert data[:8] == b"\x93NUMPY\x01\x00", name
    length = struct.unpack("<H", data[8:10])[0]
    header = eval(data[10:10 + length])
    assert (10 + length) % 64 == 0 and not header["fortran_order"], (name, header)
    count, = header["shape"]
    assert len(data) == 10 + length + count * size, (name, header)
    return struct.unpack(f"<{count}{kind}", data[10 + length:])

model = json.loads((work / "export" / "model.json").read_text())
for batch in ("0000", "0003"):
    assert len(npy(f"{batch}/click.npy", "B", 1)) == 100
    begin = npy(f"{batch}/common_begin.npy", "I", 4)
    assert begin[0] == 0 and begin[-1] == 100
    for side, rows in (("sample", 100), ("common", len(begin) - 1)):
        offsets = npy(f"{batch}/{side}_offsets.npy", "I", 4)
        assert len(offsets) == rows * model[f"{side}_fields"] + 1
        assert len(npy(f"{batch}/{side}_rows.npy", "I", 4)) == offsets[-1]
        assert len(npy(f"{batch}/{side}_weights.npy", "f", 4)) == offsets[-1]
PYTHON

"$step" --random rows=1000,sample_ids=20,common_ids=26,impressions=10 --batch-size 100 --batches 3 --passes 2 >"$work/random.json"
python3 - "$work" <<'PYTHON'
import json, sys
from pathlib import Path

result = json.loads((Path(sys.argv[1]) / "random.json").read_text())
assert (result["impressions"], result["common_rows"], result["ids_per_impression"]) == (300, 30, 46), result
assert len(result["seconds"]) == 2 and result["seconds_with_loading"] == [] and result["making_seconds"] > 0, result
assert result["ids_read"] == 300 * 20 + 30 * 26 and result["parameters"] > 1000 * 12, result
PYTHON

refused 2 "exists" "$step" --data "$data" --batches 1 --export "$work/export"
refused 2 "--batches 0: expected a positive number" "$step" --data "$data" --batches 0
refused 2 "--data or --random: one of them is needed" "$step"
refused 2 "--data or --random: one of them is needed" "$step" --data "$data" --random rows=5
for shape in rows rows= rows=0 rows=5e9 rows=5x columns=5; do refused 2 "--random $shape: expected KEY=NUMBER" "$step" --random "$shape"; done
refused 4 "" "$step" --random rows=4e9 --dim 64
refused 5 "$work/nothing" "$step" --data "$work/nothing"
refused 2 "Install bench/peers/requirements.txt" python3 -S "$peer" --export "$work/export" --engine "$work/step.json"
echo passed
