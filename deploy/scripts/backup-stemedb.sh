#!/usr/bin/env bash
# Takes a full backup of StemeDB, running or not, into backups/ of the installation or where --to says, and removes backups there
# that are too old. With BACKUP_BUCKET set it also goes to that bucket, where the bucket's own rules say how long it is kept.
# Options are those of `stemedb-admin backup run`. BACKUP_RETENTION_DAYS (30) says how long backups are kept.
set -euo pipefail
here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# shellcheck source=deploy/scripts/installation.sh
source "$here/installation.sh"
cd -- "$STEMEDB_HOME"
become_owner "$@"

to=backups
arguments=("$@")
for ((at = 0; at < $#; at++)); do
    case ${arguments[at]} in
    --to) to=${arguments[at + 1]:-} ;;
    --to=*) to=${arguments[at]#--to=} ;;
    esac
done

told=$("$ADMIN" backup run "$@")
printf '%s\n' "$told"
# What has no identity is no backup: somebody has asked for help.
[[ $told =~ (full|wal|db)_[0-9]{8}_[0-9]{6} ]] || exit 0
backup_id=${BASH_REMATCH[0]}
code=0
if [[ -n ${BACKUP_BUCKET:-} ]]; then
    "$ADMIN" backup push "$backup_id" --local "$to" || code=$?
fi
# Old backups go whatever becomes of the copy: a store that is away must not fill the disk.
"$ADMIN" backup prune --from "$to"
exit "$code"
