//! Aliases and merge keys: followed wherever they lead, and never without end.

use super::*;

#[test]
fn what_is_merged_is_followed_however_many_ways_lead_there() {
    let merged = format!("x: &base {{image: a:1}}\n{POD}    <<: *base\n");
    assert_eq!(rewritten(&merged), merged.replace("a:1", "reg.corp/a:1"));

    // ten ways to each of the next, and what is looked for is nowhere
    let mut many = "a0: &a0 {b: c}\n".to_owned();
    for level in 1..=20 {
        let ten = vec![format!("*a{}", level - 1); 10].join(", ");
        let _ = writeln!(many, "a{level}: &a{level} {{<<: [{ten}]}}");
    }
    let many = format!("{many}{POD}    <<: *a20\n");
    assert_eq!(rewritten(&many), many);

    let mut bomb = "apiVersion: v1\nkind: X\nspec:\n  a0: &a0 {x: y}\n".to_owned();
    for level in 1..60 {
        let below = level - 1;
        let _ = writeln!(
            bomb,
            "  a{level}: &a{level} [*a{below}, *a{below}, *a{below}]"
        );
    }
    assert_eq!(found(&bomb), [""; 0]);
}

#[test]
fn what_contains_itself_is_refused_as_kubectl_does() {
    for (line, text) in [
        (
            4,
            "apiVersion: v1\nkind: List\nitems: &i\n- {apiVersion: v1, kind: List, items: *i}\n",
        ),
        (
            5,
            "apiVersion: v1\nkind: Pod\nspec: &s\n  template:\n    spec: *s\n",
        ),
        (3, "apiVersion: v1\nkind: Pod\nspec: &s {<<: *s}\n"),
    ] {
        let refused = Manifest::read(text).unwrap_err();
        assert_eq!(
            (refused.line, refused.reason.as_str()),
            (line, "an anchor's value contains itself")
        );
    }
}

#[test]
fn a_chain_of_aliases_is_as_deep_as_what_is_written_so() {
    let chain = |length: usize| {
        let mut text =
            "apiVersion: v1\nkind: X\nmetadata:\n  a0: &a0 {template: {spec: {}}}\n".to_owned();
        for level in 1..length {
            let below = level - 1;
            let _ = writeln!(text, "  a{level}: &a{level} [*a{below}]");
        }
        let _ = writeln!(text, "spec: *a{}", length - 1);
        Manifest::read(&text)
    };
    assert!(chain(400).is_ok());
    let refused = chain(100_000).unwrap_err();
    assert_eq!(refused.reason, "it is nested too deep");
    assert!(refused.line < 600, "{refused}");
}
