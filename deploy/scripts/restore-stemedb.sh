#!/usr/bin/env bash
# Restores StemeDB from a backup: stops the service, puts the backup in the place of the data, which is renamed, and starts
# the service again. The first argument is the directory or the identity of the backup; without it the newest full one is taken. Further ones
# are options of `stemedb-admin restore`. With --validate-only or --dry-run nothing is stopped and nothing is changed.
set -euo pipefail

usage() {
    cat <<TEXT
Usage: restore-stemedb.sh [BACKUP] [OPTION]...

Restores StemeDB from a backup: checks it, stops the service, puts the backup in the place of the data, which is renamed, and
starts the service again. BACKUP is its directory or its identity; without it the newest full one is taken.

Options are those of stemedb-admin restore; admin.sh restore --help shows all of them.
  --validate-only          only check the backup; nothing is stopped or changed
  --dry-run                tell what would be done; nothing is stopped or changed
  --target-time TIME       restore what was acknowledged by then, in UTC
  --store DIR|s3://BUCKET  where the log is archived that leads to TIME
  --yes                    do not wait for second thoughts

Settings are taken from the environment or, what is not set there, from /etc/stemedb/stemedb.env (in a checkout from .env):
  BACKUP_BUCKET            the bucket, with MINIO_ENDPOINT, MINIO_ACCESS_KEY and MINIO_SECRET_KEY, or AWS_ and so on
  STEMEDB_WAL_DIR, STEMEDB_DB_DIR    where log and tables are [default: data/wal, data/db]

Example:
  sudo ./scripts/restore-stemedb.sh full_20260130_020000 --dry-run

Exit codes: 0 done; 1 failed; 2 wrong usage, nothing was done; 3 the backup is damaged, nothing was done; 129, 130 and 143
interrupted by a signal. Whenever the service was stopped, it is started again.
TEXT
}

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# shellcheck source=deploy/scripts/installation.sh
source "$here/installation.sh"

# What is typed is relative to where it is typed; a name that is not there may be one below the installation.
backup=()
if (($# > 0)) && [[ $1 != -* ]]; then
    if [[ -z $1 ]]; then
        echo "the name of the backup is empty; without any, the newest full one is taken" >&2
        usage >&2
        exit 2
    elif [[ $1 =~ ^(full|wal|db)_[0-9]{8}_[0-9]{6}$ ]]; then
        backup=(--backup-id "$1")
    elif [[ $1 != /* && -d $PWD/$1 ]]; then
        backup=(--backup "$PWD/$1")
    else
        backup=(--backup "$1")
    fi
    shift
fi
changes_nothing=false
is_sure=false
options=()
for option in "$@"; do
    case $option in
    --validate-only | --dry-run) changes_nothing=true ;;
    --yes)
        is_sure=true
        continue
        ;;
    esac
    options+=("$option")
done
cd -- "$STEMEDB_HOME"

restore() {
    "${AS_OWNER[@]}" "$ADMIN" restore "${backup[@]}" "${options[@]}" "$@"
}
if $changes_nothing; then
    restore
    exit
fi

# Where the data is gone altogether, its owner may not make the directory for it, which takes what comes from an archive.
if ((${#AS_OWNER[@]} > 0)) && [[ ! -e data ]]; then
    mkdir -m 0750 data
    # Where the restore does not begin, it goes again.
    trap 'rmdir -- data 2>/dev/null || true' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    chown --reference=backups data
fi
# A backup that is damaged is no reason to stop anything, nor is an archive that does not reach the moment. That shows only when all of it has
# been fetched and put together, and what is put together now is out of date when the service has stopped, since the log that is in place is part
# of it: so what is archived is fetched twice.
restore --validate-only
if ((${#backup[@]} == 0)) && ! $is_sure; then
    echo "The service is about to be stopped, and its data to be replaced; what is there is renamed. Ctrl-C within 5 s stops it." >&2
    sleep 5
fi
if ! has_service; then
    restore --yes
    echo "Restore complete. There is no service $SERVICE to start."
    exit
fi

outcome="The restore has failed"
# However this ends, the service is started again, on what is in place then.
finish() {
    local code=$?
    trap - EXIT
    trap '' HUP INT TERM
    # Starts in vain on what was there before do not count: systemd refuses more after ten of them.
    "$SYSTEMCTL" reset-failed "$SERVICE" 2>/dev/null || true
    if ! "$SYSTEMCTL" start "$SERVICE"; then
        echo "StemeDB API service does not start; journalctl -u $SERVICE says why. If the restore was interrupted, type the same again;" \
            "docs/operations/restore.md says how to go back to what was there before" >&2
        exit "$((code == 0 ? 1 : code))"
    fi
    if ((code == 0)); then
        echo "StemeDB API service started successfully."
    else
        echo "$outcome; what is in place is served again." >&2
    fi
    exit "$code"
}
trap finish EXIT
# Obeyed when the command that runs then has ended.
interrupted="The restore was interrupted"
trap 'outcome=$interrupted; exit 129' HUP
trap 'outcome=$interrupted; exit 130' INT
trap 'outcome=$interrupted; exit 143' TERM

echo "Stopping StemeDB API service..."
"$SYSTEMCTL" stop "$SERVICE"
restore --yes
echo "Restore complete. Starting StemeDB API service..."
