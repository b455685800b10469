#!/usr/bin/env bash
# Measures `kubectl image-cloner copy` beside `skopeo copy` and beside plain
# curl, on this machine: the same images, the same two registries, one after the
# other in turn, each into an empty target. Prints the figures, judges none.
#
# usage: run.sh [--quick] [--plugin FILE] [CASE…]
#   --quick         small images, three runs of each: does it work, not how fast
#   --plugin FILE   measure this program instead of building one
#   CASE            eight  an 8-platform image of 470 MB, 7 layers a platform
#                   big    an image of three layers of 512 MB
#                   layers an image of 100 layers of 64 KiB
#                   sixty  60 images with a common base of 60 MB
#                   again  those 60 once more, all of it in the target already
#                   (default: all)
#
# Both registries are Debian's docker-registry on loopback, without TLS and
# without users, their storage in memory below /dev/shm (about 3.1 GB at most).
# Installs missing packages with apt-get (root). Nothing leaves this machine,
# and nothing stays behind. All cases take about ten minutes on two cores.
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

plugin='' quick=() cases=()
while [ $# -gt 0 ]; do
	case $1 in
	--quick) quick=(--quick) && shift ;;
	--plugin) plugin=${2:?--plugin needs a file} && shift 2 ;;
	-h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" | sed '/^set /d' && exit ;;
	eight | big | layers | sixty | again) cases+=("$1") && shift ;;
	*) die "unknown argument $1 (see --help)" ;;
	esac
done
[ ${#cases[@]} -gt 0 ] || cases=(eight big layers sixty again)

needed=(docker-registry skopeo curl util-linux)
command -v python3 >/dev/null || needed+=(python3)
install_packages "${needed[@]}"

if [ -z "$plugin" ]; then
	say "building the release"
	(cd "$root" && cargo build --quiet --release --locked --bin kubectl-image_cloner)
	plugin=${CARGO_TARGET_DIR:-$root/target}/release/kubectl-image_cloner
fi
[ -x "$plugin" ] || die "$plugin is not a program"
plugin=$(realpath "$plugin")

work=$(mktemp -d /dev/shm/image-cloner-bench.XXXXXX)
python=
# shellcheck disable=SC2317  # called by the trap
# The registries end with the benchmark's own process (see registry.py).
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
