use super::*;
use serde_json::json;

#[track_caller]
fn sets(text: &str, path: &[&str], value: &Value, expected: &str) {
    assert_eq!(
        set(text, Notation::Yaml, path, value).as_deref(),
        Ok(expected)
    );
}

#[track_caller]
fn removes(text: &str, path: &[&str], expected: Option<&str>) {
    let new = remove(text, Notation::Yaml, path).unwrap();
    assert_eq!(new.as_deref(), expected);
}

#[test]
fn a_value_is_replaced_and_all_else_stays() {
    let text = "# mine\nregistry:   old.corp/a   # the old one\n\nlayout: flat\n";
    let expected = "# mine\nregistry:   new.corp   # the old one\n\nlayout: flat\n";
    sets(text, &["registry"], &json!("new.corp"), expected);
    let list = "protect: # these\n  - a/b # one\n  - c/d\n\n# end\nlayout: flat\n";
    let expected = "protect: [e/f] # these\n\n# end\nlayout: flat\n";
    sets(list, &["protect"], &json!(["e/f"]), expected);
    sets("a: [x, y] # z\n", &["a"], &json!("b"), "a: b # z\n");
    sets("a:\nb: c\n", &["a"], &json!("x"), "a: x\nb: c\n");
    sets("a: ~\nb: c\n", &["a"], &json!("x"), "a: x\nb: c\n");
    sets(
        "a: |\n  one\n  two\nb: c\n",
        &["a"],
        &json!("x"),
        "a: x\nb: c\n",
    );
    sets("a: 'it''s'\n", &["a"], &json!("b: c"), "a: \"b: c\"\n");
    sets("é: ü\na: x\n", &["a"], &json!("z"), "é: ü\na: z\n");
}

#[test]
fn an_entry_is_added_behind_the_others_as_they_are_written() {
    sets("", &["a"], &json!("b"), "a: b\n");
    sets(
        "# only this\n",
        &["a", "b"],
        &json!(3),
        "# only this\na:\n  b: 3\n",
    );
    sets("---\na: b", &["c"], &json!("d"), "---\na: b\nc: d");
    sets(
        "a: b # x\n# end\n",
        &["c"],
        &json!("d"),
        "a: b # x\nc: d\n# end\n",
    );
    let hosts = "registries:\n    a.io: # mine\n        insecure: http\n    # last\nlayout: flat\n";
    sets(
        hosts,
        &["registries", "a.io", "caFile"],
        &json!("ca.pem"),
        "registries:\n    a.io: # mine\n        insecure: http\n        caFile: ca.pem\n    # last\nlayout: flat\n",
    );
    sets(
        hosts,
        &["registries", "b.io:5000", "insecure"],
        &json!("http"),
        "registries:\n    a.io: # mine\n        insecure: http\n    \"b.io:5000\":\n      insecure: http\n    # last\nlayout: flat\n",
    );
    sets(
        "registries:  # none yet\nlayout: flat\n",
        &["registries", "a.io", "insecure"],
        &json!("http"),
        "registries:  # none yet\n  a.io:\n    insecure: http\nlayout: flat\n",
    );
    sets(
        "r: {a: {b: c}, }\n",
        &["r", "d", "e"],
        &json!("f"),
        "r: {a: {b: c}, d: {e: f}, }\n",
    );
    sets(
        "r: {a: }\n",
        &["r", "a", "e"],
        &json!("f"),
        "r: {a: {e: f} }\n",
    );
    sets(
        "r: {}\n",
        &["r", "a"],
        &json!(["b", "c"]),
        "r: {a: [b, c]}\n",
    );
    sets(
        "a: b\r\n",
        &["c", "d"],
        &json!("e"),
        "a: b\r\nc:\r\n  d: e\r\n",
    );
}

#[test]
fn an_entry_goes_with_its_line_and_with_what_it_leaves_empty() {
    removes("# x\na: b # gone\nc: d\n", &["a"], Some("# x\nc: d\n"));
    removes(
        "a:\n- b\n- c\n# stays\nd: e\n",
        &["a"],
        Some("# stays\nd: e\n"),
    );
    removes(
        "r:\n  h:\n    a: b\nl: m\n",
        &["r", "h", "a"],
        Some("l: m\n"),
    );
    removes(
        "r:\n  h:\n    a: b\n  i: {}\n",
        &["r", "h", "a"],
        Some("r:\n  i: {}\n"),
    );
    removes("r: {a: b, c: d}\n", &["r", "a"], Some("r: {c: d}\n"));
    removes("r: {a: b, c: d}\n", &["r", "c"], Some("r: {a: b}\n"));
    removes("a: b", &["a"], Some(""));
    removes("a: b\n", &["c"], None);
    removes("a: b\n", &["a", "c"], None);
}

#[test]
fn what_cannot_be_changed_in_place_is_refused() {
    for text in [
        "a: &x {b: c}\nd: *x\n",
        "{a: b}: c\n",
        "- a\n",
        "a: b\n--- \nc: d\n",
    ] {
        let new = set(text, Notation::Yaml, &["d", "e"], &json!("f"));
        assert!(new.is_err(), "{text}: {new:?}");
    }
    let error = set("a: [hunter2\n", Notation::Yaml, &["d"], &json!("f")).unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn words_that_others_read_as_something_else_are_quoted() {
    let check = |text: &str, expected: &str| assert_eq!(scalar(text), expected);
    check("registry.corp/mirror", "registry.corp/mirror");
    check("localhost:5000", "localhost:5000");
    check("pass show harbor", "pass show harbor");
    check("/etc/ca.pem", "/etc/ca.pem");
    check("yes", "\"yes\"");
    check("1.20", "\"1.20\"");
    check("", "\"\"");
    check("a #b", "\"a #b\"");
    check("*x", "\"*x\"");
    check("say \"hi\"", r#""say \"hi\"""#);
}

#[test]
fn json_is_written_as_docker_writes_it() {
    let docker = "{\n\t\"auths\": {\n\t\t\"a.io\": {\n\t\t\t\"auth\": \"x\"\n\t\t}\n\t},\n\t\"HttpHeaders\": {\"A\":  1}\n}";
    let path = ["auths", "b.io"];
    let new = set(docker, Notation::Json, &path, &json!({"auth": "y"})).unwrap();
    assert_eq!(
        new,
        "{\n\t\"auths\": {\n\t\t\"a.io\": {\n\t\t\t\"auth\": \"x\"\n\t\t},\n\t\t\"b.io\": {\n\t\t\t\"auth\": \"y\"\n\t\t}\n\t},\n\t\"HttpHeaders\": {\"A\":  1}\n}"
    );
    assert_eq!(
        remove(&new, Notation::Json, &path).unwrap().as_deref(),
        Some(docker)
    );
    let first = set("", Notation::Json, &path, &json!({"auth": "y"})).unwrap();
    assert_eq!(
        first,
        "{\n\t\"auths\": {\n\t\t\"b.io\": {\n\t\t\t\"auth\": \"y\"\n\t\t}\n\t}\n}\n"
    );
    let gone = remove(&first, Notation::Json, &path).unwrap();
    assert_eq!(gone.as_deref(), Some("{\n\t\"auths\": {}\n}\n"));
    let again = set(&gone.unwrap(), Notation::Json, &path, &json!({"auth": "y"})).unwrap();
    assert_eq!(again, first);
    let close = r#"{"credsStore":"x","auths":{"a":{}}}"#;
    let new = set(
        close,
        Notation::Json,
        &["auths", "a"],
        &json!({"auth": "z"}),
    )
    .unwrap();
    assert_eq!(new, r#"{"credsStore":"x","auths":{"a":{"auth":"z"}}}"#);
    let new = set(r#"{"a":1}"#, Notation::Json, &["b", "c"], &json!(2)).unwrap();
    assert_eq!(new, r#"{"a":1, "b": {"c":2}}"#);
    assert!(set("{} x", Notation::Json, &["a"], &json!(1)).is_err());
    assert!(set("a: b", Notation::Json, &["a"], &json!(1)).is_err());
}
