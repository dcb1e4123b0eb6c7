#!/bin/bash
# The edge is killed with SIGKILL in the middle of a REGISTER load, three times, and started again: each registration that
# was answered well before the kill is there without the phone having to register again, and service goes on.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/sipp.sh"

USERS=60

# csv FROM TO: what sipp takes user names and passwords from
csv() {
    local i
    echo SEQUENTIAL
    for ((i = $1; i <= $2; i++)); do
        echo "u$i;[authentication username=u$i password=$(password_of "u$i")];"
    done
}
# The common parts name their user by key; here it comes from a line of the file.
of_file() { "$@" | sed -e 's/\[user\]/[field0]/g' -e 's/\[authentication\]/[field1]/'; }

make_certs
edge_conf
for ((i = 0; i < USERS; i++)); do
    user_add "u$i" || { not_ok "users are added" "$(tail -n 3 user.log)"; exit 1; }
done
ok "$USERS users are added"
need "the edge starts" edge_start
scenario load of_file register_parts
scenario fetch of_file fetch_parts
# Each contact is at one port, at which nobody listens: registrations only.
export TRANSPORT=u1
for round in 1 2 3; do
    first=$(((round - 1) * 10))
    csv $first $((first + 9)) >kept.csv
    csv 30 $((USERS - 1)) >load.csv
    PORT=$((7710 + round)) SIPP_SECONDS=10 check "round $round: ten phones register" \
        sipp_run "kept$round" -sf load.xml -inf kept.csv -m 10 -r 50 -key contact "sip:phone@$ADDR:7799" -key expires 600
    sleep 1.5 # what the store writes behind the calls is on disk within a second
    PORT=$((7720 + round)) SIPP_SECONDS=3 sipp_begin "load$round" -sf load.xml -inf load.csv -m 3000 -r 300 \
        -key contact "sip:phone@$ADDR:7799" -key expires 600
    sleep 1
    answered=$(sipp_received "load$round" '^SIP/2.0 200 ')
    edge_kill9
    check "round $round: it was killed under load ($answered registrations just before)" [ "$answered" -gt 20 ]
    kill "$(eval echo "\$SIPP_PID_load$round")" 2>/dev/null
    sipp_wait "load$round" 2>/dev/null
    check "round $round: the edge starts again" edge_start
    csv 0 $((first + 9)) >all.csv
    PORT=$((7730 + round)) SIPP_SECONDS=10 check "round $round: all $((first + 10)) registrations are there" \
        sipp_run "fetch$round" -sf fetch.xml -inf all.csv -m $((first + 10)) -r 50 -key contact - -key expires 0
    PORT=$((7740 + round)) SIPP_SECONDS=10 check "round $round: phones register as before" \
        sipp_run "again$round" -sf load.xml -inf load.csv -m 30 -r 50 -key contact "sip:phone@$ADDR:7799" -key expires 600
done
check "the edge stops in order" edge_stop
check "and starts once more" edge_start
csv 0 $((USERS - 1)) >all.csv
PORT=7750 SIPP_SECONDS=10 check "all $USERS registrations are there" \
    sipp_run fetch -sf fetch.xml -inf all.csv -m $USERS -r 50 -key contact - -key expires 0
check "the edge stops in order again" edge_stop
