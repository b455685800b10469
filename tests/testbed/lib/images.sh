# shellcheck shell=bash
# The images of the bed, made of Debian's own packages: fetched with apt (into
# folders of the cache's own: the system's lists stay as they are, nothing is
# installed), unpacked, packed by pack.py and kept in the cache; then pushed
# into the source registries at each `up`. Also the pause image of the node.

IMAGES_VERSION=2 # raise when pack.py or the recipe below changes what comes out

images_dir() { echo "$(cache_dir)/images-$IMAGES_VERSION"; }

images_ready() {
	local out
	out=$(images_dir)
	[ ! -e "$out/done" ] || return 0
	mkdir -p "$(cache_dir)"
	(
		flock 9
		[ -e "$out/done" ] || images_make "$out"
	) 9>"$(cache_dir)/images.lock"
}

# fetch_packages ARCHITECTURE FOLDER: download and unpack into FOLDER/root-ARCH.
fetch_packages() {
	local arch=$1 state=$2/apt-$1 root=$2/root-$1 options libraries deb
	mkdir -p "$state/lists/partial" "$state/download" "$root"
	: >"$state/status"
	options=(-o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o "Dir::State::Lists=$state/lists"
		-o "Dir::State::Status=$state/status" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=")
	apt-get -qq "${options[@]}" update || return 1
	libraries=$(apt-cache "${options[@]}" depends nginx |
		sed -n 's/^ *|\?Depends: \(lib[^ ]*\|zlib1g\)$/\1/p' | grep -v libnginx)
	# shellcheck disable=SC2086
	(cd "$state/download" && apt-get -qq "${options[@]}" download nginx nginx-common busybox $libraries) || return 1
	for deb in "$state"/download/*.deb; do
		case ${deb##*/} in
		busybox_*) dpkg-deb -x "$deb" "$root/busybox" ;;
		libc6_*) dpkg-deb -x "$deb" "$root/libc" ;;
		*) dpkg-deb -x "$deb" "$root/nginx" ;;
		esac
	done
}

images_make() { # OUT
	local out=$1 work arch log
	work=$(mktemp -d "$(cache_dir)/images.XXXXXX")
	chmod 755 "$work"
	# shellcheck disable=SC2064
	trap "rm -rf '$work'" EXIT
	log=$work/log
	say "packing the images of the bed once into $out"
	for arch in amd64 arm64; do
		fetch_packages "$arch" "$work" >"$log" 2>&1 ||
			die_with_log "could not get the packages for the $arch images" "$log"
	done
	pause_program "$work/pause" >"$log" 2>&1 || die_with_log "could not build the pause program" "$log"
	python3 "$BED_LIB/pack.py" pack --roots "$work" --out "$work/out" >"$log" 2>&1 ||
		die_with_log "packing the images failed" "$log"
	touch "$work/out/done"
	rm -rf "$out"
	mv "$work/out" "$out"
}

# Does nothing, reaps orphans, ends when told: what a pod's sandbox runs.
pause_program() { # OUT
	gcc -Os -static -s -x c -o "$1" - <<-'END'
		#include <signal.h>
		#include <sys/wait.h>
		#include <unistd.h>
		static void end(int s) { (void)s; _exit(0); }
		static void reap(int s) { (void)s; while (waitpid(-1, 0, WNOHANG) > 0); }
		int main(void) {
			signal(SIGTERM, end); signal(SIGINT, end); signal(SIGCHLD, reap);
			for (;;) pause();
		}
	END
}

images_push() {
	local log=$BED_LOGS/images.log
	python3 "$BED_LIB/pack.py" push --store "$(images_dir)" \
		"docker.io=http://127.0.0.1:$PORT_DOCKER_IO" \
		"quay.io=http://127.0.0.1:$PORT_QUAY_IO" \
		"ghcr.io=http://127.0.0.1:$PORT_GHCR_IO" \
		"registry.corp:5443=http://corp:corppass@127.0.0.1:$PORT_CORP" >"$log" 2>&1 ||
		die_with_log "could not push the images into the source registries" "$log"
}
