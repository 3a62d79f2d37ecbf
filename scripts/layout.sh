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

# What install put where, one path a line, directories that it had to make at the end with a trailing slash, deepest first.
manifest=$libdir/manifest

# The configuration that a new installation starts with.
default_config=$root/manager/Daemon/config.json
