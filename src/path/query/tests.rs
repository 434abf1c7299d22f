use super::pattern::{FOUND, Pattern, Unfit};
use super::*;

fn fits(pattern: &str, text: &str) -> bool {
    Pattern::compile(pattern, true, FOUND).unwrap_or_else(|unfit| panic!("{pattern}: {unfit:?}")).fits(text)
}

#[test]
fn patterns_mean_what_rfc_9485_says() {
    for (pattern, yes, no) in [
        ("", "", "a"),
        ("a|b", "b", "ab"),
        ("a||b", "", "c"),
        ("()", "", "a"),
        ("(ab)+c?", "abab", "abcab"),
        ("a{2}", "aa", "aaa"),
        ("a{2,}", "aaaa", "a"),
        ("a{0,2}", "", "aaa"),
        (".", "é", "\n"),
        ("[^a]", "\n", "a"),
        ("[-a]", "-", "b"),
        ("[a-]", "-", "b"),
        ("[^-a]", "b", "-"),
        ("[a-c.]", "b", "-"),
        ("[\\-\\]]", "]", "\\"),
        ("[a&&b]", "&", "c"),
        ("[a~~b]", "~", "c"),
        ("[^$]", "^", "$"),
        ("[\\p{Lu}_]", "É", "é"),
        ("\\P{N}", "a", "1"),
        ("\\p{L}\\p{Nd}", "é1", "1é"),
        ("\\(\\n\\^\\{", "(\n^{", "("),
        ("^a$", "a", "^a$"),
        ("a-b", "a-b", "a"),
        ("#~& ", "#~& ", "#"),
    ] {
        assert!(fits(pattern, yes), "{pattern} {yes}");
        assert!(!fits(pattern, no), "{pattern} {no}");
    }
}

#[test]
fn what_is_not_i_regexp_is_no_pattern() {
    for pattern in [
        "(",
        ")",
        "a)",
        "[",
        "]",
        "[]",
        "[^]",
        "{",
        "}",
        "*",
        "a**",
        "a*?",
        "a++",
        "a{",
        "a{,2}",
        "a{2,1}",
        "a{1",
        "a{x}",
        "\\",
        "\\d",
        "\\w",
        "\\b",
        "\\1",
        "\\$",
        "\\u0041",
        "\\p",
        "\\p{",
        "\\p{}",
        "\\p{Lx}",
        "\\p{Luu}",
        "\\p{Greek}",
        "\\pL",
        "\\p{Cs}",
        "(?:a)",
        "(?i)a",
        "(?=a)",
        "(?<n>a)",
        "[a-b-c]",
        "[b-a]",
        "[[:alpha:]]",
        "[a[b]]",
        "[\\p{L}-z]",
        "[a",
    ] {
        assert!(matches!(Pattern::compile(pattern, true, FOUND), Err(Unfit::Syntax)), "{pattern}");
    }
    let deep = format!("{}{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(matches!(Pattern::compile(&deep, false, FOUND), Err(Unfit::Size)));
}

#[test]
fn queries_are_equal_by_their_texts() {
    let query = |text| Query::parse(text).unwrap();
    assert_eq!(query("$.a"), query("$.a").clone());
    assert_ne!(query("$.a"), query("$['a']"));
    assert_eq!(query("$ .a").to_string(), "$ .a");
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in ".{0,40}", like in "[$@.*a1'\"\\[\\](){}?=<>!&|:,\\\\ -]{0,40}", pattern in "[ab(){}\\[\\]*+?|^$.,0-9\\\\pL-]{0,12}") {
        let tree = Tree::parse(br#"[{"a": [1, "a"]}, 1]"#, 8).unwrap();
        for text in [text, format!("${like}"), format!("$[?@{like}]"), format!("$[?search(@.a[1], '{pattern}')]")] {
            if let Ok(query) = Query::parse(&text) {
                let nodes = query.select(&tree).unwrap();
                proptest::prop_assert_eq!(query.matches(&tree), Ok(!nodes.is_empty()));
            }
        }
    }
}
