#!/bin/sh
# replay.sh PROGRAM NAME [ARGUMENT...]: a target over its seeds (corpus/NAME) and over what earlier runs found and was worth
# keeping (kept/NAME.tar.xz, made by keep.sh).
here=$(dirname "$0")
program=$1
name=$2
shift 2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
kept=$here/kept/$name.tar.xz
if [ -f "$kept" ]; then
    tar -xJf "$kept" -C "$work" || exit 1
    [ -n "$(ls "$work")" ] || { echo "$kept has nothing in it"; exit 1; }
fi
"$program" "$@" "$here/corpus/$name" "$work"
