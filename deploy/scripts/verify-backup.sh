#!/usr/bin/env bash
# Checks a backup: every file by its checksum, and that its log recovers. The argument is the backup's identity or its
# directory; without one the newest backup is checked. Exit code 3 means that it is damaged.
set -euo pipefail
here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# shellcheck source=deploy/scripts/installation.sh
source "$here/installation.sh"
cd -- "$STEMEDB_HOME"
become_owner "$@"

exec "$ADMIN" backup verify "$@"
