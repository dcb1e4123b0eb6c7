#!/bin/bash
# Races that sipp can force, through the edge between an authenticated caller and a registered callee: CANCEL before and
# after the callee has answered, both sides hanging up at once, re-INVITEs that cross, and retransmission storms. Each
# callee holds back its answer until the crossing message is out, so that the race happens on every run.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/sipp.sh"

cancel() {
    BRANCH="[branch-$1]" out_head CANCEL 2 "$no_body" | send_part
}

# The usual cancelled call (RFC 3261 9.1).
cancel_caller() {
    invite_with_digest
    recv_opt 100
    recv 180
    cancel 3
    recv 200
    recv 487
    BRANCH='[branch-6]' TO_TAG='[peer_tag_param]' out_head ACK 2 "$no_body" | send_part
}
cancel_callee() {
    recv_and_keep INVITE call 'rrs="true"'
    answer_kept call 180 Ringing "$own_tag"
    recv_and_keep CANCEL cancel
    answer_cancel
    answer_kept call 487 'Request Terminated' "$own_tag"
    recv_request ACK
}
# A CANCEL is hop by hop and has one Via.
answer_cancel() {
    answer_kept cancel 200 OK | sed '/^Via:.*via2/d'
}

# The callee answers with 200 when the CANCEL reaches it: the call stands, the caller must hang up (RFC 3261 9.1, 15).
cross_caller() {
    invite_with_digest
    recv_opt 100
    recv 180
    cancel 3
    recv 200
    recv 200 'rrs="true"'
    ack
    in_dialog BYE
}
cross_callee() {
    recv_and_keep INVITE call 'rrs="true"'
    answer_kept call 180 Ringing "$own_tag"
    recv_and_keep CANCEL cancel
    answer_cancel
    answer_kept call 200 OK "$own_tag" sdp
    recv_request ACK
    recv_request BYE
    answer_in_dialog 200 OK
}

established_caller() {
    invite_with_digest
    recv_opt 100
    recv_opt 180
    recv 200 'rrs="true"'
    ack
}
established_callee() {
    recv_and_keep INVITE call 'rrs="true"'
    answer_kept call 180 Ringing "$own_tag"
    answer_kept call 200 OK "$own_tag" sdp
    recv_request ACK
}

# A request of the callee within the dialog, challenged or not, sent once: sipp sends nothing else while it repeats. What refuses an INVITE is acknowledged with its branch.
callee_request() { # METHOD STATUS [sdp]
    local body=$no_body sdp=:
    [ "${3:-}" != sdp ] || { body=$sdp_body; sdp="sdp_part 2"; }
    { callee_head "$1" 11 "$body"; $sdp; } | send_part
    recv_opt 100
    recv_opt 407 'auth="true" next="theirs_again"'
    recv "$2"
    callee_ack "$1" 11 4 'next="theirs_done"'
    label theirs_again
    callee_ack "$1" 11 5
    { callee_head "$1" 12 "$credentials
$body"; $sdp; } | send_part
    recv_opt 100
    recv "$2"
    callee_ack "$1" 12 3
    label theirs_done
}
callee_ack() {
    if [ "$1" = INVITE ]; then
        BRANCH="[branch-$3]" callee_head ACK "$2" "$no_body" | send_part "${4:-}"
    elif [ -n "${4:-}" ]; then
        printf '  <nop %s/>\n' "$4"
    fi
}

# Both hang up: the callee answers the caller's BYE only after its own was answered (RFC 3261 15.1).
byes_caller() {
    established_caller
    SIPP_CSEQ=3
    in_head BYE 3 "$no_body" | send_part 'retrans="500"'
    recv_opt 407 'auth="true" next="challenged"'
    recv_request BYE 'next="crossed"'
    label challenged
    in_head BYE 4 "$credentials
$no_body" | send_part 'retrans="500"'
    recv_request BYE
    label crossed
    answer_in_dialog 200 OK
    recv 200
}
byes_callee() {
    established_callee
    recv_and_keep BYE bye
    callee_request BYE 200
    answer_kept bye 200 OK
}

# Both re-INVITE: each has one pending and refuses the other's with 491 (RFC 3261 14.2); one tries again.
glare_caller() {
    established_caller
    { in_head INVITE 3 "$sdp_body"; sdp_part 2; } | send_part
    recv_opt 100
    recv_opt 407 'auth="true" next="challenged"'
    glare_refused 3 3 after
    label challenged
    BRANCH='[branch-11]' in_head ACK 3 "$no_body" | send_part
    { in_head INVITE 4 "$credentials
$sdp_body"; sdp_part 2; } | send_part
    recv_opt 100
    glare_refused 4 2 after
    label after
    wait_ms 100
    SIPP_CSEQ=4
    in_dialog INVITE sdp
    ack
    in_dialog BYE
}
# CSEQ of our own INVITE, how many messages ago it was, and where to go on. The ACK for our 491 and the 491 for our INVITE
# come in either order.
glare_refused() {
    recv_request INVITE
    answer_in_dialog 491 'Request Pending'
    recv_request ACK "optional=\"true\" next=\"ack_first_$1\""
    recv 491
    BRANCH="[branch-$(($2 + 4))]" in_head ACK "$1" "$no_body" | send_part
    recv_request ACK "next=\"$3\""
    label "ack_first_$1"
    recv 491
    BRANCH="[branch-$(($2 + 7))]" in_head ACK "$1" "$no_body" | send_part "next=\"$3\""
}
glare_callee() {
    established_callee
    recv_and_keep INVITE theirs
    callee_request INVITE 491 sdp
    answer_kept theirs 491 'Request Pending'
    recv_request ACK
    recv_and_keep INVITE again
    answer_kept again 200 OK '' sdp
    recv_request ACK
    recv_request BYE
    answer_in_dialog 200 OK
}

# One INVITE sent thirty times more in a burst is one call all the same, and a callee that hears no ACK repeats its 200,
# which the edge must pass each time (RFC 3261 17.2.3, 13.3.1.4; RFC 6026 7.1).
storm_caller() {
    local i
    INVITE_BRANCH='z9hG4bKstorm[pid]x[call_number]' invite_with_digest
    recv_opt 100
    recv 180
    for ((i = 0; i < 30; i++)); do
        { BRANCH='z9hG4bKstorm[pid]x[call_number]' out_head INVITE 2 "$contact
$credentials
$sdp_body"; sdp_part 1; } | send_part
    done
    recv 200 'rrs="true"'
    wait_ms 1800
    ack
    wait_ms 100
    in_dialog BYE
}
storm_callee() {
    recv_and_keep INVITE call 'rrs="true"'
    answer_kept call 180 Ringing "$own_tag"
    wait_ms 500
    answer_kept call 200 OK "$own_tag" sdp | sed 's/<send/& retrans="500"/'
    recv_request ACK
    recv_request BYE
    answer_in_dialog 200 OK
}

make_certs
edge_conf
user_add alice
user_add bob
need "the edge starts" edge_start
export TRANSPORT=u1
PORT=7410 need "bob registers" sipp_register bob "sip:bob@$ADDR:7410"

race() { # NAME WHAT CALLS
    scenario "$1_caller" "$1_caller"
    scenario "$1_callee" "$1_callee"
    PORT=7410 AS=bob SIPP_SECONDS=12 sipp_begin "$1_callee" -sf "$1_callee.xml" -m "$3"
    PORT=7400 AS=alice SIPP_SECONDS=10 check "$2: the caller's side" sipp_run "$1_caller" -sf "$1_caller.xml" -m "$3" -r 5 \
        -key callee bob@$DOMAIN
    check "$2: the callee's side" sipp_wait "$1_callee"
}

race cancel "a call is cancelled while it rings" 5
race cross "CANCEL crosses the 200" 5
race byes "both hang up at once" 5
# Where messages cross, and in a storm, a 100 may come while sipp is at something else.
LENIENT=1 race glare "re-INVITEs cross" 5
LENIENT=1 race storm "an INVITE thirty times over" 3
if edge_is sallyport; then
    check "the storm reached the callee as one INVITE a call" [ "$(sipp_received storm_callee '^INVITE ')" = 3 ]
fi
# Each callee repeats after 0.5 and 1.5 s, and answers a BYE: four a call.
check "the callee's repeated 200 reached the caller each time" \
    [ "$(sipp_received storm_caller '^SIP/2.0 200 ')" -ge 12 ]
check "the edge lives" edge_alive
check "the edge stops in order" edge_stop
