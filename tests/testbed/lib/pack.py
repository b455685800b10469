#!/usr/bin/env python3
"""Packs the test bed's images and pushes them into registries.

  pack.py pack --roots WORK --out STORE     unpacked packages -> blobs + images.json + pause.tar
  pack.py push --store STORE HOST=URL...    STORE's images of HOST -> the registry at URL

Standard library only. The same input always gives the same bytes: layers are
tar.gz with sorted names, no times, no owners. Talks to the given URLs alone.
"""

import argparse
import base64
import gzip
import hashlib
import io
import json
import os
import stat
import sys
import tarfile
import urllib.error
import urllib.parse
import urllib.request

OCI = {
    "index": "application/vnd.oci.image.index.v1+json",
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "layer": "application/vnd.oci.image.layer.v1.tar+gzip",
}
DOCKER = {
    "index": "application/vnd.docker.distribution.manifest.list.v2+json",
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "layer": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TRIPLET = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
EPOCH = "2021-12-29T00:00:00Z"

# Sleeps for ever and ends at once when told to.
SLEEPER = "trap 'exit 0' TERM INT QUIT; while :; do sleep 3600 & wait $!; done"

NGINX_CONF = """\
user root;
worker_processes 1;
error_log /dev/stderr notice;
pid /tmp/nginx.pid;
events { worker_connections 64; }
http {
    include /etc/nginx/mime.types;
    access_log /dev/stdout;
    client_body_temp_path /tmp/client; proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi; uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi;
    server {
        listen 80;
        root /usr/share/nginx/html;
    }
}
"""
APPLETS = "sh cat ls sleep echo env id ps wget nc nslookup grep sed true false date hostname mount df".split()


class Layer:
    """Files of one layer, written in sorted order."""

    def __init__(self):
        self.entries = {}

    def _info(self, name, kind, mode, size=0, link=""):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size, info.linkname = kind, mode, size, link
        return info

    def folder(self, name, mode=0o755):
        parent = os.path.dirname(name)
        if parent and parent not in self.entries:
            self.folder(parent)
        self.entries.setdefault(name, (self._info(name, tarfile.DIRTYPE, mode), None))

    def file(self, name, data, mode=0o644):
        data = data.encode() if isinstance(data, str) else data
        if os.path.dirname(name):
            self.folder(os.path.dirname(name))
        self.entries[name] = (self._info(name, tarfile.REGTYPE, mode, len(data)), data)

    def link(self, name, target):
        self.folder(os.path.dirname(name))
        self.entries[name] = (self._info(name, tarfile.SYMTYPE, 0o777, link=target), None)

    def tree(self, root, wanted):
        """The files below ROOT whose path (no leading slash) WANTED accepts."""
        for folder, folders, names in os.walk(root):
            for name in sorted(names + [f for f in folders if os.path.islink(os.path.join(folder, f))]):
                full = os.path.join(folder, name)
                path = os.path.relpath(full, root)
                if not wanted(path):
                    continue
                if os.path.islink(full):
                    self.link(path, os.readlink(full))
                elif os.path.isfile(full):
                    with open(full, "rb") as source:
                        self.file(path, source.read(), stat.S_IMODE(os.stat(full).st_mode) & 0o755)
        return self

    def pack(self):
        """(compressed bytes, digest of the uncompressed bytes)"""
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name in sorted(self.entries):
                info, data = self.entries[name]
                tar.addfile(info, None if data is None else io.BytesIO(data))
        raw = plain.getvalue()
        return gzip.compress(raw, 6, mtime=0), digest_of(raw)


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def as_json(value):
    return json.dumps(value, indent=2).encode()


class Store:
    """Blobs by digest, and per image the manifests to push, children first."""

    def __init__(self, folder):
        self.folder = folder
        self.images = []
        os.makedirs(os.path.join(folder, "blobs"), exist_ok=True)

    def blob(self, data):
        digest = digest_of(data)
        with open(os.path.join(self.folder, "blobs", digest.replace(":", "-")), "wb") as out:
            out.write(data)
        return digest

    def descriptor(self, media_type, data, **more):
        return {"mediaType": media_type, "digest": self.blob(data), "size": len(data), **more}

    def read(self, digest):
        with open(os.path.join(self.folder, "blobs", digest.replace(":", "-")), "rb") as source:
            return source.read()

    def manifest(self, types, arch, layers, command):
        """One platform's manifest: (its descriptor, the blobs it names)."""
        packed = [layer.pack() for layer in layers]
        config = {
            "architecture": arch,
            "os": "linux",
            "created": EPOCH,
            "config": {"Env": [PATH], "Cmd": command, "StopSignal": "SIGTERM"},
            "rootfs": {"type": "layers", "diff_ids": [diff for _, diff in packed]},
            "history": [{"created": EPOCH, "created_by": "image-cloner test bed"} for _ in packed],
        }
        config = self.descriptor(types["config"], as_json(config))
        layers = [self.descriptor(types["layer"], data) for data, _ in packed]
        body = {"schemaVersion": 2, "mediaType": types["manifest"], "config": config, "layers": layers}
        platform = {"architecture": arch, "os": "linux"}
        if arch == "arm64":
            platform["variant"] = "v8"
        descriptor = self.descriptor(types["manifest"], as_json(body), platform=platform)
        return descriptor, [config["digest"], *(layer["digest"] for layer in layers)]

    def attestation(self, subject):
        """A build attestation as BuildKit attaches it to an index."""
        statement = as_json({
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": "https://slsa.dev/provenance/v0.2",
            "subject": [{"name": "_", "digest": {"sha256": subject["digest"][7:]}}],
            "predicate": {"builder": {"id": ""}, "buildType": "image-cloner-testbed"},
        })
        layer = self.descriptor("application/vnd.in-toto+json", statement,
                                annotations={"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"})
        config = self.descriptor(OCI["config"], as_json({
            "architecture": "unknown", "os": "unknown", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        }))
        body = {"schemaVersion": 2, "mediaType": OCI["manifest"], "config": config, "layers": [layer]}
        descriptor = self.descriptor(
            OCI["manifest"], as_json(body), platform={"architecture": "unknown", "os": "unknown"},
            annotations={"vnd.docker.reference.digest": subject["digest"],
                         "vnd.docker.reference.type": "attestation-manifest"})
        return descriptor, [config["digest"], layer["digest"]]

    def signature(self, host, repository, subject):
        """What cosign leaves beside a signed image: the tag sha256-<hex>.sig."""
        payload = as_json({"critical": {"identity": {"docker-reference": f"{host}/{repository}"},
                                        "image": {"docker-manifest-digest": subject},
                                        "type": "cosign container image signature"}, "optional": None})
        layer = self.descriptor("application/vnd.dev.cosign.simplesigning.v1+json", payload,
                                annotations={"dev.cosignproject.cosign/signature": "bm90IGEgcmVhbCBvbmU="})
        config = self.descriptor(OCI["config"], as_json({
            "architecture": "", "os": "", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        }))
        body = {"schemaVersion": 2, "mediaType": OCI["manifest"], "config": config, "layers": [layer]}
        descriptor = self.descriptor(OCI["manifest"], as_json(body))
        self.add(host, repository, subject.replace(":", "-") + ".sig",
                 [(descriptor, [config["digest"], layer["digest"]])])

    def index(self, types, children):
        body = {"schemaVersion": 2, "mediaType": types["index"],
                "manifests": [descriptor for descriptor, _ in children]}
        return self.descriptor(types["index"], as_json(body)), []

    def add(self, host, repository, tag, manifests):
        """MANIFESTS in the order of pushing; the last one gets the tag."""
        digest = manifests[-1][0]["digest"]
        self.images.append({
            "host": host, "repository": repository, "tag": tag, "digest": digest,
            "blobs": list(dict.fromkeys(blob for _, blobs in manifests for blob in blobs)),
            "manifests": [{"digest": d["digest"], "mediaType": d["mediaType"]} for d, _ in manifests],
        })
        return digest


def base_layer(roots, arch):
    """The C library, a shell, and a few files each system has: one layer that
    all images share, in whatever repository they are."""
    layer = Layer()
    root = os.path.join(roots, f"root-{arch}")
    names = ("ld-linux", "libc.so", "libm.so", "libdl.so", "libpthread.so", "librt.so", "libresolv.so", "libnss_")
    layer.tree(os.path.join(root, "libc"), lambda path: os.path.basename(path).startswith(names) and ".so" in path)
    for place in ("bin/busybox", "usr/bin/busybox"):
        if os.path.exists(os.path.join(root, "busybox", place)):
            with open(os.path.join(root, "busybox", place), "rb") as source:
                layer.file("bin/busybox", source.read(), 0o755)
    for applet in APPLETS:
        layer.link(f"bin/{applet}", "busybox")
    layer.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    layer.file("etc/group", "root:x:0:\nnogroup:x:65534:\n")
    layer.file("etc/os-release", 'ID=image-cloner-testbed\nPRETTY_NAME="image-cloner test bed"\n')
    layer.folder("tmp", 0o1777)
    layer.folder("root", 0o700)
    return layer


def nginx_layers(roots, arch, version):
    root = os.path.join(roots, f"root-{arch}", "nginx")
    program = Layer().tree(root, lambda path: path in ("usr/sbin/nginx", "etc/nginx/mime.types")
                           or (".so" in path and TRIPLET[arch] in path and "/ossl-modules/" not in path
                               and "/engines" not in path))
    for folder in ("var/lib/nginx", "var/log/nginx"):
        program.folder(folder)
    site = Layer()
    site.file("etc/nginx/nginx.conf", NGINX_CONF)
    site.file("usr/share/nginx/html/index.html", f"<h1>Welcome to nginx {version}</h1>\n")
    return [base_layer(roots, arch), program, site]


def sleeper_layers(roots, arch, name):
    """The base, and one layer of the image's own."""
    own = Layer()
    own.file("etc/image", name + "\n")
    # Bytes that do not shrink, so that the layer has a size worth copying.
    own.file("usr/share/filler", b"".join(hashlib.sha512(f"{name} {i}".encode()).digest() for i in range(4096)))
    return [base_layer(roots, arch), own]


def pack(roots, out):
    store = Store(out)
    for version in ("1.21.4", "1.21.5"):
        children = [store.manifest(OCI, arch, nginx_layers(roots, arch, version), ["nginx", "-g", "daemon off;"])
                    for arch in ("amd64", "arm64")]
        children += [store.attestation(descriptor) for descriptor, _ in children]
        store.add("docker.io", "library/nginx", version + "-alpine", children + [store.index(OCI, children)])
    sleeper = ["/bin/sh", "-c", SLEEPER]

    def single(types, host, repository, tag):
        layers = sleeper_layers(roots, "amd64", f"{host}/{repository}:{tag}")
        return store.add(host, repository, tag, [store.manifest(types, "amd64", layers, sleeper)])

    children = [store.manifest(DOCKER, arch, sleeper_layers(roots, arch, "busybox"), sleeper) for arch in ("amd64", "arm64")]
    store.add("docker.io", "library/busybox", "1.36", children + [store.index(DOCKER, children)])
    single(DOCKER, "docker.io", "grafana/grafana", "11")
    single(OCI, "quay.io", "prometheus/node-exporter", "v1")
    store.signature("ghcr.io", "acme/tool", single(OCI, "ghcr.io", "acme/tool", "2"))
    single(DOCKER, "registry.corp:5443", "team/app", "1")
    with open(os.path.join(out, "images.json"), "w", encoding="utf-8") as file:
        json.dump(store.images, file, indent=1)
    pause_archive(os.path.join(roots, "pause"), os.path.join(out, "pause.tar"))


def pause_archive(program, out):
    """An OCI archive for `ctr images import`."""
    layer = Layer()
    with open(program, "rb") as source:
        layer.file("pause", source.read(), 0o755)
    store = Store(program + ".blobs")
    descriptor, blobs = store.manifest(OCI, "amd64", [layer], ["/pause"])
    descriptor["annotations"] = {"io.containerd.image.name": "image-cloner.internal/testbed-pause:1",
                                 "org.opencontainers.image.ref.name": "1"}
    archive = Layer()
    archive.file("oci-layout", '{"imageLayoutVersion":"1.0.0"}')
    archive.file("index.json", as_json({"schemaVersion": 2, "manifests": [descriptor]}))
    for digest in [descriptor["digest"], *blobs]:
        archive.file("blobs/sha256/" + digest[7:], store.read(digest))
    with open(out, "wb") as file:
        file.write(gzip.decompress(archive.pack()[0]))


class Registry:
    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.headers = {}
        if parts.username:
            login = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
            self.headers["Authorization"] = "Basic " + login
        self.url = f"{parts.scheme}://{parts.hostname}:{parts.port}"
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, method, where, data=None, **headers):
        url = where if "://" in where else self.url + where
        headers = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        return self.opener.open(request, timeout=60)

    def has(self, where):
        try:
            return self.ask("HEAD", where).status == 200
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise

    def push(self, store, image):
        repository = image["repository"]
        for digest in image["blobs"]:
            if self.has(f"/v2/{repository}/blobs/{digest}"):
                continue
            where = self.ask("POST", f"/v2/{repository}/blobs/uploads/", b"").headers["Location"]
            where += ("&" if "?" in where else "?") + urllib.parse.urlencode({"digest": digest})
            self.ask("PUT", where, store.read(digest), Content_Type="application/octet-stream")
        last = len(image["manifests"]) - 1
        for position, manifest in enumerate(image["manifests"]):
            name = image["tag"] if position == last else manifest["digest"]
            self.ask("PUT", f"/v2/{repository}/manifests/{name}", store.read(manifest["digest"]),
                     Content_Type=manifest["mediaType"])


def push(folder, targets):
    store = Store(folder)
    with open(os.path.join(folder, "images.json"), encoding="utf-8") as file:
        images = json.load(file)
    for target in targets:
        host, url = target.split("=", 1)
        registry = Registry(url)
        for image in images:
            if image["host"] == host:
                registry.push(store, image)
                print(f"{host}/{image['repository']}:{image['tag']} {image['digest']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("pack")
    verb.add_argument("--roots", required=True)
    verb.add_argument("--out", required=True)
    verb = verbs.add_parser("push")
    verb.add_argument("--store", required=True)
    verb.add_argument("targets", nargs="+")
    options = parser.parse_args()
    if options.verb == "pack":
        pack(options.roots, options.out)
    else:
        push(options.store, options.targets)


if __name__ == "__main__":
    sys.exit(main())
