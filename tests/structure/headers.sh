#!/bin/sh
# Does each header of src/ compile alone? headers.sh <src> <compiler and arguments>...
src=$1
shift
cd "$src" || exit 1
jobs=$(nproc 2>/dev/null || echo 1)
find . -name '*.h' | sort | sed 's|^\./||' >"${TMPDIR:-/tmp}/headers.$$"
trap 'rm -f "${TMPDIR:-/tmp}/headers.$$"' EXIT
[ -s "${TMPDIR:-/tmp}/headers.$$" ] || exit 1
# An empty file comes first, since a header as main file draws warnings of its own.
xargs -P "$jobs" -I{} "$@" -std=c17 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused-function -I. -fsyntax-only -x c \
    -include {} /dev/null <"${TMPDIR:-/tmp}/headers.$$"
