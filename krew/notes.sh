#!/usr/bin/env bash
# Prints what CHANGELOG.md says of a version: the text of a release.
#
# usage: notes.sh TAG
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tag=${1:?usage: notes.sh TAG}
notes=$(awk -v version="${tag#v}" '
	/^## / { inside = $2 == version || $2 == "[" version "]"; next }
	inside { print }
' "$root/CHANGELOG.md")
if [ -z "${notes//[[:space:]]/}" ]; then
	printf 'notes.sh: error: CHANGELOG.md has nothing under "## %s"\n' "${tag#v}" >&2
	exit 1
fi
printf '%s\n' "$notes"
