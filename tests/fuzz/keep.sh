#!/bin/sh
# keep.sh BUILD NAME DIR...: of all inputs that runs with libFuzzer have left in DIR..., and of those kept so far, keeps as few as
# reach the same code: kept/NAME.tar.xz. BUILD was configured with -Dfuzz=true.
set -e
here=$(cd "$(dirname "$0")" && pwd)
build=$1
name=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/old" "$work/new" "$here/kept" 2>/dev/null || [ -d "$here/kept" ]
[ ! -f "$here/kept/$name.tar.xz" ] || tar -xJf "$here/kept/$name.tar.xz" -C "$work/old"
# What the seeds reach is not kept again.
"$build/tests/fuzz/fuzz_$name" -set_cover_merge=1 "$work/new" "$here/corpus/$name" "$work/old" "$@" >"$work/log" 2>&1 ||
    { tail -n 5 "$work/log" >&2; exit 1; }
for seed in "$here/corpus/$name"/*; do
    rm -f "$work/new/$(sha1sum <"$seed" | cut -d' ' -f1)"
done
find "$work/new" -size +64k -delete
(cd "$work/new" && ls | sort | tar -cf - --mtime=@0 --owner=0 --group=0 --numeric-owner -T -) | xz -9e >"$here/kept/$name.tar.xz"
echo "$name: $(ls "$work/new" | wc -l) inputs, $(wc -c <"$here/kept/$name.tar.xz") bytes"
