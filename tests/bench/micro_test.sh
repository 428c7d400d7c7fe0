#!/usr/bin/env bash
# bench/micro on its smallest shape: every operation of Backend is there with a rate and a share of its ceiling.
#   micro_test.sh ESMM_BENCH_MICRO
set -euo pipefail

micro=$1
header=$(cd "$(dirname "$0")/../../kernels" && pwd)/backend.hpp
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$micro" --device cpu --benchmark_filter=/odd_widths --benchmark_min_time=0.001 --benchmark_format=json >"$work/micro.json"
python3 - "$work/micro.json" "$header" <<'PYTHON'
import json, re, sys
from pathlib import Path

result = json.loads(Path(sys.argv[1]).read_text())
header = Path(sys.argv[2]).read_text()
assert float(result["context"]["peak GFLOP/s"]) > 0 and result["context"]["backend"] == "cpu, fp32", result["context"]
measured = {run["name"].split("/")[0]: run for run in result["benchmarks"]}
for name, run in measured.items():
    assert not run.get("error_occurred") and run["of_ceiling"] > 0 and run.get("GB/s", 0) + run.get("GFLOP/s", 0) > 0, run
operations = set(re.findall(r"virtual [^;(]*?(\w+)\([^;]*\) = 0;", header[header.index("virtual void replay("):]))
operations -= {"replay", "make_sorted_ids", "row_gradients"}  # the last is for tests
assert len(operations) > 10, operations
missing = [operation for operation in operations if not any(name.startswith(operation) for name in measured)]
assert not missing, f"not measured: {missing}"
PYTHON

code=0
"$micro" --nonsense 2>"$work/err" || code=$?
if ((code != 2)) || ! grep -qF -e "--nonsense: unknown" "$work/err"; then
    cat "$work/err" >&2
    exit 1
fi
echo passed
