#!/bin/sh
# Runs pytest, with the test trees in memory where there is room: a slow disk would make
# the durable writes of thousands of small runs take most of the time.
#
#   test.sh [PYTEST ARGUMENT...]      WORKERS=N processes at most (default 4; one more than there are cores)
set -eu

base=${TMPDIR:-/tmp}
if [ -d /dev/shm ] && [ -w /dev/shm ]; then
    free=$(df -Pk /dev/shm | awk 'NR == 2 { print $4 }')
    if [ "${free:-0}" -ge 2097152 ]; then base=/dev/shm; fi
fi
work=$(mktemp -d "$base/syncer-test-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# One more than there are cores: many tests wait for a server or for a disk.
workers=$(($(getconf _NPROCESSORS_ONLN) + 1))
[ "$workers" -le "${WORKERS:-4}" ] || workers=${WORKERS:-4}
.venv/bin/pytest -n "$workers" --dist worksteal --basetemp="$work/t" "$@"
