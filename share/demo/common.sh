# common.sh: what the parts of the demonstration share. Sourced by demo.sh, which sets sallyport (the program) and data (the folder).
# shellcheck shell=bash

# The three edges, and where each listens: two enterprises, and the carrier between them.
edges=(example1 example2 carrier)
address_of() {
    case $1 in
    example1) echo 127.0.0.1 ;;
    example2) echo 127.0.0.2 ;;
    carrier) echo 127.0.0.3 ;;
    esac
}
conf_of() { echo "$data/$1/sallyport.conf"; }
log_of() { echo "$data/$1/edge.log"; }

# The people, and the edge that each is registered with. The telephone network is played by a phone behind the carrier's edge.
alice=alice@example1.com
bob=bob@example2.com
number=+4930123456
telephone=$number@gateway.example
people=("$alice" "$bob" "$telephone")
edge_of() {
    case $1 in
    *@example1.com) echo example1 ;;
    *@example2.com) echo example2 ;;
    *) echo carrier ;;
    esac
}

say() { printf '%s\n' "$*"; }
fail() {
    say "$*" >&2
    exit 1
}

# await TENTHS COMMAND...: tries until it succeeds.
await() {
    local i tenths=$1
    shift
    for ((i = 0; i < tenths; i++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    return 1
}
