#!/bin/bash
# The keys of identities are in a process of their own (TR/100 6.2): who can read them, what is signed, what happens when that process
# ends, and keys on a PKCS#11 token.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"
. "$E2E_HERE/ops.sh"

PEEK=$(tool peek)
keeper_parent() { pgrep -P "$E2E_EDGE_PID" | head -1; }
keeper_pid() { pgrep -P "$(keeper_parent)" | head -1; }
state_of() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"; }
events() { grep -c "^[^ ]* [a-z]* $1" edge.log; }
more_events() { [ "$(events "$1")" -gt "$2" ]; }
is_new_keeper() { local now; now=$(keeper_pid) && [ -n "$now" ] && [ "$now" != "$1" ]; }

# The next domain: keeps what comes, and takes it.
next_start() {
    /usr/bin/python3 - "$NEXT_ADDR" <<'END' >next.log 2>&1 &
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 5060))
while True:
    data, peer = s.recvfrom(65535)
    head = data.split(b"\r\n\r\n")[0].split(b"\r\n")
    print(data.decode("latin1"), flush=True)
    if head[0].startswith(b"MESSAGE"):
        copied = [l for l in head if l.lower().startswith((b"via:", b"from:", b"to:", b"call-id:", b"cseq:"))]
        s.sendto(b"\r\n".join([b"SIP/2.0 200 OK"] + copied + [b"Content-Length: 0", b"", b""]), peer)
END
    await 10 udp_on_next
}
udp_on_next() { [ -n "$(ss -H -lun "src $NEXT_ADDR")" ]; }
sends() { our_status 0 alice --message "$1" --to sip:bob@next.test; }
# The MESSAGE with this text arrived with, or without, Identity.
arrived_signed() { awk -v RS='MESSAGE sip:' -v t="$1" 'index($0, t) && /\nIdentity: [^\n]*ppt=|\nIdentity: ey/ {n++} END {exit !n}' next.log; }
arrived_old() { awk -v RS='MESSAGE sip:' -v t="$1" 'index($0, t) && /\nIdentity: "/ && /\nIdentity-Info: </ {n++} END {exit !n}' next.log; }
arrived_unsigned() { awk -v RS='MESSAGE sip:' -v t="$1" 'index($0, t) && !/\nIdentity:/ {n++} END {exit !n}' next.log; }

identity() { # KEY [KEY FOR RFC 4474]
    echo "identity \"$DOMAIN\" { certificate = \"$WORK/certs/id.crt\"  key = \"$1\"  url = \"https://$DOMAIN:5063/id.pem\""
    [ -z "${2:-}" ] || echo "rfc4474-certificate = \"$WORK/certs/old.crt\"  rfc4474-key = \"$2\"  rfc4474-url = \"https://$DOMAIN:5063/old.cer\""
    echo "}"
}
conf() { # KEY [KEY FOR RFC 4474]
    edge_conf 'run-as = "nobody"' "keeper-log = \"$WORK/keeper.jsonl\"" "$(identity "$@")" \
        "peer \"next\" { kind = peering  domains = { \"next.test\" }  next-hop = \"sip:$NEXT_ADDR:5060;transport=udp\"  allow-clear = yes" \
        "${2:+allow-rfc4474 = yes  sign-identity = both}" "}"
    chmod 644 edge.conf
}

make_certs
make_cert ca id "DNS:$DOMAIN,URI:sip:$DOMAIN"
chmod 711 "$WORK"
chmod 755 certs
chown nobody "certs/$DOMAIN.key"
conf "$WORK/certs/id.key"
our_user alice
need "the next domain listens" next_start
need "the edge starts" edge_start
check "the keeper runs" [ -n "$(keeper_pid)" ]
KEEPER=$(keeper_pid)
NOBODY=$(id -u nobody)

check "the edge is nobody" [ "$(state_of "$E2E_EDGE_PID" Uid | cut -f1)" = "$NOBODY" ]
check "the keeper is not" [ "$(state_of "$KEEPER" Uid | cut -f1)" = 0 ]
for pid in "$KEEPER" "$(keeper_parent)" "$E2E_EDGE_PID"; do
    check "$(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -c 1-60): no new privileges" [ "$(state_of "$pid" NoNewPrivs)" = 1 ]
done
check "the keeper has no capability" [ "$(state_of "$KEEPER" CapEff)$(state_of "$KEEPER" CapPrm)" = 00000000000000000000000000000000 ]
check "its system calls are filtered" [ "$(state_of "$KEEPER" Seccomp)" = 2 ]
check "those of its parent, too" [ "$(state_of "$(keeper_parent)" Seccomp)" = 2 ]
check "those of the edge, too" [ "$(state_of "$E2E_EDGE_PID" Seccomp)" = 2 ]
check "the keeper leaves no core" grep -Eq '^Max core file size +0 +0' "/proc/$KEEPER/limits"
check "the key is in the keeper's memory" "$PEEK" find "$KEEPER" certs/id.key
check "the edge's user reaches neither the key nor the keeper" "$PEEK" try "$NOBODY" "$KEEPER" certs/id.key
check "nor its parent" "$PEEK" try "$NOBODY" "$(keeper_parent)" certs/id.key

check "alice sends a message to another domain" sends one
check "it arrives signed" arrived_signed one
check "the keeper's log says so" jq -es 'map(select(.event == "sign" and .result == "signed" and .orig == "sip:alice@example.com" and .dest == "sip:bob@next.test")) | length == 1' keeper.jsonl
not_in_edge() { "$PEEK" find "$E2E_EDGE_PID" certs/id.key; [ $? = 1 ]; }
check "the key is nowhere in the edge's memory" not_in_edge
not_in_parent() { "$PEEK" find "$(keeper_parent)" certs/id.key; [ $? = 1 ]; }
check "nor in the memory of the keeper's parent" not_in_parent
refuse "the log cannot be written by the edge's user" setpriv --reuid "$NOBODY" --clear-groups sh -c "echo x >>$WORK/keeper.jsonl"

# What it will not do: the daemon can ask for a reload, but what is loaded the files say.
make_cert ca other "DNS:other.test"
cp certs/id.key certs/kept.key
cp certs/other.key certs/id.key
refuse "a key that is not the certificate's is not taken over" "$(edge_program)" reload -c edge.conf
check "what was in force still signs" eval 'sends two && arrived_signed two'
cp certs/kept.key certs/id.key
check "the right one is" "$(edge_program)" reload -c edge.conf

REFUSED=$(events reload-refused)
DONE=$(events reloaded)
kill -STOP "$KEEPER"
refuse "a keeper that does not answer has not reloaded" "$(edge_program)" reload -c edge.conf
check "the reload is refused, and says why" eval 'log_has edge.log "keeper-reload.*did not answer" && more_events reload-refused "$REFUSED"'
check "the old configuration stays in force" [ "$(events reloaded)" = "$DONE" ]
kill -CONT "$KEEPER"
check "when it answers after all, that is told" await 10 more_events keeper-reload-late 0
check "and the next reload is its own" "$(edge_program)" reload -c edge.conf

READY=$(events keeper-ready)
kill -KILL "$KEEPER"
check "the end of a keeper is noticed" await 10 more_events keeper-ended 0
check "there is another" await 10 more_events keeper-ready "$READY"
check "which is another process" is_new_keeper "$KEEPER"
check "and signs" eval 'sends three && arrived_signed three'
check "the old rules hold for it" "$PEEK" try "$NOBODY" "$(keeper_pid)" certs/id.key
PARENT=$(keeper_parent)
kill -KILL "$PARENT"
check "the end of its parent is noticed" await 10 more_events keeper-lost 0
check "the status says what is to be done" eval 'status summary | grep -q "parent has ended: .*restart the daemon"'
check "what signs goes on" eval 'sends four && arrived_signed four'
check "and reloads" "$(edge_program)" reload -c edge.conf
ENDED=$(events keeper-ended)
KEEPER=$(pgrep -f "keeper -c edge.conf" | head -1)
kill -KILL "$KEEPER"
check "when it ends, too, that is noticed" await 10 more_events keeper-ended "$ENDED"
check "and told" eval 'status summary | grep -q "NOTHING IS SIGNED: .*restart the daemon"'
check "then messages go unsigned, and go" eval 'sends four-b && arrived_unsigned four-b'
KEEPER=$(pgrep -f "keeper -c edge.conf" | head -1)
check "no keeper is left over" [ -z "$KEEPER" ]
check "the edge stops in order" edge_stop

# A key on a token, of which no process has a copy.
if [ -n "$(command -v softhsm2-util)" ]; then
    MODULE=$(dpkg -L libsofthsm2 2>/dev/null | grep 'libsofthsm2\.so$' | head -1)
    mkdir -m 700 tokens
    printf 'directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n' "$WORK" >softhsm.conf
    export SOFTHSM2_CONF=$WORK/softhsm.conf
    echo 4711 >pin
    chmod 600 pin
    openssl pkcs8 -topk8 -nocrypt -in certs/id.key -out id.p8 2>>openssl.log
    need "a token" softhsm2-util --init-token --free --label sallyport --so-pin 0815 --pin 4711
    need "with the key" softhsm2-util --import id.p8 --token sallyport --label sip --id a1 --pin 4711
    openssl req -x509 -newkey rsa:2048 -nodes -keyout old.p8 -subj "/CN=$DOMAIN" -addext "subjectAltName=DNS:$DOMAIN" -days 30 \
        -out certs/old.crt 2>>openssl.log
    need "and with one for RFC 4474" softhsm2-util --import old.p8 --token sallyport --label old --id a2 --pin 4711
    rm -f id.p8 old.p8
    conf "pkcs11:token=sallyport;object=sip;id=%a1?module-path=$MODULE&pin-source=file:$WORK/pin" \
        "pkcs11:token=sallyport;object=old?module-path=$MODULE&pin-source=file:$WORK/pin"
    need "the edge starts with a key on a token" edge_start
    check "it signs" eval 'sends five && arrived_signed five'
    check "by both keys" arrived_old five
    check "the PIN is nobody's" "$PEEK" try "$NOBODY" "$(keeper_pid)" pin
    check "so are the token's files" "$PEEK" try "$NOBODY" "$(keeper_pid)" "$(find tokens -type f | head -1)"
    check "it reloads" "$(edge_program)" reload -c edge.conf
    check "and signs after it" eval 'sends six && arrived_signed six'
    check "the edge stops in order" edge_stop
    echo 9999 >pin
    : >edge.log
    conf "$WORK/certs/id.key"
    need "the edge starts once more" edge_start
    KEEPER=$(keeper_pid)
    kill -KILL "$(keeper_parent)"
    check "a keeper without parent" await 10 more_events keeper-lost 0
    check "does not keep the edge from ending" edge_stop
    gone() { ! kill -0 "$KEEPER" 2>/dev/null; }
    check "and ends with it" await 5 gone
    conf "pkcs11:token=sallyport;object=sip;id=%a1?module-path=$MODULE&pin-source=file:$WORK/pin"
    refuse "a wrong PIN is no start" "$(edge_program)" run -c edge.conf
else
    not_ok "softhsm2 is installed"
fi
