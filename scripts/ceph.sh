#!/bin/sh
# Unpacks a real Ceph with its RADOS Gateway for the tests; called by the Makefile, and by the tests where
# that was not done. Idempotent.
#
#   ceph.sh DIR       DIR/root holds the programs; DIR/.installed comes last, and says what was unpacked
#
# It changes nothing of the system: Debian's packages are fetched with package lists of its own and unpacked,
# not installed, so it needs no root, starts no service, and takes seconds. What the system has already is
# used from there.
set -eu

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

cd "$(dirname "$0")/.."
dir=${1:?usage: ceph.sh DIR}

# Only the three daemons and their tools run: what Ceph's own scripts would call on a server stays away.
unused='^(cryptsetup|dmeventd|dmidecode|e2fsprogs|gdisk|hdparm|libdevmapper-event|liblvm|libnvme|libparted|logrotate|lvm2|nvme|parted|python3|smartmontools|sudo|uuid-runtime)'

libraries() {
    found=$(find "$dir/root/lib" "$dir/root/usr/lib" -type d \( -name '*-linux-gnu' -o -path '*-linux-gnu/ceph' \) 2>/dev/null)
    printf '%s' "$found" | tr '\n' ':'
}

works() {
    for program in ceph-mon ceph-osd radosgw radosgw-admin monmaptool osdmaptool; do
        LD_LIBRARY_PATH=$(libraries) "$dir/root/usr/bin/$program" --version >/dev/null 2>&1 || return 1
    done
}

if cmp -s "$0" "$dir/.installed" && works; then touch "$dir/.installed"; exit; fi
command -v apt-get >/dev/null 2>&1 && command -v dpkg >/dev/null 2>&1 ||
    die "the tests need a real Ceph, which comes from Debian's packages: run them on Debian or Ubuntu"

say "unpacking Ceph into $dir (some 50 MB to fetch)"
rm -rf "$dir"
mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/debs" "$dir/root"
top=$(cd "$dir" && pwd)

apt() {
    apt-get -qq -o Dir::State::lists="$top/lists" -o Dir::Cache="$top/cache" -o Debug::NoLocking=1 \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 "$@"
}

apt update >/dev/null || die "apt-get could not fetch the package lists (see above)"
apt -s --no-install-recommends install ceph-mon ceph-osd radosgw >"$dir/plan" ||
    die "there are no packages ceph-mon, ceph-osd and radosgw here (see above)"
wanted=$(sed -n 's/^Inst \([^ ]*\) .*(\([^ ]*\) .*/\1=\2/p' "$dir/plan" | grep -Ev "$unused" || true)
# What is installed already is unpacked once more: the tests look for programs and plug-ins in one place.
for package in ceph-base ceph-common ceph-mon ceph-osd radosgw; do
    printf '%s\n' "$wanted" | grep -q "^$package=" || wanted="$wanted $package"
done
# shellcheck disable=SC2086 # one word for each package
(cd "$dir/debs" && apt download $wanted) >/dev/null || die "apt-get could not fetch Ceph's packages (see above)"
for package in "$dir"/debs/*.deb; do dpkg -x "$package" "$dir/root"; done
rm -rf "$dir/debs" "$dir/lists" "$dir/cache" "$dir/plan"
works || die "the unpacked Ceph does not run: $(LD_LIBRARY_PATH=$(libraries) "$dir/root/usr/bin/radosgw" --version 2>&1)"
cp "$0" "$dir/.installed"
