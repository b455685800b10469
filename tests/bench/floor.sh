#!/usr/bin/env bash
# Carries blobs from one registry to another with nothing but curl, eight at a
# time: what the registries and the machine allow, with no checks and no
# manifests. One blob: an upload is opened, then GET is piped into PUT.
#
# usage: floor.sh SOURCE TARGET [check] <LIST   (a line: REPOSITORY DIGEST)
# check: sha256sum looks at what passes, as whoever answers for a copy has to
set -euo pipefail

carry() { # SOURCE TARGET REPOSITORY DIGEST
	local location sum joint='?'
	location=$(curl -fsS -X POST -o /dev/null -w '%header{location}' "$2/v2/floor/blobs/uploads/")
	[[ $location != *\?* ]] || joint='&'
	if [[ ${CHECK-} ]]; then
		sum=$({ { get "$@" | tee /dev/fd/3 | sha256sum >&4; } 3>&1 | put "$location${joint}digest=$4"; } 4>&1)
		[[ sha256:${sum%% *} == "$4" ]]
	else
		get "$@" | put "$location${joint}digest=$4"
	fi
}

get() { # SOURCE TARGET REPOSITORY DIGEST
	curl -fsS "$1/v2/$3/blobs/$4"
}

put() { # LOCATION
	curl -fsS -o /dev/null -T - -X PUT -H 'expect:' -H 'content-type: application/octet-stream' "$1"
}
export -f carry get put
export CHECK=${3-}
export SHELLOPTS

exec xargs -P 8 -L 1 bash -c 'carry "$@"' bash "$1" "$2"
