#!/usr/bin/env bash
# Installs the Debian packages of packages.txt that are missing. Does nothing when all are there, and does not fail
# where apt does not exist (there, point CMAKE_PREFIX_PATH at the unpacked dependencies).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
command -v dpkg-query >/dev/null || { echo "install: no dpkg here; expecting the dependencies in CMAKE_PREFIX_PATH"; exit 0; }
missing=()
while read -r package _; do
    [[ -z $package || $package == \#* ]] && continue
    [[ $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) == "install ok installed" ]] || missing+=("$package")
done <"$root/packages.txt"
((${#missing[@]})) || exit 0
if [[ -n ${CMAKE_PREFIX_PATH:-} ]]; then
    echo "install: CMAKE_PREFIX_PATH is set, so these packages are expected there: ${missing[*]}"
    exit 0
fi
echo "install: these packages are needed to build and are missing (see packages.txt): ${missing[*]}"
sudo=()
if ((EUID)); then
    command -v sudo >/dev/null || { echo "install: run as root: apt-get install ${missing[*]}" >&2; exit 1; }
    sudo=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
