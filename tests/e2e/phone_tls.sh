#!/bin/bash
# Our own phone over TLS: it verifies the edge by certificate and name, logs in with SHA-256, and two of them call each other with
# sound that is checked by its frequency in both directions, by the phones and by an independent tool. (TR/100 7.2.1, 7.2.3;
# RFC 3261, 5626, 5922, 7616, 4733)
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/ourphone.sh"

make_certs
edge_conf
our_user alice bob
need "the edge starts" edge_start

check "alice registers and goes" our_status 0 alice --register-only
check "the edge's certificate is verified" our_event alice security '"leg":"signalling"' '"verified":true' "\"name\":\"$DOMAIN\""
check "by TLS 1.3 with forward secrecy" our_event alice security '"version":"TLSv1.3"' '"forward_secret":true'
check "the password was proved by SHA-256" our_event alice security '"digest":"SHA-256"'
check "and the edge has proved that it knows it, too" our_event alice security '"server_knows_password":true'

need "bob waits" our_start bob --answer --answer-after 0.5 --play tone:880 --expect-tone 440 --record bob.wav --expect-dtmf 147
check "alice calls him, hears him, and hangs up" our_status 0 alice --call "sip:bob@$DOMAIN" --play tone:440 --expect-tone 880 \
    --record alice.wav --dtmf 147 --duration 3
check "bob heard her and her digits" our_end bob 0
check "it rang" our_event alice ringing '"status":180'
check "alice's recording is bob's 880 Hz" "$(tool tone)" check alice.wav 880 440
check "bob's recording is alice's 440 Hz" "$(tool tone)" check bob.wav 440 880
check "alice lost nothing" our_event alice quality '"lost":0' '"tone_heard":true'
check "both reported by RTCP" our_event bob quality '"remote_lost":0'
check "the phone says that the media is protected" our_event alice security '"leg":"media"' '"method":"DTLS-SRTP"' '"proof":"media"' '"level":"protected"'

need "bob waits again" our_start bob --answer --play tone:880 --duration 2
check "bob hangs up this time" our_status 0 alice --call bob --expect-tone 880
check "bob's phone is content" our_end bob 0

check "a call to somebody who is not there fails" our_status 4 alice --call bob
check "with a status" our_event alice ended '"status":4'
need "bob plays the wrong tone" our_start bob --answer --play tone:660 --duration 2
check "and that is noticed" our_status 5 alice --call bob --expect-tone 880
check "bob's phone ends" our_end bob 0

need "bob plays a file" our_start bob --answer --play bob.wav --duration 2
check "alice hears what bob had recorded" our_status 0 alice --call bob --expect-tone 440
check "bob's phone has played it" our_end bob 0
check "the edge stops in order" edge_stop
