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
    options=(-DESMM_TESTS=ON)  # quickstart.sh builds without them
    if [[ $preset == release ]]; then  # with the Apache Arrow that the tests' Python has; without PyPI without Parquet
        python=$PWD/build/release/python
        tests/serving/in_venv.sh "$python" tests/serving/requirements.txt -c "" || python=
        options+=(-DESMM_PYARROW="${python:+$python/bin/python}")
    fi
    cmake --preset "$preset" "${options[@]}" >/dev/null
    cmake --build --preset "$preset"
    ctest --preset "$preset" -j "$(nproc)"
done
