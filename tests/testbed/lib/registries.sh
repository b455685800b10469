# shellcheck shell=bash
# The image registries of the bed: stand-ins for docker.io, quay.io, ghcr.io
# and a private registry.corp:5443, the target with users, and an open target.
# All Distribution, all on loopback only, each with a folder of its own and an
# access log of one line a request. Each `up` begins with empty targets.

TARGET_USERS="testuser:testpass puller:pullpass"

# name, port variable, users
REGISTRIES=(
	"docker-io PORT_DOCKER_IO"
	"quay-io PORT_QUAY_IO"
	"ghcr-io PORT_GHCR_IO"
	"corp PORT_CORP corp:corppass"
	"target PORT_TARGET $TARGET_USERS"
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

registry_config() { # PORT FOLDER AUTH TLS
	cat <<-END
		version: 0.1
		log: {level: warn}
		storage:
		  filesystem: {rootdirectory: "$2/data"}
		  cache: {blobdescriptor: inmemory}
		  delete: {enabled: true}
		http:
		  addr: 127.0.0.1:$1
		  secret: testbed
		  $4
		$3
	END
}

# An authority of its own, and what it vouches for.
registry_certificate() { # FOLDER
	local of=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30)
	openssl req -x509 "${of[@]}" -keyout "$1/ca.key" -subj /CN=testbed-registry-ca -out "$1/ca.crt" 2>"$1/openssl.log" \
		-addext basicConstraints=critical,CA:true
	openssl req -x509 "${of[@]}" -keyout "$1/registry.key" -subj /CN=localhost -out "$1/registry.crt" 2>"$1/openssl.log" \
		-CA "$1/ca.crt" -CAkey "$1/ca.key" \
		-addext "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:$GATEWAY" -addext basicConstraints=critical,CA:false
}

# What lets these users in (user:password …); nothing where there is none: then everybody is.
registry_users() { # FOLDER USERS
	local user
	[ -n "$2" ] || return 0
	: >"$1/htpasswd"
	for user in $2; do
		htpasswd -bBn -C 4 "${user%%:*}" "${user#*:}" | sed '/^$/d' >>"$1/htpasswd"
	done
	echo "auth: {htpasswd: {realm: testbed, path: \"$1/htpasswd\"}}"
}

registry_start() { # NAME PORT USERS
	local name=$1 port=$2 users=$3 dir=$BED_DIR/registry-$1
	mkdir -p "$dir/data"
	registry_config "$port" "$dir" "$(registry_users "$dir" "$users")" "" >"$dir/config.yml"
	START_STDOUT=$(access_log "$name") start "registry-$name" docker-registry serve "$dir/config.yml"
}

registries_stop() {
	local entry
	for entry in "${REGISTRIES[@]}"; do
		stop "registry-${entry%% *}" 5
	done
}
