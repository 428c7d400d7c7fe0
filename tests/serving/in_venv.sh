#!/usr/bin/env bash
# Runs a Python program with the packages of a requirements file, in an environment that is made once per build
# directory. Exits with 77 (skipped) and a line that says why where it cannot be made.
#   in_venv.sh VENV REQUIREMENTS PROGRAM [ARGUMENTS]
set -euo pipefail
venv=$1 requirements=$2
shift 2
mkdir -p "$(dirname "$venv")"
exec 9>"$venv.lock"
flock 9  # tests that run at once share it
if ! cmp -s "$requirements" "$venv/installed.txt"; then
    skip() {
        echo "skipped: $1"
        tail -n 1 "$venv.log"
        rm -rf "$venv"
        exit 77
    }
    rm -rf "$venv"
    python3 -m venv "$venv" >"$venv.log" 2>&1 || skip "python3 -m venv does not work here (Debian: python3-venv)"
    timeout 300 "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --retries 1 --timeout 20 \
        --requirement "$requirements" >"$venv.log" 2>&1 || skip "PyPI is out of reach, or too slow"
    cp "$requirements" "$venv/installed.txt"
fi
exec 9>&-
exec "$venv/bin/python" "$@"
