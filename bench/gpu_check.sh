#!/usr/bin/env bash
# Everything that needs a CUDA card, in one command: builds for the card, runs all tests with the cuda backend, runs
# compute-sanitizer on the kernel tests, times training on the card beside the CPU and records an nsys trace.
#   bench/gpu_check.sh [--dry-run] [--rows N] [--results DIR] [--build DIR]
#     --dry-run      print the stages, run nothing; needs no card
#     --rows N       impressions per half of the synthetic log that is trained on [1000000]
#     --results DIR  where the dated directory is made [bench/results]
#     --build DIR    build directory [build/gpu_check]
# The card is the first of CUDA_VISIBLE_DEVICES, else card 0. CMAKE_PREFIX_PATH is honoured and nothing is downloaded.
# Exit code: 0 every stage passed; 1 some did not, named on the last line; 2 bad usage; 4 no card.
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
dry_run=false rows=1000000 results=$root/bench/results build=$root/build/gpu_check
while (($#)); do
    case $1 in
        --dry-run) dry_run=true ;;
        --rows | --results | --build)
            (($# >= 2)) || { echo "gpu_check: $1 needs a value" >&2; exit 2; }
            case $1 in --rows) rows=$2 ;; --results) results=$2 ;; --build) build=$2 ;; esac
            shift ;;
        *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
    esac
    shift
done
[[ $rows =~ ^[1-9][0-9]*$ ]] || { echo "gpu_check: --rows $rows: not a positive number" >&2; exit 2; }

# ---- The card ------------------------------------------------------------------------------------------------------
export CUDA_DEVICE_ORDER=PCI_BUS_ID  # as nvidia-smi counts
device=${CUDA_VISIBLE_DEVICES-0}
device=${device%%,*}
export CUDA_VISIBLE_DEVICES=$device
# ask FIELD: what nvidia-smi says about the card; empty when it says nothing of use.
ask() {
    local answer
    answer=$(nvidia-smi -i "$device" --query-gpu="$1" --format=csv,noheader 2>/dev/null) || return 0
    [[ $answer == *N/A* || $answer == *rror* ]] || head -n 1 <<<"$answer"
}
card=$([[ $device ]] && ask name)
capability=$([[ $device ]] && ask compute_cap)
if $dry_run; then
    card=${card:-CARD} capability=${capability:-CC}
elif [[ ! $card || ! $capability ]]; then
    echo "gpu_check: no CUDA card here. It needs a card that nvidia-smi can query (name, compute_cap), the CUDA toolkit" \
        "(nvcc, compute-sanitizer; nsys if there is one) and the packages of packages.txt; --dry-run prints the stages." >&2
    exit 4
fi
architecture=${capability//./}
slug=$(tr -cs '[:alnum:]\n' '-' <<<"${card,,}")
out=$results/$(date +%Y-%m-%d)-${slug%-}

# ---- Stages --------------------------------------------------------------------------------------------------------
passed=() failed=() skipped=()
# row NAME RESULT SECONDS: a line of the summary's table.
row() { printf '| %s | %s | %s |\n' "$1" "$2" "$3" >>"$out/stages.md"; }
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN {printf "%.1f", b - a}'; }

# stage NAME COMMAND...: runs it, its output in NAME.log; never ends the script.
stage() {
    local name=$1 started status=0
    shift
    if $dry_run; then
        printf '%-24s %s\n' "$name" "${*//"$root/"/}"
        return 0
    fi
    printf '== %s\n' "$name"
    started=$(now)
    timeout --foreground --kill-after=30 3600 "$@" </dev/null >"$out/$name.log" 2>&1 || status=$?
    if ((status == 0)); then
        passed+=("$name")
        row "$name" passed "$(since "$started")"
    else
        failed+=("$name")
        ((status != 124)) || echo "gpu_check: stopped after an hour" >>"$out/$name.log"
        row "$name" "**failed** (exit code $status)" "$(since "$started")"
        printf '   failed with exit code %d; the end of %s:\n' "$status" "$out/$name.log"
        tail -n 5 "$out/$name.log" | sed 's/^/   | /'
    fi
    return "$status"
}

# skip NAME WHY: a stage that cannot run, through no fault of what is checked.
skip() {
    skipped+=("$1")
    row "$1" "not run: $2" ""
}
# fail NAME WHY: a stage that cannot run and leaves a claim unproven.
fail() {
    failed+=("$1")
    row "$1" "**not run**: $2" ""
}
has() { $dry_run || command -v "$1" >/dev/null; }

program=$build/esmm_gpu
kernel_tests=$build/tests/kernels_tests
work=
trap '[[ ! $work ]] || rm -rf "$work"' EXIT
if $dry_run; then
    printf 'card %s, compute capability %s; results in %s\n' "$card" "$capability" "${out#"$root/"}"
    scratch=DATA
else
    first=$out number=2
    while [[ -e $out ]]; do out=${first}_$((number++)); done
    mkdir -p "$out" || exit 1
    work=$(mktemp -d) || exit 1
    scratch=$work
fi

# ---- Build and tests -----------------------------------------------------------------------------------------------
generator=()
! has ninja || generator=(-G Ninja)
build_and_test() {
    stage configure cmake -S "$root" -B "$build" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release -DESMM_CUDA=ON \
        -DCMAKE_CUDA_ARCHITECTURES="$architecture" -DESMM_TESTS=ON || return 1
    stage build cmake --build "$build" --parallel || return 1
    stage tests ctest --test-dir "$build" --output-on-failure --parallel "$(nproc)"
    return 0
}

# A filter that matches nothing passes every tool, so that is looked at first.
sanitize() {
    local tool
    # shellcheck disable=SC2016  # the inner shell expands it
    stage cuda_tests_exist bash -c '"$1" --gtest_list_tests --gtest_filter="*cuda*" | grep "^  "' _ "$kernel_tests"
    for tool in memcheck racecheck initcheck synccheck; do
        if has compute-sanitizer; then
            stage "$tool" compute-sanitizer --tool "$tool" --error-exitcode 86 "$kernel_tests" --gtest_filter='*cuda*'
        else
            fail "$tool" "compute-sanitizer not found"
        fi
    done
}

# ---- Timing --------------------------------------------------------------------------------------------------------
rate() { sed -n 's/.*"samples_per_second": *\([0-9.]*\).*/\1/p' "$1/summary.json" 2>/dev/null; }

# train_on DEVICE NAME FLAGS...: three runs; a line of the timing table each.
train_on() {
    local device=$1 name=$2 repeat run started
    shift 2
    for repeat in 1 2 3; do
        run=$scratch/run-$name-$device-$repeat
        started=$(now)
        stage "train-$name-$device-$repeat" "$program" train --data "$scratch/packed" --device "$device" \
            --out "$run" "$@" || return 1
        $dry_run || printf '| %s | %s | %d | %s | %s |\n' "${*:-(defaults)}" "$device" "$repeat" \
            "$(since "$started")" "$(rate "$run")" >>"$out/timing.md"
    done
}

make_data() {
    stage synth "$program" synth --profile ali-ccp --rows "$rows" --seed 1 --out "$scratch/log" &&
        stage convert "$program" convert --data "$scratch/log" --out "$scratch/packed"
}

time_training() {
    local target
    for target in cuda cpu; do
        train_on "$target" defaults
        train_on "$target" paper --preset paper
        train_on "$target" paper_adagrad --preset paper --optimizer adagrad
        train_on "$target" large_batch --batch-size 50000
    done
    train_on cuda paper_bf16 --preset paper --precision bf16
}

trace() {
    if has nsys; then
        stage nsys nsys profile --trace=cuda,nvtx,osrt --cuda-graph-trace=node --output "$out/train" \
            "$program" train --data "$scratch/packed" --device cuda --out "$scratch/traced" &&
            stage nsys_stats nsys stats --report nvtx_sum,cuda_gpu_kern_sum "$out/train.nsys-rep"
    else
        skip nsys "nsys not found"
    fi
}

# ---- Summary -------------------------------------------------------------------------------------------------------
version() { command -v "$1" >/dev/null && "$@" 2>&1 | grep -m 1 -E '[0-9]+\.[0-9]+' || echo "$1 not found"; }
nvcc_version() {
    local nvcc
    nvcc=$(sed -n 's/^ESMM_NVCC:FILEPATH=//p; s/^CMAKE_CUDA_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt" 2>/dev/null | head -n 1)
    version "${nvcc:-nvcc}" --version | sed 's/^.*release/release/'
}

summary() {
    local changed=
    [[ ! $(git -C "$root" status --porcelain --untracked-files=no 2>/dev/null) ]] || changed=" (and uncommitted changes)"
    echo "# $card, $(date +%Y-%m-%d)"
    echo
    echo "Made by \`bench/gpu_check.sh\`; the output of each stage is beside this file."
    echo
    echo "| | |"
    echo "| --- | --- |"
    echo "| card | $card, compute capability $capability, $(ask memory.total) |"
    echo "| driver | $(ask driver_version) |"
    echo "| commit | $(git -C "$root" rev-parse --short=12 HEAD 2>/dev/null || echo unknown)$changed |"
    echo "| nvcc | $(nvcc_version) |"
    echo "| compiler | $(version c++ --version) |"
    echo "| CMake | $(version cmake --version) |"
    echo "| compute-sanitizer | $(version compute-sanitizer --version) |"
    echo "| nsys | $(version nsys --version) |"
    echo "| CPU | $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) threads |"
    echo
    echo "${#passed[@]} stages passed, ${#failed[@]} failed${failed[*]:+ (${failed[*]})}, ${#skipped[@]} could not run."
    echo
    echo "| stage | result | seconds |"
    echo "| --- | --- | --- |"
    cat "$out/stages.md"
    [[ -s $out/timing.md ]] || return 0
    echo
    echo "Training, one epoch of $rows impressions, packed data. Seconds: the whole command, evaluation included; rate:"
    echo "training alone, loading included."
    echo
    echo "| flags | device | run | seconds | impressions/s |"
    echo "| --- | --- | --- | --- | --- |"
    cat "$out/timing.md"
}

if build_and_test; then
    sanitize
    if make_data; then
        time_training
        trace
    else
        fail training "there is no data to train on"
    fi
else
    fail everything_else "there is no build"
fi
$dry_run && exit 0

summary >"$out/summary.md"
rm -f "$out/stages.md" "$out/timing.md"
echo "gpu_check: results in $out"
((${#failed[@]})) || exit 0
echo "gpu_check: failed: ${failed[*]}" >&2
exit 1
