#!/usr/bin/env bash
# Checks a backup: every file by its checksum, and that its log recovers. The argument is the backup's identity or its
# directory; without one the newest full backup is checked. Exit code 3 means that it is damaged.
set -euo pipefail

usage() {
    cat <<TEXT
Usage: verify-backup.sh [BACKUP] [OPTION]...

Checks a backup: every file by its checksum, and that its log recovers. Nothing is changed. BACKUP is its identity or its
directory; without it the newest full one is checked. Directories are relative to the installation.

Options are those of stemedb-admin backup verify; admin.sh backup verify --help shows all of them.
  --from DIR        where the backups are [default: backups]
  --data-dir DIR    where the check of the newest full backup is noted, for monitoring

Settings are taken from the environment or, what is not set there, from /etc/stemedb/stemedb.env (in a checkout from .env):
  STEMEDB_DB_DIR    where the tables are [default: data/db]: the check is noted beside them

Example:
  sudo ./scripts/verify-backup.sh full_20260130_020000

Exit codes: 0 it is whole; 1 it could not be checked; 2 wrong usage, nothing was done; 3 it is damaged.
TEXT
}

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# shellcheck source=deploy/scripts/installation.sh
source "$here/installation.sh"
cd -- "$STEMEDB_HOME"
become_owner "$@"

exec "$ADMIN" backup verify "$@"
