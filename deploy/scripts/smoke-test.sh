#!/usr/bin/env bash
# Asks a running StemeDB the questions that matter: health, a claim written and read back, metrics. The argument is its
# address, http://localhost:18180 by default. Writes one claim below test/restore_validation.
set -euo pipefail

usage() {
    cat <<TEXT
Usage: smoke-test.sh [URL]

Asks a running StemeDB the questions that matter: health, readiness, a claim written and read back, metrics. URL is where it
answers [default: http://localhost:18180]. It reads no settings, and needs curl and jq.

Each time it stores one claim about test/restore_validation, with the predicate smoke, which stays.

Example:
  ./scripts/smoke-test.sh http://127.0.0.1:18280

Exit codes: 0 passed; 1 failed; 2 wrong usage, nothing was asked.
TEXT
}

for argument in "$@"; do
    case $argument in
    --help | -h)
        usage
        exit
        ;;
    esac
done
# An address that is empty is a variable that was not set, not the wish for another server.
if (($# > 1)) || [[ ${1-http} == -* || -z ${1-http} ]]; then
    echo "smoke-test.sh: expected the address of a server and nothing else, got: ${*@Q}" >&2
    usage >&2
    exit 2
fi
url=${1:-http://localhost:18180}

ask() {
    curl --silent --show-error --fail --max-time 30 --noproxy '*' "$@"
}
fail() {
    echo "Smoke test: FAILED: $1" >&2
    exit 1
}

health=$(ask "$url/v1/health") || fail "no answer from $url/v1/health"
[[ $(jq -r .status <<<"$health") == healthy ]] || fail "the server is not healthy: $health"
ask "$url/ready" >/dev/null || fail "the server is not ready"
mark=$(date -u +%Y%m%d-%H%M%S)-$$
claim=$(jq -cn --arg mark "$mark" '{concept_path:"test/restore_validation",predicate:"smoke",value:$mark,confidence:0.95}')
ask -X POST "$url/v1/assert" -H "Content-Type: application/json" -d "$claim" >/dev/null || fail "a claim was not taken"
answer=$(ask -X POST "$url/v1/query" -H "Content-Type: application/json" \
    -d '{"concept_path":"test/restore_validation","predicate":"smoke"}') || fail "a query was not answered"
jq -e --arg mark "$mark" 'any(.assertions[]; .value == $mark)' <<<"$answer" >/dev/null || fail "the claim was not found"
metrics=$(ask "$url/metrics") || fail "no metrics"
grep -q '^stemedb_' <<<"$metrics" || fail "the metrics have nothing of StemeDB"
echo "Smoke test: PASSED ($(jq -r .assertion_count <<<"$health") assertions before it)"
