#!/usr/bin/env bash
# Installs what is missing, builds and runs every test: the release build, then AddressSanitizer + UBSan, then
# ThreadSanitizer (for what runs on several threads). CI runs exactly this.
#   ./test.sh            everything
#   ./test.sh release    one of: release asan tsan
set -euo pipefail
cd "$(dirname "$0")"
.ci/install.sh
presets=("$@")
((${#presets[@]})) || presets=(release asan tsan)
for preset in "${presets[@]}"; do
    echo "== $preset"
    cmake --preset "$preset" -DESMM_TESTS=ON >/dev/null  # quickstart.sh builds without them
    cmake --build --preset "$preset"
    ctest --preset "$preset" -j "$(nproc)"
done
