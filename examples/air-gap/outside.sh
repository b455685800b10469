#!/usr/bin/env bash
# Air gap, the first half: where the internet is. Copies the images of manifests
# into a registry that you carry (any registry that keeps its data in a folder or
# on a disk of its own), and writes what the other half needs into a folder:
# images.txt, and the manifests, repointed to the registry behind the gap.
#
#   docker run -d -p 127.0.0.1:5001:5000 -v "$PWD/carried:/var/lib/registry" registry:2
#   outside.sh localhost:5001 registry.corp/mirror parcel manifests/
#
# usage: outside.sh CARRIER REGISTRY PARCEL FILE|FOLDER...
set -euo pipefail

[ $# -ge 4 ] || { echo "usage: outside.sh CARRIER REGISTRY PARCEL FILE|FOLDER..." >&2 && exit 2; }
carrier=$1 registry=$2 parcel=$3
shift 3
mkdir -p "$parcel/manifests"
cp -R "$@" "$parcel/manifests/"

# "image copy" lines: what is copied, and its name behind the gap
kubectl image-cloner clone -f "$parcel/manifests" -R --no-copy -o refs --to "$registry" >"$parcel/images.txt"
cut -d' ' -f1 "$parcel/images.txt" | kubectl image-cloner copy -f - --to "$carrier" >"$parcel/copied.txt"
kubectl image-cloner clone -f "$parcel/manifests" -R --no-copy -w --to "$registry"
echo "carry $parcel and the data of $carrier"
