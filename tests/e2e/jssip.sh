#!/bin/bash
# JsSIP in Chromium registers two users over WSS, the browser verifying the edge's certificate against a private CA; one
# sends a MESSAGE to the other, and a user on UDP sends one to the browser. With an unknown CA, and with a name the
# certificate does not have, no connection comes about.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/sipp.sh"

# trust NAME [CA]: a home folder for a browser, with or without a CA in its certificate store
trust() {
    mkdir -p "$1/.pki/nssdb"
    certutil -d "sql:$1/.pki/nssdb" -N --empty-password || return 1
    [ -z "${2:-}" ] || certutil -d "sql:$1/.pki/nssdb" -A -t "C,," -n "$2" -i "certs/$2.crt"
}

# browse NAME SERVER USERS...: opens the page in a browser whose home is NAME; its console goes to NAME.log
browse() {
    local name=$1 server=$2 users='' user
    shift 2
    for user in "$@"; do
        users+="${users:+,}%22$user%22:%22$(password_of "$user")%22"
    done
    HOME=$WORK/$name chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync --enable-logging=stderr \
        --user-data-dir="$WORK/$name/profile" \
        "http://$ADDR:8080/phone.html#{%22server%22:%22$server%22,%22domain%22:%22$DOMAIN%22,%22users%22:{$users},%22text%22:%22hello-wss%22}" \
        </dev/null >"$name.log" 2>&1 &
    BROWSER=$!
}
browser_stop() { kill -TERM $BROWSER; wait $BROWSER; }
says() { grep -aq "E2E $2" "$1.log"; }

make_certs
make_ca stranger
edge_conf
for name in alice bob carol; do
    user_add $name
done
need "the edge starts" edge_start
need "a browser that knows the CA" trust knowing ca
need "a browser that knows another CA" trust unknowing stranger
python3 -m http.server 8080 --bind $ADDR --directory "$E2E_HERE/jssip" >http.log 2>&1 &
need "the page is served" await 5 tcp_open 8080

browse knowing "wss://$DOMAIN:5063" alice bob
check "alice's WebSocket is connected, the certificate verified" await 25 says knowing 'alice connected'
check "alice registers over WSS" await 10 says knowing 'alice registered'
check "bob registers over WSS" await 10 says knowing 'bob registered'
check "the MESSAGE is answered with 200" await 10 says knowing 'message answered 200'
check "the MESSAGE arrives" await 5 says knowing '\(alice\|bob\) got hello-wss from sip:\(alice\|bob\)@'
scenario message message_parts
sed -i 's/^hello$/hello-from-udp/' message.xml
PORT=7510 AS=carol check "carol sends a MESSAGE from UDP" sipp_run message -sf message.xml -m 1 -key callee alice@$DOMAIN
check "it arrives in the browser" await 5 says knowing "alice got hello-from-udp from sip:carol@$DOMAIN"
browser_stop

browse unknowing "wss://$DOMAIN:5063" alice
check "with an unknown CA the connection fails" await 25 says unknowing 'alice disconnected'
check "because of the certificate's issuer" grep -aEq 'ERR_CERT_AUTHORITY_INVALID|net_error -202' unknowing.log
refuse "and nobody is registered" says unknowing 'alice \(connected\|registered\)'
browser_stop

mv unknowing.log unknowing-ca.log
mv knowing.log knowing-1.log
browse knowing "wss://second.test:5063" alice
check "with a name not in the certificate the connection fails" await 25 says knowing 'alice disconnected'
check "because of the name" grep -aEq 'ERR_CERT_COMMON_NAME_INVALID|net_error -200' knowing.log
refuse "and nobody is registered by that name" says knowing 'alice \(connected\|registered\)'
browser_stop
check "the edge stops in order" edge_stop
