//! What `krew/build.sh` asks of cargo for each target, and what `krew/package.sh` makes of it.

use super::{INTERPRETER, LOAD, elf, manifest, said, sha256};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A cargo that builds nothing: it writes down how it was asked and puts what is in a folder where the
/// built programs would be.
struct Builder {
    folder: tempfile::TempDir,
}

impl Builder {
    fn new() -> Self {
        let builder = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let stub = r#"#!/bin/sh
[ "$*" != 'auditable --version' ] || exit 0
printf '%s|%s\n' "$RUSTFLAGS" "$*" >>"$FOLDER/calls"
suffix=
while [ $# -gt 0 ]; do
	case $1 in
	--bin) bin=$2 ;;
	--target) target=$2 ;;
	--target-dir) out=$2 ;;
	*-windows-*) suffix=.exe ;;
	esac
	shift
done
mkdir -p "$out/$target/release"
cp "$FOLDER/$bin" "$out/$target/release/$bin$suffix"
"#;
        let machine = match std::env::consts::ARCH {
            "aarch64" => 183,
            _ => 62,
        };
        fs::write(
            builder.path("kubectl-image_cloner"),
            elf(machine, &[LOAD, INTERPRETER]),
        )
        .unwrap();
        fs::write(builder.path("image-cloner-agent"), elf(machine, &[LOAD])).unwrap();
        fs::write(builder.path("cargo"), stub).unwrap();
        let chmod = Command::new("chmod")
            .arg("+x")
            .arg(builder.path("cargo"))
            .status();
        assert!(chmod.unwrap().success());
        builder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Standard output of a script of `krew/`, line by line, with the target folder left out.
    fn run(&self, script: &str, args: &[&str]) -> Vec<String> {
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("bash")
            .arg(format!("{}/krew/{script}", env!("CARGO_MANIFEST_DIR")))
            .args(args)
            .env("PATH", format!("{}:{path}", self.folder.path().display()))
            .env("FOLDER", self.folder.path())
            .env("CARGO_TARGET_DIR", self.path("target"))
            .env_remove("RUSTFLAGS")
            .output()
            .expect("bash is here");
        assert!(output.status.success(), "{}", said(&output));
        let target = format!("{}/", self.path("target").display());
        let printed = String::from_utf8(output.stdout).unwrap();
        let lines = printed.lines().map(|line| line.replace(&target, ""));
        lines.collect()
    }

    /// How cargo was asked since the last time, with its flags for rustc before.
    fn asked(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap();
        fs::remove_file(self.path("calls")).unwrap();
        calls.lines().map(str::to_owned).collect()
    }
}

#[test]
#[cfg(target_os = "linux")]
fn this_machines_archive_is_built_and_packed_with_a_static_agent() {
    let builder = Builder::new();
    let printed = builder.run("package.sh", &[]);
    let out = builder.path("target/krew");
    let manifest = manifest(&out);
    let [platform] = manifest.spec.platforms.as_slice() else {
        panic!("{printed:?}");
    };
    let name = printed[0].strip_prefix("krew/").expect("an archive");
    assert_eq!(printed[1], "krew/image-cloner.yaml");
    let bytes = fs::read(out.join(name)).expect("the archive");
    assert_eq!(sha256(&bytes), platform.sha256);
    let arch = &platform.selector.match_labels["arch"];
    let list = Command::new("tar")
        .arg("-tzf")
        .arg(out.join(name))
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8(list.stdout).unwrap(),
        format!("LICENSE\nimage-cloner-agent-linux-{arch}\nkubectl-image_cloner\n")
    );
}

#[test]
fn each_target_is_built_with_what_its_archive_needs() {
    let builder = Builder::new();
    let program = |target: &str, name: &str| format!("{target}/release/{name}");
    let build = |flags: &str, target: &str, out: &str, name: &str| {
        let out = builder.path(out).display().to_string();
        let auditable = if name == "image-cloner-agent" {
            "auditable "
        } else {
            ""
        };
        format!(
            "{flags}|{auditable}build --release --locked --target {target} --target-dir {out} --bin {name}"
        )
    };
    let (plugin, agent) = ("kubectl-image_cloner", "image-cloner-agent");

    let target = "x86_64-unknown-linux-musl";
    assert_eq!(
        builder.run("build.sh", &[target]),
        [program(target, plugin), program(target, agent)]
    );
    assert_eq!(
        builder.asked(),
        [
            build("", target, "target", plugin),
            build("", target, "target", agent)
        ]
    );
    let target = "aarch64-unknown-linux-gnu";
    assert_eq!(
        builder.run("build.sh", &[target]),
        [
            program(target, plugin),
            format!("static/{}", program(target, agent))
        ]
    );
    assert_eq!(
        builder.asked(),
        [
            build("", target, "target", plugin),
            build(
                " -C target-feature=+crt-static",
                target,
                "target/static",
                agent
            )
        ]
    );
    for (target, name) in [
        ("aarch64-apple-darwin", plugin.to_owned()),
        ("x86_64-pc-windows-msvc", format!("{plugin}.exe")),
    ] {
        assert_eq!(builder.run("build.sh", &[target]), [program(target, &name)]);
        assert_eq!(builder.asked(), [build("", target, "target", plugin)]);
    }
}
