#!/usr/bin/env bash
# Runs stemedb-admin as the units run it: in the installation, as the owner of its data, with its settings. Arguments are those of
# stemedb-admin.
set -euo pipefail
here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
# shellcheck source=deploy/scripts/installation.sh
source "$here/installation.sh"
cd -- "$STEMEDB_HOME"
become_owner "$@"

exec "$ADMIN" "$@"
