#!/bin/sh
# Is every event of the log explained in docs/operation.md, and is every one explained there still logged? events.sh <root>
cd "$1" || exit 1
logged=$(find src -name '*.c' ! -path 'src/base/log*' -exec cat {} + | tr '\n' ' ' |
    grep -oE '\b(LOG|log_reason|log_write)\([^";]*"[a-z-]+"' | sed 's/.*"\(.*\)"/\1/' | sort -u)
explained=$(sed -n '/^## Log/,/^## Mirror/s/^| `\([a-z-]*\)` |.*/\1/p' docs/operation.md | sort -u)
[ -n "$logged" ] || exit 1
status=0
for event in $logged; do
    echo "$explained" | grep -qx -- "$event" ||
        { echo "docs/operation.md: add a line for the event '$event' to the table under \"Log\""; status=1; }
done
for event in $explained; do
    echo "$logged" | grep -qx -- "$event" || { echo "docs/operation.md: nothing logs '$event' any more"; status=1; }
done
exit $status
