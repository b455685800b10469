# shellcheck shell=bash
# Gives the control plane's and the node's programs: those in
# KUBEBUILDER_ASSETS when that is set, else Kubernetes 1.20.2 built once from
# Debian's source package into the cache folder. Sets KUBE_BIN. Leaves the
# system's package lists as they are.

KUBE_VERSION=1.20.2
KUBE_PATCH=reflect2-1.0.2 # part of the cache key: what was changed in the source
KUBE_PROGRAMS=(kube-apiserver kube-controller-manager kube-scheduler kubelet)

kubernetes_programs() {
	if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
		KUBE_BIN=$KUBEBUILDER_ASSETS
		[ -x "$KUBE_BIN/kube-apiserver" ] || die "KUBEBUILDER_ASSETS=$KUBE_BIN has no kube-apiserver"
		say "using the programs in KUBEBUILDER_ASSETS=$KUBE_BIN"
		return
	fi
	KUBE_BIN=$(cache_dir)/kubernetes-$KUBE_VERSION-$KUBE_PATCH
	[ -x "$KUBE_BIN/kubelet" ] && return
	mkdir -p "$(cache_dir)"
	(
		flock 9
		if [ ! -x "$KUBE_BIN/kubelet" ]; then
			packages_build
			kubernetes_build "$KUBE_BIN"
		fi
	) 9>"$(cache_dir)/kubernetes.lock"
}

# The machine's own package sources, as sources of source packages, in a
# folder of the build's own.
apt_source_options() { # WORK
	local parts=$1/parts lists=$1/lists
	mkdir -p "$parts" "$lists/partial" "$1/download"
	if [ -e /etc/apt/sources.list.d/debian.sources ]; then
		sed 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources >"$parts/source.sources"
	elif [ -s /etc/apt/sources.list ]; then
		sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$parts/source.list"
	else
		die "found no package sources of Debian's to get the source of kubernetes from; set KUBEBUILDER_ASSETS instead"
	fi
	APT_SOURCE=(-o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$parts"
		-o "Dir::State::Lists=$lists" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=")
}

kubernetes_build() { # OUT
	local out=$1 work tree log GO_ROOT=/usr/lib/go-1.19
	work=$(mktemp -d "$(cache_dir)/build.XXXXXX")
	chmod 755 "$work"
	# shellcheck disable=SC2064
	trap "chmod -R u+w '$work' && rm -rf '$work'" EXIT
	log=$work/log
	say "building kubernetes $KUBE_VERSION once into $out (about five minutes)"
	apt_source_options "$work"
	if ! {
		apt-get -qq "${APT_SOURCE[@]}" update &&
			cd "$work/download" &&
			apt-get -qq "${APT_SOURCE[@]}" source --download-only kubernetes &&
			apt-get -qq download golang-github-modern-go-reflect2-dev
	} >"$log" 2>&1; then
		die_with_log "could not get the source of kubernetes" "$log"
	fi
	tree=$work/go/src/k8s.io/kubernetes
	mkdir -p "$tree" "$work/reflect2"
	local tarball=("$work"/download/kubernetes_"$KUBE_VERSION"*.orig.tar.* "$work"/download/kubernetes_*"$KUBE_VERSION".orig.tar.*)
	local archive=
	for archive in "${tarball[@]}"; do
		[ -e "$archive" ] && break
	done
	[ -e "$archive" ] || die "this distribution's kubernetes is not $KUBE_VERSION; set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd"
	tar -xf "$archive" --strip-components=1 -C "$tree"
	# The vendored reflect2 1.0.1 corrupts memory under Go 1.18 and later.
	dpkg-deb -x "$work"/download/golang-github-modern-go-reflect2-dev_*.deb "$work/reflect2"
	local theirs=$tree/vendor/github.com/modern-go/reflect2
	rm -f "$theirs"/*.go "$theirs"/*.s
	cp "$work"/reflect2/usr/share/gocode/src/github.com/modern-go/reflect2/*.{go,s} "$theirs/"
	rm -f "$theirs"/*_test.go
	cat >"$work/version" <<-END
		KUBE_GIT_COMMIT='image-cloner-testbed'
		KUBE_GIT_TREE_STATE='archive'
		KUBE_GIT_VERSION='v$KUBE_VERSION'
		KUBE_GIT_MAJOR='1'
		KUBE_GIT_MINOR='20'
	END
	local what="${KUBE_PROGRAMS[*]/#/cmd/}"
	if ! (
		cd "$tree"
		env -u GOFLAGS PATH="$GO_ROOT/bin:$PATH" GOPATH="$work/go" GOCACHE="$work/gocache" GO111MODULE=off \
			GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0 KUBE_GIT_VERSION_FILE="$work/version" \
			make WHAT="$what"
	) >"$log" 2>&1; then
		die_with_log "building kubernetes failed" "$log"
	fi
	mkdir "$work/bin"
	local program
	for program in "${KUBE_PROGRAMS[@]}"; do
		cp "$tree/_output/bin/$program" "$work/bin/" || die_with_log "the build left no $program" "$log"
	done
	rm -rf "$out"
	mv "$work/bin" "$out"
	say "kubernetes $KUBE_VERSION is built"
}
