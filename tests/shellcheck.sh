#!/usr/bin/env bash
# Looks at every shell script; the one list of them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec shellcheck .ci/run krew/*.sh tests/*.sh tests/readme/*.sh tests/bench/*.sh tests/testbed/*.sh tests/testbed/lib/*.sh examples/*.sh examples/*/*.sh
