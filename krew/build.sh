#!/usr/bin/env bash
# Builds what a release has for one target: the plugin, and for Linux the agent,
# linked statically, since its image holds nothing else. Prints the paths of what
# was built, a line each, the plugin first.
#
# usage: build.sh [TARGET]
#   TARGET   as rustc names it (default: this machine's)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case ${1:-} in
-h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" | sed '/^set /d' && exit ;;
esac
target=${1:-$(rustc -vV | sed -n 's/^host: //p')}
targets=${CARGO_TARGET_DIR:-$root/target}

suffix=''
[[ $target != *-windows-* ]] || suffix=.exe
case $target in
*-linux-musl)
	# C code is compiled by cc otherwise, which on most machines is glibc's
	if command -v musl-gcc >/dev/null; then export "CC_${target//-/_}=musl-gcc"; fi
	;;
esac

# The agent carries the list of what it is made of, which its image's bill of materials is made of.
list=''
if cargo auditable --version >/dev/null 2>&1; then
	list=auditable
else
	echo 'build.sh: no cargo-auditable here: the agent tells nobody what it is made of (cargo install cargo-auditable)' >&2
fi

# Builds a program into a target folder; says where it is.
build() {
	local name=$1 folder=$2 how=''
	[ "$name" != image-cloner-agent ] || how=$list
	(cd "$root" && cargo ${how:+"$how"} build --release --locked --target "$target" --target-dir "$folder" --bin "$name") >&2
	printf '%s\n' "$folder/$target/release/$name$suffix"
}

build kubectl-image_cloner "$targets"
case $target in
*-linux-musl) build image-cloner-agent "$targets" ;;
# glibc is linked statically into the agent alone, which asks DNS by itself: the plugin needs the
# machine's own name resolution. Other flags build everything again, so in a folder beside.
*-linux-*) RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" build image-cloner-agent "$targets/static" ;;
esac
