# usage: zsh -f complete.zsh SCRIPT LINE      prints what zsh would propose at the end of LINE, by SCRIPT
# Completion lives in the line editor, and that in a terminal: an interactive zsh gets one, the line and a tab.
emulate -L zsh
zmodload zsh/zpty
found=$(mktemp)
# Two pipes: the reader of the second message must not meet the writer of the first.
mkfifo $found.ready $found.over
trap 'zpty -d shell 2>/dev/null; rm -f $found $found.ready $found.over' EXIT

zpty shell zsh -f -i
zpty -w shell "PS1= PS2= RPS1=; unsetopt beep; autoload -Uz compinit; compinit -D -u; source ${(q)1}"
# Every candidate passes through compadd; calls that only look (-O, -A, -D) are the library's own.
zpty -w shell "compadd() {
    if (( \${argv[(I)-[OAD]*]} )); then builtin compadd \"\$@\"; return; fi
    local -a matches
    builtin compadd -O matches \"\$@\"
    (( \$#matches )) && print -rl -- \$matches >>${(q)found}
    builtin compadd \"\$@\"
}"
# Keys count from the moment when the line editor has the terminal. A tab that others follow would be taken for pasted text, so one key completes and says
# that it has.
zpty -w shell "complete-and-say() { zle complete-word; print over >${(q)found}.over; }; zle -N complete-and-say; bindkey '^I' complete-and-say"
zpty -w shell "say-ready() { print ready >${(q)found}.ready; }; zle -N zle-line-init say-ready"
read -r <$found.ready
zpty -w -n shell "$2"$'\t'
read -r <$found.over
sort -u $found
