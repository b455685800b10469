#!/usr/bin/env bash
# Air gap, the second half: behind the gap, with the parcel of outside.sh and the
# carried registry running. Copies every image to the name that the manifests
# have for it; the digests stay what they were outside. Then:
#
#   docker run -d -p 127.0.0.1:5001:5000 -v "$PWD/carried:/var/lib/registry" registry:2
#   inside.sh localhost:5001 registry.corp/mirror parcel
#   kubectl apply -R -f parcel/manifests
#
# usage: inside.sh CARRIER REGISTRY PARCEL
set -euo pipefail

[ $# = 3 ] || { echo "usage: inside.sh CARRIER REGISTRY PARCEL" >&2 && exit 2; }
carrier=$1 registry=$2 parcel=$3
while read -r _ copy; do
	kubectl image-cloner copy "$carrier/${copy#"$registry"/}" --as "$copy" </dev/null
done <"$parcel/images.txt"
