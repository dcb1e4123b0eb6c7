#!/bin/bash
# The demonstration: demo.sh PROGRAM FOLDER. Two enterprises, example1.com and example2.com, and a carrier between them: three edges on
# loopback, made in FOLDER once and kept. Shows four calls and how secure each was, from what the phones and the edges say, and ends with
# status 1 if one of them does not go as it should; then stays up until Ctrl-C, for phones of one's own.
set -uo pipefail

sallyport=$1
data=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/demo
. "$here/common.sh"
. "$here/world.sh"
. "$here/calls.sh"

tell_how_to_register() {
    say
    say "Register a phone of your own:"
    say "  at example1  $alice, password $(password_of "$alice")"
    say "               address 127.0.0.1, port $(port_of example1 tls), transport TLS (browsers: wss://127.0.0.1:$(port_of example1 wss))"
    say "  at example2  $bob, password $(password_of "$bob")"
    say "               address 127.0.0.2, port $(port_of example2 tls), transport TLS (browsers: wss://127.0.0.2:$(port_of example2 wss))"
    say "  CA file      $data/pki/ca.crt (trust it, so that the phone can verify whom it talks to)"
    say "  digest       SHA-256; a phone that knows only MD5 needs allow-md5 = yes in the domain, and"
    say "               sallyport user passwd $alice --allow-md5 -c $(conf_of example1)"
    say "Look at it:    $sallyport status -c $(conf_of example1)"
    say "               $sallyport status calls -c $(conf_of example1), and sallyport explain CALL-ID"
    say "               curl -s $(sed -n 's|^metrics = "\(.*\)"|http://\1/metrics|p' "$(conf_of example1)")"
    say "The same of example2 and carrier. Their logs: $data/*/edge.log"
}

mkdir -p "$data" && chmod 700 "$data" || exit 1
for edge in "${edges[@]}"; do
    edge_up "$edge" && fail "a demonstration runs in $data already"
done
umask 077
make_certificates
make_configurations
choose_ports
make_users
steer direct # an earlier one may have been stopped in between
trap 'edges_stop 1' EXIT
trap 'edges_stop 0' INT TERM
edges_start
say "Three edges are up, each with a configuration of its own in $data:"
say "  example1     127.0.0.1:$(port_of example1 tls), enterprise example1.com, signs its users' calls"
say "  carrier      127.0.0.3:$(port_of carrier tls), between the two, and gateway.example into the telephone network"
say "  example2     127.0.0.2:$(port_of example2 tls), enterprise example2.com, lets in what is signed"
call_direct
call_relayed
call_attacked
call_gateway
tell_how_to_register
say
say "Ctrl-C stops it."
wait -n "${pids[@]}"
say "an edge has ended by itself:"
tail -qn 3 "$data"/*/edge.log
exit 1
