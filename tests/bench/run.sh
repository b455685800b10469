#!/usr/bin/env bash
# Measures `kubectl image-cloner copy` beside `skopeo copy` and beside plain
# curl, on this machine: the same images, the same two registries, one after the
# other in turn, each into an empty target. Prints the figures, judges none.
#
# usage: run.sh [--quick] [--plugin FILE] [--dir FOLDER] [CASE…]
#   --quick         small images, three runs of each: does it work, not how fast
#   --plugin FILE   measure this program instead of building one
#   --dir FOLDER    the registries' storage goes below it (default: /dev/shm,
#                   in memory, where there is enough of it, else $TMPDIR or /tmp)
#   CASE            eight       an 8-platform image of 470 MB, 7 layers each
#                   big         an image of three layers of 512 MB
#                   layers      an image of 100 layers of 64 KiB
#                   sixty       60 images with a common base of 60 MB
#                   again       those 60 once more, all in the target already
#                   far-layers  as layers, both registries 40 ms away
#                   far-ten     10 images with a common base of 60 MB in 8
#                               layers, both registries 40 ms away
#                   far-big     one layer of 256 MB, both registries 40 ms away, and
#                               each connection to the source brings 20 MB/s
#                               (the layer of a quick run is too small to be read
#                               over more than one)
#                   (default: all)
#
# Both registries are Debian's docker-registry on loopback, without TLS and
# without users; `big` stores 3.1 GB in them, `eight` 1, all others less. Far ones
# are behind a proxy each that delays every byte by 20 ms, a new connection by a
# round trip more, and limits no bandwidth but that of `far-big` (delay.py). A run
# whose bytes did not all go through the proxies is a failure.
# Installs missing packages with apt-get (root). Nothing leaves this machine,
# and nothing stays behind. All cases take about 15 minutes on two cores.
#
# Ends with 0 when everything was measured, whatever the figures are.
set -euo pipefail

bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$bench/../.." && pwd)

# shellcheck source=/dev/null
. "$root/tests/testbed/lib/common.sh"
# shellcheck source=/dev/null
. "$root/tests/testbed/lib/packages.sh"
say() { printf 'bench: %s\n' "$*" >&2; }
die() {
	say "error: $*"
	exit 1
}

plugin='' quick=() folder=() cases=()
while [ $# -gt 0 ]; do
	case $1 in
	--quick) quick=(--quick) && shift ;;
	--plugin) plugin=${2:?--plugin needs a file} && shift 2 ;;
	--dir) folder=(--dir "${2:?--dir needs a folder}") && shift 2 ;;
	-h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" | sed '/^set /d' && exit ;;
	eight | big | layers | sixty | again | far-layers | far-ten | far-big) cases+=("$1") && shift ;;
	*) die "unknown argument $1 (see --help)" ;;
	esac
done
[ ${#cases[@]} -gt 0 ] || cases=(eight big layers sixty again far-layers far-ten far-big)

needed=(docker-registry skopeo curl util-linux)
command -v python3 >/dev/null || needed+=(python3)
install_packages "${needed[@]}"
storage=$(python3 -I -B "$bench/place.py" "${quick[@]}" "${folder[@]}" "${cases[@]}")

if [ -z "$plugin" ]; then
	say "building the release"
	(cd "$root" && cargo build --quiet --release --locked --bin kubectl-image_cloner)
	plugin=${CARGO_TARGET_DIR:-$root/target}/release/kubectl-image_cloner
fi
[ -x "$plugin" ] || die "$plugin is not a program"
plugin=$(realpath "$plugin")

work=$(mktemp -d "$storage/image-cloner-bench.XXXXXX")
python=
# shellcheck disable=SC2317  # called by the trap
# The registries and the proxies end with the benchmark's own process.
end() {
	local status=$?
	trap - EXIT
	if [ -n "$python" ]; then
		kill -TERM "$python" 2>/dev/null || true
		wait "$python" 2>/dev/null || true
	fi
	local try
	for ((try = 0; try < 50; try++)); do # what was killed may still be writing
		! rm -rf --one-file-system "$work" 2>/dev/null || break
		sleep 0.1
	done
	exit "$status"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# In the background, so that a signal is answered at once.
python3 -I -B "$bench/bench.py" --work "$work" --plugin "$plugin" "${quick[@]}" "${cases[@]}" &
python=$!
status=0
wait "$python" || status=$?
python=
exit "$status"
