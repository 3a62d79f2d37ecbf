#!/usr/bin/env bash
# usage: complete.bash SCRIPT LINE      prints what bash would propose at the end of LINE, by SCRIPT
# shellcheck disable=SC1090
source "$1"
# Bash itself takes a line apart at = and :, too (COMP_WORDBREAKS).
line=${2//=/ = }
read -ra COMP_WORDS <<<"$line"
[[ $2 == *[[:space:]] || $2 == *= ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
COMPREPLY=()
"$(complete -p uffdctl | sed 's/.*-F \([^ ]*\) .*/\1/')" uffdctl "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
[ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\n' "${COMPREPLY[@]}"
