# phones.sh: baresip as a phone that scripts drive. Sourced after lib.sh.
# shellcheck shell=bash

# phone_start NAME TRANSPORT PORT CTRL-PORT HZ [ACCOUNT-OPTIONS]: a baresip that registers NAME@example.com through the
# edge over TRANSPORT, answers by itself, plays a tone of HZ and writes what it hears to NAME/dump-*-dec.wav. It speaks G.711,
# or what ";audio_codecs=opus/48000/2" in the options says.
phone_start() {
    local name=$1 transport=$2 port=$3 ctrl=$4 hz=$5 options=${6:-} edge_port=5060
    [ "$transport" != tls ] || edge_port=5061
    mkdir -p "$name"
    "$(tool tone)" make "$name/tone.wav" "$hz" 60 8000 || return 1
    # sip_listen's port + 1 is where its TLS listens.
    cat >"$name/config" <<END
poll_method             epoll
sip_listen              $ADDR:$port
sip_cafile              $WORK/certs/ca.crt
call_local_timeout      30
call_max_calls          4
audio_source            aufile,$WORK/$name/tone.wav
audio_player            aubridge,$name
audio_alert             aubridge,$name-alert
audio_level             no
ausrc_srate             8000
ausrc_channels          1
rtp_ports               $((20000 + port))-$((20000 + port + 90))
rtcp_mux                no
net_interface           lo
module_path             /usr/lib/baresip/modules
module                  $([[ $options == *opus* ]] && echo opus.so || echo g711.so)
module                  aufile.so
module                  aubridge.so
module                  sndfile.so
module                  srtp.so
module                  dtls_srtp.so
module_tmp              uuid.so
module_tmp              account.so
module_app              menu.so
module_app              ctrl_tcp.so
ctrl_tcp_listen         $ADDR:$ctrl
snd_path                $WORK/$name
END
    echo "<sip:$name@$DOMAIN;transport=$transport>;outbound=\"sip:$ADDR:$edge_port;transport=$transport\"$(:
        );auth_user=$name;auth_pass=$(password_of "$name");answermode=auto;regint=60$options" >"$name/accounts"
    : >"$name/contacts"
    baresip -f "$WORK/$name" -s -t 58 </dev/null >>"$name.log" 2>&1 &
    eval "PHONE_CTRL_$name=$ctrl PHONE_PID_$name=$!"
}

# A phone's log is appended to; phone_log_mark hides what came before.
phone_log_mark() { eval "PHONE_MARK_$1=$(($(wc -c <"$1.log") + 1))"; }
phone_log_has() {
    local mark
    eval "mark=\${PHONE_MARK_$1:-1}"
    tail -c "+$mark" "$1.log" | grep -aEq -- "$2"
}

phone_registered() { phone_log_has "$1" '200 OK .*\[[0-9]+ bindings?\]'; }

# phone_do NAME COMMAND [PARAMETERS]: one command by ctrl_tcp, whose messages are netstrings of JSON.
phone_do() {
    local name=$1 command=$2 params=${3:-} ctrl text fd
    eval "ctrl=\$PHONE_CTRL_$name"
    text="{\"command\":\"$command\",\"params\":\"$params\"}"
    exec {fd}<>"/dev/tcp/$ADDR/$ctrl" || return 1
    printf '%d:%s,' ${#text} "$text" >&"$fd"
    # The answer is not needed, but closing before it is read would lose the command.
    timeout 1 cat <&"$fd" >>"$name/ctrl.txt" &
    wait $!
    exec {fd}>&-
    return 0
}

# phone_heard NAME HZ NOT-HZ: the newest recording of what NAME heard.
phone_heard() {
    local file
    file=$(ls -t "$1"/dump-*-dec.wav 2>/dev/null | head -n 1)
    [ -n "$file" ] || { echo "$1 recorded nothing"; return 1; }
    "$(tool tone)" check "$file" "$2" "$3"
}

phone_established() { phone_log_has "$1" 'Call established'; }
phone_closed() { phone_log_has "$1" 'session closed|terminated \(duration'; }

# phones_call TRANSPORT A B [ACCOUNT-OPTIONS]: A calls B, both hear each other, A hangs up; then B calls A and is hung up
# on, so that requests within the dialog go both ways. Ports follow from the names: the letter tells them apart.
phones_call() {
    local transport=$1 a=$2 b=$3 options=${4:-} base
    base=$((7000 + 100 * ($(printf '%d' "'$a") - 96)))
    need "$a's phone starts" phone_start "$a" "$transport" $((base + 10)) $((base + 20)) 440 "$options"
    need "$b's phone starts" phone_start "$b" "$transport" $((base + 30)) $((base + 40)) 880 "$options"
    need "$a registers over $transport" await 10 phone_registered "$a"
    need "$b registers over $transport" await 10 phone_registered "$b"

    check "$a dials $b" phone_do "$a" dial "sip:$b@$DOMAIN"
    check "the call is established at $a" await 10 phone_established "$a"
    check "the call is established at $b" await 10 phone_established "$b"
    sleep 3
    check "$a hangs up" phone_do "$a" hangup
    check "$a's side of the call ends" await 5 phone_closed "$a"
    check "$b's side of the call ends" await 5 phone_closed "$b"
    check "$a heard $b's 880 Hz" phone_heard "$a" 880 440
    check "$b heard $a's 440 Hz" phone_heard "$b" 440 880

    phone_log_mark "$a"
    phone_log_mark "$b"
    rm -f "$a"/dump-* "$b"/dump-*
    check "$b dials $a" phone_do "$b" dial "sip:$a@$DOMAIN"
    check "the second call is established" await 10 phone_established "$b"
    sleep 2
    check "the called $a hangs up" phone_do "$a" hangup
    check "$b's side of the second call ends" await 5 phone_closed "$b"
    check "$b heard $a in the second call" phone_heard "$b" 440 880
    check "$a heard $b in the second call" phone_heard "$a" 880 440
}
