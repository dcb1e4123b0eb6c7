#!/bin/bash
# A demonstration enterprise: demo.sh PROGRAM FOLDER. Makes in FOLDER, once, a CA, a certificate, two users and a documented
# configuration; starts the edge on loopback; lets alice's phone call bob's; says how secure that was; stays up until
# Ctrl-C. What it makes is kept, and so are registrations.
set -uo pipefail

sallyport=$1
data=$2
domain=demo.example
conf=$data/sallyport.conf
edge_pid=

say() { printf '%s\n' "$*"; }
fail() {
    say "$*" >&2
    exit 1
}

# ---- made once ----

# Twenty letters and digits.
password_new() { LC_ALL=C tr -dc 'a-zA-Z0-9' </dev/urandom | head -c 20; }
password_of() { sed -n "s/^$1: //p" "$data/passwords"; }

make_certificates() {
    [ -e "$data/pki/ca.crt" ] || "$sallyport" mint --ca "$data/pki" "Sallyport demonstration CA" >/dev/null ||
        fail "no CA could be made"
    # Anew when it is missing or ends within a month.
    [ -e "$data/pki/$domain.crt" ] && [ -n "$(find "$data/pki/$domain.crt" -mtime -365)" ] ||
        "$sallyport" mint "$data/pki" $domain localhost 127.0.0.1 >/dev/null || fail "no certificate could be made"
}

make_configuration() {
    [ -e "$conf" ] && return
    cat >"$conf" <<END
# The demonstration of Sallyport. \`sallyport check --sample\` lists every option; see also sallyport.conf(5).
# After a change: kill -HUP, or sallyport reload -c $conf

# Where users, registrations and keys are kept.
state-dir = "state"

# Numbers for Prometheus at http://127.0.0.1:9460/metrics
metrics = "127.0.0.1:9460"

# The enterprise: its users are NAME@$domain. Phones that know only this machine's name or address may use that.
domain "$domain" {
    certificate = "pki/$domain.crt"
    key = "pki/$domain.key"
    aliases = { "localhost", "127.0.0.1" }
}

# Phones by TLS, browsers by secure WebSocket; nothing is in clear, and nothing here begins with allow-.
listen "tls:127.0.0.1:5061" { }
listen "wss:127.0.0.1:5063" { }
END
}

make_users() {
    local name
    touch "$data/passwords"
    for name in alice bob; do
        [ -n "$(password_of $name)" ] || echo "$name: $(password_new)" >>"$data/passwords"
        "$sallyport" user list -c "$conf" 2>/dev/null | grep -q "$name@$domain" ||
            password_of $name | "$sallyport" user add "$name@$domain" -c "$conf" >/dev/null ||
            fail "the user $name could not be made"
    done
}

# ---- ports ----

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Another program may have a port that the configuration names: the next free one is taken instead.
choose_ports() {
    local port free
    for port in $(grep -oE '127\.0\.0\.1:[0-9]+' "$conf" | cut -d: -f2 | sort -u); do
        taken "$port" || continue
        free=$port
        while taken "$free" || grep -q "127.0.0.1:$free\b" "$conf"; do
            free=$((free + 10))
        done
        say "port $port is taken by another program; $free is used instead"
        sed -i "s/127\.0\.0\.1:$port\b/127.0.0.1:$free/g" "$conf"
    done
}
port_of() { sed -n "s/^listen \"$1:127\.0\.0\.1:\([0-9]*\)\".*/\1/p" "$conf" | head -n 1; }

# ---- the edge ----

edge_up() { "$sallyport" status -c "$conf" >/dev/null 2>&1; }

edge_start() {
    local i
    set -m # a process group of its own: Ctrl-C is for this script, which stops the edge in order
    "$sallyport" run -c "$conf" 2>>"$data/edge.log" &
    edge_pid=$!
    set +m
    for ((i = 0; i < 100; i++)); do
        edge_up && return
        kill -0 "$edge_pid" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 5 "$data/edge.log" >&2
    fail "the edge does not start; the whole is in $data/edge.log"
}

edge_stop() {
    trap - EXIT
    trap '' INT TERM
    [ -n "$edge_pid" ] || exit "${1:-0}"
    kill -TERM "$edge_pid" 2>/dev/null
    wait "$edge_pid" 2>/dev/null
    say "stopped; $data is kept"
    exit "${1:-0}"
}

# ---- the telling ----

tell_how_to_register() {
    say
    say "Register a phone of your own:"
    say "  address    127.0.0.1, port $(port_of tls), transport TLS (browsers: wss://127.0.0.1:$(port_of wss))"
    say "  user       alice@$domain, password $(password_of alice)"
    say "             bob@$domain, password $(password_of bob)"
    say "  CA file    $data/pki/ca.crt (trust it, so that the phone can verify whom it talks to)"
    say "  digest     SHA-256; a phone that knows only MD5 needs allow-md5 = yes in the domain, and"
    say "             sallyport user passwd --allow-md5"
    say "Look at it:  $sallyport status -c $conf"
    say "             curl -s $(sed -n 's|^metrics = "\(.*\)"|http://\1/metrics|p' "$conf")"
    say "Its log:     $data/edge.log"
}

mkdir -p "$data" && chmod 700 "$data" || exit 1
if edge_up; then
    fail "a demonstration runs in $data already"
fi
umask 077
make_certificates
make_configuration
choose_ports
make_users
trap 'edge_stop 1' EXIT
trap 'edge_stop 0' INT TERM
edge_start
say "Sallyport is up: sip:NAME@$domain by TLS on 127.0.0.1:$(port_of tls), by WSS on 127.0.0.1:$(port_of wss)"
tell_how_to_register
say
say "Ctrl-C stops it."
wait "$edge_pid"
say "the edge has ended by itself:"
tail -n 5 "$data/edge.log"
exit 1
