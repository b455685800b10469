# shellcheck shell=bash
# The pods' network: a bridge of the bed's own whose gateway address stands
# for the machine. From a pod, the apiserver (by its Service address and by the
# gateway) and the bed's registries (by the gateway) are reached through DNAT to
# loopback; everything else that would leave the bridge is dropped. Every rule
# carries the bed's bridge name, so that taking it down removes exactly those.
# Never changes ip_forward, default policies or rules of others.

# The bed's rules, one a line, as iptables takes them after -A/-D.
network_rules() {
	local tag="-m comment --comment $BRIDGE"
	echo "raw PREROUTING -i $BRIDGE -d 127.0.0.0/8 $tag -j DROP"
	echo "nat PREROUTING -i $BRIDGE -d $SERVICE_API -p tcp --dport 443 $tag -j DNAT --to-destination 127.0.0.1:$PORT_API"
	echo "nat PREROUTING -i $BRIDGE -d $GATEWAY -p tcp --dport $PORT_API $tag -j DNAT --to-destination 127.0.0.1:$PORT_API"
	local port
	for ((port = PORT_TARGET; port <= PORT_REGISTRY_LAST; port++)); do
		echo "nat PREROUTING -i $BRIDGE -d $GATEWAY -p tcp --dport $port $tag -j DNAT --to-destination 127.0.0.1:$port"
	done
	# For machines whose own rules let in or forward nothing unasked.
	echo "filter INPUT -i $BRIDGE -m conntrack --ctstate DNAT $tag -j ACCEPT"
	echo "filter FORWARD -i $BRIDGE -o $BRIDGE $tag -j ACCEPT"
	echo "filter FORWARD -i $BRIDGE ! -o $BRIDGE $tag -j DROP"
	echo "filter FORWARD -o $BRIDGE ! -i $BRIDGE $tag -j DROP"
}

network_start() {
	if ip route show table all | grep -qE "(^| )10\.(244|96)\.$BED_OFFSET\.[0-9]"; then
		die "addresses in $POD_RANGE or $SERVICE_RANGE are in use on this machine; choose another --offset"
	fi
	touch "$BED_DIR/network" # from here on there is something to take down
	ip link add "$BRIDGE" type bridge
	ip address add "$GATEWAY/24" dev "$BRIDGE"
	ip link set "$BRIDGE" up
	# Lets what was sent to the gateway be handed to loopback; the raw rule
	# drops what a pod itself addresses to loopback.
	echo 1 >"/proc/sys/net/ipv4/conf/$BRIDGE/route_localnet"
	ip route add blackhole "$SERVICE_RANGE"
	local table rule
	while read -r table rule; do
		# shellcheck disable=SC2086
		iptables -w 10 -t "$table" -I $rule
	done < <(network_rules)
}

network_stop() {
	[ -e "$BED_DIR/network" ] || return 0
	local table rule
	while read -r table rule; do
		# shellcheck disable=SC2086
		while iptables -w 10 -t "$table" -D $rule 2>/dev/null; do :; done
	done < <(network_rules)
	ip route del blackhole "$SERVICE_RANGE" 2>/dev/null || true
	ip link del "$BRIDGE" 2>/dev/null || true
	rm -f "$BED_DIR/network"
}

# For the kubelet's containerd: where pods get their addresses.
network_cni_config() { # FOLDER
	mkdir -p "$1"
	cat >"$1/10-testbed.conflist" <<-END
		{
		  "cniVersion": "0.4.0",
		  "name": "$BRIDGE",
		  "plugins": [{
		    "type": "bridge",
		    "bridge": "$BRIDGE",
		    "isGateway": false,
		    "ipMasq": false,
		    "hairpinMode": true,
		    "ipam": {
		      "type": "host-local",
		      "dataDir": "$BED_DIR/cni-state",
		      "ranges": [[{"subnet": "$POD_RANGE", "gateway": "$GATEWAY"}]],
		      "routes": [{"dst": "0.0.0.0/0"}]
		    }
		  }]
		}
	END
}
