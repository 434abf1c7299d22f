use proptest::prelude::*;

use super::template::Template;
use super::*;
use crate::diagnostic::SourceId;

const NOWHERE: Span = Span { source: SourceId(0), start: 0, end: 0 };

#[test]
fn places_are_read() {
    for (text, names) in [
        (".", &[] as &[&str]),
        ("$", &[]),
        ("a", &["a"]),
        ("a.b", &["a", "b"]),
        ("$.a.b", &["a", "b"]),
        ("$['odd.key'].b", &["odd.key", "b"]),
        ("a[\"b\\\"\"]['\\'']", &["a", "b\"", "'"]),
        ("['']", &[""]),
        ("header.X-Total-Count", &["header", "X-Total-Count"]),
        ("größe.日本", &["größe", "日本"]),
        ("$['\\u00e9\\ud834\\udd1e\\n']", &["é𝄞\n"]),
        ("a['0'].2fa", &["a", "0", "2fa"]),
    ] {
        assert_eq!(
            parse(text).as_deref(),
            Ok(names.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice()),
            "{text}"
        );
    }
}

#[test]
fn what_is_not_singular_says_why() {
    for (text, at, message) in [
        ("", 0..0, "a place is missing"),
        ("a..b", 1..3, "`..` searches at every depth"),
        ("a.", 2..2, "a name is missing here"),
        ("a.*", 2..3, "`*` selects several members"),
        ("a[*]", 1..4, "`[*]` selects every element"),
        ("a[0].b", 0..6, "only member names can stand here"),
        ("a[-1].b", 1..5, "a slice or an index from the end depends on the data"),
        ("a[1:2]", 1..6, "a slice or an index from the end depends on the data"),
        ("a.x{", 2..4, "a brace without its partner"),
        ("a.{x}{y}", 2..8, "a second variable part in one name"),
        ("a.{x y}", 2..7, "a variable's name is letters, digits and `_`"),
        ("a[?@.b]", 1..7, "a filter selects by the data"),
        ("a['b','c']", 1..6, "`,` selects several members"),
        ("a['b'", 1..5, "expected `]` after the name"),
        ("a['b", 1..4, "the quoted name is not closed"),
        ("a['\\x']", 3..5, "not an escape of RFC 9535"),
        ("a['\\ud834']", 3..9, "not an escape of RFC 9535"),
        ("a.0", 2..3, "a number would be the index of a list"),
        ("$ref", 0..1, "`$` is only the root, at the start"),
        ("a b", 1..2, "` ` cannot stand in a plain name"),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!((error.at, error.message.as_str()), (at, message), "{text}");
    }
    assert!(parse(&format!("a{}", ".a".repeat(50_000))).unwrap_err().over_limit);
}

fn template(text: &str) -> Template {
    Template::parse(text, NOWHERE).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

#[test]
fn templates_are_read_and_written() {
    for (text, shown) in [
        ("GET /", "GET /"),
        ("GET /orders/{id}", "GET /orders/{id}"),
        ("*   /a%20b/c%2b", "* /a%20b/c+"),
        ("M-SEARCH /x/", "M-SEARCH /x/"),
        ("GET /größe", "GET /gr%C3%B6%C3%9Fe"),
        ("GET /a/v{n}.json", "GET /a/v{n}.json"),
        ("GET /a/{rest...}", "GET /a/{rest...}"),
        ("GET /a?own=true&q={text}", "GET /a?own=true&q={text}"),
    ] {
        assert_eq!(template(text).to_string(), shown);
        assert_eq!(template(shown).to_string(), shown);
    }
}

#[test]
fn wrong_templates_say_why() {
    for (text, at, message) in [
        ("", 0..0, "expected a method and a path, such as `GET /orders/{id}`"),
        ("GET", 0..3, "expected a method and a path, such as `GET /orders/{id}`"),
        ("get /x", 0..3, "`get` is not a method"),
        ("GET x", 4..5, "a path starts with `/`"),
        ("GET //x", 5..5, "an empty segment"),
        ("GET /x?=1", 6..9, "a query that cannot be read"),
        ("GET /x?a=1&a=2", 6..14, "a query that cannot be read"),
        ("GET /{a...}/b", 5..11, "`{name...}` must be the last segment"),
        ("GET /a/../b", 7..9, "`..` leads out of the path"),
        ("GET /a/%2e%2E/b", 7..13, "`..` leads out of the path"),
        ("GET /a%2Fb", 5..10, "an encoded `/` in a literal"),
        ("GET /a%0d", 5..9, "a control character"),
        ("GET /a%zz", 5..9, "a broken percent-encoding"),
        ("GET /a%ff", 5..9, "a broken percent-encoding"),
        ("GET /a{b}{c}", 5..12, "two parameters in one segment"),
        ("GET /a{b", 5..8, "a brace without its partner"),
        ("GET /a}b", 5..8, "a brace without its partner"),
        ("GET /{}", 5..7, "a parameter needs a name of letters, digits, `_` and `-`"),
        ("GET /{a}/{a}", 9..12, "the parameter `a` appears twice"),
        ("GET /a b", 6..7, "` ` cannot stand in a path"),
    ] {
        let error = Template::parse(text, NOWHERE).unwrap_err();
        assert_eq!((error.at, error.message.as_str()), (at, message), "{text}");
    }
}

#[test]
fn only_equal_shapes_overlap() {
    for (left, right, overlap) in [
        ("GET /a/{x}", "GET /a/{y}", true),
        ("GET /a/{x}", "POST /a/{x}", false),
        ("* /a/{x}", "* /a/{y}", true),
        ("* /a/{x}", "GET /a/{y}", false),
        ("GET /a/{x}", "GET /a/b", false),
        ("GET /a/{x}/c", "GET /a/b/{y}", false),
        ("GET /a", "GET /a/", false),
        ("GET /a%62", "GET /ab", true),
    ] {
        assert_eq!(template(left).shape() == template(right).shape(), overlap, "{left} {right}");
    }
    let mut all = ["* /{a}/{b}", "GET /{a}/{b}", "GET /{a}/c", "* /x/{b}", "GET /x/{b}", "GET /x/c"].map(template);
    all.sort_by_key(|one| std::cmp::Reverse(one.specificity()));
    let shown: Vec<String> = all.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["GET /x/c", "GET /x/{b}", "* /x/{b}", "GET /{a}/c", "GET /{a}/{b}", "* /{a}/{b}"]);
}

proptest! {
    #[test]
    fn any_names_read_back(names in proptest::collection::vec(".{0,6}", 0..5)) {
        let place = Place::plain(names.clone(), NOWHERE);
        prop_assert_eq!(parse(&place.to_string()).unwrap(), names);
    }

    #[test]
    fn no_text_panics(text in ".{0,40}", path in "[/a{}%2.]{0,20}") {
        let _ = parse(&text);
        let _ = Template::parse(&text, NOWHERE);
        if let Ok(read) = Template::parse(&format!("GET /{path}"), NOWHERE) {
            prop_assert_eq!(Template::parse(&read.to_string(), NOWHERE).unwrap(), read);
        }
    }
}
