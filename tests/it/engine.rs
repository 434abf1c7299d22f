//! Promises of the engine that no single document shows.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use bifocal::codecs::Direction;
use bifocal::json::{Tree, check_utf8};
use bifocal::plan::{Limits, Scratch, StepPlan, TypeId};
use proptest::prelude::*;

use crate::corpus_documents::{compile, translate};

/// The rules that the benchmarks run, with every kind of move.
const ORDERS: &str = r#"Order:
  - id
  - name = customer.first + customer.last: {split: " ", at: last, fill: "-"}
  - total = price.value: {decimal: 2}
  - currency = price.currency: {case: [lower, upper]}
  - state = status: {enum: {open: OPEN, closed: DONE}}
  - lines = items: {each: Line, key: id}
  - phone = phones: {head: true}
  - {added: channel, default: web}
  - {removed: fax, default: null, loss: retired}
Line: [id, sku = product_id, qty = quantity]
"#;

const OLD: &str = r#"{"id":7,"name":"Mary Ann Smith","total":1999,"currency":"usd","state":"open","note":"a","lines":[{"id":1,"sku":"A","qty":2},{"id":2,"sku":"B","qty":1,"gift":true}],"phone":"555","fax":"1","address":{"city":"Ada"}}"#;

#[test]
fn a_translation_allocates_nothing_once_warm() {
    let step = compile(ORDERS);
    let (mut scratch, mut new, mut back) = (Scratch::default(), Vec::new(), Vec::new());
    let mut round = |new: &mut Vec<u8>, back: &mut Vec<u8>| {
        new.clear();
        back.clear();
        let up = step.translate(TypeId(0), Direction::Up, OLD.as_bytes(), new, &mut scratch, Limits::default());
        let down = step.translate(TypeId(0), Direction::Down, new, back, &mut scratch, Limits::default());
        (up.is_ok(), down.is_ok())
    };
    for _ in 0..4 {
        assert_eq!(round(&mut new, &mut back), (true, true));
    }
    let counted = allocation_counter::measure(|| {
        round(&mut new, &mut back);
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
}

#[test]
fn the_public_parsing_suite() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/JSONTestSuite/test_parsing");
    if !folder.is_dir() {
        println!("skipped: ../shared/data/JSONTestSuite is not here");
        return;
    }
    // Where RFC 8259 leaves the choice, these are accepted: numbers are texts, so none is too large or too small.
    let accepted = |name: &str| name.starts_with("i_number") || name == "i_structure_500_nested_arrays.json";
    let step = compile("T: [a_name_that_is_nowhere = another]");
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read(&path).unwrap();
        let tree = Tree::parse(&text, 128);
        let mut out = Vec::new();
        let translated =
            step.translate(TypeId(0), Direction::Up, &text, &mut out, &mut Scratch::default(), Limits::default());
        seen += 1;
        let expected = match name.split('_').next() {
            // Objects that name a member twice are refused wherever a rule reads them.
            Some("y") => !name.contains("duplicated_key"),
            Some("i") => accepted(&name) && !name.contains("nested"),
            _ => false,
        };
        assert_eq!((tree.is_ok(), translated.is_ok()), (expected, expected), "{name}");
        if expected {
            let trimmed = std::str::from_utf8(&text).unwrap().trim_matches([' ', '\n', '\r', '\t']);
            assert_eq!(String::from_utf8(out).unwrap(), trimmed, "{name}");
        }
    }
    assert!(seen > 300);
}

/// Any JSON text: every spelling of numbers and strings, white space anywhere, names from a few.
fn document() -> impl Strategy<Value = String> {
    let space = prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\n  "), 1 => Just("\t")];
    let text = prop_oneof![
        Just("\"\"".to_owned()),
        "[a-zäß €]{0,12}".prop_map(|text| format!("\"{text}\"")),
        Just(r#""\u00e9\/\"\\\n""#.to_owned()),
        Just(r#""\ud83d\ude00""#.to_owned()),
    ];
    let number = "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?";
    let leaf = prop_oneof![number, text, Just("true".to_owned()), Just("false".to_owned()), Just("null".to_owned())];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        let name = prop_oneof!["[a-e]{1,2}", "[a-z_]{7,18}", Just("\\u0061z".to_owned()), Just(String::new())];
        let member = (space.clone(), name, space.clone(), inner.clone(), space.clone());
        let list = prop::collection::vec((space.clone(), inner), 0..5);
        prop_oneof![
            list.prop_map(|list| {
                let parts: Vec<String> = list.into_iter().map(|(space, value)| format!("{space}{value}")).collect();
                format!("[{}]", parts.join(","))
            }),
            prop::collection::vec(member, 0..7).prop_map(|members| {
                let mut names = Vec::new();
                let mut parts = Vec::new();
                for (a, name, b, value, c) in members {
                    if !names.contains(&name) {
                        parts.push(format!("{a}\"{name}\"{b}:{b}{value}{c}"));
                        names.push(name);
                    }
                }
                format!("{{{}}}", parts.join(","))
            }),
        ]
    })
}

static RENAME: LazyLock<StepPlan> = LazyLock::new(|| compile("T: [user_name = userName]"));
static MOVES: LazyLock<StepPlan> = LazyLock::new(|| compile("T: [a = b, b = a, c.d = ee, ff = gg.x, hh = hh.d]"));
static ORDERS_STEP: LazyLock<StepPlan> = LazyLock::new(|| compile(ORDERS));

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// A rename beside any other members changes its name and no other byte, and comes back.
    #[test]
    fn a_rename_leaves_all_other_bytes(before in document(), value in document(), after in document(), gap in "[ \n\t]{0,3}") {
        let step = &*RENAME;
        let old = format!("{{{gap}\"x\":{before}{gap},\"user_name\"{gap}:{gap}{value}{gap},{gap}\"y\":{after}}}");
        let new = old.replacen("\"user_name\"", "\"userName\"", 1);
        prop_assert_eq!(translate(step, Direction::Up, &old), new.clone());
        prop_assert_eq!(translate(step, Direction::Down, &new), old);
    }

    /// Whatever comes in, what comes out is JSON or a fault; what goes up comes back as it was.
    #[test]
    fn what_goes_up_comes_back(
        members in prop::collection::vec(("(a|b|c|d|ee|ff|gg|hh)", document()), 0..6),
    ) {
        let step = &*MOVES;
        let mut names = Vec::new();
        let parts: Vec<String> = members
            .into_iter()
            // A parent that only ever held moved places says the same empty or absent.
            .filter(|(name, value)| !(matches!(name.as_str(), "gg" | "hh") && (value.starts_with('{') || value == "null")))
            .filter(|(name, _)| !names.contains(name) && { names.push(name.clone()); true })
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        let old = format!("{{{}}}", parts.join(","));
        let (mut new, mut back) = (Vec::new(), Vec::new());
        let (mut scratch, limits) = (Scratch::default(), Limits::default());
        if step.translate(TypeId(0), Direction::Up, old.as_bytes(), &mut new, &mut scratch, limits).is_err() {
            return Ok(());
        }
        prop_assert!(Tree::parse(&new, 128).is_ok(), "{}", String::from_utf8_lossy(&new));
        prop_assert!(step.translate(TypeId(0), Direction::Down, &new, &mut back, &mut scratch, limits).is_ok(), "{}", old);
        let (old, back) = (Tree::parse(old.as_bytes(), 128).unwrap(), Tree::parse(&back, 128).unwrap());
        prop_assert!(old.same(&back), "{} | {} | {}", String::from_utf8_lossy(old.raw), String::from_utf8_lossy(&new), String::from_utf8_lossy(back.raw));
        // Written back unchanged, the live document keeps every byte.
        let mut written = Vec::new();
        step.put(TypeId(0), back.raw, &new, &mut written, limits).unwrap();
        prop_assert_eq!(String::from_utf8(written).unwrap(), String::from_utf8(new).unwrap().trim().to_owned());
    }

    /// Broken texts are refused, never a panic, and a scratch that has seen anything translates as a fresh one does.
    #[test]
    fn nothing_that_came_before_matters(texts in prop::collection::vec((document(), any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
        let step = &*ORDERS_STEP;
        let mut scratch = Scratch::default();
        for (text, at, byte) in texts {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            if byte % 2 == 0 {
                bytes[at] = byte;
            }
            for direction in [Direction::Up, Direction::Down] {
                let (mut used, mut fresh) = (Vec::new(), Vec::new());
                let a = step.translate(TypeId(0), direction, &bytes, &mut used, &mut scratch, Limits::default());
                let b = step.translate(TypeId(0), direction, &bytes, &mut fresh, &mut Scratch::default(), Limits::default());
                prop_assert_eq!(&a, &b);
                prop_assert_eq!(&used, &fresh);
                prop_assert!(a.is_err() || serde_json::from_slice::<serde::de::IgnoredAny>(&used).is_ok());
                let valid = check_utf8(&bytes).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok();
                prop_assert!(a.is_err() || valid, "accepted what is not JSON");
            }
        }
    }
}

/// Many members, and names chosen to collide, cost no more than their number.
#[test]
fn large_objects_are_read_once() {
    let step: StepPlan = compile("T: [k1 = l1]");
    let members: Vec<String> = (0..20_000).map(|number| format!("\"k{number}\":{number}")).collect();
    let old = format!("{{{}}}", members.join(","));
    let new = old.replacen("\"k1\"", "\"l1\"", 1);
    assert_eq!(translate(&step, Direction::Up, &old), new);
    let twice = format!("{{{},\"k777\":1}}", members.join(","));
    assert!(translate(&step, Direction::Up, &twice).contains("the same member name twice"));
}
