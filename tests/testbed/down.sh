#!/usr/bin/env bash
# Ends a test bed: its processes (by their recorded ids, after a look whether
# they still are the bed's), its pods, control groups, firewall rules, bridge
# and folder. Touches nothing else, and is content when there is no bed.
#
# usage: down.sh [--dir DIR] [--offset N]
set -euo pipefail

BED_LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")/lib" && pwd)
for part in common bed packages controlplane network node registries; do
	# shellcheck source=/dev/null
	. "$BED_LIB/$part.sh"
done

dir='' offset=0
while [ $# -gt 0 ]; do
	case $1 in
	--dir) dir=${2:?--dir needs a folder} && shift 2 ;;
	--offset) offset=${2:?--offset needs a number} && shift 2 ;;
	-h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit ;;
	*) die "unknown argument $1 (see --help)" ;;
	esac
done
[[ $offset =~ ^[0-9]{1,2}$ ]] || die "--offset takes a number from 0 to 99, not $offset"
bed_settings "$(realpath -m "${dir:-$(default_dir "$((10#$offset))")}")" "$((10#$offset))"
if ! bed_is_marked; then
	say "no bed in $BED_DIR"
	exit 0
fi
bed_settings "$BED_DIR" "$(bed_recorded_offset)"
bed_stop
bed_remove
say "down"
