//! RFC 9535: the public compliance suite, where it is here, and cases of our own.

use std::fs;
use std::path::{Path, PathBuf};

use bifocal::json::{MAX_DEPTH, Tree};
use bifocal::path::query::{
    MAX_COST, MAX_QUERY, MAX_QUERY_CALLS, MAX_QUERY_NESTING, MAX_QUERY_PATTERNS, MAX_QUERY_SEGMENTS, Query, TooCostly,
};
use serde_json::Value;

/// Cases of the suite that are answered in another way, and why. A case that passes must leave the list.
const DIFFERENCES: &[(&str, &str)] = &[];

fn texts<'a>(nodes: &[&Tree<'a>]) -> Vec<&'a str> {
    nodes.iter().map(|node| std::str::from_utf8(node.raw).unwrap()).collect()
}

fn select(query: &str, document: &str) -> Vec<String> {
    let tree = Tree::parse(document.as_bytes(), MAX_DEPTH).unwrap();
    let query = Query::parse(query).unwrap();
    let nodes = query.select(&tree).unwrap();
    assert_eq!(query.matches(&tree), Ok(!nodes.is_empty()), "{}", query.text());
    texts(&nodes).into_iter().map(str::to_owned).collect()
}

/// What the suite says of a case, and whether we say the same.
fn holds(case: &Value) -> bool {
    let selector = case["selector"].as_str().unwrap();
    let query = Query::parse(selector);
    if case["invalid_selector"] == true {
        return query.is_err();
    }
    let Ok(query) = query else { return false };
    let document = case["document"].to_string();
    let tree = Tree::parse(document.as_bytes(), MAX_DEPTH).unwrap();
    let nodes = query.select(&tree).unwrap();
    assert_eq!(query.matches(&tree), Ok(!nodes.is_empty()), "{selector}");
    let found: Vec<Value> = texts(&nodes).into_iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let found = Value::from(found);
    match case.get("results") {
        Some(results) => results.as_array().unwrap().contains(&found),
        None => case["result"] == found,
    }
}

#[test]
fn the_public_compliance_suite() {
    let folder = std::env::var_os("BIFOCAL_JSONPATH_SUITE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/jsonpath-compliance"),
        PathBuf::from,
    );
    let file = folder.join("cts.json");
    if !file.is_file() {
        eprintln!("skipped: {} is not here", file.display());
        return;
    }
    let suite: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let cases = suite["tests"].as_array().unwrap();
    assert!(cases.len() > 700);
    let mut differ: Vec<&str> =
        cases.iter().filter(|case| !holds(case)).map(|case| case["name"].as_str().unwrap()).collect();
    let mut known: Vec<&str> = DIFFERENCES.iter().map(|(name, _)| *name).collect();
    differ.sort_unstable();
    known.sort_unstable();
    assert_eq!(differ, known);
}

#[test]
fn numbers_compare_exactly() {
    for (test, holds) in [
        ("9007199254740993 == 9007199254740992", false),
        ("9007199254740993 > 9007199254740992", true),
        ("9007199254740993 == 9007199254740993.0", true),
        ("1.0 == 1", true),
        ("10e-1 == 1", true),
        ("-0 == 0", true),
        ("-0.0 == 0.0", true),
        ("0.1 == 0.10000000000000000555", false),
        ("1e400 > 1e399", true),
        ("1e400 == 1e401", false),
        ("-1.5 < -1.49", true),
        ("@.big == 12345678901234567890", true),
        ("@.big == 12345678901234567891", false),
        ("@.cents == 1999e-2", true),
        ("@.list == @.same", true),
        ("@.list == @.other", false),
        ("@.vast == @.vast", true),
        ("@.vast < 1", false),
        ("length(@.list) == 2.0", true),
    ] {
        let document = r#"[{"big": 12345678901234567890, "cents": 19.99, "vast": 1e9999999999999999999,
            "list": [1.0, {"a": 1, "b": [2e1]}], "same": [1, {"b": [20], "a": 10E-1}], "other": [1, {"b": [20.1], "a": 1}]}]"#;
        assert_eq!(select(&format!("$[?{test}]"), document).len(), usize::from(holds), "{test}");
    }
    assert_eq!(select("$[?@ == 1.50, 0, ?@ < 2.5, -1]", "[1.5, 2, 3]"), ["1.5", "1.5", "1.5", "2", "3"]);
}

#[test]
fn texts_compare_by_characters() {
    let document = r#"["\u00e9", "é", "e\u0301", "\ud834\udd1e", "\uffff", ""]"#;
    assert_eq!(select("$[?@ == 'é']", document), [r#""\u00e9""#, "\"é\""]);
    assert_eq!(select("$[?length(@) == 1]", document).len(), 4);
    assert_eq!(select("$[?length(@) == 0]", document), ["\"\""]);
    // By code points, where UTF-16 would put the pair first.
    assert_eq!(select("$[?@ > '\\uffff']", document), [r#""\ud834\udd1e""#]);
    assert_eq!(select("$[?search(@, '^.$')]", document).len(), 4);
    assert_eq!(select("$.größe['日本'][\"\\ud834\\udd1e\"]", r#"{"größe": {"日本": {"𝄞": 1}}}"#), ["1"]);
    assert_eq!(select("$['a\\'b', \"c\\\"d\"]", r#"{"a'b": 1, "c\"d": 2}"#), ["1", "2"]);
}

#[test]
fn nothing_is_not_null() {
    let document = r#"[{"a": null}, {}, {"a": [1, 2]}]"#;
    assert_eq!(select("$[?@.a == null]", document), [r#"{"a": null}"#]);
    assert_eq!(select("$[?@.a == @.b]", document), ["{}"]);
    assert_eq!(select("$[?@.a]", document).len(), 2);
    assert_eq!(select("$[?!@.a]", document), ["{}"]);
    assert_eq!(select("$[?value(@.a[*]) == @.b]", document).len(), 3);
    assert_eq!(select("$[?count(@.a[*]) >= 2]", document), [r#"{"a": [1, 2]}"#]);
    assert_eq!(select("$[?length(@.a) <= length(@.b)]", document).len(), 2);
}

#[test]
fn nodes_come_in_order_and_as_often_as_selected() {
    let document = r#"{"z": [1, [2, 3]], "a": {"z": 4}}"#;
    assert_eq!(select("$..*", document), ["[1, [2, 3]]", r#"{"z": 4}"#, "1", "[2, 3]", "2", "3", "4"]);
    assert_eq!(select("$..z", document), ["[1, [2, 3]]", "4"]);
    assert_eq!(select("$.z[0, 0, -1:, ::-1]", document), ["1", "1", "[2, 3]", "[2, 3]", "1"]);
    assert_eq!(select("$..[0]..[0]", "[[[1]]]"), ["[1]", "1", "1"]);
    assert_eq!(select("$", "7"), ["7"]);
}

#[test]
fn mistakes_have_their_place() {
    for (text, at, message) in [
        ("", 0..0, "a query starts with `$`"),
        ("@.a", 0..1, "a query starts with `$`"),
        ("$.", 2..2, "the query ends too early"),
        ("$[?@.a ==]", 9..10, "`]` cannot stand here"),
        ("$. a", 2..3, "no white space can follow `.`"),
        ("$[?@. a == 1]", 5..6, "no white space can follow `.`"),
        ("$[?@.a b == 1]", 7..8, "`b` cannot stand here"),
        ("$.a-1", 3..5, "`-1` cannot stand here"),
        ("$[?@.a-1]", 6..8, "`-1` cannot stand here"),
        ("$[?@.a == 01]", 10..12, "`01` is not a number"),
        ("$[?@.a == 1.]", 10..12, "`1.` is not a number"),
        ("$[?@.a == 1 .5]", 13..14, "`5` cannot stand here"),
        ("$[?@.a == - 1]", 10..11, "`-` is not a number"),
        ("$[1 2]", 4..5, "`2` cannot stand here"),
        ("$[01]", 2..4, "an index is a whole number"),
        ("$[-0]", 2..4, "an index is a whole number"),
        ("$[1.0]", 2..5, "an index is a whole number"),
        ("$[:9007199254740992]", 3..19, "an index is a whole number"),
        ("$['a", 2..4, "the quoted text is not closed"),
        ("$['a\tb']", 4..5, "a control character in a quoted text"),
        ("$[?in(@.a, $.b)]", 3..5, "there is no function `in`"),
        ("$[?count (@.*) == 1]", 3..8, "no white space can stand between `count` and `(`"),
        ("$[?length(@.a)]", 3..14, "a value alone is neither true nor false"),
        ("$[?length(@.*) == 1]", 3..14, "the function takes a value, and this can be several nodes"),
        ("$[?1 == 1 && count(1) == 1]", 0..27, "not a query of RFC 9535"),
        ("$[?count(length(@.a)) == 1]", 3..21, "the function takes a query, such as `@.*`"),
        ("$[?value('a') == 1]", 3..13, "the function takes a query, such as `@.*`"),
        ("$[?length(match(@.a, 'a')) == 1]", 10..25, "what is true or false is not a value"),
        ("$[?match(@.a, 'a(')]", 3..19, "the pattern is not one of RFC 9485 (I-Regexp)"),
        ("$[?!search(@.a, '\\\\d')]", 4..22, "the pattern is not one of RFC 9485 (I-Regexp)"),
        ("$.a\u{a0}", 2..5, "white space in a plain name"),
    ] {
        let error = Query::parse(text).unwrap_err();
        assert_eq!((error.at, error.message.as_str(), error.over_limit), (at, message, false), "{text}");
    }
}

#[test]
fn what_the_grammar_has_not_is_refused() {
    for text in [
        "$[?'a']",
        "$[?true]",
        "$[?1]",
        "$[?!@.a == 1]",
        "$[?@.* == 1]",
        "$[?@..a == 1]",
        "$[?@.a = 1]",
        "$[?@.a == 1",
        "$[?(@.a) == 1]",
        "$[?@.a == 'a' 'b']",
        "$[?@['a', 'b'] == 1]",
        "$['\\ud834']",
        "$['\\u 0041']",
        "$['\\ n']",
        "$[?@.a == \"\\'\"]",
        "$...a",
        "$..",
        "$.. a",
        "$a",
        "$ ",
        " $",
        "$[]",
        "$[,]",
        "$[?]",
        "$.1",
        "$[?@.a == TRUE]",
        "$[?@.a == 1e]",
        "$[?@.a == +1]",
        "$[?@.a == .5]",
        "$[?@.a == 0x1]",
        "$[?@.a & @.b]",
        "$[?@.a == 1 2]",
        "$[?match(@.a)]",
        "$[?match(@.a, 'a', 'b')]",
        "$[?match(@.a, 'a') == true]",
        "$[?@.a == \u{a0}1]",
        "$[?@.a == -]",
    ] {
        assert!(Query::parse(text).is_err(), "{text}");
    }
}

#[test]
fn sizes_are_limited() {
    let over = |text: String| assert!(Query::parse(&text).unwrap_err().over_limit, "{text}");
    let good = |text: String| assert!(Query::parse(&text).is_ok(), "{text}");
    let named = |length: usize| format!("$['{}']", "a".repeat(length - 5));
    good(named(MAX_QUERY));
    over(named(MAX_QUERY + 1));
    let nested = |depth: usize| format!("$[?{}@.a{}]", "(".repeat(depth - 1), ")".repeat(depth - 1));
    good(nested(MAX_QUERY_NESTING));
    over(nested(MAX_QUERY_NESTING + 1));
    let called = |depth: usize| format!("$[?{}@.a{}]", "match(@[?".repeat(depth), "].b, 'a')".repeat(depth));
    let lengths = |depth: usize| format!("$[?{}@.a{} == 1]", "length(".repeat(depth), ")".repeat(depth));
    good(lengths(MAX_QUERY_CALLS));
    over(lengths(MAX_QUERY_CALLS + 1));
    over(called(MAX_QUERY_CALLS + 1));
    good(format!("${}", ".a".repeat(MAX_QUERY_SEGMENTS)));
    over(format!("${}", "[0]".repeat(MAX_QUERY_SEGMENTS + 1)));
    good("$[?match(@, '\\\\p{L}[\\\\p{L} -]{1,20}')]".to_owned());
    let patterns = |count: usize| format!("$[?{}]", vec!["match(@, 'a')"; count].join(" || "));
    good(patterns(MAX_QUERY_PATTERNS));
    over(patterns(MAX_QUERY_PATTERNS + 1));
    over("$[?match(@, '((a{1000}){1000}){1000}')]".to_owned());
    // The costliest text to read that the limits allow: refused only at its very end.
    assert!(!Query::parse(&called(MAX_QUERY_CALLS)).unwrap_err().over_limit);
}

#[test]
fn cost_is_limited() {
    let wide = format!("[{}0]", "0,".repeat(2000));
    let deep = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    let long = format!("[\"{}\"]", "a".repeat(1 << 20));
    let mine =
        format!("{{\"p\": [{}], \"t\": \"a\"}}", (0..200).map(|n| format!("\"a{n}\"")).collect::<Vec<_>>().join(","));
    let large = r#"["((a{999}){999}){999}"]"#.to_owned();
    for (query, document) in [
        ("$..[?count($..*) == 0]", &wide),
        ("$[?$[?@ == 1]]", &wide),
        ("$..[*]..[*]..[*]..[*]", &deep),
        ("$[?search(@, '(a{50}b){20}')]", &long),
        ("$.p[?match($.t, @)]", &mine),
        ("$[?search('a', @)]", &large),
    ] {
        let tree = Tree::parse(document.as_bytes(), MAX_DEPTH).unwrap();
        let query = Query::parse(query).unwrap();
        assert_eq!(query.select(&tree).unwrap_err(), TooCostly, "{}", query.text());
    }
    // What asks for one node stops at the first; a pattern that stays the same is compiled once.
    let tree = Tree::parse(deep.as_bytes(), MAX_DEPTH).unwrap();
    assert_eq!(Query::parse("$..[*]..[*]..[*]..[*]").unwrap().matches(&tree), Ok(true));
    let patterns = format!("{{\"p\": \"a+\", \"t\": [{}\"aa\"]}}", "\"b\",".repeat(1000));
    assert_eq!(select("$.t[?match(@, $.p)]", &patterns), ["\"aa\""]);
    assert!(TooCostly.to_string().contains(&MAX_COST.to_string()));
}

#[test]
fn the_deepest_query_over_the_deepest_document_fits_the_stack() {
    let inner = "..*".repeat((MAX_QUERY_SEGMENTS - 13) / 13);
    let query = (0..13).fold("$ == $".to_owned(), |query, _| format!("${inner}[?{query}]"));
    let query = Query::parse(&query).unwrap();
    let deep = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    let small = std::thread::Builder::new().stack_size(512 << 10);
    let found = small.spawn(move || query.matches(&Tree::parse(deep.as_bytes(), MAX_DEPTH).unwrap())).unwrap();
    assert_eq!(found.join().unwrap(), Ok(true));
}

#[test]
fn a_pattern_of_the_document_that_is_none_matches_nothing() {
    let document = r#"{"bad": "a(", "odd": "\\d", "good": "[0-9]", "t": ["1", "a("]}"#;
    assert_eq!(select("$.t[?search(@, $.good)]", document), ["\"1\""]);
    for name in ["bad", "odd", "t", "nowhere"] {
        assert_eq!(select(&format!("$.t[?search(@, $.{name})]"), document), [""; 0], "{name}");
        assert_eq!(select(&format!("$.t[?!search(@, $.{name})]"), document).len(), 2, "{name}");
    }
}
