#!/usr/bin/env bash
# Searches for inputs that break the readers, with libFuzzer, AddressSanitizer and UBSan; one target after the other.
#   tests/fuzz/long_run.sh [SECONDS_PER_TARGET [TARGET...]]      60 seconds and all of them
# What it finds is kept in build/fuzz: TARGET/ (inputs that reach something new), TARGET.log, crash-TARGET-*. A crash
# belongs into tests/fuzz/corpus/TARGET/, which every test run reads again. Not a part of ./test.sh: it needs clang, and
# llvm for names in reports. Prints for each target its executions, the edges of the control flow graph that it reached
# in all of the program (libFuzzer's "cov:"), the coverage of the sources it is about, and the faults found.
set -euo pipefail
cd "$(dirname "$0")/../.."
for tool in clang++-14 llvm-symbolizer-14; do
    command -v "$tool" >/dev/null || { echo "long_run: $tool is missing: apt-get install clang-14 llvm-14" >&2; exit 2; }
done
seconds=${1:-60}
shift || true
build=build/fuzz
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Sanitized -DCMAKE_C_COMPILER=clang-14 -DCMAKE_CXX_COMPILER=clang++-14 \
    -DESMM_SANITIZE=fuzzer-no-link,address,undefined -DESMM_TESTS=ON -DESMM_BENCH=OFF -DESMM_CUDA=OFF >/dev/null
cmake --build "$build" --target fuzz_search fuzz_replay
seeds=$build/seeds
"$build/tests/fuzz_replay" --write-seeds "$seeds"
targets=("$@")
((${#targets[@]})) || mapfile -t targets < <(ls "$seeds")

# The sources that a target is about.
sources() {
    case $1 in
        ali_ccp | csv | field_id) echo "io/($1_reader|chunk_parser|text_source|byte_stream|scan|schema_guess|messages|rows)" ;;
        config) echo 'engine/(config|config_toml|config_options|option_values)' ;;
        schema) echo 'io/schema' ;;
        block) echo 'io/(block_codec|column_codec)' ;;
        manifest) echo 'io/manifest' ;;
        vocabulary) echo 'io/vocabulary' ;;
        safetensors) echo 'io/safetensors_(reader|format)' ;;
    esac
}

export ASAN_OPTIONS=allocator_may_return_null=0 ASAN_SYMBOLIZER_PATH
ASAN_SYMBOLIZER_PATH=$(command -v llvm-symbolizer-14)
failed=0
printf '%-12s %12s %8s %8s %28s %7s\n' target executions edges inputs 'edges of its own sources' faults
for target in "${targets[@]}"; do
    corpus=$build/$target log=$build/$target.log known=tests/fuzz/corpus/$target
    mkdir -p "$corpus" "$known"
    faults=0
    ESMM_FUZZ_TARGET=$target "$build/tests/fuzz_search" -max_total_time="$seconds" -timeout=25 -rss_limit_mb=2048 \
        -max_len=4096 -print_final_stats=1 -print_coverage=1 -artifact_prefix="$build/crash-$target-" \
        "$corpus" "$seeds/$target" "$known" >"$log" 2>&1 || faults=1
    rmdir --ignore-fail-on-non-empty "$known"
    executions=$(awk '/stat::number_of_executed_units/ {print $2}' "$log")
    edges=$(grep -oE 'cov: [0-9]+' "$log" | tail -n 1 | cut -d' ' -f2)
    own=$(awk -v sources="/$(sources "$target")[.]" '
        /COVERED_FUNC:/ && $0 ~ sources {
            match($0, /edges: [0-9]+\/[0-9]+/)
            split(substr($0, RSTART + 7, RLENGTH - 7), edges, "/")
            reached += edges[1]; all += edges[2]
        }
        END { if (all) printf "%d of %d (%.0f %%)", reached, all, 100 * reached / all }' "$log")
    printf '%-12s %12s %8s %8s %28s %7s\n' "$target" "${executions:-?}" "${edges:-?}" "$(find "$corpus" -type f | wc -l)" \
        "$own" "$faults"
    ((faults)) && { failed=1; grep -m 3 -E 'ERROR|SUMMARY|what\(\)' "$log" || true; }
done
exit "$failed"
