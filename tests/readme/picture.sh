#!/usr/bin/env bash
# Draws the picture at the top of the README: a real run of the plugin on a real
# terminal, against a test bed without a node. Uses the bed of TESTBED_DIR where
# one is up, else brings one up and takes it down again.
#
# usage: picture.sh [OUT]    (default: tests/readme/clone.svg)
# PLUGIN names a built plugin; without it one is built.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$here/clone.svg}
work=$(mktemp -d)
namespace=shop
own=''

finish() {
	local status=$?
	trap - EXIT
	kubectl delete namespace "$namespace" >/dev/null 2>&1 || true
	[ -z "$own" ] || bash "$root/tests/testbed/down.sh" --dir "$own" >/dev/null
	rm -rf "$work"
	exit "$status"
}
trap finish EXIT
if [ -z "${TESTBED_DIR:-}" ]; then
	own=$work/bed
	bash "$root/tests/testbed/up.sh" --dir "$own" --offset 90 --no-node
	# shellcheck source=/dev/null
	. "$own/env"
fi
if [ -z "${PLUGIN:-}" ]; then
	(cd "$root" && cargo build --release --locked --bin kubectl-image_cloner)
	PLUGIN=${CARGO_TARGET_DIR:-$root/target}/release/kubectl-image_cloner
fi
mkdir "$work/bin"
ln -s "$PLUGIN" "$work/bin/kubectl-image_cloner"

# Another target in the bed's open registry at each drawing, under one name: registry.corp is where the
# plugin is told it is, and the registry's own repositories begin with the target's path.
kubectl config view --raw >"$work/kubeconfig"
export KUBECONFIG=$work/kubeconfig IMAGE_CLONER_CONFIG=$work/config.yaml HOME=$work
kubectl config rename-context "$(kubectl config current-context)" prod-eu >/dev/null
cp "$TESTBED_CONFIG" "$work/config.yaml"
printf '  registry.corp: {endpoint: "http://%s"}\n' "$TESTBED_OPEN_TARGET" >>"$work/config.yaml"
unset "${!IMAGE_CLONER_@}"
export IMAGE_CLONER_CONFIG=$work/config.yaml PATH="$work/bin:$PATH"

# The bed's image under the tag that the example has.
manifests=http://$TESTBED_QUAY_IO/v2/prometheus/node-exporter/manifests
type=application/vnd.oci.image.manifest.v1+json
curl -fsS -H "Accept: $type" "$manifests/v1" | curl -fsS -X PUT -H "Content-Type: $type" --data-binary @- "$manifests/v1.8.2"

kubectl apply -f "$root/examples/whole-namespace.yml" >/dev/null
PYTHONDONTWRITEBYTECODE=1 python3 -I "$here/picture.py" "$out" 'y/N=y' -- \
	"kubectl image-cloner clone ns/$namespace --to registry.corp/mirror" \
	kubectl image-cloner clone "ns/$namespace" --to registry.corp/mirror
printf '%s\n' "$out"
