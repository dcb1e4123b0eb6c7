#!/bin/bash
# Keys of TLS in the keeper (tls-keys = keeper, TR/100 6.2): every handshake that needs one works, as server and as client, and the
# process that strangers talk to has none of them. What happens when the keeper is slow, or ends, and what a reload does.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"
. "$E2E_HERE/ops.sh"

PEEK=$(tool peek)
NOBODY=$(id -u nobody)
keeper_parent() { pgrep -P "$E2E_EDGE_PID" | head -1; }
keeper_pid() { pgrep -P "$(keeper_parent)" | head -1; }
events() { grep -c "^[^ ]* [a-z]* $1" edge.log; }
more_events() { [ "$(events "$1")" -gt "$2" ]; }

# shakes PORT NAME OPTIONS...: a handshake with the right certificate.
shakes() {
    local port=$1 name=$2
    shift 2
    timeout 5 openssl s_client -brief -connect $ADDR:"$port" -servername "$name" -verify_hostname "$name" -CAfile certs/ca.crt \
        -verify_return_error "$@" </dev/null >s_client.txt 2>&1
    local status=$?
    cat s_client.txt >>s_client.log
    return $status
}
said() { grep -aEq -- "$1" s_client.txt; }
udp_answers() {
    options_request UDP | /usr/bin/python3 -c 'import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(3)
s.sendto(sys.stdin.buffer.read(), (sys.argv[1], 5060))
assert s.recv(65536).startswith(b"SIP/2.0 ")' $ADDR
}

# Two other domains that want to see a certificate; by TLS 1.3 and by TLS 1.2.
next_start() {
    /usr/bin/python3 - "$NEXT_ADDR" certs/next.crt certs/next.key certs/ca.crt <<'END' >next.log 2>&1 &
import socket, ssl, sys, threading
addr, crt, key, ca = sys.argv[1:]
def talk(c):
    try:
        c.do_handshake()
        print("handshake", c.version(), c.getpeercert()["subject"], flush=True)
        data = b""
        while True:
            got = c.recv(65536)
            if not got:
                return
            data += got
            while b"\r\n\r\n" in data:
                head, data = data.split(b"\r\n\r\n", 1)
                lines = head.split(b"\r\n")
                n = [int(l.split(b":")[1]) for l in lines if l.lower().startswith(b"content-length:")]
                data = data[n[0] if n else 0:]
                print(lines[0].decode(), flush=True)
                copied = [l for l in lines if l.lower().startswith((b"via:", b"from:", b"to:", b"call-id:", b"cseq:"))]
                c.sendall(b"\r\n".join([b"SIP/2.0 200 OK"] + copied + [b"Content-Length: 0", b"", b""]))
    except Exception as e:
        print("failed", e, flush=True)
def serve(port, top):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.maximum_version = top
    ctx.load_cert_chain(crt, key)
    ctx.load_verify_locations(ca)
    ctx.verify_mode = ssl.CERT_REQUIRED
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((addr, port))
    s.listen(16)
    while True:
        c = s.accept()[0]
        threading.Thread(target=talk, args=(ctx.wrap_socket(c, server_side=True, do_handshake_on_connect=False),), daemon=True).start()
threading.Thread(target=serve, args=(5062, ssl.TLSVersion.TLSv1_2), daemon=True).start()
serve(5061, ssl.TLSVersion.TLSv1_3)
END
    await 10 next_listens
}
next_listens() { [ "$(ss -H -ltn "src $NEXT_ADDR" | wc -l)" = 2 ]; }

conf() { # KEY-OF-EXAMPLE KEY-OF-SECOND FURTHER LINES...
    local first=$1 second=$2
    shift 2
    edge_conf 'run-as = "nobody"' 'tls-keys = keeper' "keeper-log = \"$WORK/keeper.jsonl\"" "metrics = \"$ADDR:9100\"" 'workers = 1' \
        "domain \"second.test\" { certificate = \"$WORK/certs/second.crt\"  key = \"$second\" }" \
        "peer \"next\" { kind = peering  domains = { \"next.test\" }  next-hop = \"sip:next.test:5061;transport=tls;maddr=$NEXT_ADDR\"  ca = \"$WORK/certs/ca.crt\" }" \
        "peer \"old\" { kind = peering  domains = { \"old.test\" }  next-hop = \"sip:old.test:5062;transport=tls;maddr=$NEXT_ADDR\"  ca = \"$WORK/certs/ca.crt\"
            certificate = \"$WORK/certs/shown.crt\"  key = \"$WORK/certs/shown.key\" }" "$@"
    sed -i "s|key = \"$WORK/certs/$DOMAIN.key\"|key = \"${first//&/\\&}\"|" edge.conf
    chmod 644 edge.conf
}

make_certs
make_cert ca next DNS:next.test,DNS:old.test
make_cert ca shown "DNS:$DOMAIN"
make_cert ca other "DNS:$DOMAIN,URI:sip:$DOMAIN,IP:$ADDR"
openssl req -newkey rsa:2048 -nodes -keyout certs/second.key -subj /CN=second -out certs/second.csr 2>>openssl.log
printf 'subjectAltName=DNS:second.test\nkeyUsage=critical,digitalSignature\n' >certs/second.ext
openssl x509 -req -in certs/second.csr -CA certs/ca.crt -CAkey certs/ca.key -CAcreateserial -days 30 -extfile certs/second.ext \
    -out certs/second.crt 2>>openssl.log
chmod 711 "$WORK"
chmod 755 certs
conf "$WORK/certs/$DOMAIN.key" "$WORK/certs/second.key"
our_user alice
need "the next domains listen" next_start
need "the edge starts" edge_start
KEEPER=$(keeper_pid)
check "keys are the keeper's" [ -n "$KEEPER" ]

# Who has the keys.
for key in $DOMAIN shown; do
    check "the key of $key is in the keeper's memory" "$PEEK" find "$KEEPER" "certs/$key.key"
    check "the edge's user reaches neither it nor the keeper" "$PEEK" try "$NOBODY" "$KEEPER" "certs/$key.key"
done

# Handshakes of every kind.
check "TLS 1.3" shakes 5061 $DOMAIN -tls1_3
check "TLS 1.2" shakes 5061 $DOMAIN -tls1_2
check "TLS 1.3 with RSA" shakes 5061 second.test -tls1_3
check "it is PSS" said 'Signature type: RSA-PSS'
check "TLS 1.2 with RSA" shakes 5061 second.test -tls1_2
check "TLS 1.2 with RSA and PKCS #1 v1.5" shakes 5061 second.test -tls1_2 -sigalgs RSA+SHA256
check "wss" shakes 5063 $DOMAIN
check "a group that is asked for again" shakes 5061 $DOMAIN -groups P-521:P-384
check "a phone registers" our_status 0 alice --register-only
check "a message goes to a domain that wants our certificate" our_status 0 alice --message one --to sip:bob@next.test
check "and has seen it" log_has next.log "handshake TLSv1.3 .*'$DOMAIN'"
check "another goes by TLS 1.2, with the certificate that the peer is to be shown" our_status 0 alice --message two --to sip:bob@old.test
check "and that has been seen, too" log_has next.log "handshake TLSv1.2 .*'shown'"
not_in_edge() { "$PEEK" find "$E2E_EDGE_PID" "certs/$1.key"; [ $? = 1 ]; }
for key in $DOMAIN shown; do
    check "after all of that the key of $key is nowhere in the edge's memory" not_in_edge "$key"
done
check "signatures are counted, not told one by one" jq -es 'map(select(.event == "tls-signed")) | length >= 1 and length < 6 and all(.refused == 0)' keeper.jsonl
some_signed() { [ "$(metric 'sallyport_tls_signatures_total{result="signed"}')" -ge 9 ]; }
check "by the edge as well" some_signed

# A keeper that does not answer holds up nobody but those who need it.
FAILED=$(events tls-refused)
kill -STOP "$KEEPER"
{ sleep 3; } | openssl s_client -connect $ADDR:5061 >gone.txt 2>&1 & # waits, and
GONE=$!
{ sleep 5; } | openssl s_client -connect $ADDR:5061 >waits.txt 2>&1 &
waiting() { [ "$(metric sallyport_tls_handshakes)" -ge 2 ]; }
check "handshakes wait" await 5 waiting
check "others are served meanwhile" udp_answers
kill -KILL $GONE 2>/dev/null
check "who waits too long is refused" await 5 more_events tls-refused "$FAILED"
check "with the reason" log_has edge.log 'tls-refused .*tls-key.*keeper of the private key: timeout'
kill -CONT "$KEEPER"
check "afterwards all is as before" shakes 5061 $DOMAIN

# One that ends while somebody waits.
READY=$(events keeper-ready)
REFUSED=$(events tls-refused)
kill -STOP "$KEEPER"
{ sleep 5; } | openssl s_client -connect $ADDR:5061 >waits.txt 2>&1 &
waiting_one() { [ "$(metric sallyport_tls_handshakes)" -ge 1 ]; }
check "a handshake waits" await 5 waiting_one
kill -KILL "$KEEPER"
check "it is refused when the keeper ends" await 5 more_events tls-refused "$REFUSED"
check "there is another keeper" await 10 more_events keeper-ready "$READY"
check "which signs" shakes 5061 $DOMAIN
failed_counted() { [ "$(metric 'sallyport_tls_signatures_total{result="failed"}')" -ge 2 ]; }
check "what failed is counted" await 3 failed_counted

# Reload: key and certificate together or not at all.
cp certs/$DOMAIN.crt certs/kept.crt
cp certs/other.crt certs/$DOMAIN.crt
refuse "a certificate that is not the key's is not taken over" "$(edge_program)" reload -c edge.conf
check "and why is said" log_has edge.log "domain .*$DOMAIN.*not the key of the certificate"
check "what was in force still is" shakes 5061 $DOMAIN
cp certs/other.key certs/$DOMAIN.key
check "both are" "$(edge_program)" reload -c edge.conf
check "and shown" shakes 5061 $DOMAIN
now_other() { openssl s_client -connect $ADDR:5061 </dev/null 2>/dev/null | openssl x509 -noout -subject | grep -q 'CN = other'; }
check "as the new one" now_other
check "a phone registers by it" our_status 0 alice --register-only

# One key is for one thing.
echo "identity \"$DOMAIN\" { certificate = \"$WORK/certs/$DOMAIN.crt\"  key = \"$WORK/certs/$DOMAIN.key\"  url = \"https://$DOMAIN:5063/id.pem\" }" >>edge.conf
checks() { "$(edge_program)" check -c edge.conf >checked.log 2>&1; }
refuse "a key of TLS is no identity's" checks
check "and that is said" log_has checked.log 'has the key that domain .* uses for TLS'
refuse "nor is it with the next reload" "$(edge_program)" reload -c edge.conf

# Without keeper, and without who would start one.
need "a phone is there" our_start alice --answer --calls 1
KEEPER=$(keeper_pid)
kill -KILL "$(keeper_parent)"
check "the end of the keeper's parent is noticed" await 10 more_events keeper-lost 0
check "the keeper goes on" shakes 5061 $DOMAIN
ENDED=$(events keeper-ended)
kill -KILL "$KEEPER"
check "so is the keeper's" await 10 more_events keeper-ended "$ENDED"
refuse "there are no new connections" shakes 5061 $DOMAIN
check "which the status says" eval 'status summary | grep -q "NO TLS CONNECTION IS MADE: .*restart the daemon"'
check "the phone's goes on" json flows '[.rows[] | select(.transport == "TLS" and .registered)] | length == 1'
kill "$OUR_PID_alice"
check "the edge stops in order" edge_stop

# On a token.
if [ -n "$(command -v softhsm2-util)" ]; then
    MODULE=$(dpkg -L libsofthsm2 2>/dev/null | grep 'libsofthsm2\.so$' | head -1)
    mkdir -m 700 tokens
    printf 'directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n' "$WORK" >softhsm.conf
    export SOFTHSM2_CONF=$WORK/softhsm.conf
    echo 4711 >pin
    chmod 600 pin
    need "a token" softhsm2-util --init-token --free --label sallyport --so-pin 0815 --pin 4711
    for key in "$DOMAIN a1" "second a2"; do
        openssl pkcs8 -topk8 -nocrypt -in "certs/${key% *}.key" -out id.p8 2>>openssl.log
        need "with the key of ${key% *}" softhsm2-util --import id.p8 --token sallyport --label "${key#* }" --id "${key#* }" --pin 4711
        rm -f id.p8
    done
    uri() { echo "pkcs11:token=sallyport;object=$1?module-path=$MODULE&pin-source=file:$WORK/pin"; }
    conf "$(uri a1)" "$(uri a2)"
    need "the edge starts with keys on a token" edge_start
    check "TLS 1.3 by the token" shakes 5061 $DOMAIN -tls1_3
    check "TLS 1.2 by the token" shakes 5061 $DOMAIN -tls1_2
    check "TLS 1.3 with RSA by the token" shakes 5061 second.test -tls1_3
    check "TLS 1.2 with RSA by the token" shakes 5061 second.test -tls1_2 -sigalgs RSA+SHA256
    check "the edge stops in order" edge_stop
    sed -i '/^tls-keys/d' edge.conf
    refuse "without the keeper there are no tokens" checks
    check "and that is said" log_has checked.log 'add tls-keys = keeper'
else
    not_ok "softhsm2 is installed"
fi
