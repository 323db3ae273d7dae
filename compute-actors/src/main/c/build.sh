#!/bin/sh
# Builds the native libraries for this machine: build.sh <output directory>. Never fails the build: PostgreSQL runs without
# them, with commits that are cancelled while they wait for the quorum unprotected (guard), and slower starts (preload).
set -u
here=$(dirname "$0")
case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) arch=amd64 ;;
    Linux-aarch64) arch=arm64v8 ;;
    *)
        echo "native libraries: not built, unsupported platform $(uname -s)-$(uname -m)"
        exit 0
        ;;
esac
compiler=
for cc in "${CC:-}" cc gcc clang; do
    if [ -n "$cc" ] && command -v "$cc" >/dev/null 2>&1; then
        compiler=$cc
        break
    fi
done
if [ -z "$compiler" ]; then
    echo "native libraries: not built, no C compiler found"
    exit 0
fi
mkdir -p "$1/$arch"
for name in spg99_guard spg99_preload; do
    library="$1/$arch/$name.so"
    if [ "$library" -nt "$here/$name.c" ]; then
        continue
    fi
    if "$compiler" -std=gnu11 -O2 -fPIC -shared -Wall -Wextra -Werror -fvisibility=hidden \
        -o "$library.new" "$here/$name.c" -ldl; then
        mv "$library.new" "$library"
    else
        rm -f "$library.new" "$library"
        echo "native libraries: $name was not built, $compiler failed"
    fi
done
