#!/bin/sh
# Is each mistake found? selftest.sh <structure program> <folder for trees>. Writes a small tree for each and looks at what
# is said about it. Prints TAP.
program=$1
work=$2/structure-selftest.$$
n=0
bad=0
trap 'rm -rf "$work"' EXIT

# case <name> <text that must be said, or "-" for nothing> { <file> <its text> }...
check() {
    name=$1
    want=$2
    shift 2
    n=$((n + 1))
    rm -rf "$work"
    while [ $# -gt 0 ]; do
        mkdir -p "$work/$(dirname "$1")"
        printf '%s\n' "$2" >"$work/$1"
        shift 2
    done
    said=$("$program" "$work" 2>&1)
    status=$?
    if [ "$want" = - ]; then
        [ $status -eq 0 ]
    else
        [ $status -eq 1 ] && printf '%s\n' "$said" | grep -qF -- "$want"
    fi && echo "ok $n - $name" && return
    echo "not ok $n - $name"
    printf '%s\n' "$said" | sed 's/^/# /'
    bad=1
}

check 'a good tree' - \
    src/base/a.h '#include <stdio.h>' \
    src/sip/b.c '#include "base/a.h"
/* strcpy(x) and atoi(y) */ // malloc(1)
#include "sip/sip_priv.h"
static const char *s = "sprintf(\"x\") time(NULL)"; int my_atoi(int); int r = o.rand(1) + p->time (0); char c = '"'\"'"';' \
    src/sip/sip_priv.h '' \
    tests/unit/sip/t.c '#include "sip/sip_priv.h"
#include "check.h"
int x = malloc(1);'
check 'a higher room' 'src/base/a.c:2: includes sip/b.h: this room may not know that one' \
    src/base/a.c '
#include "sip/b.h"' src/sip/b.h ''
check 'protocol rooms do not know each other' 'src/media/a.c:1: includes sip/b.h' src/media/a.c ' # include "sip/b.h"'
check 'net may use pki' - src/net/a.c '#include "pki/b.h"'
check 'pki may not use net' 'src/pki/a.c:1: includes net/b.h' src/pki/a.c '#include "net/b.h"'
check 'store only base' 'src/store/a.c:1: includes config/b.h' src/store/a.c '#include "config/b.h"'
check 'cli may use edge' - src/cli/a.c '#include "edge/b.h"
#include "console/c.h"'
check 'edge may not use cli' 'src/edge/a.h:1: includes cli/b.h' src/edge/a.h '#include "cli/b.h"'
check 'a cycle' 'src/sdp includes src/keying: part of a cycle' \
    src/sdp/a.c '#include "keying/b.h"' src/keying/b.h '#include "sdp/c.h"'
check 'a long cycle' 'src/net includes src/edge: part of a cycle' \
    src/net/a.c '#include "edge/b.h"' src/edge/b.h '#include "config/c.h"' src/config/c.h '#include "net/d.h"'
check 'an include without its room' 'src/sip/a.c:1: includes b.h' src/sip/a.c '#include "b.h"'
check 'an include in angle brackets' 'includes with <> a room' src/sip/a.c '#include <base/b.h>'
check 'an unknown room' 'is in no room: attic' src/attic/a.c 'int x;'
check 'a private header from another room' 'includes sip/sip_priv.h: private to its room' \
    src/edge/a.c '#include "sip/sip_priv.h"'
check 'a private header from another test' 'includes sip/sip_priv.h: private to its room' \
    src/sip/a.c '' tests/unit/edge/a.c '#include "sip/sip_priv.h"'
for call in strcpy strcat sprintf strtok atoi sscanf gets rand malloc strdup system; do
    check "$call" "src/edge/a.c:2: calls $call" src/edge/a.c "int f(void)
{ return $call (x); }"
done
check 'the clock in a pure room' 'src/sip/a.c:1: calls time' src/sip/a.c 'long x = time(NULL);'
check 'the clock in the command' - src/cli/a.c 'long x = time(NULL);'
check 'the log in a pure room' 'src/policy/a.c:1: calls LOG' src/policy/a.c 'LOG(1, "x");'
check 'malloc in mem.h' - src/base/mem.h 'p = malloc(n);'
check 'after a block comment' 'src/edge/a.c:3: calls atoi' src/edge/a.c '/* a
b */ int c = 1; // x
int y = atoi("1");'
check 'an empty tree' '0 files' src/README ''
echo "1..$n"
exit $bad
