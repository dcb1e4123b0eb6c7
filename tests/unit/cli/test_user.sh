#!/bin/sh
# sallyport user, on a store of its own: test_user.sh SALLYPORT. Each line of the script is one command and what it must say.
set -u
sallyport=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
cd "$work" || exit 1
failed=0

cat > strict.conf <<'END'
state-dir = "state"
domain "example.com" {
    aliases = { "127.0.0.1" }
    allow-clear-digest = yes
}
listen "udp:127.0.0.1:5060" { allow-clear = yes }
END
sed -e 's/aliases.*/allow-md5 = yes/' -e 's/allow-clear-digest/allow-weak-passwords = yes\n    &/' strict.conf > loose.conf

# expect STATUS TEXT COMMAND...: standard input is the file `in`; TEXT is a pattern of grep, '' for silence.
expect() {
    status=$1 text=$2
    shift 2
    "$@" < in > out 2>&1
    got=$?
    if [ "$got" != "$status" ]; then
        echo "FAILED: $*: status $got, not $status"
        failed=1
    fi
    if [ -n "$text" ] && ! grep -q -e "$text" out; then
        echo "FAILED: $*: no '$text' in:"
        cat out
        failed=1
    fi
    if [ -z "$text" ] && [ -s out ]; then
        echo "FAILED: $*: says"
        cat out
        failed=1
    fi
}
user() { # STATUS TEXT VERB...
    status=$1 text=$2
    shift 2
    expect "$status" "$text" "$sallyport" user "$@" -c strict.conf
}

good='xK9-mPq2vTz7'
echo "$good" > in
user 2 usage
user 2 usage add
user 2 usage del alice@example.com too many
user 2 'no option' list --loud
user 2 usage frobnicate alice@example.com
expect 1 'nothing.conf' "$sallyport" user list -c nothing.conf
user 0 '' list
user 0 'sip:alice@example.com added' add alice@example.com
user 1 'already.*passwd' add sip:alice@127.0.0.1
user 0 'sip:ALICE@example.com added' add ALICE@Example.com # user parts have case (RFC 3261 19.1.4)
user 1 'already' add sip:alice@EXAMPLE.COM
user 1 'no domain "other.org".*add it there' add carol@other.org
user 1 'not user@domain' add carol
user 1 'not user@domain' add 'car ol@example.com'
user 1 'not user@domain' add 'carol@example.com:5070'
user 1 'not user@domain' add '@example.com'
user 1 'allow-md5.*leave' add carol@example.com --allow-md5
echo short > in
user 1 'shorter than 12.*--allow-weak-password' add bob@example.com
user 0 'bob@example.com added' add bob@example.com --allow-weak-password
user 1 'refused' passwd alice@example.com
: > in
user 1 'no password' passwd alice@example.com
echo > in
user 1 'empty' passwd alice@example.com --allow-weak-password
echo 'yL8_nQr3wUa9' > in
before=$(sqlite3 state/sallyport.db "SELECT hex(ha1_sha256) FROM users WHERE aor='sip:alice@example.com'" 2> /dev/null)
user 0 'new password' passwd alice@example.com
if command -v sqlite3 > /dev/null; then
    after=$(sqlite3 state/sallyport.db "SELECT hex(ha1_sha256) FROM users WHERE aor='sip:alice@example.com'")
    expected=$(printf 'alice:example.com:yL8_nQr3wUa9' | sha256sum | cut -d' ' -f1 | tr a-f A-F)
    [ "$after" = "$expected" ] && [ "$after" != "$before" ] || { echo "FAILED: hash $after, not $expected"; failed=1; }
    [ "$(sqlite3 state/sallyport.db "SELECT count(*) FROM users WHERE ha1_md5 IS NOT NULL")" = 0 ] ||
        { echo "FAILED: an MD5 hash is kept for users who may not use it"; failed=1; }
fi
user 1 'no user' passwd nobody@example.com
user 0 'disabled' disable bob@example.com
user 0 'bob@example.com .*disabled' list example.com
user 0 'enabled' enable bob@example.com
user 1 'no domain' list other.org
user 0 'removed' del bob@example.com
user 1 'no user' del bob@example.com
user 1 'no user' disable bob@example.com
[ "$(stat -c %a state/sallyport.db state | tr '\n' ' ')" = '600 700 ' ] || { echo "FAILED: modes"; failed=1; }
grep -q "$good" state/sallyport.db && { echo "FAILED: a password is in the store"; failed=1; }

# import: whole or not at all, errors with line and cure
printf 'user,domain,password,options\r\ncarol,example.com,"xK9,""mPq2vTz7",\r\n\r\ndave,127.0.0.1,%s\r\n' "$good" > ok.csv
user 0 '2 users imported' import ok.csv
user 0 'sip:dave@example.com' list
{
    echo 'User,Domain,Password,Options'
    echo 'e,example.com,short,'
    echo "f,nowhere.org,$good,"
    echo "g,example.com,$good,allow-md5"
    echo "h,example.com,$good,fast"
    echo 'i,example.com'
    echo 'j,example.com,a"b,'
    echo "k,example.com,,"
    echo "ok,example.com,$good,"
} > bad.csv
for line in '2: .*--allow-weak-password' '3: .*add it' '4: .*leave' '5: .*only allow-md5' '6: ' '7: .*quote' '8: .*empty' \
    ' nothing was imported'; do
    user 1 "^sallyport: bad.csv:$line" import bad.csv
done
user 0 'dave' list
grep -q 'sip:ok@' out && { echo "FAILED: a part was imported"; failed=1; }
cp ok.csv in
user 0 '2 users imported' import -
echo 'name;password' > in
user 1 'standard input:1: the first line must be' import -
user 1 'No such file' import nofile.csv

# the edge's own figures: 10,000 users with MD5 and weak passwords
awk 'BEGIN { print "user,domain,password,options"; for (i = 0; i < 10000; i++) printf "u%d,example.com,pw%d,allow-md5\n", i, i }' > many.csv
expect 0 '10000 users imported' "$sallyport" user import many.csv -c loose.conf
expect 0 'u9999@example.com .*MD5' "$sallyport" user list -c loose.conf
user 1 'allow-md5.*leave' passwd u1@example.com --allow-weak-password

[ "$failed" = 0 ] && echo "all as expected"
exit "$failed"
