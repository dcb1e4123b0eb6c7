#!/bin/bash
# The disk under the store is full, and later has room again: registrations and requests go on all the time, and what
# could not be written then is written in the end. Then the store is read-only when the edge starts.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/sipp.sh"

registers() { PORT=7799 sipp_register "$1" "sip:$1@$ADDR:7799" 600; }
fetches() { PORT=7798 AS=$1 SIPP_SECONDS=8 sipp_run fetch -sf fetch.xml -m 1 -key contact - -key expires 0; }
delivers() { # FROM TO: a MESSAGE by way of TO's registration
    PORT=7799 SIPP_SECONDS=8 sipp_begin callee -sf message_callee.xml -m 1
    PORT=7797 AS=$1 SIPP_SECONDS=8 sipp_run message -sf message.xml -m 1 -key callee "$2@$DOMAIN" && sipp_wait callee
}
fill() { cat /dev/zero >state/filler 2>/dev/null; [ -s state/filler ]; }

make_certs
mkdir -p state
need "a disk of 4 MiB for the state" mount -t tmpfs -o size=4m,mode=700 none state
edge_conf
for name in alice bob carol dave; do
    user_add $name
done
scenario fetch fetch_parts
scenario message message_parts
scenario message_callee message_callee_parts
export TRANSPORT=u1
need "the edge starts" edge_start
check "alice registers" registers alice
sleep 1.5
check "the disk is filled up" fill
check "disk full: bob registers" registers bob
check "disk full: carol registers" registers carol
check "disk full: alice's MESSAGE reaches bob" delivers alice bob
sleep 3
check "disk full: the edge lives" edge_alive
check "disk full: the log says that the store cannot write" log_has edge.log '([Ff]ull|cannot write|ENOSPC)'
rm -f state/filler
sleep 6
edge_kill9
check "the edge starts again after a kill" edge_start
check "alice's registration, from before, is there" fetches alice
check "bob's, of the time without room, was written in the end" fetches bob
check "carol's too" fetches carol
check "a MESSAGE reaches bob" delivers alice bob
check "the edge stops in order" edge_stop

# Read-only from the start: it serves what it has, or says plainly why it does not.
need "the state is read-only" mount -o remount,ro state
if edge_start; then
    ok "read-only: the edge starts"
    check "read-only: alice's registration is there" fetches alice
    check "read-only: dave registers" registers dave
    check "read-only: a MESSAGE reaches dave" delivers alice dave
    check "read-only: the edge lives" edge_alive
    check "read-only: the log says so" log_has edge.log '[Rr]ead-?only'
    edge_stop
else
    check "read-only: the edge says why it does not start" log_has edge.log '[Rr]ead-?only'
    E2E_EDGE_PID=
fi
umount state || true
