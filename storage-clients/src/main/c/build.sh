#!/bin/sh
# Builds the read-through library and the program that punches holes for this machine: build.sh <output directory>.
# Never fails the build: without them everything is fetched before PostgreSQL starts, and nothing is evicted.
set -u
here=$(dirname "$0")
case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) arch=amd64 ;;
    Linux-aarch64) arch=arm64v8 ;;
    *) echo "read-through: not built, unsupported platform $(uname -s)-$(uname -m)"; exit 0 ;;
esac
out="$1/$arch"
consequence="everything is fetched before PostgreSQL starts"
compiler=
for cc in "${CC:-}" cc gcc clang; do
    if [ -z "$compiler" ] && [ -n "$cc" ] && command -v "$cc" >/dev/null 2>&1; then
        compiler=$cc
    fi
done
if [ -z "$compiler" ]; then
    echo "read-through: not built, no C compiler found; $consequence"
    exit 0
fi
# build <source> <target> <option>...
build() {
    source="$here/$1"
    target="$out/$2"
    shift 2
    if [ "$target" -nt "$source" ]; then
        return
    fi
    mkdir -p "$out"
    if "$compiler" -std=c11 -O2 -Wall -Wextra -Werror "$@" -o "$target.new" "$source" -ldl; then
        mv "$target.new" "$target"
    else
        rm -f "$target.new"
        echo "read-through: $target not built, $compiler failed; $consequence"
    fi
}
build spg99_readthrough.c spg99_readthrough.so -fPIC -shared -fvisibility=hidden
build spg99_punch.c spg99_punch.so -fPIE -pie
