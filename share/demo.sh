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
    say "             sallyport user passwd alice@$domain --allow-md5 -c $conf"
    say "Look at it:  $sallyport status -c $conf"
    say "             curl -s $(sed -n 's|^metrics = "\(.*\)"|http://\1/metrics|p' "$conf")"
    say "Its log:     $data/edge.log"
}

# ---- the call ----

# phone NAME OPTION...: NAME's phone, its events in $data/NAME.json
phone() {
    local name=$1
    shift
    PASSWORD=$(password_of "$name") timeout 60 "$sallyport" phone --user "$name@$domain" --password-env PASSWORD \
        --server "tls:127.0.0.1:$(port_of tls)" --ca "$data/pki/ca.crt" --json "$@" >"$data/$name.json" 2>>"$data/phones.log"
}
# event NAME EVENT FIELD [FURTHER]: the field's value in the last such event of NAME's phone (that has FURTHER in it)
event() {
    grep "\"event\":\"$2\"" "$data/$1.json" | grep -- "${4:-}" | tail -n 1 | sed -n "s/.*\"$3\":\"\{0,1\}\([^\",}]*\).*/\1/p"
}
has_event() { grep -q "\"event\":\"$2\"" "$data/$1.json" 2>/dev/null; }

call() {
    local i bob status known talk=4
    say
    say "Bob's phone registers and waits; alice's registers and calls him ..."
    : >"$data/bob.json"
    phone bob --answer --wait 20 --play tone:880 --expect-tone 440 --record "$data/bob-heard.wav" &
    bob=$!
    for ((i = 0; i < 100; i++)); do
        has_event bob registered && break
        sleep 0.1
    done
    phone alice --call "sip:bob@$domain" --duration $talk --play tone:440 --expect-tone 880 \
        --record "$data/alice-heard.wav" &
    status=$!
    for ((i = 0; i < 100; i++)); do
        has_event alice answered && break
        kill -0 $status 2>/dev/null || break
        sleep 0.1
    done
    known=$("$sallyport" status calls --json -c "$conf" | sed -n 's/.*"authenticated":"\([^"]*\)".*/\1/p')
    wait $status
    status=$?
    wait $bob || status=1
    tell_call $status "$known" $talk
}

# What happened and how secure it was, from what the phones and the edge say of it.
tell_call() {
    if [ "$1" != 0 ] || ! has_event alice answered; then
        say "The call did not go as it should. The phones say:"
        tail -n 4 "$data/alice.json" "$data/bob.json"
        return
    fi
    say
    say "What happened"
    say "  Alice called bob, his phone rang, he answered, and they talked for $3 seconds."
    say "  Alice heard bob's tone ($(event alice quality received) packets, $(event alice quality lost) lost), bob heard hers" \
        "($(event bob quality received) packets, $(event bob quality lost) lost):"
    say "  listen to $data/alice-heard.wav and bob-heard.wav."
    say "How secure it was"
    if [ "$2" = digest ]; then
        say "  Who called?  Alice: her phone proved for this very request that it knows her password, without sending it (digest,"
        say "               SHA-256). The edge keeps only a hash of it."
    else
        say "  Who called?  The edge knew the caller by: ${2:-nothing}."
    fi
    say "  Signalling   $(event alice security version '"leg":"signalling"'), $(event alice security cipher '"leg":"signalling"'), from each phone to the" \
        "edge."
    if [ "$(event alice security verified '"leg":"signalling"')" = true ]; then
        say "               Alice's phone verified the edge's certificate as $(event alice security name '"leg":"signalling"'). Who calls whom can be"
        say "               read by the edge and by nobody on the way."
    else
        say "               Alice's phone did NOT verify who the edge is."
    fi
    tell_sound "$(event alice security encrypted '"leg":"media"')" "$(event alice security proof '"leg":"media"')"
    say "  In all       $(level_words "$(event alice security level '"leg":"media"')")"
}

tell_sound() {
    if [ "$1" != true ]; then
        say "  Sound        NOT encrypted: plain RTP, straight between the phones. Whoever is on its way can listen."
        return
    fi
    say "  Sound        $(event alice security method '"leg":"media"') with $(event alice security suite '"leg":"media"')," \
        "straight between the phones. The key is known to"
    say "               $(event alice security exposed '"leg":"media"'); $(forward_words "$(event alice security forward_secret '"leg":"media"')")"
    if [ "$2" = media ]; then
        say "               Proven, not only agreed: each phone heard only what was made with these keys."
    else
        say "               Agreed, but NOT proven by what was heard."
    fi
    say "               And $(event alice security middle '"leg":"media"')."
}

forward_words() {
    [ "$1" = true ] && echo "who records the call cannot open it later." || echo "who records the call and gets the key can open it later."
}

level_words() {
    case $1 in
    open) echo "open: a part of it that we can see is not protected." ;;
    protected) echo "protected: all of it that can be seen is encrypted and authenticated; who is at the other end is the edge's word." ;;
    attacked) echo "ATTACKED: something that was signed or announced does not fit." ;;
    secure) echo "secure from domain to domain." ;;
    "end to end") echo "secure from end to end." ;;
    *) echo "${1:-not known}" ;;
    esac
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
"$sallyport" help phone >/dev/null 2>&1 && call
tell_how_to_register
say
say "Ctrl-C stops it."
wait "$edge_pid"
say "the edge has ended by itself:"
tail -n 5 "$data/edge.log"
exit 1
