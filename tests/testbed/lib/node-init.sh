#!/usr/bin/env bash
# The first process of the node's own mount and process namespaces: lays the
# bed's folders over the machine's, starts containerd and, once told, the
# kubelet, and ends when one of them does. Run by node.sh alone.
# usage: node-init.sh NODE_FOLDER LOG_FOLDER SOCKET KUBELET [ARG…]
set -euo pipefail

node=$1
logs=$2
socket=$3
shift 3

mount --make-rshared /
while read -r path; do
	mount --bind "$node/hidden$path" "$path"
done <"$node/hidden.list"
# By these the kubelet would know a cloud's machine and ask its metadata service.
if [ -d /sys/devices/virtual/dmi/id ]; then
	mount -t tmpfs -o ro none /sys/devices/virtual/dmi/id
fi

containerd --config "$node/containerd.toml" --address "$socket" >>"$logs/containerd.log" 2>&1 &
while [ ! -e "$node/go" ]; do
	sleep 0.1
done
"$@" >>"$logs/kubelet.log" 2>&1 &
wait -n
