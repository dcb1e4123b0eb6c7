# sipp.sh: sipp scenarios put together from parts, and sipp run with them. Sourced after lib.sh.
#
# sipp reads a scenario as one XML file and knows no inclusion; the parts every call needs (a challenged INVITE, an ACK
# that follows the route set, a BYE that may be challenged) are shell functions here, and a test writes its scenario as
# a list of them. Each side is a user agent of RFC 3261 with its Via, route set and tags made by sipp.
# shellcheck shell=bash

SIPP_CSEQ=0
SIPP_LABEL=0

scenario() {
    local file=$1.xml
    shift
    {
        printf '<?xml version="1.0" encoding="ISO-8859-1" ?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n'
        printf '<scenario name="%s">\n' "${file%.xml}"
        SIPP_CSEQ=0
        "$@"
        printf '</scenario>\n'
    } >"$file"
}

# send_part [ATTRIBUTES] <MESSAGE: lines of the header, then a blank line and the body where there is one.
send_part() {
    printf '  <send %s><![CDATA[\n' "${1:-}"
    cat
    printf '\n  ]]></send>\n'
}

recv() { printf '  <recv response="%s" %s/>\n' "$1" "${2:-}"; }
recv_opt() { recv "$1" "optional=\"true\" ${2:-}"; }
recv_request() { printf '  <recv request="%s" %s/>\n' "$1" "${2:-}"; }
wait_ms() { printf '  <pause milliseconds="%s"/>\n' "$1"; }
label() { printf '  <label id="%s"/>\n' "$1"; }

sdp_part() {
    cat <<END

v=0
o=- 3000 $1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
END
}

credentials='[authentication]'

# --- The caller ([user] of [domain] calls [callee], an address)

out_head() { # METHOD CSEQ FURTHER-HEADERS: a request outside a dialog
    cat <<END
$1 sip:[callee] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=${BRANCH:-[branch]};rport
Max-Forwards: 70
From: <sip:[user]@[domain]>;tag=[pid]c[call_number]
To: <sip:[callee]>${TO_TAG:-}
Call-ID: [call_id]
CSeq: $2 ${CSEQ_METHOD:-$1}
END
    [ -z "${3:-}" ] || printf '%s\n' "$3"
}

in_head() { # METHOD CSEQ FURTHER-HEADERS: a request in the dialog, along its route set
    cat <<END
$1 [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=${BRANCH:-[branch]};rport
[routes]
Max-Forwards: 70
From: <sip:[user]@[domain]>;tag=[pid]c[call_number]
To: <sip:[callee]>[peer_tag_param]
Call-ID: [call_id]
CSeq: $2 $1
Contact: <sip:[user]@[local_ip]:[local_port];transport=[transport]>
END
    [ -z "${3:-}" ] || printf '%s\n' "$3"
}

no_body='Content-Length: 0'
sdp_body='Content-Type: application/sdp
Content-Length: [len]'
contact='Contact: <sip:[user]@[local_ip]:[local_port];transport=[transport]>'

# An INVITE, its challenge, and the INVITE with credentials.
invite_with_digest() {
    { out_head INVITE 1 "$contact
$sdp_body"; sdp_part 1; } | send_part 'retrans="500"'
    recv_opt 100
    recv "${CHALLENGE:-407}" 'auth="true"'
    BRANCH='[branch-3]' TO_TAG='[peer_tag_param]' out_head ACK 1 "$no_body" | send_part
    { BRANCH=${INVITE_BRANCH:-} out_head INVITE 2 "$contact
$credentials
$sdp_body"; sdp_part 1; } | send_part 'retrans="500"'
    SIPP_CSEQ=2
}

ack() { in_head ACK "$SIPP_CSEQ" "$no_body" | send_part; }

# in_dialog METHOD [BODY]: a request that the edge may challenge or, its side of the dialog being known, may not.
in_dialog() {
    local method=$1 body=$no_body sdp=:
    [ "${2:-}" != sdp ] || { body=$sdp_body; sdp="sdp_part 2"; }
    SIPP_LABEL=$((SIPP_LABEL + 1))
    SIPP_CSEQ=$((SIPP_CSEQ + 1))
    { in_head "$method" $SIPP_CSEQ "$body"; $sdp; } | send_part 'retrans="500"'
    recv_opt 100
    recv_opt 407 "auth=\"true\" next=\"again$SIPP_LABEL\""
    recv "${EXPECT:-200}" "next=\"done$SIPP_LABEL\""
    label "again$SIPP_LABEL"
    if [ "$method" = INVITE ]; then
        BRANCH='[branch-4]' ack
    fi
    SIPP_CSEQ=$((SIPP_CSEQ + 1))
    { in_head "$method" $SIPP_CSEQ "$credentials
$body"; $sdp; } | send_part 'retrans="500"'
    recv_opt 100
    recv "${EXPECT:-200}"
    label "done$SIPP_LABEL"
}

# --- The callee

# answer STATUS REASON [BODY] [ATTRIBUTES]: to the request received last
answer() {
    {
        printf '%s\n' "SIP/2.0 $1 $2" '[last_Via:]' '[last_Record-Route:]' '[last_From:]' \
            "[last_To:]$own_tag" '[last_Call-ID:]' '[last_CSeq:]' \
            'Contact: <sip:[local_ip]:[local_port];transport=[transport]>'
        if [ "${3:-}" = sdp ]; then
            printf '%s\n' "$sdp_body"
            sdp_part 1
        else
            printf '%s\n' "$no_body"
        fi
    } | send_part "${4:-}"
}

# answer_in_dialog STATUS REASON: to a request whose To has our tag already
answer_in_dialog() {
    printf '%s\n' "SIP/2.0 $1 $2" '[last_Via:]' '[last_Record-Route:]' '[last_From:]' '[last_To:]' '[last_Call-ID:]' \
        '[last_CSeq:]' 'Contact: <sip:[local_ip]:[local_port];transport=[transport]>' "$no_body" | send_part "${3:-}"
}

# recv_and_keep METHOD NAME [ATTRIBUTES]: a request whose answer is sent after other things: what the answer repeats is
# kept in variables. Through one edge a request has two Via.
recv_and_keep() {
    cat <<END
  <recv request="$1" ${3:-}>
    <action>
      <ereg regexp=".*" search_in="hdr" header="Via:" occurrence="1" assign_to="$2via1"/>
      <ereg regexp=".*" search_in="hdr" header="Via:" occurrence="2" assign_to="$2via2"/>
      <ereg regexp=".*" search_in="hdr" header="From:" assign_to="$2from"/>
      <ereg regexp=".*" search_in="hdr" header="To:" assign_to="$2to"/>
      <ereg regexp=".*" search_in="hdr" header="CSeq:" assign_to="$2cseq"/>
      <ereg regexp=".*" search_in="hdr" header="Record-Route:" assign_to="$2rr"/>
    </action>
  </recv>
  <Reference variables="$2via1,$2via2,$2from,$2to,$2cseq,$2rr"/>
END
}

# answer_kept NAME STATUS REASON [TO-TAG] [sdp]: the answer to what recv_and_keep NAME received
answer_kept() {
    {
        printf '%s\n' "SIP/2.0 $2 $3" "Via:[\$$1via1]" "Via:[\$$1via2]"
        [ -z "${4:-}" ] || printf '%s\n' "Record-Route:[\$$1rr]"
        printf '%s\n' "From:[\$$1from]" "To:[\$$1to]${4:-}" 'Call-ID: [call_id]' "CSeq:[\$$1cseq]" \
            'Contact: <sip:[local_ip]:[local_port];transport=[transport]>'
        if [ "${5:-}" = sdp ]; then
            printf '%s\n' "$sdp_body"
            sdp_part 1
        else
            printf '%s\n' "$no_body"
        fi
    } | send_part
}

own_tag=';tag=[pid]s[call_number]'

# callee_head METHOD CSEQ FURTHER-HEADERS: a request of the callee within the dialog whose INVITE was kept as "call"
# (RFC 3261 12.2.1.1: From and To exchanged).

callee_head() {
    cat <<END
$1 [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=${BRANCH:-[branch]};rport
[routes]
Max-Forwards: 70
From:[\$callto]$own_tag
To:[\$callfrom]
Call-ID: [call_id]
CSeq: $2 $1
Contact: <sip:[local_ip]:[local_port];transport=[transport]>
END
    [ -z "${3:-}" ] || printf '%s\n' "$3"
}

# --- Running sipp

# sipp_run NAME SCENARIO-ARGUMENTS...: one or more calls to the edge (or TO), to their end. TRANSPORT=u1|t1, FROM=own address,
# PORT=own port, AS=the user whose credentials it has, LENIENT=1: what comes out of order does not end a call.
sipp_run() {
    local name=$1
    shift
    local -x TERM=dumb
    local as=()
    [ -z "${AS:-}" ] || as=(-key user "$AS" -au "$AS" -ap "$(password_of "$AS")")
    timeout "${SIPP_SECONDS:-20}" sipp "${TO:-$ADDR}:5060" -i "${FROM:-$ADDR}" -p "${PORT:-7200}" -t "${TRANSPORT:-u1}" -nostdin -default_behaviors "all,-bye${LENIENT:+,-abortunexp}" \
        -key domain "$DOMAIN" -timeout "${SIPP_SECONDS:-20}" -timeout_error -recv_timeout "${RECV_MS:-8000}" \
        -trace_err -error_file "$WORK/$name-err.log" -trace_msg -message_file "$WORK/$name.msg" \
        "${as[@]}" "$@" >"$name.out" 2>&1
}

# The same in the background; sipp_wait NAME tells how it ended.
sipp_begin() {
    sipp_run "$@" &
    eval "SIPP_PID_${1//-/_}=$!"
}

sipp_wait() {
    local pid
    eval "pid=\$SIPP_PID_${1//-/_}"
    wait "$pid"
}

# sipp_register NAME CONTACT [EXPIRES]: registers with digest; TRANSPORT and PORT as above.
sipp_register() {
    [ -e register.xml ] || scenario register register_parts
    SIPP_SECONDS=10 RECV_MS=4000 AS=$1 sipp_run "register-$1" -sf register.xml -m 1 -key contact "$2" \
        -key expires "${3:-60}"
}

register_head() {
    cat <<END
REGISTER sip:[domain] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
Max-Forwards: 70
From: <sip:[user]@[domain]>;tag=[pid]r[call_number]
To: <sip:[user]@[domain]>
Call-ID: [call_id]
CSeq: $1 REGISTER
Contact: <[contact]>
Expires: [expires]
END
    [ -z "${2:-}" ] || printf '%s\n' "$2"
    echo "$no_body"
}

register_parts() {
    register_head 1 | send_part 'retrans="500"'
    recv_opt 100
    recv 401 'auth="true"'
    register_head 2 "$credentials" | send_part 'retrans="500"'
    recv_opt 100
    recv "${EXPECT:-200}"
}

# How many messages that match a pattern NAME's sipp received, from its message log.
sipp_received() {
    awk -v want="$2" '/^-+ [0-9]/ { take = 0 } / message received / { take = 1; next }
        take && $0 != "" { if ($0 ~ want) n++; take = 0 } END { print n + 0 }' "$1.msg"
}

# --- Scenarios that several scripts use

message_head() {
    out_head MESSAGE "$1" "${2:-}"
    printf '%s\n' 'Content-Type: text/plain' 'Content-Length: [len]' '' 'hello'
}

# A MESSAGE with digest; EXPECT is its final response. Made with: scenario message message_parts
message_parts() {
    message_head 1 | send_part 'retrans="500"'
    recv_opt 100
    recv 407 'auth="true"'
    message_head 2 "$credentials" | send_part 'retrans="500"'
    recv_opt 100
    recv "${EXPECT:-200}"
}

# The same where no way leads there: any answer of the kind, but an answer.
message_fails_parts() {
    local status
    message_head 1 | send_part 'retrans="500"'
    recv_opt 100
    recv 407 'auth="true"'
    message_head 2 "$credentials" | send_part
    recv_opt 100
    for status in 403 404 480 500 502 503 504; do
        recv_opt $status 'next="failed"'
    done
    recv 408
    label failed
}

message_callee_parts() {
    recv_request MESSAGE
    answer 200 OK
}

# REGISTER without a Contact: succeeds when the binding whose URI is [contact] is listed (RFC 3261 10.3 step 7).
fetch_parts() {
    register_head 1 | sed '/^Contact:/d; /^Expires:/d' | send_part 'retrans="500"'
    recv_opt 100
    recv 401 'auth="true"'
    register_head 2 "$credentials" | sed '/^Contact:/d; /^Expires:/d' | send_part 'retrans="500"'
    recv_opt 100
    cat <<'END'
  <recv response="200">
    <action>
      <ereg regexp="sip:[^>;]*:7799" search_in="hdr" header="Contact:" check_it="true" assign_to="found"/>
    </action>
  </recv>
  <Reference variables="found"/>
END
}
