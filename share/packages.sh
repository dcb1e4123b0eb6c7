# For bash scripts: packages_install <list file>... installs the Debian packages named in the files (one a line) that are
# missing. A line may end with the only architecture that has the package, as "[amd64]". Asks the network only if something
# is missing, and updates apt's lists only if it cannot do without.
packages_missing() {
    local name only
    sed -e 's/#.*//' -e '/^[[:space:]]*$/d' -- "$@" | while read -r name only; do
        [ -z "$only" ] || [ "$only" = "[$(dpkg --print-architecture)]" ] || continue
        dpkg-query -W -f='${Status}\n' "$name" 2>/dev/null | grep -q '^install ok installed' || echo "$name"
    done
}

packages_install() {
    local -a missing as_root=()
    if ! command -v dpkg-query >/dev/null; then
        echo "not a Debian system: make sure that what $* name is installed" >&2
        return 0
    fi
    mapfile -t missing < <(packages_missing "$@")
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo -n)
    fi
    echo "installing: ${missing[*]}" >&2
    as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -y -q)
    "${as_root[@]}" install --no-install-recommends "${missing[@]}" </dev/null >&2 && return 0
    "${as_root[@]}" update </dev/null >&2 &&
        "${as_root[@]}" install --no-install-recommends "${missing[@]}" </dev/null >&2
}
