#!/usr/bin/env bash
# The engine beside PyTorch, in one command: builds both sides, makes the data, checks that they compute the same and
# times them in turns. docs/benchmarking.md says what is measured and how.
#   bench/compare.sh [--quick] [--pairs N] [--compile] [--results DIR] [--build DIR]
#     --quick        small data, two pairs, Adam alone: shows that everything works; writes to BUILD, not to results
#     --pairs N      pairs of each case, at least [5]
#     --compile      also every PyTorch variant with its towers and loss compiled by torch.compile; longer
#     --results DIR  where DATE-DEVICE-compare.md, .json and .svg are written [bench/results]
#     --build DIR    build directory, which also gets PyTorch (in its own virtual environment) and data [build/compare]
# PyTorch is downloaded from PyPI by pip on the first run. Exit code: 0; 1 a build failed or the gate did not hold; 2 usage.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
quick=() pairs=() compile=() results='' build=$root/build/compare
while (($#)); do
    case $1 in
        --quick) quick=(--quick) ;;
        --compile) compile=(--compile) ;;
        --results | --build | --pairs)
            (($# >= 2)) || { echo "compare: $1 needs a value" >&2; exit 2; }
            case $1 in --results) results=$2 ;; --build) build=$2 ;; --pairs) pairs=(--pairs "$2") ;; esac
            shift ;;
        *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
    esac
    shift
done
[[ $results ]] || { ((${#quick[@]})) && results=$build || results=$root/bench/results; }

mkdir -p "$build" "$results"
generator=()
! command -v ninja >/dev/null || generator=(-G Ninja)
cmake -S "$root" -B "$build" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DESMM_CUDA=OFF -DESMM_TESTS=OFF -DESMM_BENCH=ON \
    >"$build/cmake.log"
cmake --build "$build" --target esmm_gpu esmm_bench_step >>"$build/cmake.log" || { tail "$build/cmake.log" >&2; exit 1; }

python=$build/peers/bin/python
requirements=$root/bench/peers/requirements.txt
if ! cmp -s "$requirements" "$build/peers/installed.txt"; then
    python3 -m venv "$build/peers"
    "$python" -m pip install --quiet --requirement "$requirements"
    cp "$requirements" "$build/peers/installed.txt"
fi
exec python3 -B "$root/bench/compare.py" --build "$build" --python "$python" --results "$results" \
    "${quick[@]}" "${pairs[@]}" "${compile[@]}"
