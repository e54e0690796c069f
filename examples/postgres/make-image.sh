#!/bin/sh
# Makes the image of this example in the folder `image` (or the one named): a small Debian with its own PostgreSQL.
# Needs mmdebstrap and umoci; no root where user namespaces are to be had.
set -eu
cd "$(dirname "$0")"
image=${1:-image}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mmdebstrap --quiet --variant=minbase --include=postgresql,postgresql-contrib \
    --aptopt='Apt::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/lib/*/libLLVM-*' \
    "${SUITE:-bookworm}" "$work/root.tar"
umoci init --layout "$work/layout"
umoci new --image "$work/layout:latest"
umoci raw add-layer --image "$work/layout:latest" "$work/root.tar"
bin=$(tar -tf "$work/root.tar" | sed -n 's,^\./\(usr/lib/postgresql/[0-9]*/bin\)/$,/\1,p')
umoci config --image "$work/layout:latest" \
    --config.env="PATH=$bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
    --config.stopsignal=SIGINT
umoci gc --layout "$work/layout"
rm -rf "$image"
chmod -R a+rX "$work/layout"
mv "$work/layout" "$image"
