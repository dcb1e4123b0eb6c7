#!/bin/bash
# examples/bench.conf as somebody measuring from outside would use it: ten thousand users imported, phones of sipp's kind
# that register over UDP and TCP, sipp's stock caller and callee with the edge between them, relayed by UDP and, from TLS,
# by TLS, on 127.0.0.1.
. "$(dirname "$0")/lib.sh"
. "$E2E_HERE/sipp.sh"

PROBE=$(tool probe)
LOOP=127.0.0.1
export TO=$LOOP FROM=$LOOP DOMAIN=bench.test

edge_start_bench() {
    "$(edge_program)" run -c bench.conf >>edge.log 2>&1 &
    E2E_EDGE_PID=$!
    await 20 edge_ready_or_dead
    edge_alive && edge_ready
}
# The common parts name their user by key; here it comes from a line of the file.
of_file() { "$@" | sed -e 's/\[user\]/[field0]/g' -e 's/\[authentication\]/[field1]/'; }

edge_is sallyport || { ok "the stand-in has no such configuration"; exit 0; }
make_ca ca
make_cert ca bench.test DNS:bench.test
cp certs/bench.test.crt bench.crt
cp certs/bench.test.key bench.key
cp "$E2E_HERE/../../examples/bench.conf" bench.conf
{
    echo user,domain,password,options
    for ((i = 0; i < 10000; i++)); do
        echo "u$i,bench.test,pw$i,allow-md5"
    done
} >users.csv
began=$(now_ms)
need "ten thousand users are imported" "$(edge_program)" user import users.csv -c bench.conf
need "the edge starts with them" edge_start_bench
echo "# imported and started in $(($(now_ms) - began)) ms"

{
    echo SEQUENTIAL
    for ((i = 0; i < 10000; i += 50)); do
        echo "u$i;[authentication username=u$i password=pw$i];"
    done
} >phones.csv
scenario phones of_file register_parts
for way in UDP:u1:7710 TCP:t1:7720; do
    IFS=: read -r kind TRANSPORT PORT <<<"$way"
    TRANSPORT=$TRANSPORT PORT=$PORT check "two hundred phones register over $kind" sipp_run "phones-$kind" -sf phones.xml -inf phones.csv -m 200 -r 200 \
        -key contact "sip:phone@$LOOP:$PORT;transport=${kind,,}" -key expires 600
done

# The callee behind the edge and the caller before it, both as sipp has them, no line changed.
for way in UDP:u1:7730 TCP:t1:7740; do
    IFS=: read -r kind TRANSPORT PORT <<<"$way"
    TRANSPORT=u1 PORT=17060 SIPP_SECONDS=15 sipp_begin "callee_$kind" -sn uas -m 50
    await 5 udp_open 17060
    TRANSPORT=$TRANSPORT check "fifty calls of sipp's stock caller over $kind to its stock callee" \
        sipp_run "caller-$kind" -sn uac -s nobody -m 50 -r 50
    check "each seen whole by the callee" sipp_wait "callee_$kind"
done
check "they went through the edge, which asked to stay on their way" grep -aq '^Record-Route: <sip:.*127.0.0.1' callee_UDP.msg

# What came by TLS leaves by TLS, to port 17061.
openssl s_server -accept $LOOP:17061 -cert bench.crt -key bench.key -quiet >behind.txt 2>&1 < <(sleep 20) &
await 5 tcp_open 17061
{
    printf '%s\r\n' 'MESSAGE sip:nobody@bench.test SIP/2.0' "Via: SIP/2.0/TLS $LOOP:9;branch=z9hG4bKtls1;rport" \
        'Max-Forwards: 70' 'From: <sip:load@bench.test>;tag=a' 'To: <sip:nobody@bench.test>' 'Call-ID: tls1' \
        'CSeq: 1 MESSAGE' 'Content-Type: text/plain' 'Content-Length: 2' ''
    printf hi
} >message.txt
"$PROBE" send tls $LOOP 5061 message.txt 2 >message.out 2>&1
check "a request that came by TLS leaves by TLS" grep -aq '^MESSAGE sip:nobody@bench.test' behind.txt
check "the edge lives" edge_alive
check "the edge stops in order" edge_stop
