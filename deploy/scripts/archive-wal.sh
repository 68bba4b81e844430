#!/usr/bin/env bash
# Copies what the log has gained since the last time to the archive: the bucket that BACKUP_BUCKET names, or the directory
# archive/ of the installation. Run it every few minutes: so much can be lost with the disk. Options are those of
# `stemedb-admin archive run`.
set -euo pipefail
here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# shellcheck source=deploy/scripts/installation.sh
source "$here/installation.sh"
cd -- "$STEMEDB_HOME"
become_owner "$@"

exec "$ADMIN" archive run "$@"
