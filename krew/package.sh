#!/usr/bin/env bash
# Packs archives and krew's manifest of them. An archive holds the plugin of one
# platform, LICENSE, and every agent that is given, so that `install-agent` has
# them wherever the plugin runs. The same input gives the same archives, to the
# byte. Which platform a program is for is read from the program itself.
#
# usage: package.sh [--plugin FILE]… [--agent FILE]… [--out DIR]
#                   [--repository URL] [--tag TAG]
#   --plugin FILE      a built plugin; without any, this machine's is built
#   --agent FILE       a built agent: Linux, linked statically
#   --out DIR          where archives, SHA256SUMS and image-cloner.yaml go
#                      (default: target/krew)
#   --repository URL   where releases are, such as https://github.com/OWNER/NAME;
#                      without it the manifest is for `krew install --archive`
#   --tag TAG          the tag that is released; refused where it is not the
#                      version in Cargo.toml
#
# Needs GNU tar (gtar on macOS) and gzip.
set -euo pipefail

# A & in a replacement is a & (bash 5.2 has its own idea).
shopt -u patsub_replacement 2>/dev/null || true

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
say() { printf 'package.sh: %s\n' "$*" >&2; }
die() {
	say "error: $*"
	exit 1
}

plugins=() agents=() out=${CARGO_TARGET_DIR:-$root/target}/krew repository='' tag=''
while [ $# -gt 0 ]; do
	case $1 in
	--plugin) plugins+=("${2:?--plugin needs a file}") && shift 2 ;;
	--agent) agents+=("${2:?--agent needs a file}") && shift 2 ;;
	--out) out=${2:?--out needs a folder} && shift 2 ;;
	--repository) repository=${2:?--repository needs a URL} && shift 2 ;;
	--tag) tag=${2:?--tag needs a tag} && shift 2 ;;
	-h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" | sed '/^set /d' && exit ;;
	*) die "unknown argument $1 (see --help)" ;;
	esac
done

version=v$(sed -n 's/^version *= *"\(.*\)"/\1/p' "$root/Cargo.toml" | head -n1)
[ -z "$tag" ] || [ "$tag" = "$version" ] || die "the tag is $tag, and Cargo.toml says $version"

tar=tar
! command -v gtar >/dev/null || tar=gtar
"$tar" --version 2>/dev/null | grep -q 'GNU tar' || die "GNU tar is missing (macOS: brew install gnu-tar)"

# Bytes of a file as a number, the least first: OFFSET LENGTH FILE.
number() {
	local hex='' byte
	for byte in $(od -An -v -tx1 -j "$1" -N "$2" "$3"); do hex=$byte$hex; done
	printf '%d' "0x${hex:-0}"
}

magic() { od -An -v -tx1 -N 4 "$1" | tr -d ' \n'; }

# OS/ARCH of a program, by its header.
platform_of() {
	local file=$1 os machine
	[ -f "$file" ] || die "$file: no such file"
	case $(magic "$file") in
	7f454c46) os=linux machine=$(number 18 2 "$file") ;;
	cffaedfe) os=darwin machine=$(number 4 4 "$file") ;;
	4d5a*) os=windows machine=$(number $(($(number 60 4 "$file") + 4)) 2 "$file") ;;
	*) die "$file: not a program of Linux, macOS or Windows" ;;
	esac
	case $os:$machine in
	linux:62 | darwin:16777223 | windows:34404) echo "$os/amd64" ;;
	linux:183 | darwin:16777228 | windows:43620) echo "$os/arm64" ;;
	*) die "$file: a program of $os for a processor that is not released for (machine $machine)" ;;
	esac
}

# Whether an ELF program names no interpreter: nothing else is needed to run it.
is_static() {
	local file=$1 at size count n
	at=$(number 32 8 "$file") size=$(number 54 2 "$file") count=$(number 56 2 "$file")
	for ((n = 0; n < count; n++)); do
		[ "$(number $((at + n * size)) 4 "$file")" != 3 ] || return 1
	done
}

sha256() {
	if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1
}

if [ ${#plugins[@]} = 0 ]; then
	say "building this machine's plugin"
	built=$(bash "$root/krew/build.sh")
	while read -r file; do
		case $file in
		*/image-cloner-agent) [ ${#agents[@]} != 0 ] || agents=("$file") ;;
		*) plugins+=("$file") ;;
		esac
	done <<<"$built"
fi

staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT
mkdir -p "$out" "$staging/common"
out=$(cd "$out" && pwd)
install -m 644 "$root/LICENSE" "$staging/common/LICENSE"
for file in ${agents[@]+"${agents[@]}"}; do
	platform=$(platform_of "$file")
	case $platform in
	linux/*) is_static "$file" || die "$file: not linked statically (krew/build.sh builds it so)" ;;
	*) die "$file: the agent runs on Linux, and this is for $platform" ;;
	esac
	install -m 755 "$file" "$staging/common/image-cloner-agent-${platform/\//-}"
done

template=$(grep -v '^#' "$root/krew/template.yaml")
head=${template%%  - selector:*} block=${template#*platforms:$'\n'}
if [ -n "$repository" ]; then
	head=${head//@HOMEPAGE@/$repository} base=$repository/releases/download/$version
else
	head=$(grep -v '@HOMEPAGE@' <<<"$head")$'\n' base=file://$out
fi
manifest=${head//@VERSION@/$version}
sums='' seen=' '
for file in "${plugins[@]}"; do
	platform=$(platform_of "$file")
	[[ $seen != *" $platform "* ]] || die "$file: a second plugin for $platform"
	seen+="$platform "
	bin=kubectl-image_cloner
	[[ $platform != windows/* ]] || bin+=.exe
	rm -rf "$staging/archive"
	cp -R "$staging/common" "$staging/archive"
	install -m 755 "$file" "$staging/archive/$bin"
	archive=image-cloner-$version-${platform/\//-}.tar.gz
	(
		cd "$staging/archive"
		LC_ALL=C "$tar" --create --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
			--mode=u=rwX,go=rX -- *
	) | gzip -n >"$out/$archive"
	sum=$(sha256 "$out/$archive")
	sums+="$sum  $archive"$'\n'
	entry=${block//@OS@/${platform%/*}}
	entry=${entry//@ARCH@/${platform#*/}}
	entry=${entry//@URI@/$base/$archive}
	entry=${entry//@SHA256@/$sum}
	manifest+=${entry//@BIN@/$bin}$'\n'
	printf '%s\n' "$out/$archive"
done
printf '%s' "$sums" >"$out/SHA256SUMS"
printf '%s' "$manifest" >"$out/image-cloner.yaml"
printf '%s\n' "$out/image-cloner.yaml"
