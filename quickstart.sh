#!/usr/bin/env bash
# From a fresh Debian 12 or Ubuntu 24.04 machine to a trained ESMM: installs what is missing, builds, makes a small
# click log from a world whose truth is known, trains on it and measures the result. No GPU is needed.
set -euo pipefail
cd "$(dirname "$0")"
bold='' plain=''
[[ -n ${NO_COLOR:-} || ! -t 1 ]] || bold=$'\033[1m' plain=$'\033[0m'
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

say "1/4  Packages"
.ci/install.sh && echo "all there"

say "2/4  Build (build/release)"
cmake --preset release -DESMM_TESTS=OFF
cmake --build --preset release
esmm_gpu=build/release/esmm_gpu

say "3/4  A click log with a known truth (runs/quickstart-log)"
rm -rf runs/quickstart-log runs/quickstart
$esmm_gpu synth --out runs/quickstart-log --rows 200000 --seed 1

say "4/4  Train ESMM, then measure it against the truth"
$esmm_gpu train --data runs/quickstart-log --out runs/quickstart --epochs 3 --batch-size 1000
$esmm_gpu eval --run runs/quickstart --data runs/quickstart-log --truth runs/quickstart-log/truth_test.csv
$esmm_gpu report runs/quickstart

cat <<END

Open runs/quickstart/report.html: all of it on one page.
The run is in runs/quickstart: model.safetensors, config.toml, metrics.jsonl, summary.json, checkpoints/.
Next: $esmm_gpu train --data YOUR_LOG        (docs/input_formats.md says what YOUR_LOG may be)
      $esmm_gpu predict --run runs/quickstart --data runs/quickstart-log --out predictions.csv
END
