#!/usr/bin/env bash
# Takes a full backup of StemeDB, running or not, into backups/ of the installation, and removes backups that are too old.
# With BACKUP_BUCKET set it also goes to that bucket, where the bucket's own rules say how long it is kept.
# Options are those of `stemedb-admin backup run`. BACKUP_RETENTION_DAYS (30) says how long backups are kept.
set -euo pipefail
here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# shellcheck source=deploy/scripts/installation.sh
source "$here/installation.sh"
cd -- "$STEMEDB_HOME"
become_owner "$@"

"$ADMIN" backup run "$@"
if [[ -n ${BACKUP_BUCKET:-} ]]; then
    "$ADMIN" backup push
fi
"$ADMIN" backup prune
