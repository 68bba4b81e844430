#!/usr/bin/env bash
# Takes a full backup of StemeDB, running or not, into backups/ of the installation or where --to says, and removes backups there
# that are too old. With BACKUP_BUCKET set it also goes to that bucket, where the bucket's own rules say how long it is kept.
# Options are those of `stemedb-admin backup run`. BACKUP_RETENTION_DAYS (30) says how long backups are kept.
set -euo pipefail

usage() {
    cat <<TEXT
Usage: backup-stemedb.sh [OPTION]...

Takes a full backup of StemeDB, running or not, and removes backups that are too old. With BACKUP_BUCKET set, the backup
also goes to that bucket. Directories are relative to the installation.

Options are those of stemedb-admin backup run; admin.sh backup run --help shows all of them.
  --to DIR                where the backups are [default: backups]
  --type full|wal|db      what to back up [default: full]
  --data-dir DIR          the directory with wal/, db/ and metadata.json
  --bytes-per-second N    read at most so much

Settings are taken from the environment or, what is not set there, from /etc/stemedb/stemedb.env (in a checkout from .env):
  BACKUP_RETENTION_DAYS   how many days backups are kept [default: 30]
  BACKUP_BUCKET           the bucket, with MINIO_ENDPOINT, MINIO_ACCESS_KEY and MINIO_SECRET_KEY, or AWS_ and so on
  STEMEDB_WAL_DIR, STEMEDB_DB_DIR    where log and tables are [default: data/wal, data/db]

Example:
  sudo ./scripts/backup-stemedb.sh --to /mnt/other/backups

Exit codes: 0 done; 1 failed, the backup itself or what came after it; 2 wrong usage, nothing was done; 4 there is no room for
a backup, also without those that are too old.
TEXT
}

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# shellcheck source=deploy/scripts/installation.sh
source "$here/installation.sh"
cd -- "$STEMEDB_HOME"
become_owner "$@"

# Wrong options are refused before anything is looked for: with --help nothing is done.
"$ADMIN" backup run "$@" --help >/dev/null

to=backups
# Whose data it is: how the copy went is noted there as well.
data=()
arguments=("$@" '')
for ((at = 0; at < $#; at++)); do
    option=${arguments[at]%%=*}
    value=${arguments[at + 1]}
    if [[ ${arguments[at]} == *=* ]]; then
        value=${arguments[at]#*=}
    fi
    case $option in
    --to) to=$value ;;
    --data-dir | --wal-dir | --db-dir) data+=("$option=$value") ;;
    esac
done

# What `stemedb-admin backup run` ends with where the directory of the backups has no room.
readonly NO_ROOM=4

# Removes old backups, and says whether there were any.
make_room() {
    local removed
    removed=$("$ADMIN" backup prune --from="$to") || return 1
    printf '%s\n' "$removed" >&2
    [[ $removed != "Removed 0 of "* ]]
}

code=0
told=$("$ADMIN" backup run "$@") || code=$?
# Old backups that take the room of a new one go now. While backups fail for another reason, the old ones are all that there is.
if ((code == NO_ROOM)) && make_room; then
    code=0
    told=$("$ADMIN" backup run "$@") || code=$?
fi
if ((code != 0)); then
    exit "$code"
fi
printf '%s\n' "$told"
[[ $told =~ (full|wal|db)_[0-9]{8}_[0-9]{6} ]]
backup_id=${BASH_REMATCH[0]}
if [[ -n ${BACKUP_BUCKET:-} ]]; then
    "$ADMIN" backup push "$backup_id" --local="$to" "${data[@]}" || code=1
fi
# Old backups go whatever becomes of the copy: a store that is away must not fill the disk.
"$ADMIN" backup prune --from="$to" || code=1
exit "$code"
