#!/bin/bash
# sipsak pings the edge over UDP and TCP, registers and unregisters with MD5 digest. (Its modes that call and send
# messages to itself end with a fault of their own in Debian 12, before anything is sent.)
. "$(dirname "$0")/lib.sh"

# Names are looked up in the private hosts file; the proxy is given so that no SRV is asked for.
saw() {
    echo "--- sipsak $*" >>sipsak.log
    timeout 15 sipsak -vv -i -H $ADDR -p $ADDR:5060 "$@" >>sipsak.log 2>&1
}
registered_as() { saw -U -C "$2" -x "${3:-60}" -u "$1" -a "$(password_of "$1")" -s "sip:$1@$DOMAIN"; }
bindings_of() { saw -U -C empty -u "$1" -a "$(password_of "$1")" -s "sip:$1@$DOMAIN" -q "${2:-200 }"; }

make_certs
# Who is neither a user nor a peer gets an answer, but no service.
edge_conf "peer \"watch\" { kind = server  allow-sources = { \"$PEER_ADDR\" }  allow-clear = yes }"
user_add alice
need "the edge starts" edge_start
check "OPTIONS of a peer over UDP is answered" saw -k $PEER_ADDR -s "sip:$DOMAIN"
check "OPTIONS of a peer over TCP is answered" saw -k $PEER_ADDR -E tcp -s "sip:$DOMAIN"
if edge_is sallyport; then
    refuse "OPTIONS of a stranger is refused" saw -s "sip:$DOMAIN"
fi
check "alice registers" registered_as alice "sip:alice@$ADDR:7610"
check "the registration is listed" bindings_of alice "sip:alice@$ADDR:7610"
refuse "a wrong password is refused" saw -U -C "sip:alice@$ADDR:7611" -u alice -a wrong -s "sip:alice@$DOMAIN"
check "a second contact is added" registered_as alice "sip:alice@$ADDR:7612"
check "the first is still there" bindings_of alice "sip:alice@$ADDR:7610"
check "both are removed by Contact: *" registered_as alice star 0
refuse "none is left" bindings_of alice "sip:alice@$ADDR:76"
saw -k $PEER_ADDR -m 0 -s "sip:$DOMAIN"
check "a request without hops left is answered by the edge itself (RFC 3261 16.3)" \
    eval "tail -n 20 sipsak.log | grep -Eq 'SIP/2.0 (200|483) '"
check "the edge stops in order" edge_stop
