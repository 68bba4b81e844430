#!/usr/bin/env bash
# Restores StemeDB from a backup: stops the service, puts the backup in the place of the data, which is renamed, and starts
# the service again. The first argument is the backup's directory; further ones are options of `stemedb-admin restore`.
set -euo pipefail
here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# shellcheck source=deploy/scripts/installation.sh
source "$here/installation.sh"

if (($# == 0)) || [[ $1 == -* ]]; then
    echo "usage: $(basename -- "$0") BACKUP_DIR [option of stemedb-admin restore]..." >&2
    exit 2
fi
# What is typed is relative to where it is typed; a name that is not there may be one below the installation.
backup=$1
shift
cd_from=$PWD
cd -- "$STEMEDB_HOME"
if [[ $backup != /* && -d $cd_from/$backup ]]; then
    backup=$cd_from/$backup
fi

# A backup that is damaged is no reason to stop anything.
"$ADMIN" restore --backup "$backup" --validate-only "$@"

service_exists=false
if has_service; then
    service_exists=true
    echo "Stopping StemeDB API service..."
    "$SYSTEMCTL" stop "$SERVICE"
fi
# Whatever becomes of the restore, what is in place then is served again.
restart() {
    if $service_exists; then
        "$SYSTEMCTL" start "$SERVICE"
    fi
}
if ! "$ADMIN" restore --backup "$backup" --yes "$@"; then
    echo "The restore has failed; what was there before is served again." >&2
    restart
    exit 1
fi
if $service_exists; then
    echo "Restore complete. Starting StemeDB API service..."
    restart
    echo "StemeDB API service started successfully."
else
    echo "Restore complete. There is no service $SERVICE to start."
fi
