use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn digest(letter: char) -> String {
    format!("sha256:{}", letter.to_string().repeat(64))
}

fn entry(letter: char, platform: &str) -> Value {
    let mut entry = json!({"mediaType": "application/x", "size": 3, "digest": digest(letter)});
    let words: Vec<&str> = platform
        .split('/')
        .filter(|word| !word.is_empty())
        .collect();
    if let [os, architecture, variant @ ..] = words.as_slice() {
        entry["platform"] = json!({"os": os, "architecture": architecture});
        if let [variant] = variant {
            entry["platform"]["variant"] = json!(variant);
        }
    }
    entry
}

fn attestation(letter: char, of: char) -> Value {
    let mut entry = entry(letter, "unknown/unknown");
    entry["annotations"] = json!({"vnd.docker.reference.digest": digest(of),
        "vnd.docker.reference.type": "attestation-manifest"});
    entry
}

/// An index as nobody prints it: what is kept must be kept as it is.
fn index(entries: &[Value]) -> Vec<u8> {
    let entries: Vec<String> = entries.iter().map(|entry| format!("{entry:#}")).collect();
    let entries = entries.join(" ,\n\t");
    format!(
        "{{ \"z\":1.50, \"schemaVersion\" :2,\"manifests\":[ {entries}\r\n],\"a\":\"\\u00e9\"}}\n"
    )
    .into_bytes()
}

fn wanted(text: &str) -> BTreeSet<Platform> {
    match text.parse().unwrap() {
        PlatformChoice::Named(Platforms::Only(platforms)) => platforms,
        other => panic!("{other:?} names no platform"),
    }
}

fn narrowed(entries: &[Value], text: &str) -> Result<Option<Vec<u8>>, NarrowError> {
    narrow(&index(entries), &wanted(text), &BTreeSet::new())
}

/// The letters of the entries that stay.
#[track_caller]
fn check_kept(entries: &[Value], text: &str, expected: &str) {
    let bytes = narrowed(entries, text).unwrap();
    let stay: Vec<Value> = entries
        .iter()
        .filter(|entry| expected.contains(&entry["digest"].as_str().unwrap()[7..8]))
        .cloned()
        .collect();
    match bytes {
        Some(bytes) => assert_eq!(
            serde_json::from_slice::<Value>(&bytes).unwrap()["manifests"],
            Value::Array(stay),
            "{text}"
        ),
        None => assert_eq!(stay, entries, "{text}"),
    }
}

#[test]
fn a_platform_without_a_variant_means_all_of_its_variants() {
    let entries = [
        entry('a', "linux/amd64"),
        entry('b', "linux/arm/v5"),
        entry('c', "linux/arm/v7"),
        entry('d', "linux/arm64/v8"),
        entry('e', "linux/arm64"),
        entry('f', "windows/amd64"),
    ];
    check_kept(&entries, "linux/amd64", "a");
    check_kept(&entries, "linux/arm", "bc");
    check_kept(&entries, "linux/arm/v7", "c");
    check_kept(&entries, "linux/arm64", "de");
    // v8 is what arm64 without a variant is
    check_kept(&entries, "linux/arm64/v8", "de");
    check_kept(&entries, "LINUX/x86_64, linux/aarch64", "ade");
    check_kept(&entries, "windows/amd64,linux/s390x", "f");
}

#[test]
fn every_version_of_windows_is_one_platform() {
    let versions = ["10.0.17763.1", "10.0.20348.2"].map(|version| {
        let mut entry = entry(
            if version.ends_with('1') { 'a' } else { 'b' },
            "windows/amd64",
        );
        entry["platform"]["os.version"] = json!(version);
        entry
    });
    let entries = [&versions[..], &[entry('c', "linux/amd64")]].concat();
    check_kept(&entries, "windows/amd64", "ab");
}

#[test]
fn attestations_go_with_the_manifest_that_they_are_about() {
    let entries = [
        entry('a', "linux/amd64"),
        entry('b', "linux/arm64"),
        attestation('c', 'a'),
        attestation('d', 'b'),
    ];
    check_kept(&entries, "linux/arm64", "bd");
    check_kept(&entries, "linux/amd64,linux/arm64", "abcd");
}

#[test]
fn what_names_no_platform_stays() {
    let entries = [
        entry('a', "linux/amd64"),
        entry('b', "linux/arm64"),
        entry('c', ""),
        entry('d', "unknown/unknown"),
    ];
    check_kept(&entries, "linux/amd64", "acd");
    // where nothing names one there is nothing to choose between
    check_kept(&entries[2..], "linux/amd64", "cd");
    check_kept(&[], "linux/amd64", "");
}

#[test]
fn one_manifest_for_two_platforms_keeps_its_attestation() {
    let entries = [
        entry('a', "linux/arm/v6"),
        entry('a', "linux/arm/v7"),
        attestation('c', 'a'),
    ];
    let bytes = narrowed(&entries, "linux/arm/v7").unwrap().unwrap();
    let kept: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        kept["manifests"],
        json!([entry('a', "linux/arm/v7"), attestation('c', 'a')])
    );
}

#[test]
fn what_is_to_stay_anyway_stays_with_its_attestation() {
    let entries = [
        entry('a', "linux/amd64"),
        entry('b', "linux/arm64"),
        entry('c', "linux/s390x"),
        attestation('d', 'b'),
        attestation('e', 'c'),
    ];
    let anyway = BTreeSet::from([digest('b').parse().unwrap(), digest('f').parse().unwrap()]);
    let bytes = narrow(&index(&entries), &wanted("linux/amd64"), &anyway).unwrap();
    let kept: Value = serde_json::from_slice(&bytes.unwrap()).unwrap();
    let expected: Vec<_> = [0, 1, 3].map(|at| entries[at].clone()).into();
    assert_eq!(kept["manifests"], Value::Array(expected));
}

#[test]
fn an_index_for_other_platforms_says_which() {
    let entries = [entry('a', "linux/arm64/v8"), entry('b', "linux/amd64")];
    let error = narrowed(&entries, "linux/s390x,linux/ppc64le").unwrap_err();
    assert_eq!(
        error.to_string(),
        "it is not for linux/ppc64le, linux/s390x, but for linux/amd64, linux/arm64/v8"
    );
    let broken = narrow(b"[]", &wanted("linux/amd64"), &BTreeSet::new());
    assert!(matches!(broken, Err(NarrowError::NotAnIndex(_))));
}

#[test]
fn what_is_kept_keeps_its_bytes() {
    let entries = [
        entry('a', "linux/amd64"),
        entry('b', "linux/arm64"),
        entry('c', "linux/s390x"),
    ];
    let check = |text: &str, kept: &[usize]| {
        let bytes = narrowed(&entries, text).unwrap().unwrap();
        let kept: Vec<Value> = kept.iter().map(|at| entries[*at].clone()).collect();
        // the index of only those, printed the same way
        assert_eq!(bytes, index(&kept), "{text}");
    };
    check("linux/amd64", &[0]);
    check("linux/arm64", &[1]);
    check("linux/amd64,linux/s390x", &[0, 2]);
    check("linux/arm64,linux/s390x", &[1, 2]);
}

#[test]
fn choices_are_all_cluster_or_platforms() {
    let check = |text: &str, expected: Option<PlatformChoice>| {
        assert_eq!(text.parse::<PlatformChoice>().ok(), expected, "{text}");
    };
    check("all", Some(PlatformChoice::Named(Platforms::All)));
    check(" cluster ", Some(PlatformChoice::Cluster));
    for wrong in [
        "",
        "linux",
        "linux/",
        "/amd64",
        "linux/arm/v7/x",
        "cluster,linux/amd64",
        "linux/amd64,",
        "linux/am d64",
        "unknown/unknown",
    ] {
        check(wrong, None);
    }
    let error = "linux/amd64,arm".parse::<PlatformChoice>().unwrap_err();
    assert!(error.contains("\"arm\""), "{error}");
    let both = wanted("linux/arm/v7, linux/amd64");
    assert_eq!(
        Platforms::Only(both).to_string(),
        "linux/amd64, linux/arm/v7"
    );
}

fn any_entries() -> impl Strategy<Value = Vec<Value>> {
    let platform = prop::sample::select(vec![
        "linux/amd64",
        "linux/arm64",
        "linux/arm/v7",
        "linux/arm/v6",
        "windows/amd64",
        "",
        "unknown/unknown",
    ]);
    let letter = prop::sample::select(('a'..='f').collect::<Vec<char>>());
    let about = prop::option::of(letter.clone());
    let one = (letter, platform, about).prop_map(|(letter, platform, about)| match about {
        Some(about) => attestation(letter, about),
        None => entry(letter, platform),
    });
    prop::collection::vec(one, 0..8)
}

proptest! {
    #[test]
    fn all_platforms_are_the_index_itself(entries in any_entries()) {
        let all = "linux/amd64,linux/arm64,linux/arm,windows/amd64";
        prop_assert_eq!(narrowed(&entries, all), Ok(None));
    }

    #[test]
    fn a_narrowed_index_reads_as_some_of_the_entries_and_is_narrow_already(
        entries in any_entries(),
        text in prop::sample::select(vec!["linux/amd64", "linux/arm", "linux/arm/v7,windows/amd64"]),
    ) {
        if let Ok(Some(bytes)) = narrowed(&entries, text) {
            let kept: Value = serde_json::from_slice(&bytes).unwrap();
            let kept = kept["manifests"].as_array().unwrap();
            let mut all = entries.iter();
            prop_assert!(kept.iter().all(|one| all.any(|entry| entry == one)), "a subsequence");
            prop_assert!(kept.len() < entries.len());
            prop_assert_eq!(narrowed(&entries, text), Ok(Some(bytes.clone())));
            prop_assert_eq!(narrow(&bytes, &wanted(text), &BTreeSet::new()), Ok(None));
        }
    }
}
