#!/bin/bash
# The demonstration (share/demo.sh, what ./run starts): it makes its enterprise, a call with sound goes through, what it
# says of the call's security is what the phones say, another program's port is left alone, and a second run keeps all.
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

python3 -m http.server --bind 127.0.0.1 5061 >/dev/null 2>&1 &
need "another program has port 5061" await 5 tcp_open 5061
demo first.txt
check "it comes up and tells how to register" await 60 says 'Ctrl-C stops it' first.txt
check "on another port" says 'TLS on 127.0.0.1:5071' first.txt
check "the call went through" says 'they talked for 4 seconds' first.txt
check "both heard the other's tone" eval '[ "$(grep -h "\"event\":\"quality\"" demo/alice.json demo/bob.json | grep -c "\"tone_heard\":true")" = 2 ]'
check "alice was known by digest" says 'proved for this very request' first.txt
check "the certificate was verified" says "verified the edge's certificate as demo.example" first.txt
check "the sound is DTLS-SRTP" says 'Sound        DTLS-SRTP with AEAD_AES_256_GCM' first.txt
check "which the phones have proved" says 'Proven, not only agreed' first.txt
check "the key is the phones' alone" says 'nobody but the two ends; who records the call cannot open it later' first.txt
check "the call is protected, not more" says 'In all       protected' first.txt
check "the files are for their owner only" [ "$(stat -c %a demo)" = 700 ]
check "nothing is weakened" eval '! "$(edge_program)" check -c demo/sallyport.conf | grep -q weakened'
cp -r demo kept
refuse "a second one beside it is refused" "$root/share/demo.sh" "$(edge_program)" "$WORK/demo"
check "it stops in order" demo_stop
check "and says that it keeps its data" says 'is kept' first.txt
demo second.txt
check "it comes up again" await 30 says 'Ctrl-C stops it' second.txt
check "with the same passwords" cmp demo/passwords kept/passwords
check "the same CA" cmp demo/pki/ca.crt kept/pki/ca.crt
check "the same port" says 'TLS on 127.0.0.1:5071' second.txt
check "and another call" says 'they talked for 4 seconds' second.txt
check "it stops again" demo_stop
