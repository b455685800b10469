#!/usr/bin/env bash
# Runs everything that must pass: formatting, lints, and all tests against a
# real cluster and real registries (tests/testbed), which it brings up in a
# folder and on ports of its own and takes down again, whatever happened.
#
# usage: run.sh [--keep] [--no-cluster]
#   --keep         leave the cluster up afterwards (the next run uses it again)
#   --no-cluster   skip the tests that need it; not allowed where CI=true
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
testbed=$root/tests/testbed
keep='' cluster=1

# shellcheck source=/dev/null
. "$testbed/lib/common.sh"
# shellcheck source=/dev/null
. "$testbed/lib/packages.sh"
say() { printf 'run.sh: %s\n' "$*" >&2; }
die() {
	say "error: $*"
	exit 1
}

while [ $# -gt 0 ]; do
	case $1 in
	--keep) keep=1 && shift ;;
	--no-cluster) cluster='' && shift ;;
	-h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" | sed '/^set /d' && exit ;;
	*) die "unknown argument $1 (see --help)" ;;
	esac
done
[ -n "$cluster" ] || [ "${CI:-}" != true ] || die "--no-cluster is not allowed in CI"

# A cargo that is new enough for this crate.
need_cargo() {
	local wanted have
	wanted=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$root/Cargo.toml")
	if ! command -v cargo >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null &&
		apt-cache policy rustup 2>/dev/null | grep -q 'Candidate: [0-9]'; then
		install_packages rustup
		rustup -q default stable || say "rustup could not get a toolchain"
	fi
	command -v cargo >/dev/null || die "cargo is missing: get Rust $wanted or newer from https://rustup.rs"
	have=$(cd "$root" && cargo --version | cut -d' ' -f2)
	[ "$(printf '%s\n' "$wanted" "${have%%-*}" | sort -V | head -n1)" = "$wanted" ] ||
		die "cargo $have is older than the $wanted this crate needs: rustup update, or see https://rustup.rs"
}

# One bed a checkout; the offset is whatever nothing else uses, a demo's 0 excluded.
bed_dir() {
	local dir=${TMPDIR:-/tmp}
	printf '%s/image-cloner-tests-%s\n' "${dir%/}" "$(printf %s "$root" | cksum | cut -d' ' -f1)"
}

port_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

bed_offset() {
	local dir=$1 n offset
	if [ -s "$dir/.image-cloner-testbed" ]; then
		cat "$dir/.image-cloner-testbed"
		return
	fi
	for ((n = 0; n < 90; n++)); do
		offset=$((10 + ($$ + n) % 90))
		if port_free $((5000 + 20 * offset)) && port_free $((21000 + 20 * offset)) && [ ! -e "/sys/class/net/icbed$offset" ]; then
			echo "$offset"
			return
		fi
	done
	die "found no free ports for the cluster"
}

bed=$(bed_dir) holds='' beside='' pods=''
take_down() {
	local status=$? output
	trap - EXIT
	[ -z "$beside" ] || kill "$beside" 2>/dev/null || true
	rm -f "$pods"
	# Silent when it works: the last line is to be the tests' own.
	if [ -n "$holds" ] && [ -z "$keep" ] && ! output=$(bash "$testbed/down.sh" --dir "$bed" 2>&1); then
		printf '%s\n' "$output" >&2
		[ "$status" != 0 ] || status=1
	fi
	exit "$status"
}

cd "$root"
need_cargo
command -v cc >/dev/null || install_packages gcc libc6-dev
command -v make >/dev/null || install_packages make
say "formatting"
cargo fmt --check
command -v python3 >/dev/null || install_packages python3
# their completions are tried in themselves
for shell in zsh fish; do
	command -v "$shell" >/dev/null || install_packages "$shell"
done
say "the benchmark's scripts"
python3 -I -B - tests/bench/*.py <<'END'
import sys
for name in sys.argv[1:]:
    compile(open(name, encoding="utf-8").read(), name, "exec")
END
python3 -I -B tests/bench/delay_test.py
if command -v shellcheck >/dev/null; then
	say "shell scripts"
	bash tests/shellcheck.sh
else
	say "no shellcheck here: the scripts are looked at in CI alone"
fi
say "dependencies, of every platform that is released"
mapfile -t targets < <(sed -n 's/^    "\([a-z0-9_]*-[a-z0-9_-]*\)",$/--target=\1/p' deny.toml)
cargo fetch --quiet --locked "${targets[@]}"
if cargo deny --version >/dev/null 2>&1; then
	cargo deny --offline check bans licenses sources
else
	say "no cargo-deny here: tests/it/dependencies.rs holds what can be told without it"
fi
say "lints"
cargo clippy --all-targets --locked -- -D warnings
say "the crate's documentation"
RUSTDOCFLAGS='-D warnings' cargo doc --quiet --locked --no-deps --lib --document-private-items
say "building the tests"
cargo test --locked --no-run

# The agent's image has nothing but the agent: it must need no library. Built for
# a target that is named, so that nothing else is built again.
say "building the agent that its image is made of"
triple=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS='-C target-feature=+crt-static' CARGO_PROFILE_DEV_DEBUG=false CARGO_PROFILE_DEV_STRIP=true \
	cargo build --locked --target "$triple" --bin image-cloner-agent
agent=$(realpath "${CARGO_TARGET_DIR:-target}/$triple/debug/image-cloner-agent")

trap take_down EXIT
trap 'exit 130' INT TERM
if [ -n "$cluster" ]; then
	# One run at a time in one checkout: they would share a cluster.
	exec 8<"$root/tests"
	flock -n 8 || {
		say "waiting for another run in this checkout"
		flock 8
	}
	holds=1
	bash "$testbed/up.sh" --dir "$bed" --offset "$(bed_offset "$bed")" 8<&-
	# shellcheck source=/dev/null
	. "$bed/env"
	export TESTBED_AGENT=$agent
	[ -z "$keep" ] || say "the cluster stays up: . $bed/env; to end it: tests/testbed/down.sh --dir $bed"
else
	unset "${!TESTBED_@}" KUBECONFIG
	export KUBECONFIG=/dev/null
	say "************************************************************"
	say "* --no-cluster: the tests against a real cluster are SKIPPED *"
	say "************************************************************"
fi

cargo test --locked --doc
# A cluster has one agent: the tests of it as a pod take turns, beside all others.
it=$(cargo test --locked --no-run --test it 2>&1 | sed -n 's/^ *Executable .*(\(.*\))$/\1/p')
pods=$(mktemp) failed=''
"$it" agent_pods:: --test-threads=1 >"$pods" 2>&1 &
beside=$!
cargo test --locked --no-fail-fast --lib --bins --tests -- --skip agent_pods:: || failed=' the tests'
wait "$beside" || failed+=' the tests of the agent as a pod'
beside=''
cat "$pods"
[ -z "$failed" ] || die "failed:$failed"
