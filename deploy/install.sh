#!/usr/bin/env bash
# Installs StemeDB as a service: the user, directories, binaries, scripts and units. Run again, it brings everything up to date
# and leaves settings and data as they are.
set -euo pipefail

usage() {
    cat <<TEXT
Usage: install.sh [--root DIR] [--uninstall]

Installs StemeDB to /opt/stemedb, its settings to /etc/stemedb/stemedb.env and its units to /etc/systemd/system.
Run it as root, in a checkout with target/release built (or with CARGO_TARGET_DIR set), or in an unpacked package.

  --root DIR    install below DIR instead of /, as for an image; no service manager is told
  --uninstall   remove binaries, scripts and units; data, backups, settings and the user stay
TEXT
}

here=$(cd "$(dirname "$0")" && pwd)
root=
uninstall=
while [ $# -gt 0 ]; do
    case "$1" in
    --root)
        [ $# -ge 2 ] || { usage >&2; exit 2; }
        root=${2%/}
        shift
        ;;
    --uninstall) uninstall=1 ;;
    --help) usage; exit ;;
    *)
        echo "install.sh: unknown argument '$1'" >&2
        usage >&2
        exit 2
        ;;
    esac
    shift
done

home=$root/opt/stemedb
units=$root/etc/systemd/system
settings=$root/etc/stemedb/stemedb.env
link=$root/usr/local/bin/stemedb-admin

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

# Tells the running service manager, unless this is another root than its own.
tell_systemd() {
    if [ -z "$root" ] && [ -d /run/systemd/system ]; then
        systemctl "$@"
    fi
}

# A package has the binaries beside this script, a checkout where cargo puts them.
find_binaries() {
    local candidate
    for candidate in "$here/bin" "${CARGO_TARGET_DIR:-$here/../target}/release"; do
        if [ -x "$candidate/stemedb-api" ] && [ -x "$candidate/stemedb-admin" ]; then
            echo "$candidate"
            return
        fi
    done
    fail "no binaries in $here/bin or target/release: build them with cargo build --release --package stemedb-net"
}

# The first of these files and directories that exists.
first_of() {
    local candidate
    for candidate in "$@"; do
        if [ -e "$candidate" ]; then
            echo "$candidate"
            return
        fi
    done
    fail "none of these is there: $*"
}

# The number of the service's user or group in the root's own passwd(5) or group(5).
number_of() {
    awk -F: '$1 == "stemedb" { print $3 }' "$root/etc/$1"
}

make_user() {
    local options=(--system --user-group --home-dir /opt/stemedb --no-create-home --shell /usr/sbin/nologin)
    if [ -z "$root" ]; then
        getent passwd stemedb >/dev/null || useradd "${options[@]}" stemedb
        user=stemedb
        group=stemedb
        return
    fi
    install -d -m 0755 "$root/etc"
    touch "$root/etc/passwd" "$root/etc/group"
    [ -n "$(number_of passwd)" ] || useradd --prefix "$root" "${options[@]}" stemedb
    user=$(number_of passwd)
    group=$(number_of group)
}

install_all() {
    local binaries docs example unit script
    binaries=$(find_binaries)
    docs=$(first_of "$here/docs" "$here/../docs")
    example=$(first_of "$here/stemedb.env" "$here/../.env.example")
    make_user

    install -d -m 0755 "$home" "$home/bin" "$home/scripts" "$units" "$(dirname "$link")"
    install -d -o "$user" -g "$group" -m 0750 "$home/data" "$home/backups" "$home/archive" "$home/drill"
    install -d -m 0755 "$(dirname "$settings")"
    install -m 0755 "$binaries/stemedb-api" "$binaries/stemedb-admin" "$home/bin"
    for script in "$here"/scripts/*; do
        if [ -f "$script" ]; then install -m 0755 "$script" "$home/scripts"; fi
    done
    rm -rf "$home/docs"
    cp -rL "$docs" "$home/docs"
    install -m 0644 "$(first_of "$here/README.md")" "$home/docs/README.md"
    chmod -R u=rwX,go=rX "$home/docs"
    if [ ! -e "$settings" ]; then install -m 0640 "$example" "$settings"; fi
    # Keys of an object store may come to stand in it; the scripts must be able to read it as the service's user.
    chown "0:$group" "$settings"
    chmod 0640 "$settings"
    for unit in "$here"/systemd/*.{service,timer}; do
        install -m 0644 "$unit" "$units"
    done
    ln -sfn /opt/stemedb/bin/stemedb-admin "$link"
    tell_systemd daemon-reload

    echo "StemeDB is installed in $home, with its settings in $settings."
    echo "Start it with: systemctl enable --now stemedb-api"
    echo "Back it up with: systemctl enable --now stemedb-backup.timer stemedb-archive.timer stemedb-verify.timer"
}

uninstall_all() {
    local unit name
    for unit in "$here"/systemd/*.{timer,service}; do
        name=$(basename "$unit")
        if [ -e "$units/$name" ]; then
            tell_systemd disable --now "$name"
            rm "$units/$name"
        fi
    done
    tell_systemd daemon-reload
    rm -rf "$home/bin" "$home/scripts" "$home/docs"
    rm -f "$link"
    echo "StemeDB is removed. What it stored is still there: data, backups and archive in $home, $(dirname "$settings"), and the user stemedb."
}

[ "$(id -u)" = 0 ] || fail "it makes a user and writes to system directories: run it as root"
if [ -n "$uninstall" ]; then uninstall_all; else install_all; fi
