#!/usr/bin/env bash
# Carries blobs from one registry to another with nothing but curl, eight at a
# time: what the registries and the machine allow, with no checks and no
# manifests. One blob: an upload is opened, then GET is piped into PUT.
#
# usage: floor.sh SOURCE TARGET <LIST   (a line: REPOSITORY DIGEST)
set -euo pipefail

carry() { # SOURCE TARGET REPOSITORY DIGEST
	local location joint='?'
	location=$(curl -fsS -X POST -o /dev/null -w '%header{location}' "$2/v2/floor/blobs/uploads/")
	[[ $location != *\?* ]] || joint='&'
	curl -fsS "$1/v2/$3/blobs/$4" |
		curl -fsS -o /dev/null -T - -X PUT -H 'expect:' -H 'content-type: application/octet-stream' \
			"$location${joint}digest=$4"
}
export -f carry
export SHELLOPTS

exec xargs -P 8 -L 1 bash -c 'carry "$@"' bash "$1" "$2"
