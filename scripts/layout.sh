# shellcheck shell=bash
# Sourced by install.sh and uninstall.sh: where things go on the host. DESTDIR comes before every path and is part of none.
# shellcheck disable=SC2034,SC2154

: "${DESTDIR:=}" "${PREFIX:=/usr/local}" "${SYSCONFDIR:=/etc}"

bindir=$PREFIX/bin
sbindir=$PREFIX/sbin
libdir=$PREFIX/lib/uffd-manager
includedir=$PREFIX/include
mandir=$PREFIX/share/man
config=$SYSCONFDIR/uffd-manager/config.json

# Where systemd and its relatives look; for a PREFIX other than /usr and /usr/local they look nowhere.
unitdir=$PREFIX/lib/systemd/system
sysusersdir=$PREFIX/lib/sysusers.d
tmpfilesdir=$PREFIX/lib/tmpfiles.d
udevdir=$PREFIX/lib/udev/rules.d

# Where the shells look for completions of commands.
bash_completions=$PREFIX/share/bash-completion/completions
zsh_completions=$PREFIX/share/zsh/site-functions
fish_completions=$PREFIX/share/fish/vendor_completions.d

units=(uffd-manager.socket uffd-manager-control.socket uffd-manager.service)

# What install put where, one path a line, directories that it had to make at the end with a trailing slash, deepest first.
manifest=$libdir/manifest

# The configuration that a new installation starts with.
default_config=$root/manager/Daemon/config.json

# Whether this installation is the host's own and systemd runs it, so that it can be told.
systemd_runs() { [ -z "$DESTDIR" ] && [ -d /run/systemd/system ] && [ "$(id -u)" -eq 0 ]; }
