#!/bin/bash
# The demonstration (share/demo.sh, what ./run starts): it makes two enterprises and a carrier, four calls turn out as it tells, what it
# says of their security is what phones and edges say, another program's port is left alone, a second run keeps all, and a call that does
# not turn out as told makes it fail. (TR/100 10, 7.4.2, 7.7)
. "$(dirname "$0")/lib.sh"

root=$(cd "$E2E_HERE/../.." && pwd)
demo() { # OUTPUT: in the background, until demo_stop
    "$root/share/demo.sh" "$(edge_program)" "$WORK/demo" >"$1" 2>&1 &
    DEMO=$!
}
demo_stop() {
    kill -TERM $DEMO
    wait $DEMO
}
says() { grep -q -- "$1" "$2"; }
up_or_dead() { says 'Ctrl-C stops it' "$1" || ! alive $DEMO; }
# part NUMBER WORDS: what is told of that call has these words.
part() { sed -n "/^$1\\. /,/^\$/p" first.log | grep -q -- "$2"; }

python3 -m http.server --bind 127.0.0.1 5061 >/dev/null 2>&1 &
need "another program has port 5061 of 127.0.0.1" await 5 tcp_open 5061
demo first.log
await 90 up_or_dead first.log
need "it comes up, and all four calls have gone as told" says 'Ctrl-C stops it' first.log
check "on another port" says 'example1 *127.0.0.1:5071' first.log
check "the others on the usual one" says 'example2 *127.0.0.2:5061' first.log

check "1: they talked" part 1 'each heard the other'
check "by DTLS-SRTP between the phones" part 1 'DTLS-SRTP with AEAD_AES_256_GCM, proven by what was heard'
check "every hop was TLS" eval '[ "$(sed -n "/^1\\. /,/^\$/p" first.log | grep -c "TLSv1.3.*each knows the other")" = 4 ]'
check "example1.com has signed who calls" part 1 'sip:alice@example1.com. example1.com has signed that'
check "and her keys" part 1 'the signature of example1.com vouches for them'
check "it is secure for Bob" part 1 'Secure: sip:alice@example1.com, signed by example1.com'
check "which his phone has been told" part 1 "Bob's phone shows: .*secure"
check "example2.com has signed who answers" part 1 'sip:bob@example2.com. example2.com has signed that'
check "and his keys" part 1 'the signature of example2.com vouches for them'
check "so that it is secure for Alice" part 1 'Secure: sip:bob@example2.com, signed by example2.com'
check "which her phone has been told" part 1 "Alice's phone shows: secure"
check "2: the sound went through the carrier" part 2 'It went to 127.0.0.3:[0-9]* from alice, to 127.0.0.3:'
check "and the call is secure for Bob all the same" part 2 'Secure: sip:alice@example1.com, signed by example1.com'
check "and for Alice" part 2 'Secure: sip:bob@example2.com, signed by example2.com'
check "3: other fingerprints than the signed ones are an attack" part 3 'Attacked: sip:alice@example1.com'
check "Bob's phone does not ring" part 3 'did not ring'
check "Alice is told why" part 3 "Alice's phone shows: 438 .*identity-mky-contradicted"
check "4: a call to a gateway is protected" part 4 "Alice's phone shows: protected"
check "and no more, because of the gateway" part 4 'ends-at-gateway, TR/100 7.7'

check "the files are for their owner only" [ "$(stat -c %a demo)" = 700 ]
weakened() { "$(edge_program)" check -c "demo/$1/sallyport.conf" | grep -o 'weakened.*'; }
check "the enterprises are weakened by loopback's addresses alone" eval '[ "$(weakened example1; weakened example2)" = "weakened: top: allow-fetch-from
weakened: top: allow-fetch-from" ]'
check "the carrier forwards, and no more" eval '! weakened carrier | grep -v allow-relay'
cp -r demo kept
refuse "a second one beside it is refused" "$root/share/demo.sh" "$(edge_program)" "$WORK/demo"
check "it stops in order" demo_stop
check "and says that it keeps its data" says 'is kept' first.log
no_edges() { ! pgrep -f "demo/.*/sallyport.conf"; }
check "no edge is left" await 5 no_edges

# Again: with what is there. And with a carrier that has become worse: it does not let the call through.
sed -i 's/allow-relay = yes/allow-relay = no/' demo/carrier/sallyport.conf
demo second.log
wait $DEMO
check "a call that does not go as told ends it with status 1" [ $? = 1 ]
check "which it says" says 'did not go as it should' second.log
check "the passwords are the same" cmp demo/passwords kept/passwords
check "the same CA" cmp demo/pki/ca.crt kept/pki/ca.crt
check "the same port" says 'example1 *127.0.0.1:5071' second.log
check "no edge is left" await 5 no_edges
