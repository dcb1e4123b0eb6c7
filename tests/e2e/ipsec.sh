#!/bin/bash
# A hop that is declared to be protected by IPsec is looked for among the kernel's policies at start and reload, as far as the edge may:
# checked, not there, or not looked at for want of permission. (TR/100 7.2.2)
. "$(dirname "$0")/lib.sh"

policy() { # policy add|delete
    ip xfrm policy "$1" src $ADDR/32 dst $PEER_ADDR/32 dir out ${2:+tmpl src $ADDR dst $PEER_ADDR proto esp mode transport} &&
        ip xfrm policy "$1" src $PEER_ADDR/32 dst $ADDR/32 dir in ${2:+tmpl src $PEER_ADDR dst $ADDR proto esp mode transport}
}
protection_is() { "$(edge_program)" status peers -c edge.conf --json | jq -e --arg s "$1" '.rows[0].protection == $s' >/dev/null; }

make_certs
edge_conf "peer \"branch\" { kind = site  next-hop = \"sip:$PEER_ADDR:5060\"  allow-sources = {\"$PEER_ADDR\"}" \
    "    protected-by = ipsec  protected-until = \"2099-12-31\"  protected-says = \"the network team\" }"
need "the kernel has IPsec" policy add esp
need "the edge starts" edge_start
check "the hop is checked" await 5 protection_is "declared and checked"
check "and says when" sh -c "'$(edge_program)' status peers -c edge.conf --json | jq -e '.rows[0].protection_checked > 1700000000' >/dev/null"
check "it stops" edge_stop
need "the policies go" policy delete
need "the edge starts again" edge_start
check "and misses them" await 5 protection_is "declared, but the kernel has no such policy"
check "in its log, too" log_has edge.log 'ipsec-missing peer=branch'
check "it stops again" edge_stop

# As a daemon that may not ask.
edge_program_bounded() {
    setpriv --bounding-set=-net_admin --inh-caps=-net_admin "$(edge_program)" run -c edge.conf >>edge.log 2>&1 &
    E2E_EDGE_PID=$!
    await 10 edge_ready_or_dead && edge_ready
}
need "the edge starts without permission" edge_program_bounded
check "and says that it has not looked" await 5 protection_is "declared, not checked: no permission"
check "the edge stops in order" edge_stop
