#!/usr/bin/env bash
# Draws the picture at the top of the README: a real run of the plugin on a real
# terminal, against a test bed of its own (root, since pods run). Needs nothing
# that tests/run.sh does not install.
#
# usage: picture.sh [OUT]    (default: tests/readme/clone.svg)
# PLUGIN names a built plugin; without it one is built.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$here/clone.svg}
work=$(mktemp -d)
namespace=shop
bed=$work/bed

finish() {
	local status=$?
	trap - EXIT
	bash "$root/tests/testbed/down.sh" --dir "$bed" >/dev/null
	rm -rf "$work"
	exit "$status"
}
trap finish EXIT
bash "$root/tests/testbed/up.sh" --dir "$bed" --offset 90
# shellcheck source=/dev/null
. "$bed/env"
unset "${!IMAGE_CLONER_@}"
if [ -z "${PLUGIN:-}" ]; then
	(cd "$root" && cargo build --release --locked --bin kubectl-image_cloner)
	PLUGIN=${CARGO_TARGET_DIR:-$root/target}/release/kubectl-image_cloner
fi
mkdir "$work/bin"
ln -s "$PLUGIN" "$work/bin/kubectl-image_cloner"

# The bed's open target goes by the name registry.corp: for the plugin, and for the node's containerd.
certs=$bed/node/certs.d/registry.corp
mkdir -p "$certs"
printf '[host."http://%s"]\n' "$TESTBED_OPEN_TARGET" >"$certs/hosts.toml"
kubectl config view --raw >"$work/kubeconfig"
export KUBECONFIG=$work/kubeconfig IMAGE_CLONER_CONFIG=$work/config.yaml HOME=$work
kubectl config rename-context "$(kubectl config current-context)" prod-eu >/dev/null
cp "$TESTBED_CONFIG" "$work/config.yaml"
printf '  registry.corp: {endpoint: "http://%s"}\n' "$TESTBED_OPEN_TARGET" >>"$work/config.yaml"
export PATH="$work/bin:$PATH"

# The bed's image under the tag that the example has.
manifests=http://$TESTBED_QUAY_IO/v2/prometheus/node-exporter/manifests
type=application/vnd.oci.image.manifest.v1+json
curl -fsS -H "Accept: $type" "$manifests/v1" | curl -fsS -X PUT -H "Content-Type: $type" --data-binary @- "$manifests/v1.8.2"

kubectl apply -f "$root/examples/whole-namespace.yml" >/dev/null
for workload in deployment/web statefulset/basket daemonset/node-exporter; do
	kubectl rollout status "$workload" --namespace "$namespace" --timeout 120s >/dev/null
done
PYTHONDONTWRITEBYTECODE=1 python3 -I "$here/picture.py" "$out" 'y/N=y' -- \
	"kubectl image-cloner clone ns/$namespace --to registry.corp/mirror" \
	kubectl image-cloner clone "ns/$namespace" --to registry.corp/mirror
printf '%s\n' "$out"
