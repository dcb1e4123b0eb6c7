# calls.sh: phones that call each other, and what they and the edges say of it. Sourced by demo.sh.
# shellcheck shell=bash

talk=2 # seconds

# phone WHO OPTION...: that one's phone, its events in $data/NAME.json
phone() {
    local who=$1 edge
    shift
    edge=$(edge_of "$who")
    PASSWORD=$(password_of "$who") exec timeout 60 "$sallyport" phone --user "$who" --password-env PASSWORD \
        --server "tls:$(address_of "$edge"):$(port_of "$edge" tls)" --ca "$data/pki/ca.crt" --json "$@" \
        >"$data/${who%%@*}.json" 2>>"$data/phones.log"
}
# event WHO EVENT FIELD [FURTHER]: the field's value in the last such event of that phone (that has FURTHER in it).
event() {
    grep -F "{\"event\":\"$2\"" "$data/${1%%@*}.json" | grep -F -- "${4:-}" | tail -n 1 | field "$3"
}
field() { sed -nE "s/.*\"$1\":(\"((\\\\.|[^\"\\\\])*)\"|([^\",}]*)).*/\2\4/p" | sed 's/\\\(.\)/\1/g'; }
has_event() { grep -qF "{\"event\":\"$2\"" "$data/${1%%@*}.json" 2>/dev/null; }
has_event_or_ended() { has_event "$1" "$2" || ! kill -0 "$3"; }

# call CALLED: alice calls; what becomes of it is in the phones' events and in what the edges keep. Then called_ok and alice_status say how
# the phones ended, and call_id names the call where it was let through.
call() {
    local called=$1 caller
    : >"$data/${called%%@*}.json"
    : >"$data/alice.json"
    call_id=
    log_from=$(wc -l <"$(log_of example2)")
    phone "$called" --answer --wait 30 --play tone:880 --expect-tone 440 --record "$data/${called%%@*}-heard.wav" &
    waiting=$!
    await 100 has_event_or_ended "$called" registered $waiting
    has_event "$called" registered || failed "the phone of $called cannot register"
    phone "$alice" --call "sip:$called" --duration $talk --play tone:440 --expect-tone 880 --record "$data/alice-heard.wav" &
    caller=$!
    await 200 has_event_or_ended "$alice" answered $caller
    ! has_event "$alice" answered ||
        call_id=$("$sallyport" status calls "$called" --json -c "$(conf_of example1)" | field call_id)
    wait $caller
    alice_status=$?
    # Nobody is there for whom it would go on waiting.
    has_event "$called" answered || kill -TERM $waiting
    wait $waiting
    called_status=$?
    waiting=
}

# ---- what was said ----

# story EDGE: all that this edge tells of the call. explained EDGE PARTY: how it is for the caller or for the callee.
story() { "$sallyport" explain "$call_id" -c "$(conf_of "$1")" 2>/dev/null; }
explained() {
    story "$1" | sed -n "/^For the $2: /,/^\$/p"
}
# level EDGE PARTY: in one word
level() { explained "$1" "$2" | sed -n '1s/^For the [a-z]*: \([^:.]*\).*/\1/p' | tr '[:upper:] ' '[:lower:]-'; }
# reasons EDGE PARTY HEAD: the lines below that head
reasons() { explained "$1" "$2" | sed -n "/^$3/,/^[^ ]/p" | sed -n 's/^  - //p'; }

# told WHO: what that phone's edge has told it: the level that the call has, or will have once keys are agreed.
told() { event "$1" status expected; }
told_words() {
    local now
    now=$(event "$1" status level)
    [ "$now" = "$(told "$1")" ] && echo "$now" || echo "$now as it rings, $(told "$1") once the keys are agreed"
}

# ---- what was to happen ----

failed() {
    say
    say "This did not go as it should: $*."
    say "The phones said last:"
    tail -n 3 "$data"/alice.json "$data/${bob%%@*}.json" 2>/dev/null
    say "The logs of the edges are $data/*/edge.log."
    exit 1 # and stop
}
# expect WHAT IS WANTED
expect() { [ "$2" = "$3" ] || failed "$1 is '$2' and not '$3'"; }
# heard WHO: that one heard the other's tone, by keys that were proven.
heard() {
    expect "whether $1 heard the other's tone" "$(event "$1" quality tone_heard)" true
    expect "how the sound of $1 was encrypted" "$(event "$1" security method '"leg":"media"')" DTLS-SRTP
    expect "what proves its keys" "$(event "$1" security proof '"leg":"media"')" media
}
# talked CALLED: they did.
talked() {
    [ $alice_status = 0 ] && [ $called_status = 0 ] || failed "alice's phone ended with $alice_status, that of $1 with $called_status"
    [ -n "$call_id" ] || failed "alice's edge does not know of the call"
    heard "$alice"
    heard "$1"
}

# ---- the telling ----

tell_sound() {
    say "  They talked for $talk seconds; each heard the other's tone: $data/alice-heard.wav, ${1%%@*}-heard.wav."
    say "  Sound        $(event "$1" security method '"leg":"media"') with $(event "$1" security suite '"leg":"media"')," \
        "proven by what was heard; key known to"
    say "               $(event "$1" security exposed '"leg":"media"'). It went to $(event "$alice" answered media) from alice," \
        "to $(event "$1" answered media) from ${2}."
}

# The four hops, as the edges at the ends have them; each must be TLS with both ends known.
tell_signalling() {
    say "  Signalling   Alice to example1: $(hop example1 caller)"
    say "               to the carrier:    $(hop example1 callee)"
    say "               to example2:       $(hop example2 caller)"
    say "               to Bob:            $(hop example2 callee)"
}
hop() { story "$1" | sed -n "s/^Signalling with the $2: \(TLS[^(]*([^)]*)\).*/\1/p"; }
expect_hops() {
    local edge party
    for edge in example1 example2; do
        for party in caller callee; do
            case $(hop $edge $party) in
            TLS*"each knows the other"*) ;;
            *) failed "the hop of $edge to the $party is not TLS with both ends known" ;;
            esac
        done
    done
}

# tell_reasons EDGE PARTY HEAD
tell_reasons() { reasons "$@" | sed -e 's/ \[[^]]*\]$//' -e 's/^/               - /'; }

# tell_status WHO NAME EDGE PARTY: what that phone shows, and why it is not more.
tell_status() {
    local now
    now=$(level "$3" "$4")
    say "  $2's phone shows: $(told_words "$1")"
    case $now in
    secure)
        say "               The edge, afterwards: $(explained "$3" "$4" | sed -n '1s/^For the [a-z]*: \(.*\) Not end to end: .*/\1/p')"
        say "               It is not end to end, because:"
        tell_reasons "$3" "$4" "It is not end to end"
        ! reasons "$3" "$4" Besides | grep -q '(media-not-proven,' ||
            say "               That the keys are used the edge does not see, for the sound does not pass it; the phones have proven it."
        ;;
    protected)
        say "               It is not secure, because:"
        tell_reasons "$3" "$4" "It is not secure"
        ;;
    esac
}

# ---- the four calls ----

call_direct() {
    say
    say "1. Alice, at example1.com, calls Bob, at example2.com, through the carrier."
    steer direct
    call "$bob"
    talked "$bob"
    expect_hops
    expect_verified
    tell_signalling
    tell_sound "$bob" bob
    tell_identity
    tell_status "$bob" Bob example2 callee
    tell_answer
    tell_status "$alice" Alice example1 caller
}

# The identities that the two edges have verified, of the call and of its answer, and the levels that follow.
expect_verified() {
    expect "the status for Bob, by his edge" "$(level example2 callee)" secure
    expect "what Bob's phone was told" "$(told "$bob")" secure
    expect "the status for Alice, by her edge" "$(level example1 caller)" secure
    expect "what Alice's phone was told" "$(told "$alice")" secure
    answered_by | grep -q "example2.com has signed that" || failed "Alice's edge has not verified who answered: $(answered_by)"
}
answered_by() { story example1 | sed -n 's/^The callee is \(.*\)/\1/p'; }
tell_answer() {
    say "  Who answers  $(answered_by)"
    say "               His media keys: $(story example1 |
        sed -n 's/^Media 0 (audio) with the callee:.*proof: [a-z]*\. \(.*\) We .*/\l\1/p')"
}
tell_identity() {
    say "  Who calls    $(story example2 | sed -n 's/^The caller is \(.*\)/\1/p')"
    say "               Her media keys: $(story example2 |
        sed -n 's/^Media 0 (audio) with the caller:.*proof: [a-z]*\. \(.*\) We .*/\l\1/p')"
}

call_relayed() {
    say
    say "2. The same call; the carrier leads its sound through itself (media = relay)."
    steer relay
    call "$bob"
    talked "$bob"
    case $(event "$alice" answered media)$(event "$bob" answered media) in
    127.0.0.3:*127.0.0.3:*) ;;
    *) failed "the sound did not go through the carrier" ;;
    esac
    expect_verified
    tell_sound "$bob" bob
    tell_identity
    tell_status "$bob" Bob example2 callee
    say "               The carrier has changed addresses; the fingerprints that example1.com signed (mky) are still those of"
    say "               Alice's phone, and those that example2.com signed in the answer are Bob's, so that it has no key."
    tell_status "$alice" Alice example1 caller
}

call_attacked() {
    local why
    say
    say "3. The same call; the carrier puts itself in between: it offers a certificate of its own (media = protect)."
    steer protect
    call "$bob"
    expect "the answer to Alice" "$(event "$alice" ended status)" 438
    ! has_event "$bob" incoming || failed "Bob's phone rang"
    why=$(event "$alice" ended detail)
    case $why in
    *identity-mky-contradicted*) ;;
    *) failed "Alice's phone gives another reason: $why" ;;
    esac
    await 50 contradicted || failed "Bob's edge has not logged that the signature is contradicted"
    call_id=$(contradicted | sed 's/.* call=\([^ ]*\).*/\1/')
    expect "the status for Bob, by his edge" "$(level example2 callee)" attacked
    say "  Bob's edge   $(explained example2 callee | sed -n '1s/^For the callee: //p')"
    say "               Its log: $(contradicted | sed -E 's/.*(reason=[^ ]*).*(detail="[^"]*").*(then=[a-z]*).*/\1 \2 \3/')"
    say "  Bob's phone  did not ring."
    say "  Alice's phone shows: $why"
    steer direct
}
contradicted() { tail -n +$((log_from + 1)) "$(log_of example2)" | grep -a ' identity-contradicted ' | tail -n 1 | grep .; }

call_gateway() {
    say
    say "4. Alice calls $number, in the telephone network, through a gateway (kind = gateway)."
    call "$telephone"
    talked "$telephone"
    expect "the status for Alice, by her edge" "$(level example1 caller)" protected
    expect "what Alice's phone was told" "$(told "$alice")" protected
    reasons example1 caller "It is not secure" | grep -q '(ends-at-gateway,' || failed "the gateway is not among the reasons"
    tell_sound "$telephone" "the gateway"
    tell_status "$alice" Alice example1 caller
}
