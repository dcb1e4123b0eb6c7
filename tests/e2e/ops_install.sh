#!/bin/bash
# What is installed is whole and fits together: systemd's own checks take the unit, which starts the program that is installed and leaves
# it few rights; groff finds no fault in the manual pages; every command has a help.
. "$(dirname "$0")/lib.sh"

silent() { # COMMAND...: succeeds and says nothing
    "$@" >said.log 2>&1 && [ ! -s said.log ] && return
    cat said.log
    return 1
}
helps() {
    local command
    for command in $(sallyport help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
        sallyport "$command" --help >help.log 2>&1 || { echo "$command: status $?"; return 1; }
        grep -q "^usage: sallyport $command" help.log || { cat help.log; return 1; }
    done
    [ "$command" = version ]
}

need "it is installed" env DESTDIR="$WORK/there" meson install -C "$BUILD" --no-rebuild --quiet
need "into a /usr/local" mount --bind there/usr/local /usr/local
PATH=/usr/local/bin:$PATH
for file in bin/sallyport lib/systemd/system/sallyport.service lib/sysusers.d/sallyport.conf lib/tmpfiles.d/sallyport.conf \
    share/man/man8/sallyport.8 share/man/man5/sallyport.conf.5 share/doc/sallyport/README.md share/doc/sallyport/docs/operation.md; do
    check "there is $file" [ -s "/usr/local/$file" ]
done
unit=/usr/local/lib/systemd/system/sallyport.service
check "systemd has nothing to say against the unit" silent systemd-analyze verify --man=no "$unit"
check "it leaves the daemon few rights" systemd-analyze security --offline=true --threshold=20 --no-pager "$unit"
check "the user and the folders can be made" eval 'mkdir -p root/etc root/var && systemd-sysusers --root="$WORK/root" /usr/local/lib/sysusers.d/sallyport.conf &&
    systemd-tmpfiles --root="$WORK/root" --create /usr/local/lib/tmpfiles.d/sallyport.conf'
check "the state is the user's alone" [ "$(stat -c %a root/var/lib/sallyport):$(stat -c %u root/var/lib/sallyport)" = "700:$(sed -n 's/^sallyport:[^:]*:\([0-9]*\):.*/\1/p' root/etc/passwd)" ]
check "the configuration is root's" [ "$(stat -c %a:%u root/etc/sallyport)" = 750:0 ]
for page in man8/sallyport.8 man5/sallyport.conf.5; do
    check "groff finds no fault in $page" silent groff -man -Tutf8 -ww -z /usr/local/share/man/$page
done
check "every command has a help" helps
refuse "and no options that it does not know" sallyport status --helpless
