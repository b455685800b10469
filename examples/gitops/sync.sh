#!/usr/bin/env bash
# For a repository that Argo CD or Flux applies: copies the images of base/ into
# your registry and writes mirrored/kustomization.yaml, which is what they are to
# apply. base/ stays as it is, and so do the tags in it. Run it in the pipeline
# of every change, before the commit that the cluster follows:
#
#   gitops/sync.sh registry.corp/mirror && git add mirrored && git commit
#
# usage: sync.sh REGISTRY
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
registry=${1:?usage: sync.sh REGISTRY}
images=$(kubectl kustomize base | kubectl image-cloner clone -f - -o kustomize --to "$registry")
# Written only when every copy is there: a failed one ends the script above.
cat >mirrored/kustomization.yaml <<END
# Written by sync.sh.
resources:
- ../base
$images
END
