#!/usr/bin/env bash
# Rehearses the loss of everything: takes a backup, restores it into a scratch directory, starts a server there on a port of
# its own, validates and smoke-tests it, and adds a line to drill/dr-test-log.txt. Production goes on and is only read. Nothing is
# written but the backup and what is below drill/, as the unit allows.
set -euo pipefail

usage() {
    cat <<TEXT
Usage: dr-drill.sh

Rehearses the loss of everything: takes a backup, restores it below drill/ of the installation, starts a server there on a
port of its own, validates and smoke-tests it, and adds a line to drill/dr-test-log.txt. Production goes on and is only read.

Settings are taken from the environment or, what is not set there, from /etc/stemedb/stemedb.env (in a checkout from .env):
  STEMEDB_WAL_DIR, STEMEDB_DB_DIR    where log and tables of production are [default: data/wal, data/db]

Example:
  sudo ./scripts/dr-drill.sh && sudo tail -n 1 drill/dr-test-log.txt

Exit codes: 0 passed; 2 wrong usage, nothing was done; any other failed.
TEXT
}

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# shellcheck source=deploy/scripts/installation.sh
source "$here/installation.sh"
if (($# > 0)); then
    echo "dr-drill.sh: expected no arguments, got: $*" >&2
    usage >&2
    exit 2
fi
cd -- "$STEMEDB_HOME"
become_owner
API=${API:-$(find_program stemedb-api)}
# Typed in the wrong place, it makes no directories. Where there is anything, what is missing is for the drill to tell.
wal=${STEMEDB_WAL_DIR:-data/wal}
db=${STEMEDB_DB_DIR:-data/db}
if [[ ! -d $wal && ! -d $(dirname -- "$db") && ! -d backups ]]; then
    echo "There is no log in $wal and no backup in backups, seen from $STEMEDB_HOME: nothing is done. STEMEDB_HOME says where the" \
        "installation is, STEMEDB_WAL_DIR where the log" >&2
    exit 1
fi
drill=$STEMEDB_HOME/drill
mkdir -p -- "$drill"
log=$drill/dr-test-log.txt
scratch=$(mktemp -d "$drill/scratch.XXXXXX")
server=
step=start

finish() {
    local code=$?
    trap - EXIT
    if [[ -n $server ]]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    if ((code != 0)); then
        echo "DR Test $(date -u +%Y-%m-%dT%H:%M:%SZ): FAILED at: $step" | tee -a "$log" >&2
        tail -n 20 "$scratch/server.log" 2>/dev/null >&2 || true
    fi
    rm -rf -- "$scratch"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

began=$EPOCHREALTIME
seconds_since() {
    awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }'
}

step=backup
"$ADMIN" backup run --json >"$scratch/backup.json"
backup_s=$(seconds_since "$began")
id=$(jq -r .backup_id "$scratch/backup.json")
count=$(jq -r .assertion_count "$scratch/backup.json")
echo "Backup $id: $count assertions in $backup_s s"

step=restore
at=$EPOCHREALTIME
"$ADMIN" restore --backup-id "$id" --data-dir "$scratch/data" --yes
restore_s=$(seconds_since "$at")

step="start of a server on the restored data"
at=$EPOCHREALTIME
# Nothing of production's settings: another place, another port, which the kernel chooses.
env -i PATH="$PATH" STEMEDB_BIND_ADDR=127.0.0.1:0 STEMEDB_WAL_DIR="$scratch/data/wal" STEMEDB_DB_DIR="$scratch/data/db" \
    STEMEDB_CORES=1 "$API" 2>"$scratch/server.log" &
server=$!
for _ in {1..600}; do
    grep -q 'Startup complete' "$scratch/server.log" && break
    kill -0 "$server" 2>/dev/null || exit 1
    sleep 0.1
done
url=$(sed -n 's/.*Startup complete.* on \(http:[^ ]*\).*/\1/p' "$scratch/server.log")
[[ -n $url ]]
start_s=$(seconds_since "$at")

step=validate
served=$(curl --silent --fail --noproxy '*' "$url/v1/health" | jq -r .assertion_count)
if [[ $served != "$count" ]]; then
    echo "the restored server has $served assertions, the backup $count" >&2
    exit 1
fi
"$ADMIN" validate --url "$url" --data-dir "$scratch/data" --to "$scratch"

step="smoke test"
"$here/smoke-test.sh" "$url"

echo "DR Test $(date -u +%Y-%m-%dT%H:%M:%SZ): PASSED ($id, $count assertions;" \
    "backup $backup_s s, restore $restore_s s, start $start_s s, all $(seconds_since "$began") s)" | tee -a "$log"
