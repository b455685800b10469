//! What `krew/package.sh` makes, judged by krew's own rules and installed the way krew installs.
//!
//! The rules are those of krew's `validation` and `installation` packages, and of its index for what is
//! submitted there (a short description under 50 characters, a LICENSE in the archive).

mod builds;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// krew's manifest; fields that krew does not know are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Manifest {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Spec {
    version: String,
    homepage: Option<String>,
    short_description: String,
    description: String,
    caveats: String,
    platforms: Vec<Platform>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Platform {
    selector: Selector,
    uri: String,
    sha256: String,
    files: Vec<FileOperation>,
    bin: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileOperation {
    from: String,
    to: String,
}

/// Runs `krew/package.sh` into this folder.
fn package(out: &Path, args: &[&str]) -> Output {
    Command::new("bash")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/krew/package.sh"))
        .arg("--out")
        .arg(out)
        .args(args)
        .output()
        .expect("bash is here")
}

/// The manifest that was made in a folder, held against krew's rules.
fn manifest(out: &Path) -> Manifest {
    let text = fs::read_to_string(out.join("image-cloner.yaml")).expect("a manifest");
    assert!(!text.contains('@'), "a place that was not filled:\n{text}");
    let manifest: Manifest = serde_saphyr::from_str(&text).expect("krew's fields");
    assert_eq!(
        manifest.api_version,
        "krew.googlecontainertools.github.com/v1alpha2"
    );
    assert_eq!(manifest.kind, "Plugin");
    assert_eq!(manifest.metadata.name, "image-cloner");
    let spec = &manifest.spec;
    assert_eq!(spec.version, format!("v{}", env!("CARGO_PKG_VERSION")));
    assert!(spec.short_description.len() < 50 && !spec.short_description.contains('\n'));
    assert!(!spec.description.is_empty());
    assert!(
        spec.caveats
            .contains("kubectl image-cloner completion install")
    );
    assert!(!spec.platforms.is_empty());
    for platform in &spec.platforms {
        let labels: Vec<_> = platform.selector.match_labels.keys().collect();
        assert_eq!(labels, ["arch", "os"]);
        assert!(platform.sha256.len() == 64);
        assert!(
            platform
                .sha256
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        );
        assert!(!platform.files.is_empty(), "left out or not empty");
        for file in &platform.files {
            assert!(!file.from.is_empty() && !file.to.is_empty());
        }
    }
    manifest
}

/// The first bytes of a program of Linux for this machine number, with these program header types.
fn elf(machine: u16, segments: &[u32]) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(64, 0);
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    bytes[32] = 64;
    bytes[54] = 56;
    bytes[56] = u8::try_from(segments.len()).expect("a few");
    for segment in segments {
        bytes.extend(segment.to_le_bytes());
        bytes.resize(bytes.len() + 52, 0);
    }
    bytes
}

fn macho(processor: u32) -> Vec<u8> {
    let mut bytes = b"\xcf\xfa\xed\xfe".to_vec();
    bytes.extend(processor.to_le_bytes());
    bytes.resize(64, 0);
    bytes
}

fn pe(machine: u16) -> Vec<u8> {
    let mut bytes = b"MZ".to_vec();
    bytes.resize(64, 0);
    bytes[60] = 128;
    bytes.resize(128, 0);
    bytes.extend(b"PE\0\0");
    bytes.extend(machine.to_le_bytes());
    bytes
}

const LOAD: u32 = 1;
const INTERPRETER: u32 = 3;

/// Programs of every platform, and both agents, as arguments for the script.
fn programs(folder: &Path) -> Vec<String> {
    let file = |name: &str, bytes: Vec<u8>| -> String {
        let path = folder.join(name);
        fs::write(&path, bytes).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    };
    let plugins = [
        file("linux-x86", elf(62, &[LOAD, INTERPRETER])),
        file("linux-arm", elf(183, &[LOAD])),
        file("mac-x86", macho(0x0100_0007)),
        file("mac-arm", macho(0x0100_000c)),
        file("windows-x86", pe(0x8664)),
        file("windows-arm", pe(0xaa64)),
    ];
    let agents = [
        file("agent-x86", elf(62, &[LOAD])),
        file("agent-arm", elf(183, &[LOAD])),
    ];
    let plugins = plugins
        .into_iter()
        .flat_map(|path| ["--plugin".to_owned(), path]);
    let agents = agents
        .into_iter()
        .flat_map(|path| ["--agent".to_owned(), path]);
    plugins.chain(agents).collect()
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What krew does with a manifest: picks the platform, checks the archive's hash, unpacks it, moves what
/// `files` names, and links `bin` under the plugin's file name. Gives the folder for `PATH`.
fn install(manifest: &Manifest, archive: &Path, root: &Path) -> PathBuf {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let here =
        |labels: &BTreeMap<String, String>| labels["os"] == "linux" && labels["arch"] == arch;
    let platform = manifest
        .spec
        .platforms
        .iter()
        .find(|platform| here(&platform.selector.match_labels))
        .expect("this platform");
    let bytes = fs::read(archive).expect("the archive");
    assert_eq!(
        sha256(&bytes),
        platform.sha256,
        "the archive is another one"
    );
    let (unpacked, store, bin) = (root.join("unpacked"), root.join("store"), root.join("bin"));
    for folder in [&unpacked, &store, &bin] {
        fs::create_dir_all(folder).expect("a folder");
    }
    let tar = Command::new("tar")
        .arg("-xzf")
        .arg(archive)
        .arg("-C")
        .arg(&unpacked)
        .status();
    assert!(tar.expect("tar is here").success());
    for operation in &platform.files {
        assert_eq!(
            (operation.from.as_str(), operation.to.as_str()),
            ("*", "."),
            "the only operation that this test knows"
        );
        for entry in fs::read_dir(&unpacked).expect("a folder") {
            let entry = entry.expect("an entry");
            fs::rename(entry.path(), store.join(entry.file_name())).expect("the same disk");
        }
    }
    let target = store.join(&platform.bin);
    assert!(target.exists(), "krew links nothing that is not there");
    #[cfg(unix)]
    std::os::unix::fs::symlink(target, bin.join("kubectl-image_cloner")).expect("a link");
    bin
}

#[test]
#[cfg(target_os = "linux")]
fn the_archive_installs_as_krew_does_it_and_kubectl_finds_the_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    // without what only debuggers want: ten times as fast to pack
    let plugin = folder.path().join("plugin");
    let strip = Command::new("strip")
        .arg("-o")
        .arg(&plugin)
        .arg(env!("CARGO_BIN_EXE_kubectl-image_cloner"))
        .status();
    assert!(strip.unwrap().success());
    let output = package(&out, &["--plugin", plugin.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    let archive = PathBuf::from(printed.lines().next().unwrap());
    let manifest = manifest(&out);
    assert!(manifest.spec.homepage.is_none(), "no repository was named");
    let bin = install(&manifest, &archive, folder.path());
    assert!(bin.join("../store/LICENSE").exists());

    if Command::new("kubectl").arg("options").output().is_err() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "skipped in CI: no kubectl"
        );
        eprintln!("skipped: no kubectl to run the installed plugin");
        return;
    }
    let path = std::env::var("PATH").unwrap_or_default();
    let kubectl = |args: &[&str]| {
        Command::new("kubectl")
            .args(args)
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("HOME", folder.path())
            .env("KREW_ROOT", folder.path().join("krew"))
            // krew asks for its own newest version otherwise
            .env("KREW_NO_UPGRADE_CHECK", "1")
            .output()
            .unwrap()
    };
    let ran = kubectl(&["image-cloner", "version"]);
    assert!(ran.status.success(), "{}", said(&ran));
    let text = String::from_utf8(ran.stdout).unwrap();
    assert!(text.contains(&manifest.spec.version), "{text}");

    // the real one, where it is
    if !kubectl(&["krew", "version"]).status.success() {
        eprintln!("skipped: no krew here to install with; its steps were taken above");
        return;
    }
    let manifest = format!("--manifest={}", out.join("image-cloner.yaml").display());
    let archive = format!("--archive={}", archive.display());
    let ran = kubectl(&["krew", "install", &manifest, &archive]);
    assert!(ran.status.success(), "{}", said(&ran));
    assert!(folder.path().join("krew/bin/kubectl-image_cloner").exists());
}

#[test]
#[cfg(target_os = "linux")]
fn a_release_has_every_platform_with_its_real_hash_and_both_agents() {
    let folder = tempfile::tempdir().unwrap();
    let mut args = programs(folder.path());
    let tag = format!("v{}", env!("CARGO_PKG_VERSION"));
    args.extend(["--repository".into(), "https://example.com/a/b".into()]);
    args.extend(["--tag".into(), tag.clone()]);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    for out in [&first, &second] {
        let output = package(out, &args);
        assert!(output.status.success(), "{}", said(&output));
    }
    let manifest = manifest(&first);
    assert_eq!(
        manifest.spec.homepage.as_deref(),
        Some("https://example.com/a/b")
    );
    let mut seen = Vec::new();
    let mut sums = String::new();
    for platform in &manifest.spec.platforms {
        let labels = &platform.selector.match_labels;
        let name = format!(
            "image-cloner-{tag}-{}-{}.tar.gz",
            labels["os"], labels["arch"]
        );
        assert_eq!(
            platform.uri,
            format!("https://example.com/a/b/releases/download/{tag}/{name}")
        );
        let bytes = fs::read(first.join(&name)).expect("the archive");
        assert_eq!(
            bytes,
            fs::read(second.join(&name)).expect("the archive"),
            "the same input, the same archive"
        );
        assert_eq!(sha256(&bytes), platform.sha256);
        let _ = writeln!(sums, "{}  {name}", platform.sha256);
        let list = Command::new("tar")
            .arg("-tzf")
            .arg(first.join(&name))
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(list.stdout).unwrap(),
            format!(
                "LICENSE\nimage-cloner-agent-linux-amd64\nimage-cloner-agent-linux-arm64\n{}\n",
                platform.bin
            )
        );
        seen.push(format!(
            "{}/{} {}",
            labels["os"], labels["arch"], platform.bin
        ));
    }
    assert_eq!(
        seen,
        [
            "linux/amd64 kubectl-image_cloner",
            "linux/arm64 kubectl-image_cloner",
            "darwin/amd64 kubectl-image_cloner",
            "darwin/arm64 kubectl-image_cloner",
            "windows/amd64 kubectl-image_cloner.exe",
            "windows/arm64 kubectl-image_cloner.exe",
        ]
    );
    assert_eq!(fs::read_to_string(first.join("SHA256SUMS")).unwrap(), sums);
}

#[test]
#[cfg(target_os = "linux")]
fn what_would_be_a_wrong_release_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    programs(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(folder.path().join("text"), "#!/bin/sh\n").unwrap();
    fs::write(folder.path().join("riscv"), elf(243, &[])).unwrap();
    let out = folder.path().join("out");
    for (args, why) in [
        (
            vec!["--plugin", "text"],
            "not a program of Linux, macOS or Windows",
        ),
        (vec!["--plugin", "riscv"], "not released for (machine 243)"),
        (
            vec!["--plugin", "mac-arm", "--plugin", "mac-arm"],
            "a second plugin for darwin/arm64",
        ),
        (
            vec!["--plugin", "mac-arm", "--agent", "linux-x86"],
            "not linked statically",
        ),
        (
            vec!["--plugin", "mac-arm", "--agent", "mac-x86"],
            "the agent runs on Linux",
        ),
        (vec!["--plugin", "missing"], "no such file"),
    ] {
        let args: Vec<_> = args
            .iter()
            .map(|arg| {
                if arg.starts_with("--") {
                    (*arg).to_owned()
                } else {
                    path(arg)
                }
            })
            .collect();
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let output = package(&out, &args);
        assert!(
            !output.status.success() && said(&output).contains(why),
            "{}",
            said(&output)
        );
    }
    let output = package(&out, &["--plugin", &path("mac-arm"), "--tag", "v99.0.0"]);
    assert!(
        said(&output).contains("the tag is v99.0.0"),
        "{}",
        said(&output)
    );
    assert!(!out.join("image-cloner.yaml").exists());
}
