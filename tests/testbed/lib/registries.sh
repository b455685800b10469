# shellcheck shell=bash
# The image registries of the bed: stand-ins for docker.io, quay.io, ghcr.io
# and a private registry.corp:5443, the target with users, and an open target.
# All Distribution, all on loopback only, each with a folder of its own and an
# access log of one line a request. Each `up` begins with empty targets.

# name, port variable, htpasswd lines' users (user:password …)
REGISTRIES=(
	"docker-io PORT_DOCKER_IO"
	"quay-io PORT_QUAY_IO"
	"ghcr-io PORT_GHCR_IO"
	"corp PORT_CORP corp:corppass"
	"target PORT_TARGET testuser:testpass puller:pullpass"
	"open-target PORT_OPEN_TARGET"
)

registries_start() {
	local entry name port users
	for entry in "${REGISTRIES[@]}"; do
		read -r name port users <<<"$entry"
		registry_start "$name" "${!port}" "$users"
	done
	for entry in "${REGISTRIES[@]}"; do
		read -r name port users <<<"$entry"
		wait_for 20 "registry-$name" "the registry $name" port_taken "${!port}"
	done
}

access_log() { echo "$BED_DIR/registry-$1/access.log"; }

registry_start() { # NAME PORT USERS
	local name=$1 port=$2 users=$3 dir=$BED_DIR/registry-$1 user auth=
	mkdir -p "$dir/data"
	if [ -n "$users" ]; then
		: >"$dir/htpasswd"
		for user in $users; do
			htpasswd -bBn -C 4 "${user%%:*}" "${user#*:}" | sed '/^$/d' >>"$dir/htpasswd"
		done
		auth="auth: {htpasswd: {realm: testbed, path: \"$dir/htpasswd\"}}"
	fi
	cat >"$dir/config.yml" <<-END
		version: 0.1
		log: {level: warn}
		storage:
		  filesystem: {rootdirectory: "$dir/data"}
		  cache: {blobdescriptor: inmemory}
		  delete: {enabled: true}
		http:
		  addr: 127.0.0.1:$port
		  secret: testbed
		$auth
	END
	START_STDOUT=$(access_log "$name") start "registry-$name" docker-registry serve "$dir/config.yml"
}

registries_stop() {
	local entry
	for entry in "${REGISTRIES[@]}"; do
		stop "registry-${entry%% *}" 5
	done
}
