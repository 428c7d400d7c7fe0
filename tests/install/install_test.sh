#!/usr/bin/env bash
# What `cmake --install` gives: a program that runs, and a library that examples/consumer builds against.
#   install_test.sh BUILD_DIRECTORY CXX
set -euo pipefail
build=$1 cxx=$2
example=$(cd "$(dirname "$0")/../../examples/consumer" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

cmake --install "$build" --prefix "$work/usr" >"$work/log" || { cat "$work/log"; fail "install"; }
program=$work/usr/bin/esmm_gpu
cmake -S "$example" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/usr;${CMAKE_PREFIX_PATH:-}" -DCMAKE_CXX_COMPILER="$cxx" \
    -DCMAKE_CXX_FLAGS="-Wall -Wextra -Werror" >"$work/log" 2>&1 || { cat "$work/log"; fail "configuring the example"; }
cmake --build "$work/build" >"$work/log" 2>&1 || { cat "$work/log"; fail "building the example"; }

"$program" synth --out "$work/log.d" --rows 300 --seed 1 >/dev/null
"$program" train --data "$work/log.d" --out "$work/run" --dim 4 --hidden 4 --threads 1 --log-level error >/dev/null
"$program" predict --run "$work/run" --data "$work/log.d" --out "$work/p.csv" --threads 1 --log-level error
expected=$(awk -F, 'NR > 1 { ctr += $2; cvr += $3 }
    END { printf "%d impressions, mean pctr %.6f, mean pcvr %.6f", NR - 1, ctr / (NR - 1), cvr / (NR - 1) }' "$work/p.csv")
got=$("$work/build/mean_prediction" "$work/run" "$work/log.d" | tail -n 1)  # after what the library logs
[[ $got == "$expected" ]] || fail "the example says \"$got\", predict \"$expected\""

(cd "$work" && cpack --config "$build/CPackConfig.cmake" -B "$work/packages") >"$work/log" 2>&1 || { cat "$work/log"; fail "cpack"; }
holds_program() { grep -q '/bin/esmm_gpu$' "$work/list" || { cat "$work/list"; fail "no program in $1"; }; }
cmake -E tar tf "$work"/packages/*.tar.zst >"$work/list"
holds_program "the archive"
! grep -q libarrow "$work/list" || grep -q 'arrow/NOTICE' "$work/list" || fail "Arrow's libraries without its notice"
if command -v dpkg-deb >/dev/null; then
    dpkg-deb -c "$work"/packages/*.deb >"$work/list"
    holds_program "the Debian package"
fi
echo "1 passed, 0 failed"
