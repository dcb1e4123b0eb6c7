#!/bin/bash
# What an operator sees: status as tables and as JSON, metrics as Prometheus reads them, with a registration, a call and
# refused logins in them; and what the command says when there is no daemon.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/sipp.sh"
. "$E2E_HERE/ops.sh"

caller_parts() {
    invite_with_digest
    recv_opt 100
    recv_opt 180
    recv 200 'rrs="true"'
    ack
    wait_ms 3000
    in_dialog BYE
}
exits_with() {
    local want=$1
    shift
    "$@" >exits.out 2>&1
    [ $? = "$want" ]
}
wrong_parts() {
    register_head 1 | send_part
    recv_opt 100
    recv 401 'auth="true"'
    register_head 2 "$credentials" | send_part
    recv_opt 100
    recv_opt 403 'next="end"'
    recv 401
    label end
}

make_certs
edge_conf "metrics = \"$ADDR:9100\""
user_add alice
user_add bob
check "without a daemon the exit status is 3" exits_with 3 "$(edge_program)" status -c edge.conf
check "and one line says so" [ "$(wc -l <exits.out)" = 1 ]
need "the edge starts" edge_start
check "the socket is for its owner only" [ "$(stat -c %a state/control)" = 600 ]
check "the summary names listeners and what is weakened" eval "status | tee summary.txt | grep -q allow-clear && grep -q 'tls:$ADDR:5061' summary.txt"
check "the summary as JSON" json summary ".version and .workers >= 1 and .users == 2 and (.listeners | length) == 4 and (.listeners[2].days_left > 800) and (.weakenings | length) == 4 and .store.writable"
check "nobody is registered yet" json registrations ".total == 0 and .rows == []"

check "alice registers" registers alice 600
check "bob registers over TCP" eval "PORT=7710 TRANSPORT=t1 sipp_register bob 'sip:bob@$ADDR:7710;transport=tcp' 600"
check "her registration is shown" json registrations '[.rows[] | select(.aor == "sip:alice@example.com")] | length == 1 and .[0].transport == "UDP" and .[0].secure == false and .[0].expires_s > 590'
check "a text chooses rows" eval "status registrations alice | grep -q sip:alice@ && ! status registrations alice | grep -q sip:bob@"
check "tables are for people" eval "status registrations | grep -Eq '^USER +FROM'"

scenario wrong wrong_parts
PORT=7230 TRANSPORT=u1 check "a wrong password is refused" sipp_run wrong -sf wrong.xml -m 1 -key user alice \
    -au alice -ap not-"$(password_of alice)" -key contact "sip:alice@$ADDR:7998" -key expires 60

scenario caller caller_parts
sipp -sd uas | sed -e 's/^ *\[last_Via:\]/&\n[last_Record-Route:]/' >uas.xml
check "bob's phone waits" eval "PORT=7720 TRANSPORT=u1 sipp_register bob 'sip:bob@$ADDR:7720'"
PORT=7720 TRANSPORT=u1 SIPP_SECONDS=15 sipp_begin uas -sf uas.xml -m 1
PORT=7722 AS=alice TRANSPORT=u1 sipp_begin uac -sf caller.xml -m 1 -key callee "bob@$DOMAIN"
check "the call is shown, with how its caller is known" await 5 json calls '.total == 1 and .rows[0].state == "answered" and .rows[0].authenticated == "digest" and .rows[0].caller == "sip:alice@example.com"'
id=$(status calls --json | jq -r '.rows[0].call_id')
check "and by its Call-ID" eval "status calls '$id' --json | jq -e '.total == 1'"
check "one call in the metrics" metric_is sallyport_calls 1
check "the caller's call ends well" sipp_wait uac
sipp_wait uas
check "no call is left" await 3 json calls '.total == 0'

check "metrics are in Prometheus' format" eval "curl -fsS -D headers.txt -o metrics.txt http://$ADDR:9100/metrics && grep -qi '^content-type: text/plain; version=0.0.4' headers.txt"
check "each family has HELP and TYPE, once, before its samples" awk '
    /^# HELP / { if (help[$3]++) bad = 1; next }
    /^# TYPE / { if (type[$3]++ || !help[$3] || ($4 != "counter" && $4 != "gauge")) bad = 1; next }
    !/^[a-z_]+({[a-z_]+="[^"]*"})? [0-9]+$/ { bad = 1; print }
    { n = $1; sub(/{.*/, "", n); if (!type[n]) { bad = 1; print "no type: " n } if (seen[$1]++) { bad = 1; print "twice: " $1 } }
    END { exit bad || NR < 100 }' metrics.txt
sleep 1.1 # the text is made once a second
check "failed logins are counted" eval "[ \$(metric 'sallyport_authentications_total{result=\"failed\"}') -ge 1 ]"
check "calls are counted" metric_is 'sallyport_calls_total{event="answered"}' 1
check "registrations by transport" metric_is 'sallyport_registrations{transport="udp"}' 2
check "the certificate's end" eval "[ \$(metric 'sallyport_certificate_expiry_seconds{listen=\"tls:$ADDR:5061\"}') -gt \$(date +%s) ]"
check "nothing else is served there" eval "[ \$(curl -s -o /dev/null -w '%{http_code}' http://$ADDR:9100/) = 404 ]"

check "counters agree" json counters '.edge.calls_answered == 1 and .edge.authentication_failed >= 1 and .network.messages_in.UDP > 10 and .transactions.server_open == 0'
( sleep 4 | openssl s_client -connect $ADDR:5061 -quiet >/dev/null 2>&1 ) &
check "a TLS connection is shown with version and suite" await 3 json flows '[.rows[] | select(.transport == "TLS")] | length == 1 and (.[0].tls | startswith("TLSv1.")) and .[0].cipher != ""'
check "the configuration in force is shown" json config '[.rows[] | select(.section == "domain" and .option == "allow-md5")][0].value == "yes"'
check "an unknown view is refused" exits_with 2 "$(edge_program)" status nonsense -c edge.conf
check "no password is in any of it" eval "! { status; status config; status counters; status registrations; } | grep -q e2e-"

sed -i 's/^state-dir/statedir/' edge.conf
echo "state-dir = \"$WORK/state\"" | cat - edge.conf >with.conf && mv with.conf edge.conf
check "a file that is broken by now does not hide the daemon" status
check "the edge stops in order" edge_stop
refuse "the socket is gone with it" [ -e state/control ]
