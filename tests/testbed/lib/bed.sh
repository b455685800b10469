# shellcheck shell=bash
# The life of a whole bed: is it running, its environment file, its end.
# Removes a folder only when it carries the bed's mark.

BED_MARK=.image-cloner-testbed

bed_is_marked() { [ -e "$BED_DIR/$BED_MARK" ]; }

# The offset a bed was started with.
bed_recorded_offset() { cat "$BED_DIR/$BED_MARK" 2>/dev/null || true; }

# Came up completely, and every recorded process still lives.
bed_is_running() {
	local file
	[ -e "$BED_DIR/env" ] || return 1
	for file in "$BED_RUN"/*.pid; do
		file=${file##*/}
		running "${file%.pid}" || return 1
	done
}

bed_stop() {
	local file pid
	node_stop
	# All at once, then one by one with the waiting that each may need.
	for file in "$BED_RUN"/*.pid; do
		[ -e "$file" ] || continue
		pid=$(<"$file")
		if is_ours "$pid"; then
			kill -TERM "$pid" 2>/dev/null || true
		fi
	done
	control_plane_stop
	registries_stop
	network_stop
}

bed_remove() {
	local try
	for ((try = 0; try < 50; try++)); do
		! rm -rf --one-file-system "$BED_DIR" 2>/dev/null || return 0
		sleep 0.1
	done
	die "could not remove all of $BED_DIR"
}

bed_ports_free() {
	local port
	for port in $(seq "$PORT_TARGET" "$PORT_REGISTRY_LAST") $(seq "$PORT_API" "$PORT_STREAMING"); do
		! port_taken "$port" || die "port $port is in use; choose another --offset"
	done
}

# The contract with the tests: NAME='value' lines to be sourced.
bed_write_env() {
	local node=$1 from_pods=
	[ "$node" = 0 ] || from_pods=$GATEWAY
	cat >"$BED_DIR/config.yaml" <<-END
		registries:
		  docker.io: {endpoint: "http://127.0.0.1:$PORT_DOCKER_IO"}
		  quay.io: {endpoint: "http://127.0.0.1:$PORT_QUAY_IO"}
		  ghcr.io: {endpoint: "http://127.0.0.1:$PORT_GHCR_IO"}
		  "registry.corp:5443": {endpoint: "http://127.0.0.1:$PORT_CORP"}
	END
	cat >"$BED_DIR/env.new" <<-END
		export TESTBED_DIR='$BED_DIR'
		export KUBECONFIG='$BED_DIR/kubeconfig'
		export KUBECACHEDIR='$BED_DIR/kube-cache'
		export TESTBED_ADMIN_SERVER='https://127.0.0.1:$PORT_API'
		export TESTBED_KUBE_VERSION='$KUBE_VERSION_RUNNING'
		export TESTBED_NODE='$node'
		export TESTBED_NODE_NAME='$NODE_NAME'
		export TESTBED_GATEWAY='$from_pods'
		export TESTBED_CONFIG='$BED_DIR/config.yaml'
		export TESTBED_DOCKER_IO='127.0.0.1:$PORT_DOCKER_IO'
		export TESTBED_DOCKER_IO_LOG='$(access_log docker-io)'
		export TESTBED_QUAY_IO='127.0.0.1:$PORT_QUAY_IO'
		export TESTBED_QUAY_IO_LOG='$(access_log quay-io)'
		export TESTBED_GHCR_IO='127.0.0.1:$PORT_GHCR_IO'
		export TESTBED_GHCR_IO_LOG='$(access_log ghcr-io)'
		export TESTBED_CORP='127.0.0.1:$PORT_CORP'
		export TESTBED_CORP_LOG='$(access_log corp)'
		export TESTBED_CORP_USER='corp'
		export TESTBED_CORP_PASS='corppass'
		export TESTBED_TARGET='localhost:$PORT_TARGET'
		export TESTBED_TARGET_LOG='$(access_log target)'
		export TESTBED_TARGET_USER='testuser'
		export TESTBED_TARGET_PASS='testpass'
		export TESTBED_PULL_USER='puller'
		export TESTBED_PULL_PASS='pullpass'
		export TESTBED_OPEN_TARGET='localhost:$PORT_OPEN_TARGET'
		export TESTBED_OPEN_TARGET_LOG='$(access_log open-target)'
	END
	if [ "$node" = 1 ]; then
		# As a pod reaches them.
		cat >>"$BED_DIR/env.new" <<-END
			export TESTBED_TARGET_FROM_PODS='$GATEWAY:$PORT_TARGET'
			export TESTBED_DOCKER_IO_FROM_PODS='$GATEWAY:$PORT_DOCKER_IO'
			export TESTBED_QUAY_IO_FROM_PODS='$GATEWAY:$PORT_QUAY_IO'
			export TESTBED_GHCR_IO_FROM_PODS='$GATEWAY:$PORT_GHCR_IO'
			export TESTBED_CORP_FROM_PODS='$GATEWAY:$PORT_CORP'
			export TESTBED_OPEN_TARGET_FROM_PODS='$GATEWAY:$PORT_OPEN_TARGET'
		END
	fi
	mv "$BED_DIR/env.new" "$BED_DIR/env"
}
