#!/bin/sh
# Gets what `make bench` compares shares with, into the build's folder: virtme-ng (Python), virtiofsd (Rust), and the
# distribution's kernel with 9p, which its cloud kernel lacks. Installs nothing on the system.
set -eu
cd "$(dirname "$0")/.."
peers=${CARGO_TARGET_DIR:-target}/tmp/bench-peers
mkdir -p "$peers"
if ! test -d "$peers/sshd/usr" && command -v apt-get > /dev/null; then
    mkdir -p "$peers/sshd"
    (cd "$peers" && apt-get download --quiet openssh-server libwrap0 && for package in openssh-server_*.deb libwrap0_*.deb; do
        dpkg-deb -x "$package" sshd && rm "$package"
    done)
fi
test -x "$peers/venv/bin/vng" || { python3 -m venv "$peers/venv" && "$peers/venv/bin/pip" install --quiet virtme-ng==1.42; }
test -x "$peers/bin/virtiofsd" || cargo install --quiet --locked virtiofsd --version 1.14.0 --root "$peers"
command -v depmod > /dev/null || test -x /sbin/depmod || echo "virtme-ng needs depmod: apt-get install kmod" >&2
if ! test -d "$peers/kernel/boot" && command -v apt-get > /dev/null; then
    package=$(apt-cache depends linux-image-amd64 | awk '/Depends:/ { print $2; exit }')
    (cd "$peers" && apt-get download --quiet "$package" && dpkg-deb -x "$package"_*.deb kernel && rm "$package"_*.deb)
fi
