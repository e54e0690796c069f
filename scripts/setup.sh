#!/bin/sh
# Installs what building and running smolvm needs and what this computer lacks; says what it does. With `test`, also what
# only tests need: Node.js, a YAML language server in tests/npm/node_modules, and a registry with the tools that make images.
# Where nothing is missing nothing is asked of the system: no package lists are read, no rights are needed.
set -eu
cd "$(dirname "$0")/.."

# Folder of the static libraries, as .cargo/config.toml names it.
libraries=/usr/lib/x86_64-linux-gnu
oldest_rust=1.91
oldest_node=18
purpose=${1:-run}

missing=
want() { # NAME TEST...: what is named is missing unless the test succeeds
    name=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing$separator$name"
}

on_debian() {
    separator=' '
    want qemu-system-x86 command -v qemu-system-x86_64
    want libcap-ng-dev test -f "$libraries/libcap-ng.a"
    want gcc command -v gcc
    want libc6-dev test -f "$libraries/libc.a"
    want make command -v make
    if [ "$purpose" = test ]; then
        want nodejs command -v node
        want npm command -v npm
        want docker-registry command -v docker-registry
        want umoci command -v umoci
        want skopeo command -v skopeo
        want apache2-utils command -v htpasswd
        want busybox-static is_static busybox
        want mmdebstrap command -v mmdebstrap
        want openssl command -v openssl
        want e2fsprogs command -v mke2fs
    fi
    [ -n "$missing" ] || return 0
    install="apt-get install --yes --no-install-recommends$missing"
    if [ "$(id -u)" -ne 0 ]; then
        echo "setup: this computer lacks:$missing" >&2
        echo "setup: install them with:" >&2
        echo "    sudo apt-get update && sudo $install" >&2
        exit 1
    fi
    echo "setup: installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    # A third party's broken repository does not matter as long as the packages are found.
    apt-get update --quiet --quiet || echo "setup: some package lists could not be read, going on without them" >&2
    # shellcheck disable=SC2086 # one word a package
    apt-get install --quiet --quiet --yes --no-install-recommends $missing
}

elsewhere() {
    separator='
    - '
    want "QEMU for x86-64 (qemu-system-x86_64)" command -v qemu-system-x86_64
    want "a C compiler (gcc)" command -v gcc
    want "make" command -v make
    if [ "$purpose" = test ]; then
        want "Node.js with npm (node, npm), $oldest_node or newer" has_node
    fi
    want "the static C library (libc.a)" has_library libc.a
    want "the static library of libcap-ng (libcap-ng.a)" has_library libcap-ng.a
    [ -n "$missing" ] || return 0
    echo "setup: this computer lacks:$missing" >&2
    echo "setup: install them with your package manager, for example:" >&2
    echo "    Fedora: sudo dnf install qemu-system-x86-core gcc make nodejs npm glibc-static libcap-ng-static" >&2
    echo "    Arch:   sudo pacman -S --needed qemu-system-x86 gcc make nodejs npm libcap-ng" >&2
    echo "setup: where there are no static libraries, build with" >&2
    echo "    LIBCAPNG_LINK_TYPE=dylib" >&2
    echo "setup: where libraries are not in $libraries, say where with LIBCAPNG_LIB_PATH" >&2
    exit 1
}

has_library() {
    for folder in "${LIBCAPNG_LIB_PATH:-$libraries}" /usr/lib64 /usr/lib; do
        [ -f "$folder/$1" ] && return 0
    done
    # A library that is linked dynamically need not be there as an archive.
    case $1 in
    libcap-ng.a) [ "${LIBCAPNG_LINK_TYPE:-static}" = dylib ] ;;
    *) return 1 ;;
    esac
}

# A program that needs no libraries can be the only one of an image.
is_static() {
    program=$(command -v "$1") && ! ldd "$program"
}

has_node() {
    command -v node && command -v npm
}

# What tests drive, as the lock file says; where it is there nothing is asked of the registry.
node_programs() {
    version=$(node --version | tr -d v)
    if [ "${version%%.*}" -lt "$oldest_node" ]; then
        echo "setup: Node.js $version is too old, the tests need $oldest_node or newer" >&2
        exit 1
    fi
    installed=tests/npm/node_modules/.installed-lock.json
    cmp -s tests/npm/package-lock.json "$installed" && return 0
    echo "setup: installing what tests drive in tests/npm/node_modules"
    (cd tests/npm && npm ci --ignore-scripts --loglevel=error)
    cp tests/npm/package-lock.json "$installed"
}

rust() {
    if ! command -v cargo >/dev/null 2>&1; then
        echo "setup: Rust is not installed (no cargo in PATH); install it as https://rustup.rs says" >&2
        exit 1
    fi
    version=$(cargo --version | cut -d ' ' -f 2)
    if [ "$(printf '%s\n%s\n' "$oldest_rust" "$version" | sort -V | head -n 1)" != "$oldest_rust" ]; then
        echo "setup: Rust $version is too old, the oldest that builds smolvm is $oldest_rust; run: rustup update stable" >&2
        exit 1
    fi
}

if [ "$(uname -m)" != x86_64 ]; then
    echo "setup: smolvm runs on x86-64 only, this is $(uname -m)" >&2
    exit 1
fi
rust
if command -v apt-get >/dev/null 2>&1; then
    on_debian
else
    elsewhere
fi
if [ "$purpose" = test ]; then
    node_programs
fi
