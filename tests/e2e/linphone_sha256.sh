#!/bin/bash
# A client that is not ours with SHA-256 (RFC 7616, RFC 8760): linphone registers over UDP, and over TLS with the edge's certificate
# verified, as users that have no MD5 hash at all. With a wrong password it stays outside.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ops.sh"

# linphone_start NAME TRANSPORT PORT PASSWORD: its log is NAME.log, its commands come from descriptor 7.
linphone_start() {
    local name=$1 transport=$2 port=$3
    mkdir -p "$name/.local/share/linphone" "$name/.config/linphone"
    cat >"$name/rc" <<END
[sip]
sip_port=-1
sip_tcp_port=-1
sip_tls_port=-1
default_proxy=0
root_ca=$WORK/certs/ca.crt
verify_server_certs=1
verify_server_cn=1
[net]
dns_srv_enabled=0
[proxy_0]
reg_proxy=<sip:$DOMAIN:$port;transport=$transport>
reg_identity=<sip:$name@$DOMAIN>
reg_expires=600
reg_sendregister=1
[auth_info_0]
username=$name
passwd=$4
realm=$DOMAIN
algorithm=SHA-256
END
    rm -f "$name.in"
    mkfifo "$name.in"
    exec 7<>"$name.in"
    HOME=$WORK/$name linphonec -c "$WORK/$name/rc" -d 5 -l "$WORK/$name.log" <&7 >"$name.out" 2>&1 &
    LINPHONE=$!
}
linphone_end() {
    echo quit >&7
    await 5 gone $LINPHONE || kill -KILL $LINPHONE
    wait $LINPHONE
}
gone() { ! kill -0 "$1" 2>/dev/null; }
strong_user() { password_of "$1" | "$(edge_program)" user add "$1@$DOMAIN" -c edge.conf >>user.log 2>&1; }
bound() { json registrations ".rows[] | select(.aor == \"sip:$1@$DOMAIN\" and .transport == \"$2\" and (.user_agent | startswith(\"Linphone\")))"; }
answered() { grep -aEq "^Authorization: +Digest .*algorithm=SHA-256, username=\"$1\"" "$1.log"; }

make_certs
edge_conf
for name in alice bob carol; do
    need "$name has hashes for SHA-256 and SHA-512-256 alone" strong_user $name
done
need "the edge starts" edge_start

linphone_start alice udp 5060 "$(password_of alice)"
check "linphone registers over UDP" await 10 bound alice UDP
check "having answered a challenge by SHA-256" answered alice
refuse "none by MD5 was offered" grep -aEq '^WWW-Authenticate:.*algorithm=MD5' alice.log
check "the edge proves itself, too" grep -aq '^Authentication-Info: qop=auth, rspauth="[0-9a-f]\{64\}"' alice.log
linphone_end

linphone_start bob tls 5061 "$(password_of bob)"
check "linphone registers over TLS" await 10 bound bob TLS
check "by SHA-256" answered bob
linphone_end

linphone_start carol tls 5061 wrong-Horse7Battery
check "a wrong password is told" await 10 log_has edge.log 'login-failed reason=wrong-response user=carol'
refuse "and does not register" bound carol TLS
linphone_end
check "the edge stops in order" edge_stop
