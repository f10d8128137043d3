#!/bin/sh
# Makes the environment with the real Swift and the real Keystone that the tests run against;
# called by the Makefile, and by the tests where that was not done. Idempotent.
#
#   swift.sh DIR      DIR/keystone is a baked Keystone; DIR/.installed comes last, and says what was made
#
# It changes nothing of the system. pyeclib's wheel brings the erasure code library along.
set -eu

cd "$(dirname "$0")/.."
dir=${1:?usage: swift.sh DIR}
wanted=scripts/swift-requirements.txt
bake=tests/swift/inside/bake.py

if cat "$wanted" "$bake" | cmp -s - "$dir/.installed"; then touch "$dir/.installed"; exit; fi
rm -f "$dir/.installed"
scripts/setup.sh venv "$dir"
echo "installing Swift and Keystone into $dir (about a minute)" >&2
"$dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-warn-script-location -r "$wanted"
PYTHONWARNINGS=ignore "$dir/bin/python" "$bake" "$dir/keystone"
cat "$wanted" "$bake" >"$dir/.installed"
