# ops.sh: what the scripts about operation share. Sourced after lib.sh.
# shellcheck shell=bash

status() { "$(edge_program)" status "$@" -c edge.conf; }
# json VIEW JQ-FILTER: true if the daemon's answer passes it
json() { status "$1" --json | jq -e "$2" >>json.log; }
metrics() { curl -fsS --max-time 5 "http://$ADDR:9100/metrics"; }
# metric NAME-AND-LABELS: its value
metric() { metrics | awk -v want="$1" '$1 == want { print $2; n++ } END { exit n != 1 }'; }
metric_is() { [ "$(metric "$1")" = "$2" ]; }
registers() { PORT=${PORT:-7799} TRANSPORT=u1 sipp_register "$1" "sip:$1@$ADDR:7799" "${2:-60}"; }
