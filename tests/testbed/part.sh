#!/usr/bin/env bash
# Runs one more part of a bed that is up, in the foreground, for a test that
# wants to end it and start it again without harm to what others use. It ends
# with whoever started it.
#
# usage: part.sh --dir DIR apiserver PORT
#        part.sh --dir DIR registry PORT FOLDER [tls] [users]
#   apiserver   another API server of the same cluster, with the same users
#   registry    an open registry that keeps its content in FOLDER; the node
#               pulls from it as localhost:PORT. With `tls` over TLS, by a
#               certificate of the authority FOLDER/ca.crt, which the node does
#               not trust. With `users` it lets in those of the bed's target.
set -euo pipefail

BED_LIB=$(cd "$(dirname "${BASH_SOURCE[0]}")/lib" && pwd)
for part in common bed packages kubernetes controlplane network node registries; do
	# shellcheck source=/dev/null
	. "$BED_LIB/$part.sh"
done

usage() { die "usage: part.sh --dir DIR apiserver PORT | registry PORT FOLDER [tls] [users]"; }
if [ "${1:-}" != --dir ] || [ $# -lt 4 ]; then
	usage
fi
bed_settings "$(realpath -m "$2")" 0
bed_is_marked || die "no bed in $BED_DIR"
bed_settings "$BED_DIR" "$(bed_recorded_offset)"
what=$3 port=$4

# Nothing of the environment is passed on, as for the bed's other parts.
run() {
	exec env -i PATH="$PATH:/usr/sbin:/sbin" HOME="$BED_DIR" AWS_EC2_METADATA_DISABLED=true \
		setpriv --pdeathsig KILL "$@"
}

case $what in
apiserver)
	kubernetes_programs
	apiserver_command "$port"
	# the bed's own one is who the cluster knows
	run "${APISERVER[@]}" --endpoint-reconciler-type none
	;;
registry)
	folder=${5:?registry needs a folder}
	scheme=http tls='' auth=''
	mkdir -p "$folder/data"
	for word in "${@:6}"; do
		case $word in
		tls)
			scheme=https
			tls="tls: {certificate: \"$folder/registry.crt\", key: \"$folder/registry.key\"}"
			[ -e "$folder/registry.crt" ] || registry_certificate "$folder"
			;;
		users) auth=$(registry_users "$folder" "$TARGET_USERS") ;;
		*) usage ;;
		esac
	done
	registry_config "$port" "$folder" "$auth" "$tls" >"$folder/config.yml"
	hosts=$BED_DIR/node/certs.d
	if [ -d "$hosts" ] && [ ! -e "$hosts/localhost:$port" ]; then
		node_host "localhost:$port" "$scheme://localhost:$port"
	fi
	run docker-registry serve "$folder/config.yml"
	;;
*) usage ;;
esac
