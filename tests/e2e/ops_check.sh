#!/bin/bash
# What `sallyport check` by root finds that only the daemon's user would meet: files that it may not read, folders that it may not write
# to; of the user of run-as, and of the one whose state-dir is. Then what the command `user` makes as root is that user's.
. "$(dirname "$0")/lib.sh"

check_conf() { "$(edge_program)" check -c edge.conf >found.out 2>&1; }
# finds PATTERN: it is refused, and nothing else is said.
finds() {
    ! check_conf || return 1
    grep -q "^edge.conf:[0-9]*: $1" found.out && [ "$(grep -c '^edge.conf:[0-9]' found.out)" = 1 ]
}
# spoilt MODE FILE PATTERN: with another mode, root's, the file is a problem; and none without.
spoilt() {
    local mode owner
    mode=$(stat -c %a "$2") owner=$(stat -c %U:%G "$2")
    chown root:root "$2" && chmod "$1" "$2"
    check "$2 with mode $1 is found" finds "$3"
    chown "$owner" "$2" && chmod "$mode" "$2"
}

make_certs
chmod 711 "$WORK"
chmod 755 certs
nogroup=$(id -gn nobody)
mkdir state logs signing && chmod 755 logs signing
"$(edge_program)" mint --ca signing "CA of identities" >/dev/null && "$(edge_program)" mint signing $DOMAIN >/dev/null
chgrp "$nogroup" "certs/$DOMAIN.key" && chmod 640 "certs/$DOMAIN.key"
cp signing/ca.crt anchors.pem && chmod 644 anchors.pem
identity="identity \"$DOMAIN\" { certificate = \"signing/$DOMAIN.crt\" key = \"signing/$DOMAIN.key\" url = \"https://$DOMAIN/a.pem\" }"
edge_conf 'identity-ca = "anchors.pem"' "$identity"
chmod 644 edge.conf
check "root has no problem with it" check_conf

chown nobody:"$nogroup" state
check "without run-as the owner of state-dir is who counts, for a key that signs, too" finds "key: user nobody may not read .*/signing/$DOMAIN.key; let it, as owner root:nobody"
check "which it says" grep -q 'as user nobody' found.out
chgrp "$nogroup" "signing/$DOMAIN.key" && chmod 640 "signing/$DOMAIN.key"
check "and no problem with it" check_conf

check "what the command makes as root is that user's" user_add alice
check "its store" [ "$(stat -c %U state/sallyport.db)" = nobody ]
chown root state/sallyport.db
check "a store of root's is found" finds "state-dir: user nobody cannot write to .*/state/sallyport.db"
chown nobody state/sallyport.db

chmod 600 "signing/$DOMAIN.key" && chown root:root "signing/$DOMAIN.key"
edge_conf 'run-as = "nobody"' 'identity-ca = "anchors.pem"' "$identity"
chmod 644 edge.conf
chown root:root state state/sallyport.db
check "with run-as root starts it: the key that signs, and what root made of the state, are right so" check_conf
spoilt 600 "certs/$DOMAIN.key" "key: user nobody may not read .*/certs/$DOMAIN.key"
spoilt 600 "certs/$DOMAIN.crt" "certificate: user nobody may not read"
spoilt 600 anchors.pem "identity-ca: user nobody may not read"
spoilt 700 signing "certificate: user nobody may not read .*/signing/$DOMAIN.crt"
chmod 600 edge.conf
check "a configuration that it cannot read again" check_conf
check "is a warning" grep -q 'cannot reload' found.out
chmod 644 edge.conf
chown daemon state
check "a state-dir that is another user's is found" finds 'state-dir: user nobody cannot write to .*/state:'
chown root state
echo 'store = "logs/store.db"' >>edge.conf
check "a folder for the store that it cannot write to is found" finds 'store: user nobody cannot write to .*/logs: Permission denied; give it'
chown nobody logs
check "and one that it can is none" check_conf
sed -i '$d' edge.conf
chown root logs
echo 'control = "logs/control"' >>edge.conf
check "nor can the socket be there" finds 'control: user nobody cannot write to .*/logs:'
