#!/bin/bash
# Reload as an operator meets it: `sallyport reload` says whether the new configuration is in force, what is wrong with it
# by file and line, and what needs a restart; certificate and key are replaced one after the other; new listeners come and
# old ones go while requests are being answered, of which none is lost.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/sipp.sh"
. "$E2E_HERE/ops.sh"

reload() { "$(edge_program)" reload -c edge.conf >reload.out 2>&1; }
serial_shown() {
    openssl s_client -connect $ADDR:5061 -servername $DOMAIN </dev/null 2>/dev/null | openssl x509 -noout -serial
}
shows() { [ "$(serial_shown)" = "$(openssl x509 -noout -serial -in "$1")" ]; }
reloads_logged() { grep -c ' reloaded ' edge.log; }
refusals_logged() { grep -c ' reload-refused ' edge.log; }
options_parts() {
    cat <<END | send_part 'retrans="500"'
OPTIONS sip:[domain] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
Max-Forwards: 70
From: <sip:load@[local_ip]>;tag=[pid]c[call_number]
To: <sip:[domain]>
Call-ID: [call_id]
CSeq: 1 OPTIONS
Content-Length: 0
END
    recv 401
}

make_certs
edge_conf
user_add alice
need "the edge starts" edge_start
cp edge.conf good.conf

check "a reload of the same succeeds" reload
check "and says so" grep -q 'new configuration is in force' reload.out
echo 'workers = 7' >>edge.conf
check "what cannot change while running" reload
check "is named" grep -q '^workers will change when the daemon is restarted' reload.out
check "in the log too" await 3 log_has edge.log ' warn restart-needed option=workers'

{ cat good.conf; echo 'listne "udp:127.0.0.1:1" { }'; } >edge.conf
refuse "a broken configuration is refused" reload
check "with file and line" grep -q "^edge.conf:$(wc -l <edge.conf): " reload.out
check "and what is in force" grep -q 'the old configuration stays in force' reload.out
one_refusal() { [ "$(refusals_logged)" = 1 ]; }
check "the log has one line of it" await 3 one_refusal
check "the old one works" registers alice

{ cat good.conf; echo "listen \"tcp:10.99.99.99:5070\" { allow-clear = yes }"; } >edge.conf
refuse "an address that cannot be bound is refused" reload
check "with the address" grep -q '10.99.99.99:5070' reload.out
check "the old one works still" registers alice

scenario options options_parts
TRANSPORT=u1 PORT=7410 SIPP_SECONDS=20 sipp_begin load-udp -sf options.xml -m 3000 -r 500
TRANSPORT=t1 PORT=7420 SIPP_SECONDS=20 sipp_begin load-tcp -sf options.xml -m 3000 -r 500
for i in 1 2 3 4 5; do
    { cat good.conf; echo "listen \"udp:$ADDR:507$i\" { allow-clear = yes }"; } >edge.conf
    check "under load, reload $i" reload
    check "its new listener is there" udp_open 507$i
    sleep 0.5
done
check "an old listener is gone" eval "! udp_open 5074"
check "of 3000 requests over UDP all were answered (each is challenged)" sipp_wait load-udp
check "of 3000 requests over TCP all were answered" sipp_wait load-tcp
cp good.conf edge.conf
check "back to the first configuration" reload

# A certificate and its key are two files: what lies between is no reason to complain for longer than it lasts.
cp certs/$DOMAIN.crt certs/old.crt
cp certs/$DOMAIN.key certs/old.key
make_cert ca "new" "DNS:$DOMAIN,URI:sip:$DOMAIN,IP:$ADDR"
mv certs/new.crt certs/$DOMAIN.crt
sleep 5
check "half of a new certificate changes nothing" shows certs/old.crt
check "the log says what is wrong" await 3 log_has edge.log 'error configuration-problem .*certificate'
mv certs/new.key certs/$DOMAIN.key
check "the whole is taken without being asked" await 8 shows certs/$DOMAIN.crt
before=$(reloads_logged)
sleep 5
check "it is loaded once" [ "$(reloads_logged)" = "$before" ]

# Certificates that end soon are said, those that only peers see as well.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout certs/soon.key -out certs/soon.crt -days 5 \
    -subj "/CN=$DOMAIN" -addext "subjectAltName=DNS:$DOMAIN" 2>>openssl.log
cp certs/soon.crt certs/peer.crt
{ cat good.conf; echo "peer \"p\" { kind = site  domains = { \"p.example\" }  next-hop = \"sips:$NEXT_ADDR\""
  echo "certificate = \"certs/peer.crt\"  key = \"certs/soon.key\" }"; } >edge.conf
check "a peer is added" reload
check "its certificate ends soon, says the log" await 3 log_has edge.log 'warn certificate-expires peer=p file=[^ ]*/certs/peer.crt days=[45]'
refuse "the others do not" log_has edge.log 'certificate-expires listen='
sed "s|certs/$DOMAIN|certs/soon|" good.conf >edge.conf
check "the edge's own ends soon" reload
check "says the log" await 3 log_has edge.log "warn certificate-expires listen=tls:$ADDR:5061 file=[^ ]*/certs/soon.crt days=[45]"
check "and the status" json summary '[.listeners[] | select((.days_left // 99) <= 5)] | length == 2'
cp good.conf edge.conf
check "back again" reload
before=$(reloads_logged)

check "SIGHUP does the same" kill -HUP "$E2E_EDGE_PID"
more_reloads() { [ "$(reloads_logged)" -gt "$before" ]; }
check "as the log shows" await 3 more_reloads
check "the edge stops in order" edge_stop
check "then there is nobody to reload" eval "! reload && grep -q 'no daemon answers' reload.out"
