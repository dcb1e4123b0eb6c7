# world.sh: two enterprises and a carrier: certificates, configurations, users, ports; starts and stops their edges. What is made is made
# once and kept. Sourced by demo.sh.
# shellcheck shell=bash

pids=()

# ---- made once ----

# Twenty letters and digits.
password_new() { LC_ALL=C tr -dc 'a-zA-Z0-9' </dev/urandom | head -c 20; }
password_of() { sed -n "s/^$1: //p" "$data/passwords"; }

# mint_in FOLDER NAME...: a certificate, anew when it is missing or ends within a month.
mint_in() {
    local folder=$1
    shift
    [ -e "$folder/$1.crt" ] && [ -n "$(find "$folder/$1.crt" -mtime -365)" ] ||
        "$sallyport" mint "$folder" "$@" >/dev/null || fail "no certificate could be made for $1"
}

# Two CAs: one for connections, one for signed identities, since who may say where a server is need not be who may say who calls.
make_certificates() {
    [ -e "$data/pki/ca.crt" ] || "$sallyport" mint --ca "$data/pki" "Sallyport demonstration CA" >/dev/null ||
        fail "no CA could be made"
    [ -e "$data/identities/ca.crt" ] ||
        "$sallyport" mint --ca "$data/identities" "Sallyport demonstration CA of identities" >/dev/null || fail "no CA could be made"
    mint_in "$data/pki" example1.com localhost 127.0.0.1
    mint_in "$data/pki" example2.com 127.0.0.2
    mint_in "$data/pki" carrier.example 127.0.0.3
    mint_in "$data/pki" gateway.example
    mint_in "$data/identities" example1.com
    mint_in "$data/identities" example2.com
}

# head_lines EDGE TEXT: what all three have in common.
head_lines() {
    cat <<END
# The demonstration of Sallyport: $2
# \`sallyport check --sample\` lists every option; see also sallyport.conf(5).
# After a change: sallyport reload -c $(conf_of "$1")

# Where users, registrations and keys are kept.
state-dir = "state"

# Numbers for Prometheus at http://$(address_of "$1"):9460/metrics
metrics = "$(address_of "$1"):9460"
END
}

listen_lines() {
    cat <<END

# Phones and peers by TLS, browsers by secure WebSocket; nothing is in clear.
listen "tls:$1:5061" { }
listen "wss:$1:5063" { }
END
}

# enterprise DOMAIN [ALIAS...]
enterprise() {
    local edge=${1%.com} address aliases
    address=$(address_of "$edge")
    aliases=$(printf '"%s", ' "$address" "${@:2}")
    head_lines "$edge" "the edge of $1."
    cat <<END

# Its users are NAME@$1. Phones that know only this machine's name or address may use that.
domain "$1" {
    certificate = "../pki/$1.crt"
    key = "../pki/$1.key"
    aliases = { ${aliases%, } }
    # Its phones are told how secure a call is.
    status-header = yes
}
END
    listen_lines "$address"
    cat <<END

# Calls to other domains are signed by this certificate (RFC 8224): who calls, whom, when, and the fingerprints of the media's keys.
# The wss listener shows it to everybody at this URL.
identity "$1" {
    certificate = "../identities/$1.crt"
    key = "../identities/$1.key"
    url = "https://$address:5063/identity.pem"
}

# Whose signatures are believed, and where their certificates may be fetched: in this demonstration from loopback, which is
# refused otherwise.
identity-ca = "../identities/ca.crt"
fetch-ca = "../pki/ca.crt"
allow-fetch-from = { "127.0.0.1", "127.0.0.2" }

# All other domains are reached through the carrier. It may forward, and it is not believed who calls: that has to be signed.
peer "carrier" {
    kind = peering
    domains = { "*" }
    certificate-names = { "carrier.example" }
    next-hop = "sips:127.0.0.3:5061"
    ca = "../pki/ca.crt"
    verify-identity = require
}
END
}

gateway_lines() {
    cat <<END

# Into the telephone network. It is the carrier's edge that plays it.
peer "gateway" {
    kind = gateway
    domains = { "gateway.example" }
    next-hop = "sips:127.0.0.3:5061"
    ca = "../pki/ca.crt"
}
END
}

carrier() {
    head_lines carrier "the carrier between example1.com and example2.com."
    cat <<END

domain "carrier.example" {
    certificate = "../pki/carrier.example.crt"
    key = "../pki/carrier.example.key"
    aliases = { "127.0.0.3" }
}

# The telephone network's end of a gateway.
domain "gateway.example" {
    certificate = "../pki/gateway.example.crt"
    key = "../pki/gateway.example.key"
}
END
    listen_lines 127.0.0.3
    cat <<END

# For calls whose media it steers: the demonstration changes media below to relay and to protect, and back.
media {
    address = { "127.0.0.3" }
    ports = "30000-30199"
}
END
    carrier_peer example1 127.0.0.1
    carrier_peer example2 127.0.0.2
}

carrier_peer() {
    cat <<END

peer "$1" {
    kind = peering
    domains = { "$1.com" }
    next-hop = "sips:$2:5061"
    ca = "../pki/ca.crt"
    allow-relay = yes
    media = direct
}
END
}

make_configurations() {
    local edge
    for edge in "${edges[@]}"; do
        mkdir -p "$data/$edge"
    done
    [ -e "$(conf_of example1)" ] || { enterprise example1.com localhost && gateway_lines; } >"$(conf_of example1)"
    [ -e "$(conf_of example2)" ] || enterprise example2.com >"$(conf_of example2)"
    [ -e "$(conf_of carrier)" ] || carrier >"$(conf_of carrier)"
}

make_users() {
    local user conf
    touch "$data/passwords"
    for user in "${people[@]}"; do
        conf=$(conf_of "$(edge_of "$user")")
        [ -n "$(password_of "$user")" ] || echo "$user: $(password_new)" >>"$data/passwords"
        "$sallyport" user list -c "$conf" 2>/dev/null | grep -qF "$user" ||
            password_of "$user" | "$sallyport" user add "$user" -c "$conf" >/dev/null || fail "the user $user could not be made"
    done
}

# ---- ports ----

taken() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# Another program may have a port that a configuration names: the next free one is taken instead, wherever it is named.
choose_ports() {
    local at address port free confs=()
    for at in "${edges[@]}"; do
        confs+=("$(conf_of "$at")")
    done
    for at in $(grep -ohE '^(listen|metrics).*' "${confs[@]}" | grep -oE '127\.0\.0\.[123]:[0-9]+' | sort -u); do
        address=${at%:*}
        port=${at#*:}
        taken "$address" "$port" || continue
        free=$port
        while taken "$address" "$free" || grep -q "$address:$free\b" "${confs[@]}"; do
            free=$((free + 10))
        done
        say "port $port of $address is taken by another program; $free is used instead"
        sed -i "s/${address//./\\.}:$port\b/$address:$free/g" "${confs[@]}"
    done
}
# port_of EDGE TRANSPORT
port_of() { sed -n "s/^listen \"$2:[0-9.]*:\([0-9]*\)\".*/\1/p" "$(conf_of "$1")" | head -n 1; }

# ---- the edges ----

edge_up() { "$sallyport" status -c "$(conf_of "$1")" >/dev/null 2>&1; }
edge_up_or_dead() { edge_up "$1" || ! kill -0 "$2"; }

edges_start() {
    local edge i
    for edge in "${edges[@]}"; do
        set -m # a process group of its own: Ctrl-C is for this script, which stops the edges in order
        "$sallyport" run -c "$(conf_of "$edge")" 2>>"$(log_of "$edge")" &
        pids+=($!)
        set +m
    done
    for i in "${!edges[@]}"; do
        edge=${edges[i]}
        await 100 edge_up_or_dead "$edge" "${pids[i]}"
        edge_up "$edge" && continue
        tail -n 5 "$(log_of "$edge")" >&2
        fail "the edge of $edge does not start; the whole is in $(log_of "$edge")"
    done
}

edges_stop() {
    trap - EXIT
    trap '' INT TERM
    [ ${#pids[@]} -gt 0 ] || exit "${1:-0}"
    # shellcheck disable=SC2046
    kill -TERM $(jobs -p) 2>/dev/null # the phones too
    wait 2>/dev/null
    say "stopped; $data is kept"
    exit "${1:-0}"
}

# steer direct|relay|protect: what the carrier does with media between the two enterprises, from now on.
steer() {
    sed -i "s/^    media = .*/    media = $1/" "$(conf_of carrier)"
    edge_up carrier || return 0
    "$sallyport" reload -c "$(conf_of carrier)" >/dev/null || fail "the carrier's edge does not take its new configuration"
}
