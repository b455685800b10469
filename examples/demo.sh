#!/usr/bin/env bash
# Shows image-cloner at work on this machine: brings up the test bed (a real
# cluster and real registries, see tests/testbed), builds the plugin, deploys
# nginx and clones its image into the registry at localhost:5000. Can be run
# again. Never touches your own kubeconfig or any other cluster.
#
# usage: demo.sh [down] [--dir DIR] [--offset N]
#   down         end it; until then the cluster stays up to look around in
#   --dir DIR    where the test bed is, or goes (default: a folder in TMPDIR)
#   --offset N   its ports, as of tests/testbed/up.sh (default 0: the target
#                registry is localhost:5000)
# PLUGIN names a built kubectl-image_cloner; without it one is built.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
namespace=demo-system

step() { printf '\n== %s\n' "$*"; }
show() {
	printf '$ %s\n' "$*"
	"$@"
}

look() {
	show kubectl get deployment nginx -n "$namespace" -o wide
	show kubectl get pods -n "$namespace" -l app=nginx --field-selector status.phase=Running \
		-o custom-columns='POD:.metadata.name,STATUS:.status.phase,IMAGE:.spec.containers[*].image'
	show kubectl get pods -n "$namespace" -l app=nginx --field-selector status.phase=Running \
		-o custom-columns='IMAGE ID:.status.containerStatuses[*].imageID'
}

# Old pods of a rollout take a moment to go.
await_one_pod() {
	local tries=240
	kubectl rollout status deployment/nginx -n "$namespace" --timeout=120s >/dev/null
	while [ "$(kubectl get pods -n "$namespace" -l app=nginx -o name | wc -l)" != 1 ] && [ $tries -gt 0 ]; do
		sleep 0.5
		tries=$((tries - 1))
	done
}

usage() {
	sed -n '2,/^set /s/^# \{0,1\}//p' "$0" | sed '/^set /d'
	exit 2
}

temporary=${TMPDIR:-/tmp}
bed=${temporary%/}/image-cloner-testbed
where=("$@") down='' offset=0
while [ $# -gt 0 ]; do
	case $1 in
	down) down=1 && shift ;;
	--dir) bed=${2:?--dir needs a folder} && shift 2 ;;
	--offset) offset=${2:?--offset needs a number} && shift 2 ;;
	*) usage ;;
	esac
done
if [ -n "$down" ]; then
	exec bash "$root/tests/testbed/down.sh" --dir "$bed" --offset "$offset"
fi

step "a cluster and registries of our own"
bash "$root/tests/testbed/up.sh" --dir "$bed" --offset "$offset"
# shellcheck source=/dev/null
. "$bed/env"
if [ "$TESTBED_NODE" != 1 ]; then
	echo "demo: no pods can run here: the node of the test bed needs root (tests/testbed/up.sh says why)" >&2
	exit 1
fi

step "the plugin"
if [ -z "${PLUGIN:-}" ]; then
	(cd "$root" && show cargo build --release --bin kubectl-image_cloner)
	PLUGIN=${CARGO_TARGET_DIR:-$root/target}/release/kubectl-image_cloner
fi
programs=$(dirname "$PLUGIN")
export PATH="$programs:$PATH"

step "a workload that runs nginx from Docker Hub (played by $TESTBED_DOCKER_IO)"
show kubectl apply -f "$root/examples/deploy-nginx.yml"
await_one_pod
look

step "cloning it into $TESTBED_TARGET"
# Where docker.io and the others really are; the target and who may push there;
# who may pull from there, for the pull secret.
export IMAGE_CLONER_CONFIG=$TESTBED_CONFIG
export IMAGE_CLONER_REGISTRY=$TESTBED_TARGET
export IMAGE_CLONER_USER=$TESTBED_TARGET_USER IMAGE_CLONER_PASS=$TESTBED_TARGET_PASS
export IMAGE_CLONER_PULL_USER=$TESTBED_PULL_USER IMAGE_CLONER_PULL_PASS=$TESTBED_PULL_PASS
show kubectl image-cloner clone deploy/nginx -n "$namespace" --to "$TESTBED_TARGET" --wait

step "the same workload now"
await_one_pod
look
echo "(The image ID names every copy of the same bytes by the name the node saw first;"
echo " the digest is what counts, and it has not changed.)"
show curl -sS -u "$TESTBED_PULL_USER:$TESTBED_PULL_PASS" "http://$TESTBED_TARGET/v2/nginx/tags/list"

cat <<END

Look around:  . $bed/env
              export PATH=$(printf %q "$programs"):\$PATH
              export IMAGE_CLONER_CONFIG=\$TESTBED_CONFIG
              kubectl get pods -A
              kubectl image-cloner restore deploy/nginx -n $namespace
Only kubectl: export KUBECONFIG=$KUBECONFIG
End it:       $0 down${where[*]:+ ${where[*]}}
END
