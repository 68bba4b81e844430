# shellcheck shell=bash
# Finds the installation that a script belongs to, and takes over its settings. To be sourced, with `here` the directory of the
# scripts.
#
# STEMEDB_HOME  the directory with data/ and backups/: above scripts/, or above deploy/scripts/ in a checkout
# SETTINGS      the file with the settings of the units: /etc/stemedb/stemedb.env, or .env of a checkout
# ADMIN, API    the programs: in bin/ of the installation, in target/ of a checkout, or on PATH
# SERVICE       the unit of systemd; SYSTEMCTL the program that controls it
#
# AS_OWNER, an array, is what is put before a command for the owner of the data to run it.
#
# A script that has a page of help has it in the function `usage`.

: "${here:?is set by the script that sources this}"
# Help is there for whoever has no installation yet.
if declare -F usage >/dev/null; then
    for argument in "$@"; do
        case $argument in
        --help | -h)
            usage
            exit
            ;;
        esac
    done
fi
if [[ -z ${STEMEDB_HOME:-} ]]; then
    STEMEDB_HOME=$(dirname -- "$here")
    if [[ $(basename -- "$STEMEDB_HOME") == deploy ]]; then
        STEMEDB_HOME=$(dirname -- "$STEMEDB_HOME")
        SETTINGS=${SETTINGS:-$STEMEDB_HOME/.env}
    fi
fi
SETTINGS=${SETTINGS:-/etc/stemedb/stemedb.env}
SERVICE=${SERVICE:-stemedb-api}
SYSTEMCTL=${SYSTEMCTL:-systemctl}

find_program() {
    local candidate
    for candidate in "$STEMEDB_HOME/bin/$1" "$STEMEDB_HOME/target/release/$1" "$STEMEDB_HOME/target/debug/$1"; do
        if [[ -x $candidate ]]; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    command -v -- "$1" || {
        echo "$1 is neither in $STEMEDB_HOME/bin nor on PATH" >&2
        return 1
    }
}

# Takes over the settings that systemd gives to the units: whoever types a script means the same data, the same store and the same
# retention. The file is read as systemd reads it, and never run. What is set already, by whoever types, stays.
take_settings() {
    local lines line setting
    if [[ ! -e $SETTINGS ]]; then
        return
    fi
    lines=$("$ADMIN" settings "$SETTINGS") || {
        echo "Nothing is done without the settings: $SETTINGS must be readable for $(id -un). Type it with sudo;" \
            "the file belongs to root and the group stemedb, with mode 0640" >&2
        return 1
    }
    while IFS= read -r line; do
        if [[ -n $line && ! -v ${line%%=*} ]]; then
            printf -v setting %b "$line"
            declare -gx -- "$setting"
        fi
    done <<<"$lines"
}

# Root goes on as the owner of the data or, where that is gone, of the backups: what is made is read, and removed, by the service's user later,
# and root must not write where that user may have put a symbolic link.
find_owner() {
    local owner
    owner=$(stat -Lc %U -- "$STEMEDB_HOME/data" 2>/dev/null || stat -Lc %U -- "$STEMEDB_HOME/backups" 2>/dev/null || echo root)
    AS_OWNER=()
    if ((EUID == 0)) && (($(id -u -- "$owner" 2>/dev/null || echo 0) != 0)); then
        AS_OWNER=(setpriv "--reuid=$owner" "--regid=$(id -g -- "$owner")" --init-groups --)
    fi
}

# Runs the script once more, as the owner, if another one has typed it.
become_owner() {
    if ((${#AS_OWNER[@]} > 0)); then
        exec "${AS_OWNER[@]}" "$here/$(basename -- "$0")" "$@"
    fi
}

has_service() {
    command -v -- "$SYSTEMCTL" >/dev/null && "$SYSTEMCTL" cat "$SERVICE" >/dev/null 2>&1
}

ADMIN=${ADMIN:-$(find_program stemedb-admin)}
take_settings
find_owner
export STEMEDB_HOME SETTINGS ADMIN SERVICE SYSTEMCTL
