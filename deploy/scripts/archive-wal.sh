#!/usr/bin/env bash
# Copies what the log has gained since the last time to the archive: the bucket that BACKUP_BUCKET names, or the directory
# archive/ of the installation. Run it every few minutes: so much can be lost with the disk. Options are those of
# `stemedb-admin archive run`.
set -euo pipefail

usage() {
    cat <<TEXT
Usage: archive-wal.sh [OPTION]...

Copies what the log has gained since the last time to the archive: the bucket that BACKUP_BUCKET names, or the directory
archive/ of the installation. Directories are relative to the installation.

Options are those of stemedb-admin archive run; admin.sh archive run --help shows all of them.
  --store DIR|s3://BUCKET    another archive
  --data-dir DIR             the directory with wal/, db/ and metadata.json

Settings are taken from the environment or, what is not set there, from /etc/stemedb/stemedb.env (in a checkout from .env):
  BACKUP_BUCKET              the bucket, with MINIO_ENDPOINT, MINIO_ACCESS_KEY and MINIO_SECRET_KEY, or AWS_ and so on
  STEMEDB_WAL_DIR, STEMEDB_DB_DIR    where log and tables are [default: data/wal, data/db]

Example:
  sudo ./scripts/archive-wal.sh --store /mnt/other/archive

Exit codes: 0 done, or there was nothing new; 1 failed; 2 wrong usage, nothing was done.
TEXT
}

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# shellcheck source=deploy/scripts/installation.sh
source "$here/installation.sh"
cd -- "$STEMEDB_HOME"
become_owner "$@"

exec "$ADMIN" archive run "$@"
