"""The images of the cases: what is in them, pushing them into the source, and
whether a target has them completely.

Layers are random bytes of a fixed seed: the same at every run, and not to be
compressed. They begin as a gzip file does, as their media type promises; neither
the registry nor a tool that keeps digests looks further inside.
"""

import hashlib
import json
import random

PLATFORMS = ("amd64", "arm64/v8", "arm/v5", "arm/v7", "386", "mips64le", "ppc64le", "s390x")
# One platform of the eight, shaped as images are: two big layers, some tiny ones.
EIGHT = (28_000_000, 18_000_000, 8_000_000, 4_000_000, 700_000, 45_000, 5_000)
BASE = (35_000_000, 20_000_000, 5_000_000)
BASE_OF_EIGHT = (20_000_000, 14_000_000, 10_000_000, 6_000_000, 4_000_000, 3_000_000, 2_000_000, 1_000_000)

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
GZIP = bytes.fromhex("1f8b08000000000000ff")
PIECE = 1 << 20


def layers():
    """One image of many small layers."""
    return [("bench/layers", [("amd64", named("layer", (65_536,) * 100))])]


def sharing(count, base):
    """Repositories with a common base and a layer of its own each."""
    return [
        (f"bench/app-{n:02}", [("amd64", [*named("base", base), (f"app-{n}", 1 << 20)])]) for n in range(1, count + 1)
    ]


def named(prefix, sizes):
    return [(f"{prefix}/{n}", size) for n, size in enumerate(sizes)]


# case -> images; an image is a repository and its platforms; a platform its layers (seed, size)
CASES = {
    "eight": lambda: [("bench/eight", [(p, named(p, EIGHT)) for p in PLATFORMS])],
    "big": lambda: [("bench/big", [("amd64", named("big", (512_000_000,) * 3))])],
    "layers": layers,
    "sixty": lambda: sharing(60, BASE),
    "again": lambda: sharing(60, BASE),
    "far-layers": layers,
    "far-ten": lambda: sharing(10, BASE_OF_EIGHT),
    "far-big": lambda: [("bench/far-big", [("amd64", named("far-big", (256_000_000,)))])],
}
FAR = ("far-layers", "far-ten", "far-big")  # with both registries a round trip away
NARROW = ("far-big",)  # and each connection to the source limited


def size(case, divisor):
    """Bytes of the distinct layers of a case."""
    distinct = {layer for _, platforms in CASES[case]() for _, layers in platforms for layer in layers}
    return sum(shrunk(size, divisor) for _, size in distinct)


def shrunk(size, divisor):
    return max(size // divisor, 1024)


class Filled:
    """What a case put into the source."""

    def __init__(self):
        self.images = []  # repository, digest of tag 1
        self.blobs = {}  # digest -> size
        self.homes = {}  # digest -> a repository that has it


def fill(registry, case, divisor):
    """Pushes the images of a case into the registry, under tag 1."""
    filled, sizes = Filled(), {}
    connection = registry.connect()
    for repository, platforms in CASES[case]():
        children = [platform_manifest(connection, repository, p, filled, sizes, divisor) for p in platforms]
        if len(children) == 1:
            body, media = children[0]["body"], MANIFEST
        else:
            for child in children:
                put_manifest(connection, repository, child["digest"], child["body"], MANIFEST)
            listed = [
                dict(descriptor(MANIFEST, c["digest"], len(c["body"])), platform=c["platform"]) for c in children
            ]
            body, media = encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}), INDEX
        put_manifest(connection, repository, "1", body, media)
        filled.images.append((repository, digest_of(body)))
    connection.close()
    return filled


def platform_manifest(connection, repository, platform, filled, made, divisor):
    name, layers = platform
    architecture, _, variant = name.partition("/")
    described = []
    for seed, size in layers:
        size = shrunk(size, divisor)
        if seed in made:  # in the registry already, in another repository
            mount(connection, repository, made[seed], filled.homes[made[seed]])
        else:
            made[seed] = put_blob(connection, repository, layer(seed, size))
            filled.homes[made[seed]] = repository
        filled.blobs[made[seed]] = size
        described.append(descriptor(LAYER, made[seed], size))
    config = encode(
        {
            "os": "linux",
            "architecture": architecture,
            **({"variant": variant} if variant else {}),
            "config": {"Env": [f"NAME={repository}"]},
            "rootfs": {"type": "layers", "diff_ids": [d["digest"] for d in described]},
        }
    )
    digest = put_blob(connection, repository, [config])
    filled.blobs[digest] = len(config)
    filled.homes[digest] = repository
    body = encode(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(CONFIG, digest, len(config)),
            "layers": described,
        }
    )
    platform = {"os": "linux", "architecture": architecture, **({"variant": variant} if variant else {})}
    return {"digest": digest_of(body), "body": body, "platform": platform}


def layer(seed, size):
    source = random.Random(f"image-cloner bench {seed}")
    yield GZIP
    left = size - len(GZIP)
    while left > 0:
        yield source.randbytes(min(left, PIECE))
        left -= PIECE


def missing(registry, repository, digest, name=None):
    """What of an image a registry lacks, as text; None when it has all of it."""
    connection = registry.connect()
    body = get(connection, f"/v2/{repository}/manifests/{name or digest}")
    connection.close()
    if body is None or digest_of(body) != digest:
        return f"{repository}: {name or digest} is not {digest}"
    document = json.loads(body)
    for child in document.get("manifests", []):
        lacking = missing(registry, repository, child["digest"])
        if lacking:
            return lacking
    blobs = [*document.get("layers", []), *filter(None, [document.get("config")])]
    return missing_blobs(registry, repository, ((blob["digest"], blob["size"]) for blob in blobs))


def missing_blobs(registry, repository, blobs):
    """The first blob (digest, size) that a repository lacks, as text."""
    connection = registry.connect()
    try:
        for digest, size in blobs:
            response = ask(connection, "HEAD", f"/v2/{repository}/blobs/{digest}")
            response.read()
            if response.status != 200 or int(response.headers["content-length"]) != size:
                return f"{repository}: blob {digest}"
        return None
    finally:
        connection.close()


def get(connection, path):
    response = ask(connection, "GET", path, headers={"accept": f"{MANIFEST}, {INDEX}"})
    body = response.read()
    return body if response.status == 200 else None


def put_blob(connection, repository, pieces):
    """Pushes a blob and gives its digest, which is known only when all of it is made."""
    location = upload(connection, f"/v2/{repository}/blobs/uploads/", 202)
    whole = hashlib.sha256()

    def hashed():
        for piece in pieces:
            whole.update(piece)
            yield piece

    connection.request("PATCH", location, hashed(), {"transfer-encoding": "chunked"}, encode_chunked=True)
    location = answer(connection, 202)
    digest = f"sha256:{whole.hexdigest()}"
    joint = "&" if "?" in location else "?"
    connection.request("PUT", f"{location}{joint}digest={digest}", b"")
    answer(connection, 201)
    return digest


def mount(connection, repository, digest, home):
    if home != repository:
        upload(connection, f"/v2/{repository}/blobs/uploads/?mount={digest}&from={home}", 201)


def put_manifest(connection, repository, name, body, media):
    connection.request("PUT", f"/v2/{repository}/manifests/{name}", body, {"content-type": media})
    answer(connection, 201)


def upload(connection, path, wanted):
    connection.request("POST", path, b"")
    return answer(connection, wanted)


def ask(connection, method, path, headers=None):
    connection.request(method, path, headers=headers or {})
    return connection.getresponse()


def answer(connection, wanted):
    response = connection.getresponse()
    body = response.read()
    if response.status != wanted:
        raise SystemExit(f"bench: error: the source registry answered {response.status}: {body[:500]!r}")
    location = response.headers.get("location", "")
    return location.split("/v2/", 1)[-1].join(("/v2/", "")) if location else ""


def descriptor(media, digest, size):
    return {"mediaType": media, "digest": digest, "size": size}


def encode(document):
    return json.dumps(document, indent=2).encode()


def digest_of(body):
    return f"sha256:{hashlib.sha256(body).hexdigest()}"
