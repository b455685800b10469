# shellcheck shell=bash
# One node: a containerd and a kubelet of the bed's own. Both live in mount and
# process namespaces of their own (node-init.sh is their first process), so
# that ending that one process ends every container, shim and mount with it and
# the machine's own /var/log/pods, /var/lib/kubelet, /run/containerd and
# /run/netns stay untouched. Control groups are below one group named after the
# bed's bridge. Every registry that a pod may name is on loopback; any other
# name leads to a port where nobody listens.

SANDBOX_IMAGE=image-cloner.internal/testbed-pause:1
# Mounted over in the node's own mount namespace.
NODE_HIDDEN=(/var/log/pods /var/log/containers /var/lib/kubelet /run/containerd /run/netns)

node_possible() {
	[ "$(id -u)" = 0 ] && [ -x "$KUBE_BIN/kubelet" ] && [ -x "$KUBE_BIN/kube-controller-manager" ] &&
		[ -x "$KUBE_BIN/kube-scheduler" ]
}

node_start() {
	local node=$BED_DIR/node path
	mkdir -p "$node/certs.d" "$node/hidden" "$node/kubelet"
	network_cni_config "$node/cni"
	echo "nameserver 127.0.0.1" >"$node/resolv.conf"
	node_hosts
	node_containerd_config >"$node/containerd.toml"
	node_kubelet_config >"$node/kubelet.yaml"
	: >"$node/made" # from here on there is something to take down
	cgroups_make
	printf '%s\n' "${NODE_HIDDEN[@]}" >"$node/hidden.list"
	mkdir -p "$node/hidden/run/containerd"
	# Where the kubelet's cAdvisor looks; it waits five seconds for it.
	ln -s "$BED_RUN/containerd.sock" "$node/hidden/run/containerd/containerd.sock"
	for path in "${NODE_HIDDEN[@]}"; do
		mkdir -p "$node/hidden$path"
		if [ ! -d "$path" ]; then
			mkdir -p "$path"
			echo "$path" >>"$node/made"
		fi
	done
	local flags=()
	[ "$KUBE_MINOR" -ge 27 ] || flags+=(--container-runtime-endpoint "unix://$BED_RUN/containerd.sock")
	[ "$KUBE_MINOR" -ge 24 ] || flags+=(--container-runtime remote)
	: >"$BED_LOGS/kubelet.log"
	start node unshare --mount --pid --fork --kill-child --mount-proc \
		bash "$BED_LIB/node-init.sh" "$BED_DIR/node" "$BED_LOGS" "$BED_RUN/containerd.sock" "$KUBE_BIN/kubelet" \
		--config "$node/kubelet.yaml" --kubeconfig "$BED_DIR/node.kubeconfig" --root-dir "$node/kubelet" \
		--cert-dir "$node/kubelet/pki" --hostname-override "$NODE_NAME" --node-ip "$GATEWAY" "${flags[@]}"
	wait_for 30 node containerd ctr -a "$BED_RUN/containerd.sock" version
	ctr -a "$BED_RUN/containerd.sock" -n k8s.io images import "$(images_dir)/pause.tar" >>"$BED_LOGS/containerd.log" 2>&1 ||
		die_with_log "containerd did not take the pause image" "$BED_LOGS/containerd.log"
	touch "$node/go" # the kubelet may start; it needs five seconds before it asks the apiserver
}

node_await() {
	local tenths=300
	until kubectl_bed get node "$NODE_NAME" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null |
		grep -qx True; do
		running node || die_with_log "the node ended" "$BED_LOGS/kubelet.log"
		tenths=$((tenths - 1))
		[ $tenths -gt 0 ] || die_with_log "the node did not become Ready" "$BED_LOGS/kubelet.log"
		sleep 0.2
	done
	say "node $NODE_NAME is Ready"
}

# containerd asks these loopback ports for these hosts, and no others.
node_hosts() {
	local host port
	while read -r host port; do
		node_host "$host" "http://127.0.0.1:$port"
	done <<-END
		docker.io $PORT_DOCKER_IO
		quay.io $PORT_QUAY_IO
		ghcr.io $PORT_GHCR_IO
		registry.corp:5443 $PORT_CORP
		localhost:$PORT_TARGET $PORT_TARGET
		127.0.0.1:$PORT_TARGET $PORT_TARGET
		$GATEWAY:$PORT_TARGET $PORT_TARGET
		localhost:$PORT_OPEN_TARGET $PORT_OPEN_TARGET
		127.0.0.1:$PORT_OPEN_TARGET $PORT_OPEN_TARGET
		$GATEWAY:$PORT_OPEN_TARGET $PORT_OPEN_TARGET
	END
	node_host _default http://127.0.0.1:9
}

node_host() { # HOST URL
	mkdir -p "$BED_DIR/node/certs.d/$1"
	printf 'server = "%s"\n\n[host."%s"]\n  capabilities = ["pull", "resolve"]\n' "$2" "$2" \
		>"$BED_DIR/node/certs.d/$1/hosts.toml"
}

node_containerd_config() {
	local snapshotter=overlayfs
	[ "$(stat -f -c %T "$BED_DIR")" != overlayfs ] || snapshotter=native
	cat <<-END
		version = 2
		root = "$BED_DIR/node/containerd"
		state = "$BED_DIR/node/containerd-state"
		[grpc]
		  address = "$BED_RUN/containerd.sock"
		[plugins."io.containerd.internal.v1.opt"]
		  path = "$BED_DIR/node/opt"
		[plugins."io.containerd.grpc.v1.cri"]
		  sandbox_image = "$SANDBOX_IMAGE"
		  restrict_oom_score_adj = true
		  disable_apparmor = true
		  stream_server_address = "127.0.0.1"
		  stream_server_port = "$PORT_STREAMING"
		  [plugins."io.containerd.grpc.v1.cri".cni]
		    bin_dir = "/usr/lib/cni"
		    conf_dir = "$BED_DIR/node/cni"
		  [plugins."io.containerd.grpc.v1.cri".registry]
		    config_path = "$BED_DIR/node/certs.d"
		  [plugins."io.containerd.grpc.v1.cri".containerd]
		    snapshotter = "$snapshotter"
		    default_runtime_name = "runc"
		    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
		      runtime_type = "io.containerd.runc.v2"
		      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
		        SystemdCgroup = false
	END
}

node_kubelet_config() {
	cat <<-END
		apiVersion: kubelet.config.k8s.io/v1beta1
		kind: KubeletConfiguration
		address: $GATEWAY
		port: $PORT_KUBELET
		readOnlyPort: 0
		healthzBindAddress: 127.0.0.1
		healthzPort: $PORT_KUBELET_HEALTH
		authentication:
		  anonymous: {enabled: false}
		  webhook: {enabled: true, cacheTTL: 10s}
		  x509: {clientCAFile: "$BED_DIR/pki/ca.crt"}
		authorization: {mode: Webhook}
		cgroupDriver: cgroupfs
		cgroupRoot: /$BRIDGE
		enforceNodeAllocatable: []
		failSwapOn: false
		makeIPTablesUtilChains: false
		resolvConf: "$BED_DIR/node/resolv.conf"
		volumePluginDir: "$BED_DIR/node/volume-plugins"
		maxPods: 200
		serializeImagePulls: false
		registryPullQPS: 0
		eventRecordQPS: 50
		kubeAPIQPS: 100
		kubeAPIBurst: 200
		syncFrequency: 5s
		nodeStatusUpdateFrequency: 2s
		imageGCHighThresholdPercent: 100
		evictionHard: {memory.available: 50Mi, nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
	END
	[ "$KUBE_MINOR" -lt 27 ] || echo "containerRuntimeEndpoint: \"unix://$BED_RUN/containerd.sock\""
	[ "$KUBE_MINOR" -lt 31 ] || echo "failCgroupV1: false"
}

# The roots of all control group hierarchies: many for version 1, one for 2.
cgroup_roots() { awk '$3 == "cgroup" || ($3 == "cgroup2" && !seen2++) {print $2}' /proc/self/mounts | sort -u; }

cgroups_make() {
	local root file
	while read -r root; do
		mkdir -p "$root/$BRIDGE"
		for file in cpuset.cpus cpuset.mems; do # version 1 starts a new group with none
			if [ -f "$root/$file" ] && [ -f "$root/cgroup.clone_children" ]; then
				cat "$root/$file" >"$root/$BRIDGE/$file"
			fi
		done
		if [ -f "$root/cgroup.subtree_control" ]; then
			tr ' ' '\n' <"$root/cgroup.controllers" | while read -r file; do
				echo "+$file" >"$root/cgroup.subtree_control" 2>/dev/null || true
			done
		fi
	done < <(cgroup_roots)
}

cgroups_remove() {
	local root try
	while read -r root; do
		[ -d "$root/$BRIDGE" ] || continue
		for ((try = 0; try < 50; try++)); do
			find "$root/$BRIDGE" -depth -type d -exec rmdir {} + 2>/dev/null || true
			[ -d "$root/$BRIDGE" ] || break
			sleep 0.1
		done
	done < <(cgroup_roots)
}

node_stop() {
	local pid
	# Its end takes the node's first process, hence all of the node, along.
	pid=$(pid_of node)
	if [ -n "$pid" ] && is_ours "$pid"; then
		kill -KILL "$pid" 2>/dev/null || true
	fi
	rm -f "$BED_RUN/node.pid"
	[ -e "$BED_DIR/node/made" ] || return 0
	cgroups_remove
	xargs -r rmdir --ignore-fail-on-non-empty <"$BED_DIR/node/made" 2>/dev/null || true
}
