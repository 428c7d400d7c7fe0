#!/usr/bin/env bash
# bench/gpu_check.sh as far as it goes without a card: fakes of its tools stand first on PATH.
# shellcheck disable=SC2016  # the fakes expand their own variables

set -euo pipefail

script=$(cd "$(dirname "$0")/../../bench" && pwd)/gpu_check.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
export PATH=$work/bin:$PATH FAKE_CALLS=$work/calls TMPDIR=$work/tmp
unset CUDA_VISIBLE_DEVICES
mkdir "$TMPDIR"

# fake NAME: an executable of that name that does what stdin says.
fake() {
    { echo '#!/usr/bin/env bash'; echo 'echo "${0##*/} $*" >>"$FAKE_CALLS"'; cat; } >"$work/bin/$1"
    chmod +x "$work/bin/$1"
}
fail() {
    echo "FAILED: $*" >&2
    exit 1
}
expect() { grep -qF -e "$2" "$1" || { cat "$1" >&2; fail "no \"$2\" in ${1##*/}"; }; }

# check CODE ARGUMENTS...: runs the script; its output is then in $work/out.
check() {
    local expected=$1 code=0
    shift
    : >"$FAKE_CALLS"
    "$script" --results "$work/the_results" --build "$work/build" "$@" >"$work/out" 2>&1 || code=$?
    ((code == expected)) || { cat "$work/out" >&2; fail "exit code $code, expected $expected: gpu_check.sh $*"; }
}

# ---- No card: one line, exit code 4, nothing left behind; the stages can still be printed.
fake nvidia-smi <<<'exit 9'
check 4
(($(wc -l <"$work/out") == 1)) || fail "more than one line without a card"
expect "$work/out" "no CUDA card"
[[ ! -e $work/the_results && ! -e $work/build && ! $(ls "$TMPDIR") ]] || fail "a run without a card left something behind"
check 0 --dry-run
for name in configure build tests memcheck racecheck initcheck synccheck synth train-paper-cuda-1 train-paper-cpu-1 nsys; do
    grep -q "^$name " "$work/out" || fail "--dry-run does not print $name"
done
[[ ! -e $work/the_results && ! -e $work/build ]] || fail "--dry-run left something behind"
fake nvidia-smi <<<'echo "[N/A]"'  # a driver too old to know the field
check 4
check 2 --nonsense
check 2 --rows many

# ---- A card. Building means to write programs that pretend.
fake nvidia-smi <<'FAKE'
case $* in
    *name*) echo "NVIDIA Test 9000 (PCIe)" ;;
    *compute_cap*) echo 8.9 ;;
    *driver_version*) echo 570.1 ;;
    *memory.total*) echo "12345 MiB" ;;
esac
FAKE
fake ctest <<<'true'
fake compute-sanitizer <<<'true'
fake nsys <<<'true'
fake ninja <<<'true'
fake train <<'FAKE'
while (($#)); do [[ $1 != --out ]] || out=$2; shift; done
mkdir -p "$out"
echo '{"samples_per_second": 4321.5,}' >"$out/summary.json"
FAKE
fake tests <<<'printf "Ops/Pooling.\n  Works/cuda\n"'
fake cmake <<'FAKE'
[[ $1 == --build ]] || exit 0
mkdir -p "$2/tests"
ln -sf "${0%/*}/train" "$2/esmm_gpu"
ln -sf "${0%/*}/tests" "$2/tests/kernels_tests"
FAKE

check 0
result=$(echo "$work"/the_results/*-nvidia-test-9000-pcie)
[[ -d $result ]] || fail "no directory with the card's name: $(ls "$work/the_results")"
expect "$FAKE_CALLS" "-DCMAKE_CUDA_ARCHITECTURES=89"
expect "$FAKE_CALLS" "-DESMM_CUDA=ON"
expect "$FAKE_CALLS" "--tool synccheck"
for text in "NVIDIA Test 9000 (PCIe), compute capability 8.9, 12345 MiB" "| driver | 570.1 |" "| racecheck | passed |" \
    " 0 failed" "| --preset paper | cuda | 2 |" "| 4321.5 |"; do
    expect "$result/summary.md" "$text"
done
[[ ! $(ls "$TMPDIR") ]] || fail "the training data was left behind"

# ---- Stages that fail: the others still run, the last line names the failed ones, and earlier results are kept.
fake compute-sanitizer <<<'[[ $* != *racecheck* ]] || { echo "a hazard"; exit 86; }'
fake tests <<<'true'
check 1
expect "$work/out" "failed: cuda_tests_exist racecheck"
expect "${result}_2/racecheck.log" "a hazard"
expect "${result}_2/summary.md" "| racecheck | **failed** (exit code 86) |"
expect "${result}_2/summary.md" "| synccheck | passed |"
expect "${result}_2/summary.md" "| --preset paper | cpu | 3 |"
[[ -s $result/summary.md ]] || fail "the first results are gone"

fake cmake <<<'[[ $1 != --build ]]'
check 1
expect "$work/out" "failed: build everything_else"
expect "${result}_3/summary.md" "| configure | passed |"
echo "gpu_check: all as expected"
