//! Objects that look like the one before them are translated by a stencil of it: with the same results, byte for byte, as
//! those that are translated in full.

use std::sync::LazyLock;

use bifocal::codecs::Direction;
use bifocal::plan::{Fault, Limits, Scratch, StepPlan, TypeId, Unplaced};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use crate::corpus_documents::compile;

/// Every codec, moves between objects, nested types in place and not, a type within itself, places without a default.
const TYPES: &str = r#"Order:
  - id
  - name = customer.first + customer.last: {split: " ", at: last, fill: "-"}
  - nick = tag.a + tag.b: {split: "/", at: first}
  - total = price.value: {decimal: 2}
  - currency = price.currency: {case: [lower, upper]}
  - state = status: {enum: [[open, OPEN], [closed, DONE], [closed, LOST]], else: open}
  - lines = items: {each: Line, key: id}
  - phone = phones: {head: true}
  - count = stats.count: {type: [string, integer]}
  - paid = due: {invert: true}
  - parent = above.order: Order
  - a.b = c
  - d = a.e
  - {added: channel, default: web}
  - {added: a.tier, default: 1}
  - {removed: fax, default: null, loss: retired}
Line: [id, sku = product_id, qty = quantity, of = part.of]
All:
  - . = data: {each: Order, key: id}
"#;

const LINE: TypeId = TypeId(1);
const ALL: TypeId = TypeId(2);
/// The partial form of the first type stands behind all whole ones.
const PARTIAL: TypeId = TypeId(3);

static STEP: LazyLock<StepPlan> = LazyLock::new(|| compile(TYPES));

/// Values that go up and those that come down, good ones, odd ones and wrong ones.
fn value(name: &str) -> BoxedStrategy<String> {
    let choices: &'static [&'static str] = match name {
        "name" | "nick" => &["\"Mary Ann Smith\"", "\"x/y\"", "\"Ada\"", "\"\\u00e9 b/c\"", "null", "1", "\"\""],
        "customer" => &[
            r#"{"first":"Mary Ann","last":"Smith"}"#,
            r#"{"first":"M","last":"a very, very long name indeed, of more than thirty-two bytes"}"#,
            r#"{ "first" : "M" ,"vip":[1,{"x":2}], "last":null }"#,
            r#"{"first":"M"}"#,
            "{}",
            "null",
            "7",
        ],
        "tag" => &[r#"{"a":"x","b":"y"}"#, r#"{"b":"y","a":"x"}"#, "{}"],
        "total" => &["1999", "-5", "0", "12345678", "123456789012345678901", "1.5", "1e2", "null"],
        "price" => &[
            r#"{"value":"19.99","currency":"EUR"}"#,
            r#"{"value":"-0.05","currency":"usd"}"#,
            r#"{"currency":"EUR","value":12.5}"#,
            r#"{"value":"1.999","currency":"EUR"}"#,
            r#"{"value":"1","currency":"EUR","net":0}"#,
        ],
        "currency" => &["\"eur\"", "\"usd\"", "\"Eur\"", "\"\\u0061\"", "null"],
        "state" | "status" => &["\"open\"", "\"closed\"", "\"OPEN\"", "\"LOST\"", "\"D\\u004fNE\"", "3"],
        "lines" | "items" => &[
            "[]",
            "[ ]",
            r#"[{"id":1,"sku":"A","qty":2},{"id":2,"sku":"B","qty":3}]"#,
            r#"[{"id":1,"product_id":"A","quantity":2,"part":{"of":[1]}}, {"id":2,"product_id":"B","quantity":3,"part":{"of":[]}}]"#,
            r#"[{"id":1,"sku":"A"},2,{},{"id":1,"sku":"A","of":{}},{"sku":"A","id":1}]"#,
            r#"[{"sku":1,"sku":2}]"#,
            "null",
        ],
        "phone" | "phones" => &["null", "\"1\"", "[]", "[\"1\",\"2\"]", "[null]"],
        "count" => &["\"12\"", "\"x\"", "null"],
        "stats" => &[r#"{"count":12}"#, r#"{"count":1.5,"more":1}"#, "[]"],
        "paid" | "due" => &["true", "false", "null", "0"],
        "parent" => &["{}", r#"{"id":1,"total":3}"#, r#"{"id":2,"parent":{"id":3,"parent":{"name":"a b"}}}"#, "null"],
        "above" => &[
            r#"{"order":{"id":2,"price":{"value":"3.00"}}}"#,
            r#"{"order":null}"#,
            r#"{"order":{"above":{"order":{}}}}"#,
        ],
        "a" => &[r#"{"b":1}"#, r#"{"b":1,"x":2}"#, r#"{"e":1,"tier":1}"#, "{ }", "null", "5"],
        _ => &[
            "1",
            "-0.0",
            "1234567",
            "12345678",
            "1234567890123456789",
            "\"\"",
            "\"fifteen bytes ..\"",
            "\"a text that is longer than thirty-two bytes, and so takes more than two blocks\"",
            "\"tab\\t and \\ud83d\\ude00 and “quotes”\"",
            "true",
            "false",
            "null",
            "{\"k\":[1,{\"l\":\"m\"}]}",
            "[ 1 , 2 ]",
        ],
    };
    // The first is the usual one.
    let usual = choices.first().copied().unwrap_or_default();
    prop_oneof![2 => Just(usual), 3 => select(choices)].prop_map(str::to_owned).boxed()
}

/// Members in some order, and how they are joined.
type Outline = (Vec<&'static str>, Joints);

/// Before the first member, between name and value, between members, behind the last.
type Joints = (&'static str, &'static str, &'static str, &'static str);

const JOINTS: &[Joints] =
    &[("{", ":", ",", "}"), ("{", ": ", ", ", "}"), ("{\n  ", ": ", ",\n  ", "\n}"), (" {", " :\t", " ,", " } ")];

const OLD: &[&str] = &[
    "id", "name", "nick", "total", "currency", "state", "lines", "x", "phone", "count", "paid", "parent", "a", "d",
    "fax",
];
const NEW: &[&str] = &[
    "id", "customer", "tag", "price", "status", "zz", "items", "phones", "stats", "due", "above", "c", "a", "channel",
];

fn outline() -> impl Strategy<Value = Outline> {
    let some = |names: &'static [&'static str]| subsequence(names, 0..names.len());
    let any = (some(OLD), some(NEW)).prop_map(|(old, new)| [old, new].concat());
    let names = prop_oneof![4 => some(OLD), 4 => some(NEW), 1 => some(OLD).prop_shuffle(), 1 => any.prop_shuffle()];
    (names, select(JOINTS))
}

fn document((names, (open, colon, comma, close)): Outline) -> impl Strategy<Value = String> {
    let values: Vec<_> = names.iter().map(|name| value(name)).collect();
    values.prop_map(move |values| {
        let members = names.iter().zip(values).map(|(name, value)| format!("\"{name}\"{colon}{value}"));
        format!("{open}{}{close}", members.collect::<Vec<_>>().join(comma))
    })
}

/// A document that is now and then broken somewhere.
fn broken(outline: Outline) -> impl Strategy<Value = Vec<u8>> {
    let wrong = prop_oneof![any::<u8>(), select(&b"\" ,:{}[]0\\\n"[..])];
    (document(outline), any::<Index>(), wrong, 0..12_u8).prop_map(|(text, at, wrong, how)| {
        let mut text = text.into_bytes();
        let at = at.index(text.len());
        match how {
            0 => text.truncate(at),
            1 => text.insert(at, wrong),
            2 => drop(text.splice(at..=at, [wrong])),
            _ => {}
        }
        text
    })
}

/// Documents of few outlines with many values.
fn documents() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(outline(), 1..3)
        .prop_flat_map(|outlines| prop::collection::vec(select(outlines).prop_flat_map(broken), 1..10))
}

fn shown((result, out, dropped): (Result<(), Fault>, Vec<u8>, usize)) -> (Result<(), Fault>, String, usize) {
    (result, String::from_utf8_lossy(&out).into_owned(), dropped)
}

/// The last of these has a fault behind nested documents that are larger than what is left of the limit.
#[test]
fn where_the_limit_and_another_fault_are_near_both_ways_tell_the_same_one() {
    let order = |total: &str| {
        let line = r#"{"id":1,"sku":"a sku that is long enough","qty":2}"#;
        format!(r#"{{"id":1,"parent":{{"id":2,"lines":[{line},{line}]}},"total":{total}}}"#)
    };
    let list = format!("[{},{}]", vec![order("1999"); 6].join(","), order("true"));
    let mut kinds = Vec::new();
    let mut used = Scratch::default();
    for output in 0..3 * list.len() {
        let limits = Limits { output, ..Limits::default() };
        let translate = |scratch: &mut Scratch| {
            STEP.translate(ALL, Direction::Up, list.as_bytes(), &mut Vec::new(), scratch, limits).unwrap_err()
        };
        let (by_stencil, in_full) = (translate(&mut used), translate(&mut Scratch::in_full()));
        assert_eq!(by_stencil, in_full, "{output}");
        if kinds.last() != Some(&in_full.kind) {
            kinds.push(in_full.kind);
        }
    }
    assert_eq!(kinds.len(), 2, "first the limit, then the value: {kinds:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_stencil_gives_what_translating_in_full_gives(
        documents in documents(),
        shallow in 1..6_usize,
        output in prop_oneof![8 => Just(1 << 20), 1 => 0..300_usize],
        drops in any::<bool>(),
        partial in any::<bool>(),
    ) {
        let unplaced = if drops { Unplaced::Drop } else { Unplaced::Refuse };
        let of = if partial { PARTIAL } else { TypeId(0) };
        for direction in [Direction::Up, Direction::Down] {
            let (mut used, mut plain) = (Scratch::default(), Scratch::in_full());
            let list = [b"[".as_slice(), &documents.join(&b','), b"]"].concat();
            let envelope = [b"{\"data\":".as_slice(), &list, b"}"].concat();
            let all = if direction == Direction::Up { list } else { envelope };
            let documents = documents.iter().map(|text| (of, text)).chain([(ALL, &all), (LINE, &all)]);
            for ((of, text), depth) in documents.flat_map(|document| [(document, 128), (document, shallow)]) {
                let limits = Limits { depth, output, unplaced, ..Limits::default() };
                let (mut a, mut b) = (b"before".to_vec(), b"before".to_vec());
                let by_stencil = STEP.translate(of, direction, text, &mut a, &mut used, limits);
                let in_full = STEP.translate(of, direction, text, &mut b, &mut plain, limits);
                let text = String::from_utf8_lossy(text);
                let (by_stencil, in_full) = ((by_stencil, a, used.dropped()), (in_full, b, plain.dropped()));
                prop_assert_eq!(shown(by_stencil), shown(in_full), "{}", text);
            }
        }
    }
}
