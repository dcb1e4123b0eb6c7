# lib.sh: what every end-to-end script shares: a private network, certificates, the edge under test, and TAP results.
#
# A script sources this file first. It is then run again inside its own network, mount and process namespaces, so that
# nothing it starts outlives it and no address of the machine is touched: loopback is up and carries 10.77.0.1 to 3
# (baresip refuses 127.0.0.1). One line a check, "ok - what" or "not ok - what"; the exit status is 0 only when at least
# one check ran and none failed.
#
#   BUILD        the meson build folder: the edge and the tools of tests/e2e/tools are taken from it
#   SALLYPORT    another program to test as the edge
#   E2E_DIR      a folder in which the logs of the run are kept
#   E2E_SERVER   sallyport, or kamailio: a stand-in that tells a client's defect from one of ours
#   E2E_TIMEOUT  seconds after which the script is killed
#
# shellcheck shell=bash

set -u
E2E_HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
E2E_NAME=$(basename "$0" .sh)
BUILD=$(realpath "${BUILD:-/nonexistent}" 2>/dev/null)
E2E_SERVER=${E2E_SERVER:-sallyport}
ADDR=10.77.0.1       # the edge and the phones
PEER_ADDR=10.77.0.2  # what the edge takes for a configured peer
NEXT_ADDR=10.77.0.3  # the next domain
DOMAIN=example.com
NAP=0.05 # seconds between two looks at something awaited

# ---------------------------------------------------------------------------------------------------------------------
# The namespaces

e2e_outer() {
    local work status user=()
    # A short name: a Unix socket's path has 107 bytes at most.
    work=$(mktemp -d "${TMPDIR:-/tmp}/e2e.XXXXXX") || exit 1
    [ "$(id -u)" = 0 ] || user=(--user --map-root-user)
    # However this shell ends, everything below it ends too.
    E2E_WORK=$work setpriv --pdeathsig KILL timeout -s KILL "${E2E_TIMEOUT:-240}" setpriv --pdeathsig KILL \
        unshare "${user[@]}" --net --mount --pid --fork --mount-proc --kill-child "$BASH" "$0" "$@" &
    # shellcheck disable=SC2064
    trap "kill -KILL $!; rm -rf '$work'; exit 1" TERM INT HUP
    wait $!
    status=$?
    trap - TERM INT HUP
    if [ $status = 137 ]; then
        echo "not ok - $E2E_NAME did not end within ${E2E_TIMEOUT:-240} seconds"
        tail -n 5 "$work"/*.log 2>/dev/null | sed 's/^/# /'
    elif [ $status != 0 ] && [ ! -e "$work/began" ]; then
        echo "not ok - $E2E_NAME could make no namespaces"
    fi
    if [ -n "${E2E_DIR:-}" ]; then
        mkdir -p "$E2E_DIR" && cp -a "$work"/. "$E2E_DIR/"
    fi
    rm -rf "$work"
    [ $status = 0 ] || exit 1
    exit 0
}

e2e_inner() {
    WORK=$E2E_WORK
    : >"$WORK/began"
    ip link set lo up && ip addr add $ADDR/32 dev lo && ip addr add $PEER_ADDR/32 dev lo &&
        ip addr add $NEXT_ADDR/32 dev lo || exit 1
    # Names are answered by these files alone; nothing here may wait for a resolver of the machine.
    printf '127.0.0.1 localhost\n%s %s www.%s second.test phone.test %s\n' $ADDR $DOMAIN $DOMAIN "$(uname -n)" >"$WORK/hosts"
    printf 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n' >"$WORK/resolv.conf"
    [ ! -e /etc/hosts ] || mount --bind "$WORK/hosts" /etc/hosts
    [ ! -e /etc/resolv.conf ] || mount --bind "$WORK/resolv.conf" /etc/resolv.conf
    export HOME=$WORK/home
    mkdir -p "$HOME"
    cd "$WORK" || exit 1
    E2E_PASSED=0
    E2E_FAILED=0
    E2E_EDGE_PID=
    E2E_USERS=()
    trap 'e2e_end' EXIT
}

e2e_end() {
    local status=$?
    trap - EXIT
    edge_stop >/dev/null 2>&1
    if grep -Eqs 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$WORK"/edge*.log; then
        not_ok "the sanitizers found nothing in the edge"
        grep -Ehs -A 12 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$WORK"/edge*.log | head -40 | sed 's/^/# /'
    fi
    echo "1..$((E2E_PASSED + E2E_FAILED))"
    if [ "$E2E_FAILED" != 0 ] || [ "$E2E_PASSED" = 0 ] || [ $status != 0 ]; then
        e2e_logs
        exit 1
    fi
    exit 0
}

# The end of each log, so that a failure in a build machine can be understood from its output.
e2e_logs() {
    local log
    for log in "$WORK"/*.log; do
        [ -s "$log" ] || continue
        echo "# --- ${log##*/}"
        # A browser without a desktop complains of that all the time.
        grep -av 'dbus/' "$log" | tail -n "${E2E_LOG_LINES:-20}" | cut -c 1-400 | sed 's/^/# /'
    done
}

# ---------------------------------------------------------------------------------------------------------------------
# Results

ok() {
    E2E_PASSED=$((E2E_PASSED + 1))
    echo "ok - $1"
}

not_ok() {
    E2E_FAILED=$((E2E_FAILED + 1))
    echo "not ok - $1"
    shift
    while [ $# -gt 0 ]; do
        printf '%s\n' "$1" | sed 's/^/#   /'
        shift
    done
}

# check WHAT COMMAND...: passes when the command succeeds; its output is shown when it does not.
check() {
    local what=$1
    shift
    # Not in a subshell: what starts a process must keep its number.
    if "$@" >"$WORK/check.out" 2>&1; then
        ok "$what"
    else
        not_ok "$what" "\$ $*" "$(tail -n 8 "$WORK/check.out")"
        return 1
    fi
}

# refuse WHAT COMMAND...: passes when the command fails.
refuse() {
    local what=$1
    shift
    if "$@" >"$WORK/check.out" 2>&1; then
        not_ok "$what" "\$ $* (succeeded)" "$(tail -n 8 "$WORK/check.out")"
        return 1
    fi
    ok "$what"
}

# Without these nothing further can be said: one failed check, and out.
need() {
    local what=$1
    shift
    check "$what" "$@" || exit 1
}

# await SECONDS COMMAND...: tries until it succeeds. SECONDS is what a quiet machine may take; a busy one
# gets four times as long, as no test is about time.
await() {
    local end=$((SECONDS + $1 * 4 + 1))
    shift
    while ! "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep $NAP
    done
}

log_has() { grep -Eq -- "$2" "$1"; }
tcp_open() { [ -n "$(ss -H -ltn "sport = :$1" 2>/dev/null)" ]; }
udp_open() { [ -n "$(ss -H -lun "sport = :$1" 2>/dev/null)" ]; }
alive() { kill -0 "$1" 2>/dev/null; }
now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

# A request of its own each time: two with one branch would be one transaction.
options_request() {
    printf '%s\r\n' "OPTIONS sip:$DOMAIN SIP/2.0" "Via: SIP/2.0/${1:-TCP} $PEER_ADDR:9;branch=z9hG4bK$RANDOM$RANDOM;rport" \
        'Max-Forwards: 70' "From: <sip:ping@phone.test>;tag=p$RANDOM" "To: <sip:$DOMAIN>" "Call-ID: ping$RANDOM$RANDOM" \
        'CSeq: 1 OPTIONS' 'Content-Length: 0' ''
}

# The tools that meson builds from tests/e2e/tools.
tool() {
    if [ -x "${BUILD:-/nonexistent}/tests/e2e/tools/$1" ]; then
        realpath "$BUILD/tests/e2e/tools/$1"
    else
        echo "no $1: BUILD must name the build folder" >&2
        echo /nonexistent
        return 1
    fi
}

# ---------------------------------------------------------------------------------------------------------------------
# Certificates (P-256), in certs/ of the run's folder

# make_ca NAME
make_ca() {
    mkdir -p certs
    openssl ecparam -name prime256v1 -genkey -noout -out "certs/$1.key" 2>>openssl.log
    openssl req -x509 -new -key "certs/$1.key" -sha256 -days 3650 -subj "/O=Sallyport tests/CN=$1" \
        -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign' \
        -out "certs/$1.crt" 2>>openssl.log
}

# make_cert CA NAME SAN [SUBJECT-KEY-USAGE]: e.g. make_cert ca edge DNS:example.com,IP:10.77.0.1
make_cert() {
    local usage=${4:-serverAuth,clientAuth}
    openssl ecparam -name prime256v1 -genkey -noout -out "certs/$2.key" 2>>openssl.log
    openssl req -new -key "certs/$2.key" -subj "/CN=$2" -out "certs/$2.csr" 2>>openssl.log
    printf 'subjectAltName=%s\nextendedKeyUsage=%s\nkeyUsage=critical,digitalSignature\nbasicConstraints=CA:FALSE\n' \
        "$3" "$usage" >"certs/$2.ext"
    openssl x509 -req -in "certs/$2.csr" -CA "certs/$1.crt" -CAkey "certs/$1.key" -CAcreateserial -sha256 -days 825 \
        -extfile "certs/$2.ext" -out "certs/$2.crt" 2>>openssl.log
    chmod 600 "certs/$2.key"
}

# ca_database CA: a CA that keeps books of what it has issued and revoked (ca.cnf), for `ca_do`: CRLs and OCSP responders want them.
ca_database() {
    mkdir -p issued
    : >index.txt
    echo 01 >serial
    echo 01 >crlnumber
    cat >ca.cnf <<END
[ca]
default_ca = d
[d]
database = $WORK/index.txt
serial = $WORK/serial
crlnumber = $WORK/crlnumber
new_certs_dir = $WORK/issued
certificate = $WORK/certs/$1.crt
private_key = $WORK/certs/$1.key
default_md = sha256
default_days = 30
default_crl_days = 2
unique_subject = no
policy = p
[p]
commonName = supplied
END
}
ca_do() { openssl ca -config ca.cnf -batch "$@" >>openssl.log 2>&1; }

make_certs() {
    make_ca ca
    make_cert ca "$DOMAIN" "DNS:$DOMAIN,URI:sip:$DOMAIN,IP:$ADDR"
    need "a CA and a certificate for $DOMAIN" openssl verify -CAfile certs/ca.crt "certs/$DOMAIN.crt"
}

# ---------------------------------------------------------------------------------------------------------------------
# The edge under test. edge_conf writes its configuration, users come by user_add, edge_start starts it and waits for
# its ports. Everything that differs between servers is in the functions edge_*_SERVER.

password_of() { echo "e2e-$1-Horse7Battery"; }

edge_program() { echo "${SALLYPORT:-$BUILD/src/cli/sallyport}"; }

# edge_conf [FURTHER LINES...]: the usual configuration: a domain and a listener of each kind on 10.77.0.1.
# DOMAIN_LINES go into the domain's section.
edge_conf() {
    "edge_conf_$E2E_SERVER" "$@"
}

# user_add NAME [OPTION...]: a user of the domain whose password is password_of NAME. Clients in Debian know only MD5.
user_add() {
    "user_add_$E2E_SERVER" "$@"
}

edge_start() {
    "edge_start_$E2E_SERVER" "$@"
    await 10 edge_ready_or_dead
    edge_alive && edge_ready
}

edge_ready_or_dead() { edge_ready || ! edge_alive; }
edge_ready() { tcp_open 5060 && udp_open 5060 && tcp_open 5061; }

# Stops in order and says whether it ended well; a second call is harmless.
edge_stop() {
    local pid=$E2E_EDGE_PID status
    [ -n "$pid" ] || return 0
    E2E_EDGE_PID=
    kill -TERM "$pid" 2>/dev/null
    ( sleep 40; kill -KILL "$pid" ) 2>/dev/null &
    local guard=$!
    wait "$pid" 2>/dev/null
    status=$?
    kill $guard 2>/dev/null
    wait $guard 2>/dev/null
    return $status
}

edge_kill9() {
    pkill -KILL -P "$E2E_EDGE_PID"
    kill -KILL "$E2E_EDGE_PID"
    wait "$E2E_EDGE_PID" 2>/dev/null
    E2E_EDGE_PID=
}

edge_alive() { [ -n "$E2E_EDGE_PID" ] && alive "$E2E_EDGE_PID"; }

# Sallyport itself.
edge_conf_sallyport() {
    {
        echo "state-dir = \"$WORK/state\""
        echo "domain \"$DOMAIN\" {"
        echo "    certificate = \"$WORK/certs/$DOMAIN.crt\""
        echo "    key = \"$WORK/certs/$DOMAIN.key\""
        echo "    allow-md5 = yes"
        echo "    allow-clear-digest = yes"
        [ -z "${DOMAIN_LINES:-}" ] || printf '    %s\n' "$DOMAIN_LINES"
        echo "}"
        echo "listen \"udp:$ADDR:5060\" { allow-clear = yes }"
        echo "listen \"tcp:$ADDR:5060\" { allow-clear = yes }"
        echo "listen \"tls:$ADDR:5061\" { }"
        echo "listen \"wss:$ADDR:5063\" { }"
        printf '%s\n' "$@"
    } >edge.conf
    mkdir -p state
}

user_add_sallyport() {
    local name=$1
    shift
    password_of "$name" | "$(edge_program)" user add "$name@$DOMAIN" "${@:---allow-md5}" -c edge.conf >>user.log 2>&1
}

edge_start_sallyport() {
    "$(edge_program)" run -c edge.conf >>edge.log 2>&1 &
    E2E_EDGE_PID=$!
}

# Kamailio, as a stand-in: it takes any user whose password is password_of NAME.
edge_conf_kamailio() {
    sed -e "s|@ADDR@|$ADDR|g" -e "s|@DOMAIN@|$DOMAIN|g" -e "s|@WORK@|$WORK|g" \
        -e "s|@PEER@|$PEER_ADDR|g" -e "s|@NEXT@|$NEXT_ADDR|g" "$E2E_HERE/kamailio/registrar.cfg" >edge.cfg
    sed -e "s|@ADDR@|$ADDR|g" -e "s|@DOMAIN@|$DOMAIN|g" -e "s|@WORK@|$WORK|g" "$E2E_HERE/kamailio/tls.cfg" >tls.cfg
    [ -e certs/second.test.crt ] || sed -i '/^\[server:any/,/^$/d' tls.cfg
}

user_add_kamailio() { :; }

edge_start_kamailio() {
    mkdir -p run
    kamailio -DD -E -x tlsf -m 64 -M 8 -f edge.cfg -Y "$WORK/run" >>edge.log 2>&1 &
    E2E_EDGE_PID=$!
}

edge_is() { [ "$E2E_SERVER" = "$1" ]; }

# ---------------------------------------------------------------------------------------------------------------------

if [ -z "${E2E_WORK:-}" ]; then
    e2e_outer "$@"
fi
e2e_inner
