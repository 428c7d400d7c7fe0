#!/usr/bin/env bash
# The completions and the manual page: every flag of --help is there, bash offers what fits, groff finds no fault.
#   manual_test.sh ESMM_GPU
set -euo pipefail
program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# section FIRST LAST FILE: the lines from one pattern to the next other.
section() { sed -n "/$1/,/$2/p" "$3"; }

"$program" man >"$work/page"
"$program" completion zsh >"$work/zsh"
"$program" completion bash >"$work/bash"
for command in synth convert inspect train eval predict export completion man; do
    page=$(section "^\.SS $command\$" '^\.S[SH]' "$work/page")
    zsh=$(section "^    $command)\$" ';;' "$work/zsh")
    bash=$(sed -n "s/^    $command) words='\(.*\)' ;;/ \1 /p" "$work/bash")
    flags=$("$program" "$command" --help | grep -oE '^ +(-h,)?--[a-z0-9-]+' | sed 's/.*--/--/')
    [[ $(wc -l <<<"$flags") -ge 7 ]] || fail "$command --help has few flags: $flags"
    for flag in $flags; do
        [[ $page == *"\\fB${flag//-/\\-}\\fR"* ]] || fail "the manual lacks $command $flag"
        [[ $zsh == *"'${flag}["* ]] || fail "zsh lacks $command $flag"
        [[ $bash == *" $flag "* ]] || fail "bash lacks $command $flag"
    done
done
"$program" train --help >"$work/help"
grep -q "esmm_gpu train --data ali_ccp" "$work/help" || fail "--help has no examples"

if command -v groff >/dev/null; then
    groff -man -ww -Tutf8 "$work/page" >"$work/printed" 2>"$work/faults"
    grep -q 'train --resume runs/first' "$work/printed" || fail "the manual has no examples"
    [[ ! -s $work/faults ]] || fail "groff: $(head -n 3 "$work/faults")"
fi
if command -v zsh >/dev/null; then
    zsh -n "$work/zsh" || fail "zsh cannot read its completion"
fi

# offers EXPECTED WORD...: what bash completes the last word to.
# shellcheck disable=SC1091
source "$work/bash"
offers() {
    local expected=$1
    shift
    COMP_WORDS=(esmm_gpu "$@") COMP_CWORD=$#
    _esmm_gpu
    [[ ${COMPREPLY[*]} == "$expected" ]] || fail "for '$*' bash offers '${COMPREPLY[*]}', not '$expected'"
}
cd "$work"
touch packed
offers "train" tr
offers "predict" pre
offers "--batch-size" train --batch-s
offers "" eval --batch-s
offers "esmm_ns esmm esmm_aux" train --model esm
offers "onnx" export --format o
offers "packed" train --data pac
offers "packed" inspect pac
offers "" train --lr pac
echo "1 passed, 0 failed"
