use std::fmt::Write as _;

use super::*;
use crate::diagnostic::{Diagnostics, SourceId};

fn read(text: &str) -> (Option<Node>, Vec<String>) {
    read_within(text, Limits::RULES)
}

fn read_within(text: &str, limits: Limits) -> (Option<Node>, Vec<String>) {
    let mut found = Diagnostics::default();
    let node = parse(SourceId(0), text, limits, &mut found);
    (node, found.iter().map(|one| format!("{} {}", one.code.0, one.message)).collect())
}

/// Every node with the text that its span covers, depth first.
fn spans(text: &str) -> Vec<String> {
    fn walk(node: &Node, text: &str, out: &mut Vec<String>) {
        out.push(text.get(node.span.start as usize..node.span.end as usize).unwrap_or("<bad span>").to_owned());
        match &node.kind {
            Kind::Scalar { .. } => {}
            Kind::List(elements) => elements.iter().for_each(|one| walk(one, text, out)),
            Kind::Map(members) => members.iter().for_each(|(key, value)| {
                walk(key, text, out);
                walk(value, text, out);
            }),
        }
    }
    let (node, found) = read(text);
    assert_eq!(found, Vec::<String>::new(), "{text:?}");
    let mut out = Vec::new();
    walk(&node.unwrap(), text, &mut out);
    out
}

#[test]
fn spans_cover_what_is_written() {
    assert_eq!(spans("a: b\n"), ["a: b", "a", "b"]);
    assert_eq!(
        spans("a:  'b c'  # why\nd: [1, {e: f}]\n"),
        ["a:  'b c'  # why\nd: [1, {e: f}]", "a", "'b c'", "d", "[1, {e: f}]", "1", "{e: f}", "e", "f"]
    );
    assert_eq!(
        spans("- x = y: {z: 1}\n- same\n\n\n"),
        ["- x = y: {z: 1}\n- same", "x = y: {z: 1}", "x = y", "{z: 1}", "z", "1", "same"]
    );
    assert_eq!(spans("{a: [1 ] , b: {} }\n"), ["{a: [1 ] , b: {} }", "a", "[1 ]", "1", "b", "{}"]);
    assert_eq!(spans("k:\n- a\n- b\nl: m\n"), ["k:\n- a\n- b\nl: m", "k", "- a\n- b", "a", "b", "l", "m"]);
}

#[test]
fn spans_count_bytes_with_bom_crlf_and_letters_of_any_width() {
    assert_eq!(spans("\u{feff}é: 日本\r\n𝄞: [ü]\r\n"), ["é: 日本\r\n𝄞: [ü]", "é", "日本", "𝄞", "[ü]", "ü"]);
    let long = format!("# {}\na: {}\nb: c\n", "ß".repeat(300), "日".repeat(200));
    assert_eq!(spans(&long).last().map(String::as_str), Some("c"));
}

#[test]
fn anchors_and_tags_are_not_part_of_a_scalar() {
    assert_eq!(spans("a: &x !!str 12\nb: *x\n"), ["a: &x !!str 12\nb: *x", "a", "12", "b", "12"]);
}

#[test]
fn nothing_is_null() {
    let (node, found) = read("a:\nb: {c, d: }\n");
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(to_json(&node.unwrap()), Ok(r#"{"a":null,"b":{"c":null,"d":null}}"#.to_owned()));
}

#[test]
fn scalars_follow_the_core_schema() {
    let (node, _) =
        read("[no, NO, yes, on, ~, True, 1e3, -0.50, 2026-01-01, '012', 12345678901234567890, \"\\u00e9\\n\"]");
    assert_eq!(
        to_json(&node.unwrap()),
        Ok(r#"["no","NO","yes","on",null,true,1e3,-0.50,"2026-01-01","012",12345678901234567890,"é\n"]"#.to_owned())
    );
    for unclear in ["012", "1_000", "0x1F", "0o17", "0b1", ".inf", "-.INF", ".nan", "+1", ".5", "5.", "1.e3", "00"] {
        let (node, _) = read(unclear);
        assert!(to_json(&node.unwrap()).is_err(), "{unclear}");
    }
    for text in ["1.2.3", "1-2", "e3", ".", "-", "+", "_1", "0x", "1e", "v1", "1 000"] {
        assert_eq!(plain(text), Plain::Text, "{text}");
    }
}

#[test]
fn carets_point_inside_scalars() {
    let text = "a: 'b = c'\nd: \"x\\ty\"\n";
    let (node, _) = read(text);
    let node = node.unwrap();
    let cut = |span: Span| text.get(span.start as usize..span.end as usize).unwrap();
    assert_eq!(cut(node.get("a").unwrap().part(4, 5)), "c");
    assert_eq!(cut(node.get("d").unwrap().part(1, 2)), "\"x\\ty\"");
}

#[test]
fn hostile_texts_are_refused_with_one_error_and_quickly() {
    let laughs = {
        let mut text = "a: &a [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n".to_owned();
        for (one, before) in ('b'..='i').zip('a'..) {
            let list = vec![format!("*{before}"); 9].join(",");
            writeln!(text, "{one}: &{one} [{list}]").unwrap();
        }
        text
    };
    let long_alias = format!("a: &a '{}'\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 100_000].join(","));
    let nest = |open: &str| open.repeat(20_000);
    for (text, code) in [
        (laughs.as_str(), "E15"),
        (&long_alias, "E15"),
        (&nest("["), "E15"),
        (&nest("{a: "), "E15"),
        (&nest("- "), "E15"),
        (&nest("? "), "E15"),
        (&nest("&a [*a,"), "E15"),
        ("a: &a {k: 1}\nb: {<<: *a}\n", "R3"),
        ("rules: !include /etc/passwd\n", "R3"),
        ("a: !!binary AAAA\n", "R3"),
        ("a: &a [*a]\n", "R3"),
        ("a: *b\n", "R1"),
        ("--- a\n--- b\n", "R3"),
        ("? [a]\n: b\n", "R3"),
        ("a:\n\tb: 1\n", "R1"),
        ("a: b: c\n", "R1"),
        ("a: \"b\n", "R1"),
        ("a: {b\n", "R1"),
        ("a: 1\na: 2\n", "R2"),
        ("", "R6"),
        ("# only words\n", "R6"),
    ] {
        let before = std::time::Instant::now();
        let (_, found) = read(text);
        let codes: Vec<&str> = found.iter().filter_map(|one| one.split(' ').next()).collect();
        assert_eq!(codes, [code], "{:?}: {found:?}", text.chars().take(40).collect::<String>());
        assert!(before.elapsed().as_secs() < 5);
    }
}

#[test]
fn depth_counts_through_aliases() {
    let text = format!("a: &a {}{}\nb: {}*a{}\n", "[".repeat(40), "]".repeat(40), "[".repeat(40), "]".repeat(40));
    assert_eq!(read(&text).1, ["E15 nested deeper than 64 levels"]);
    let fine = format!("{}{}", "[".repeat(64), "]".repeat(64));
    assert_eq!(read(&fine).1, Vec::<String>::new());
}

#[test]
fn a_file_over_the_limit_is_not_read() {
    let limits = Limits { bytes: 3, ..Limits::RULES };
    assert_eq!(read_within("abcd", limits).1, ["E15 the file has 4 bytes, the limit is 3"]);
}

proptest::proptest! {
    #[test]
    fn no_text_panics_and_spans_are_on_character_boundaries(text in "[-a-c0-9 :,\\[\\]{}&*!|>'\"%@?#~<\n\t\ré𝄞\u{feff}]{0,80}") {
        fn walk(node: &Node, text: &str) {
            assert!(text.get(node.span.start as usize..node.span.end as usize).is_some(), "{node:?}");
            match &node.kind {
                Kind::Scalar { .. } => {}
                Kind::List(elements) => elements.iter().for_each(|one| walk(one, text)),
                Kind::Map(members) => members.iter().for_each(|(key, value)| { walk(key, text); walk(value, text); }),
            }
        }
        let mut found = Diagnostics::default();
        if let Some(node) = parse(SourceId(0), &text, Limits::RULES, &mut found) {
            walk(&node, &text);
            let _ = to_json(&node);
        }
        for one in &found {
            assert!(text.get(one.span.start as usize..one.span.end as usize).is_some(), "{one:?}");
        }
    }
}

/// As JSON with white space here and there.
fn json() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let text = prop_oneof![
        "[a-c ]{0,3}".prop_map(|text| format!("{text:?}")),
        "[ -~é日𝄞]{0,70}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""\/\u00e9\b\f\n\r\t\"\\ <<""#.to_owned()),
    ];
    let number = prop_oneof!["-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][-+]?[0-9])?", "true|false|null"];
    let space = prop_oneof![Just(""), Just(" "), Just("\n  "), Just("\r\n")];
    prop_oneof![text.clone(), number].prop_recursive(5, 60, 12, move |inner| {
        let element = (space.clone(), inner.clone(), space.clone()).prop_map(|(a, one, b)| [a, &one, b].concat());
        let member =
            (text.clone(), space.clone(), element.clone()).prop_map(|(key, a, one)| [&key, a, ":", &one].concat());
        prop_oneof![
            proptest::collection::vec(element, 0..12).prop_map(|all| format!("[{}]", all.join(","))),
            proptest::collection::vec(member, 0..12).prop_map(|all| format!("{{{}}}", all.join(", "))),
        ]
    })
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(512))]

    #[test]
    fn json_is_read_alike_without_yaml(text in json(), base in 0..4_usize, nodes in 1..200_usize) {
        let mut found = Diagnostics::default();
        let limits = Limits { nodes, ..Limits::RULES };
        let slowly = read::parse_yaml(SourceId(0), &text, base, limits, &mut found).filter(|_| found.is_empty());
        let is_collection = text.starts_with(['[', '{']);
        let quickly = strict::read(SourceId(0), &text, base, limits);
        proptest::prop_assert_eq!(
            quickly.map(|node| format!("{node:?}")),
            slowly.filter(|_| is_collection).map(|node| format!("{node:?}")),
        );
    }
}

#[test]
fn what_is_no_json_or_has_a_fault_is_left_to_yaml() {
    let strict = |text: &str| strict::read(SourceId(0), text, 0, Limits { nodes: 20, ..Limits::RULES }).is_some();
    let many = |members: usize| {
        let all: Vec<_> = (0..members).map(|number| format!("\"{number}\":1")).collect();
        all.join(",")
    };
    assert!(strict(" {\"a\": [1, {}, []]}\n") && strict(&format!("{{{}}}", many(9))));
    for text in [
        "",
        "a: 1",
        "1",
        "\"a\"",
        "{a: 1}",
        "{\"a\": 1} x",
        "{\"a\": 1} # why",
        "{\"a\" 1}",
        "[1,]",
        "[1 2]",
        "[1",
        "{\"a\":1,}",
        "{\"a\":1,\"a\":2}",
        "[01]",
        "[1.]",
        "['a']",
        "[\"\\x41\"]",
        "[\"\\ud800\"]",
        "[\"\n\"]",
        "[&a 1]",
        "--- [1]",
    ] {
        assert!(!strict(text), "{text}");
    }
    assert!(!strict(&format!("{{{},\"3\":2}}", many(9))), "twice among many");
    assert!(!strict(&format!("[{}]", vec!["1"; 20].join(","))), "one more than the limit");
    assert!(!strict(&format!("{}{}", "[".repeat(65), "]".repeat(65))), "too deep");
}
