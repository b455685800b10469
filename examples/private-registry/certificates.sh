#!/usr/bin/env bash
# Makes a CA of one's own and a certificate of it for a registry, to try things
# with: ca.crt, registry.crt and registry.key in a folder.
#
# usage: certificates.sh FOLDER HOST...
set -euo pipefail

folder=${1:?usage: certificates.sh FOLDER HOST...}
shift
[ $# -gt 0 ] || { echo "certificates.sh: error: no host is given" >&2 && exit 2; }
names=$(printf ',DNS:%s' "$@")
mkdir -p "$folder"
cd "$folder"
umask 077
key=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
openssl req -x509 "${key[@]}" -keyout ca.key -out ca.crt -days 3650 -subj '/CN=Example root' \
	-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign 2>/dev/null
openssl req "${key[@]}" -keyout registry.key -out registry.csr -subj "/CN=$1" 2>/dev/null
openssl x509 -req -in registry.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -out registry.crt \
	-extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "${names#,}") 2>/dev/null
rm registry.csr
chmod 644 ca.crt registry.crt
