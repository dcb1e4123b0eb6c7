#!/bin/bash
# A reload while two phones talk over TLS: a new certificate is shown, a broken configuration changes nothing and says
# where it is broken, users come and go without a restart, and neither a flow nor the call is lost.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/phones.sh"
. "$E2E_HERE/sipp.sh"

serial_shown() {
    openssl s_client -connect $ADDR:5061 -servername $DOMAIN -CAfile certs/ca.crt </dev/null 2>/dev/null |
        openssl x509 -noout -serial
}
shows_new() { [ "$(serial_shown)" = "$(openssl x509 -noout -serial -in "certs/$DOMAIN.crt")" ]; }
flows() { ss -Htn state established "src $ADDR:5061" | wc -l; }
call_goes_on() { ! phone_closed alice && ! phone_closed bob && [ "$(flows)" = "$flows_before" ]; }
registers() { PORT=7799 TRANSPORT=u1 sipp_register "$1" "sip:$1@$ADDR:7799" 60; }

make_certs
edge_conf
user_add alice
user_add bob
need "the edge starts" edge_start
need "alice's phone starts" phone_start alice tls 7010 7100 440
need "bob's phone starts" phone_start bob tls 7020 7101 880
need "alice registers" await 10 phone_registered alice
need "bob registers" await 10 phone_registered bob
check "alice dials bob" phone_do alice dial "sip:bob@$DOMAIN"
need "the call is established" await 10 phone_established bob
flows_before=$(flows)

old=$(serial_shown)
make_cert ca "$DOMAIN" "DNS:$DOMAIN,URI:sip:$DOMAIN,IP:$ADDR"
kill -HUP "$E2E_EDGE_PID"
check "after SIGHUP the new certificate is shown" await 5 shows_new
check "it is another than before" [ "$(serial_shown)" != "$old" ]
check "the log says until when it is in force" log_has edge.log "$(openssl x509 -noout -enddate -in "certs/$DOMAIN.crt" | grep -o '20[0-9][0-9]')"
check "the call goes on over the same connections" call_goes_on

make_cert ca "$DOMAIN" "DNS:$DOMAIN,URI:sip:$DOMAIN,IP:$ADDR"
check "a changed certificate file is taken without being asked" await 15 shows_new
check "the call goes on" call_goes_on

cp edge.conf good.conf
echo 'listne "udp:127.0.0.1:1" { }' >>edge.conf
lines=$(wc -l <edge.conf)
kill -HUP "$E2E_EDGE_PID"
check "a broken configuration is refused with file and line" await 5 log_has edge.log "edge\.conf:$lines"
check "the old one stays in force" registers alice
check "the call goes on all the same" call_goes_on
cp good.conf edge.conf

user_add carol
check "a user added meanwhile can register" await 6 registers carol
"$(edge_program)" user del "carol@$DOMAIN" -c edge.conf >>user.log 2>&1
sleep 3
refuse "one that was deleted cannot" registers carol

check "bob hangs up" phone_do bob hangup
check "alice's side ends" await 5 phone_closed alice
check "alice heard bob through all of it" phone_heard alice 880 440
check "bob heard alice through all of it" phone_heard bob 440 880
check "the edge stops in order" edge_stop
