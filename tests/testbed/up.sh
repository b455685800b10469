#!/usr/bin/env bash
# Starts a test bed of real parts on this machine: a Kubernetes control plane,
# a node, source registries with images in them, and target registries. Writes
# DIR/env, to be sourced by whoever uses it. A bed that runs already is left as
# it is; the remains of a dead one are cleared first.
#
# usage: up.sh [--dir DIR] [--offset N] [--no-node]
#   --dir DIR     where everything of the bed lives (default: a folder in TMPDIR)
#   --offset N    0 to 99: shifts ports, bridge and address ranges, so that beds
#                 run side by side (0: target registry on localhost:5000)
#   --no-node     control plane and registries only; the default without root
#
# Installs missing packages with apt-get (root). Builds Kubernetes 1.20.2 once
# into a cache folder, IMAGE_CLONER_TESTBED_CACHE, unless KUBEBUILDER_ASSETS
# names a folder with programs to use. Listens on loopback and on its own
# bridge only; nothing in it reaches beyond this machine.
set -euo pipefail

BED_LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")/lib" && pwd)
for part in common bed packages kubernetes controlplane network node registries images; do
	# shellcheck source=/dev/null
	. "$BED_LIB/$part.sh"
done

dir='' offset=0 node=1
while [ $# -gt 0 ]; do
	case $1 in
	--dir) dir=${2:?--dir needs a folder} && shift 2 ;;
	--offset) offset=${2:?--offset needs a number} && shift 2 ;;
	--no-node) node=0 && shift ;;
	-h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit ;;
	*) die "unknown argument $1 (see --help)" ;;
	esac
done
[[ $offset =~ ^[0-9]{1,2}$ ]] || die "--offset takes a number from 0 to 99, not $offset"
offset=$((10#$offset))
dir=$(realpath -m "${dir:-$(default_dir "$offset")}")
[[ $dir =~ ^[A-Za-z0-9/_.+-]+$ ]] || die "--dir $dir: only letters, digits and /_.+- can be dealt with"
[ ${#dir} -le 75 ] || die "--dir $dir is too long for sockets in it"

bed_settings "$dir" "$offset"
if bed_is_marked; then
	recorded=$(bed_recorded_offset)
	bed_settings "$dir" "${recorded:-0}"
	if bed_is_running; then
		[ "$BED_OFFSET" = "$offset" ] || die "a bed with --offset $BED_OFFSET is running in $dir"
		say "already running; its environment: $BED_DIR/env"
		exit 0
	fi
	say "clearing the remains of a bed in $dir"
	bed_stop
	bed_remove
	bed_settings "$dir" "$offset"
elif [ -d "$dir" ] && [ -n "$(ls -A "$dir")" ]; then
	die "$dir is not empty and not a test bed's"
fi
bed_ports_free

mkdir -p "$BED_DIR"
echo "$BED_OFFSET" >"$BED_DIR/$BED_MARK"
mkdir -p "$BED_RUN" "$BED_LOGS"
export KUBECACHEDIR=$BED_DIR/kube-cache
# What came up must not stay when the rest did not; the logs stay.
trap '[ "$?" = 0 ] || { trap - EXIT; bed_stop; say "stopped what was started; logs are in $BED_LOGS"; exit 1; }' EXIT
trap 'exit 130' INT TERM

packages_control_plane
packages_registries
kubernetes_programs
if [ "$node" = 1 ] && ! node_possible; then
	say "no node: it needs root, a kubelet, a controller manager and a scheduler"
	node=0
fi
[ "$node" = 0 ] || packages_node
images_ready
[ "$node" = 0 ] || network_start
control_plane_start
[ "$node" = 0 ] || node_start
registries_start
images_push
control_plane_finish
[ "$node" = 0 ] || node_await
control_plane_await
bed_write_env "$node"
say "up; for its environment: . $BED_DIR/env"
