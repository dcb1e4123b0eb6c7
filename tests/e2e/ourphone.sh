# ourphone.sh: `sallyport phone` as scripts use it. Sourced after lib.sh.
# Each phone has a name, which is its user's too: its events are in NAME.events (JSON, one a line), what it says on standard
# error in NAME.err.log. SERVER is where phones register.
# shellcheck shell=bash

SERVER=tls:$ADDR:5061

# our_user NAME...: users whose passwords are kept by SHA-256 and better, not by MD5.
our_user() {
    local name
    for name in "$@"; do
        password_of "$name" >"$name.password"
        edge_is sallyport || continue
        password_of "$name" | "$(edge_program)" user add "$name@$DOMAIN" -c edge.conf >>user.log 2>&1 || return 1
    done
}

# our_phone NAME OPTION...: runs to its end; the phone's own status.
our_phone() {
    local name=$1
    shift
    "$(edge_program)" phone --user "$name@$DOMAIN" --password-file "$name.password" --server "$SERVER" --ca certs/ca.crt --json \
        "$@" >"$name.events" 2>>"$name.err.log"
}

# our_start NAME OPTION...: in the background, until it has registered.
our_start() {
    local name=$1
    : >"$name.events"
    our_phone "$@" &
    eval "$(our_pid_name "$name")=$!"
    await 10 our_event_or_end "$name" registered && our_event "$name" registered
}

# The variable with its process: OUR_PID_alice; users may be telephone numbers.
our_pid_name() { echo "OUR_PID_${1//[^A-Za-z0-9]/_}"; }
our_alive() { local pid; eval "pid=\$$(our_pid_name "$1")"; alive "$pid"; }
our_event_or_end() { our_event "$@" || ! our_alive "$1"; }

# our_end NAME STATUS: it ends within 20 s, and so.
our_end() {
    local pid status
    eval "pid=\$$(our_pid_name "$1")"
    await 20 our_gone "$pid" || { echo "$1's phone does not end"; kill "$pid"; return 1; }
    wait "$pid"
    status=$?
    [ $status = "$2" ] || { echo "$1's phone ended with $status, not $2"; tail -n 5 "$1.events" "$1.err.log"; return 1; }
}
our_gone() { ! alive "$1"; }

# our_status STATUS NAME OPTION...: runs to its end, which must be that.
our_status() {
    local want=$1 name=$2 status
    shift
    our_phone "$@"
    status=$?
    [ $status = "$want" ] || { echo "$name's phone ended with $status, not $want"; tail -n 5 "$name.events" "$name.err.log"; return 1; }
}

# our_event NAME EVENT [PART...]: there is an event of that kind with all these parts in it.
our_event() {
    local file=$1.events lines part
    lines=$(grep -F "{\"event\":\"$2\"" "$file" 2>/dev/null) || return 1
    shift 2
    for part in "$@"; do
        lines=$(grep -F -- "$part" <<<"$lines") || { echo "no event with $part in $file"; return 1; }
    done
}
no_event() { ! our_event "$@"; }
