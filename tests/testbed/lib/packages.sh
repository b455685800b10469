# shellcheck shell=bash
# Installs what the test bed needs from the distribution, and only what is
# missing. Services that a package brings are neither started nor enabled: the
# bed runs its own copies on its own ports. Names no package server: whatever
# the machine's apt is set up for is used.

APT_UPDATED=

apt_quiet() {
	local log
	log=$(mktemp)
	if ! DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		rm -f "$log"
		return 1
	fi
	rm -f "$log"
}

package_installed() {
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# install_packages NAME…
install_packages() {
	local missing=() name
	command -v dpkg-query >/dev/null || die "this needs Debian's package tools (dpkg, apt-get)"
	for name in "$@"; do
		package_installed "$name" || missing+=("$name")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	[ "$(id -u)" = 0 ] || die "missing packages: as root, run: apt-get install ${missing[*]}"
	say "installing ${missing[*]}"
	[ -n "$APT_UPDATED" ] || apt_quiet update || say "apt-get update failed; going on with the lists there are"
	APT_UPDATED=1
	# Keep the packages' services from starting while they are installed.
	local policy=/usr/sbin/policy-rc.d made='' failed=''
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
		made=1
	fi
	apt_quiet install --no-install-recommends "${missing[@]}" || failed=1
	[ -z "$made" ] || rm -f "$policy"
	[ -z "$failed" ] || die "apt-get could not install ${missing[*]}"
	if [ -d /run/systemd/system ]; then
		for name in "${missing[@]}"; do
			dpkg -L "$name" | sed -n 's|.*/systemd/system/\([^/]*\.service\)$|\1|p' |
				xargs -r systemctl disable --quiet 2>/dev/null || true
		done
	fi
}

# What each part needs beyond a Debian base system.
packages_control_plane() {
	local names=(openssl curl)
	command -v kubectl >/dev/null || names+=(kubernetes-client)
	[ -x "${KUBEBUILDER_ASSETS:-/nonexistent}/etcd" ] || names+=(etcd-server)
	install_packages "${names[@]}"
}

packages_registries() {
	local names=(docker-registry apache2-utils gcc libc6-dev)
	python3 -c 'import json, tarfile, urllib.request' 2>/dev/null || names+=(python3)
	install_packages "${names[@]}"
}

packages_node() {
	install_packages containerd runc containernetworking-plugins iproute2 iptables conntrack socat
}

packages_build() { install_packages golang-1.19-go make rsync ca-certificates curl; }
