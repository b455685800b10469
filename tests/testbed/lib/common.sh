# shellcheck shell=bash disable=SC2034
# What every part of the test bed shares: settings derived from --dir and
# --offset, messages, processes by recorded id, bounded waiting.
# Sourced by up.sh and down.sh. Never ends a process whose command line does
# not name the bed's own folder.

# The one table of a bed's names, ports and address ranges.
bed_settings() { # DIR OFFSET
	BED_DIR=$1
	BED_OFFSET=$2
	BED_RUN=$BED_DIR/run   # pid files, sockets
	BED_LOGS=$BED_DIR/logs # one log a process
	local registry_base=$((5000 + 20 * BED_OFFSET)) base=$((21000 + 20 * BED_OFFSET))
	PORT_TARGET=$registry_base
	PORT_DOCKER_IO=$((registry_base + 1))
	PORT_QUAY_IO=$((registry_base + 2))
	PORT_GHCR_IO=$((registry_base + 3))
	PORT_CORP=$((registry_base + 4))
	PORT_OPEN_TARGET=$((registry_base + 5))
	PORT_REGISTRY_LAST=$((registry_base + 5))
	PORT_API=$base
	PORT_ETCD=$((base + 1))
	PORT_ETCD_PEER=$((base + 2))
	PORT_MANAGER=$((base + 3))
	PORT_SCHEDULER=$((base + 4))
	PORT_KUBELET=$((base + 5))
	PORT_KUBELET_HEALTH=$((base + 6))
	PORT_STREAMING=$((base + 7))
	BRIDGE=icbed$BED_OFFSET
	POD_RANGE=10.244.$BED_OFFSET.0/24
	GATEWAY=10.244.$BED_OFFSET.1
	SERVICE_RANGE=10.96.$BED_OFFSET.0/24
	SERVICE_API=10.96.$BED_OFFSET.1
	NODE_NAME=testbed-node
}

# What is built or packed once and shared by all beds.
cache_dir() {
	if [ -n "${IMAGE_CLONER_TESTBED_CACHE:-}" ]; then
		echo "$IMAGE_CLONER_TESTBED_CACHE"
	elif [ "$(id -u)" = 0 ]; then
		echo /var/cache/image-cloner-testbed
	else
		echo "${XDG_CACHE_HOME:-$HOME/.cache}/image-cloner-testbed"
	fi
}

default_dir() { # OFFSET
	local dir=${TMPDIR:-/tmp}
	dir=${dir%/}/image-cloner-testbed
	[ "$1" = 0 ] || dir=$dir-$1
	echo "$dir"
}

say() { printf 'testbed: %s\n' "$*" >&2; }

die() {
	printf 'testbed: error: %s\n' "$*" >&2
	exit 1
}

# Show the end of a part's log, then stop.
die_with_log() { # MESSAGE LOG
	printf 'testbed: error: %s\n' "$1" >&2
	if [ -s "$2" ]; then
		printf -- '--- the last lines of %s\n' "$2" >&2
		tail -n 25 "$2" >&2
		printf -- '---\n' >&2
	fi
	exit 1
}

# is_ours PID: alive, and its command line names this bed's folder.
is_ours() {
	[ -r "/proc/$1/cmdline" ] || return 1
	tr '\0' '\n' <"/proc/$1/cmdline" 2>/dev/null | grep -qF -- "$BED_DIR/"
}

# start NAME COMMAND…: in a session of its own, output to logs/NAME.log, pid
# recorded. Every command names a file below BED_DIR in its arguments. Of the
# environment nothing is passed on: no proxy, no cloud's credentials or metadata
# service, no settings of another registry.
start() {
	local name=$1
	shift
	: >"$BED_LOGS/$name.log"
	env -i PATH="$PATH:/usr/sbin:/sbin" HOME="$BED_DIR" AWS_EC2_METADATA_DISABLED=true \
		setsid "$@" </dev/null >>"${START_STDOUT:-$BED_LOGS/$name.log}" 2>>"$BED_LOGS/$name.log" &
	echo $! >"$BED_RUN/$name.pid"
}

pid_of() { # NAME
	cat "$BED_RUN/$1.pid" 2>/dev/null || true
}

running() { # NAME
	local pid tries=20
	pid=$(pid_of "$1")
	[ -n "$pid" ] || return 1
	# one that was just started has this script's command line until it is itself
	until is_ours "$pid"; do
		tries=$((tries - 1))
		if [ ! -e "/proc/$pid" ] || [ $tries = 0 ]; then
			return 1
		fi
		sleep 0.1
	done
}

# stop NAME [SECONDS]: TERM, wait, KILL; forget the pid file.
stop() {
	local name=$1 pid tenths=$((${2:-10} * 10))
	pid=$(pid_of "$name")
	if [ -n "$pid" ] && is_ours "$pid"; then
		kill -TERM "$pid" 2>/dev/null || true
		while is_ours "$pid" && [ $tenths -gt 0 ]; do
			sleep 0.1
			tenths=$((tenths - 1))
		done
		if is_ours "$pid"; then
			kill -KILL "$pid" 2>/dev/null || true
		fi
	fi
	rm -f "$BED_RUN/$name.pid"
}

# wait_for SECONDS PROCESS WHAT COMMAND…: poll until COMMAND succeeds. Ends
# early, with the process's log, when that process has died.
wait_for() {
	local tenths=$(($1 * 5)) process=$2 what=$3
	shift 3
	until "$@" >/dev/null 2>&1; do
		running "$process" || die_with_log "$process ended while waiting for $what" "$BED_LOGS/$process.log"
		tenths=$((tenths - 1))
		[ $tenths -gt 0 ] || die_with_log "gave up waiting for $what" "$BED_LOGS/$process.log"
		sleep 0.2
	done
}

port_taken() { # PORT
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}
