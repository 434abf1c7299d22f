//! A document that is translated while it arrives gives what translating it whole gives, wherever it is cut.

#![expect(clippy::indexing_slicing, clippy::string_slice, reason = "a test ends by panicking")]

use std::sync::LazyLock;

use bifocal::codecs::Direction;
use bifocal::plan::{Fault, FaultKind, Limits, Scratch, StepPlan, Stream, StreamLimits, Streamed, TypeId, Unplaced};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use crate::corpus_documents::compile;

const TYPES: &str = r#"Bare:
  - . = .: {each: Order, key: id}
All:
  - . = data: {each: Order, key: id}
Deep:
  - . = result.data: {each: Order, key: id}
  - {added: result.total, default: 0}
  - {added: version, default: "2"}
Both:
  - data = items: {each: Order, key: id}
  - total = count
  - amount = price: {decimal: 2}
  - paging.next = paging.cursor
  - paging.lines = paging.list: {each: Line, key: id}
  - more = rest: {each: Line, key: id}
  - owner = holder: Line
  - {added: kind, default: list}
  - {added: paging.size, default: 10}
  - {removed: fax, default: null, loss: retired}
Split:
  - name = first + last: {split: " ", at: last, fill: "-"}
  - data = items: {each: Line, key: id}
Moved:
  - data = items.data: {each: Line, key: id}
  - total = items.total
Order:
  - id
  - name = customer.first + customer.last: {split: " ", at: last, fill: "-"}
  - total = price.value: {decimal: 2}
  - lines = items: {each: Line, key: id}
  - {added: channel, default: web}
Line: [id, sku = product_id, of = part.of]
"#;

static STEP: LazyLock<StepPlan> = LazyLock::new(|| compile(TYPES));

const STREAMING: &[usize] = &[0, 1, 2, 3];
const SPLIT: TypeId = TypeId(4);
const MOVED: TypeId = TypeId(5);
const ORDER: TypeId = TypeId(6);

fn limits(limits: Limits) -> StreamLimits {
    StreamLimits { element: 1 << 20, limits }
}

/// Result, translation, members left out.
type Outcome = (Result<(), Fault>, String, usize);

/// Translates pieces of a text that is cut at these places.
fn in_pieces(streamed: &Streamed, text: &[u8], cuts: &[usize], limits: StreamLimits) -> Outcome {
    let mut stream = Stream::new(streamed, limits);
    let mut out = Vec::new();
    let mut pieces = Vec::new();
    let mut start = 0;
    for cut in cuts {
        pieces.push(&text[start..*cut]);
        start = *cut;
    }
    pieces.push(&text[start..]);
    let done = pieces.into_iter().try_for_each(|piece| stream.push(piece, &mut out));
    let done = done.and_then(|()| stream.finish(&mut out));
    assert!(done.is_err() || stream.is_whole());
    (done, String::from_utf8_lossy(&out).into_owned(), stream.dropped())
}

fn whole(of: TypeId, direction: Direction, text: &[u8], limits: Limits) -> Outcome {
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    let done = STEP.translate(of, direction, text, &mut out, &mut scratch, limits);
    (done, String::from_utf8_lossy(&out).into_owned(), scratch.dropped())
}

const ELEMENTS: &[&str] = &[
    r#"{"id":1,"name":"Mary Ann Smith","total":1999,"x":[1,{"y":"]}"}]}"#,
    r#"{"id":2,"customer":{"first":"M","last":"S"},"price":{"value":"19.99"},"channel":"shop"}"#,
    r#"{"id":3,"lines":[{"id":1,"sku":"A"},{"id":2,"sku":"\u00e9\"\\"}]}"#,
    r#"{ "id" : 4 , "items" : [ {"product_id":"B","part":{"of":[1]}} ] }"#,
    r#"{"id":5,"sku":"x","of":null}"#,
    r#"{"id":6,"product_id":"x","part":{"of":7}}"#,
    r#"{"id":7,"total":1.5}"#,
    r#"{"id":8,"price":{"value":"1.999"}}"#,
    r#"{"id":9,"id":9}"#,
    r#"{"name":"x","customer":7,"price":1}"#,
    "[[[]]]",
    "[1,{}]",
    "{}",
    "null",
    "-12.5e3",
    "\"a \\\"text\\\" of “some” \\ud83d\\ude00 length\"",
];

const JOINTS: &[(&str, &str, &str)] = &[("[", ",", "]"), ("[ ", " , ", "\n]"), ("[\n  ", ",\n  ", "\t]")];

fn list() -> impl Strategy<Value = String> {
    let good = prop::collection::vec(select(&ELEMENTS[..6]), 0..6);
    let any = prop::collection::vec(select(ELEMENTS), 0..5);
    (prop_oneof![2 => good, 1 => any], select(JOINTS))
        .prop_map(|(elements, (open, comma, close))| format!("{open}{}{close}", elements.join(comma)))
}

/// Members of all envelopes, on both sides, in some order.
fn envelope() -> impl Strategy<Value = String> {
    let names: &'static [&'static str] = &[
        "data", "items", "result", "total", "count", "amount", "price", "paging", "more", "rest", "owner", "holder",
        "kind", "fax", "version", "x",
    ];
    let some = prop_oneof![
        4 => subsequence(&["data", "total", "amount", "paging", "more", "owner", "fax", "x"][..], 0..8),
        4 => subsequence(&["items", "count", "price", "paging", "rest", "holder", "kind", "x"][..], 0..8),
        2 => Just(vec!["data"]),
        2 => subsequence(&["result", "version"][..], 1..=2),
        1 => subsequence(names, 0..8),
    ];
    let names = prop_oneof![3 => some.clone(), 2 => some.prop_shuffle()];
    let colons = select(&[(":", ","), (" : ", " ,\n")][..]);
    names.prop_flat_map(|names| names.iter().map(|name| member(name)).collect::<Vec<_>>()).prop_flat_map(
        move |members| {
            colons.clone().prop_map(move |(colon, comma)| {
                let members: Vec<_> = members.iter().map(|(name, value)| format!("{name}{colon}{value}")).collect();
                format!(" {{{}}}\n", members.join(comma))
            })
        },
    )
}

fn member(name: &'static str) -> BoxedStrategy<(String, String)> {
    let odd = select(&["null", "7", "\"text\"", "{}", "[]", "{\"data\":1}"][..]).prop_map(str::to_owned);
    let value = match name {
        "data" | "items" | "more" | "rest" => prop_oneof![8 => list(), 1 => odd].boxed(),
        "result" => (list(), select(&["", ",\"total\":3", ",\"x\":1", ",\"data\":[]"][..]))
            .prop_map(|(list, rest)| format!("{{\"data\":{list}{rest}}}"))
            .boxed(),
        "paging" => (list(), select(&["next", "cursor", "size", "x"][..]), select(&["lines", "list"][..]))
            .prop_map(|(list, name, of)| format!("{{\"{name}\":\"n\" , \"{of}\" :{list}}}"))
            .boxed(),
        "amount" => select(&["1999", "5", "1.5", "null"][..]).prop_map(str::to_owned).boxed(),
        "price" => select(&["\"19.99\"", "\"1.999\"", "null"][..]).prop_map(str::to_owned).boxed(),
        "owner" | "holder" => select(&ELEMENTS[4..11]).prop_map(str::to_owned).boxed(),
        _ => odd.boxed(),
    };
    let spelled = format!("\"\\u{:04x}{}\"", name.as_bytes()[0], &name[1..]);
    (prop_oneof![9 => Just(format!("\"{name}\"")), 1 => Just(spelled)], value).boxed()
}

/// A document that is now and then broken in one place, and where it is cut.
fn documents() -> impl Strategy<Value = (String, Vec<usize>)> {
    let document = prop_oneof![2 => list(), 3 => envelope(), 1 => select(ELEMENTS).prop_map(str::to_owned)];
    let wrong = prop_oneof![any::<char>(), select(vec!['"', ' ', ',', ':', '{', '}', '[', ']', '0', '\\', '\n'])];
    (document, any::<Index>(), wrong, 0..9_u8, prop::collection::vec(any::<Index>(), 0..8)).prop_map(
        |(text, at, wrong, how, cuts)| {
            let mut text: Vec<char> = text.chars().collect();
            let at = at.index(text.len());
            match how {
                0 => text.truncate(at),
                1 => text.insert(at, wrong),
                2 => text[at] = wrong,
                _ => {}
            }
            let text: String = text.into_iter().collect();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.sort_unstable();
            (text, cuts)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_give_what_the_whole_gives(
        (text, cuts) in documents(),
        depth in prop_oneof![4 => Just(128), 1 => 1..6_usize],
        drops in any::<bool>(),
    ) {
        let unplaced = if drops { Unplaced::Drop } else { Unplaced::Refuse };
        let plain = Limits { depth, unplaced, ..Limits::default() };
        for direction in [Direction::Up, Direction::Down] {
            for of in STREAMING {
                let of = TypeId(*of);
                let streamed = STEP.streamed(of, direction).unwrap();
                let expected = whole(of, direction, text.as_bytes(), plain);
                let every: Vec<usize> = (0..text.len()).collect();
                for cuts in [&cuts, &every] {
                    let found = in_pieces(&streamed, text.as_bytes(), cuts, limits(plain));
                    prop_assert_eq!(&found.0, &expected.0, "{:?} {:?} {}", of, direction, text);
                    // Of a document with a fault, a part has been written.
                    if found.0.is_ok() {
                        prop_assert_eq!(&found, &expected, "{:?} {:?} {}", of, direction, text);
                    }
                }
            }
        }
    }
}

#[test]
fn rules_say_which_types_stream() {
    for direction in [Direction::Up, Direction::Down] {
        for of in STREAMING {
            assert!(STEP.streamed(TypeId(*of), direction).is_some(), "{of} {direction:?}");
            assert_eq!(STEP.streamed_list(TypeId(*of), direction).is_some(), *of == 3);
        }
        // What stands before the list may depend on what comes behind it.
        assert!(STEP.streamed(SPLIT, direction).is_none());
        assert!(STEP.streamed(MOVED, direction).is_none());
        assert!(STEP.streamed(ORDER, direction).is_none());
        assert!(STEP.streamed_list(ORDER, direction).is_some());
    }
}

/// Translates a text byte by byte.
fn take_all(streamed: &Streamed, text: &str, limits: StreamLimits) -> Outcome {
    in_pieces(streamed, text.as_bytes(), &(0..text.len()).collect::<Vec<_>>(), limits)
}

#[test]
fn a_stream_goes_through_several_steps() {
    let up = STEP.streamed(TypeId(1), Direction::Up).unwrap();
    let there_and_back = up.then(STEP.streamed(TypeId(1), Direction::Down).unwrap());
    let text = "[ {\"id\":1,\"total\":1999} ,\n{\"id\":2} ]";
    let back = "[ {\"id\":1,\"total\":1999} ,\n{\"id\":2} ]";
    let (done, out, _) = take_all(&there_and_back, text, limits(Limits::default()));
    assert_eq!((done, out.as_str()), (Ok(()), back));
    let (done, ..) = take_all(&there_and_back, r#"[1,{"total":0.5}]"#, limits(Limits::default()));
    let fault = done.unwrap_err();
    assert_eq!((fault.place.as_str(), fault.offset), ("[1].total", Some(12)));
    // A fault of the second step is at no place in what came.
    let twice = STEP.streamed(TypeId(0), Direction::Up).unwrap().then(STEP.streamed(TypeId(0), Direction::Up).unwrap());
    let (done, ..) = take_all(&twice, r#"[{"id":1},{"name":"a b"}]"#, limits(Limits::default()));
    let fault = done.unwrap_err();
    assert_eq!((fault.place.as_str(), fault.offset), ("[0].channel", None));
}

#[test]
fn a_list_of_a_type_is_its_documents_in_turn() {
    let streamed = STEP.streamed_list(ORDER, Direction::Up).unwrap();
    let one = |text: &str| whole(ORDER, Direction::Up, text.as_bytes(), Limits::default()).1;
    let (first, second) = (ELEMENTS[0], ELEMENTS[2]);
    let (done, out, _) = take_all(&streamed, &format!(" [{first} ,\n {second}]\n"), limits(Limits::default()));
    assert_eq!((done, out), (Ok(()), format!("[{} ,\n {}]", one(first), one(second))));
    for text in [first, "{}", "null", "7"] {
        assert_eq!(take_all(&streamed, text, limits(Limits::default())), (Ok(()), one(text), 0));
    }
    let (done, ..) = take_all(&streamed, "", limits(Limits::default()));
    assert_eq!(done.unwrap_err().detail, "not JSON: expected a value at byte 0");
}

#[test]
fn limits_hold_for_each_element() {
    let small = StreamLimits { element: 40, limits: Limits { output: 60, ..Limits::default() } };
    let streamed = STEP.streamed(TypeId(1), Direction::Down).unwrap();
    let elements = vec![r#"{"id":1,"price":{"value":"1.99"}}"#; 50].join(",");
    let (done, out, _) = take_all(&streamed, &format!("{{\"data\":[{elements}]}}"), small);
    assert!(done.is_ok() && out.len() > 500, "{done:?}");
    let long = "x".repeat(40);
    for (text, place, what) in [
        (format!("{{\"data\":[1,\"{long}\"]}}"), "data[1]", "an element of the list is larger than 40 bytes"),
        (format!("{{\"{long}\":1,\"data\":[]}}"), "", "what stands around the list is larger than 40 bytes"),
        (format!("{{\"data\":[],{}", " ".repeat(40)), "", "what stands around the list is larger than 40 bytes"),
    ] {
        let (done, ..) = take_all(&streamed, &text, small);
        let fault = done.unwrap_err();
        assert_eq!((fault.kind, fault.place.as_str(), fault.detail.as_str()), (FaultKind::TooLarge, place, what));
    }
}

const TOOLS: &str = r"Bare:
  - . = data: {each: Tool, key: id}
  - {added: version, default: 2}
Kept:
  - data = items: {each: Tool, key: id}
  - total = count
  - {removed: fax, default: null, loss: retired}
Strict:
  - data = items: {each: Tool, key: id}
  - kind = type: {wrap: {name: $}}
Joined:
  - data = items: {each: Tool, key: id}
  - first = main: Tool
Several:
  - data = items: {each: Tool, key: id}
  - more = rest: {each: Tool, key: id}
Tool:
  - id
  - kind = type: {wrap: {name: $}}
  - {added: channel, default: web}
";

/// The general engine writes anew what the one-pass engine copies: white space does not count.
fn without_space(text: &str) -> String {
    text.chars().filter(|char| !char.is_whitespace()).collect()
}

#[test]
fn elements_of_the_general_engine_stream_where_the_rules_around_them_are_plain() {
    let step = compile(TOOLS);
    for direction in [Direction::Up, Direction::Down] {
        let streams = |of: usize| step.streamed(TypeId(of), direction).is_some();
        assert_eq!([0, 1, 2, 3, 4, 5].map(streams), [true, true, false, false, false, false]);
        let listed = |of: usize| step.streamed_list(TypeId(of), direction).is_some();
        assert_eq!([0, 1, 5].map(listed), [false, true, true]);
    }
    let old = r#"[{"id":1,"kind":"retrieval","x":[1, 2]} , {"id":2,"kind":"y"},null,7,{}]"#;
    let new = r#"[{"id":1,"type":{"name":"file_search"},"channel":"web","y":1} ,{"id":2,"type":{"name":null}} ]"#;
    let whole = |of: usize, direction, text: &str| {
        let (mut scratch, mut out) = (Scratch::default(), Vec::new());
        let done = step.translate(TypeId(of), direction, text.as_bytes(), &mut out, &mut scratch, Limits::default());
        (done, without_space(&String::from_utf8(out).unwrap()), scratch.dropped())
    };
    let taken = |of: usize, direction, text: &str| {
        let streamed = step.streamed(TypeId(of), direction).unwrap();
        let (done, out, dropped) = take_all(&streamed, text, limits(Limits::default()));
        (done, without_space(&out), dropped)
    };
    for (of, direction, text) in [
        (0, Direction::Up, old.to_owned()),
        (0, Direction::Down, format!(r#"{{"version":2 ,"data":{new}}}"#)),
        (1, Direction::Up, format!(r#"{{"z":0,"fax":1,"data":{old},"total":3}}"#)),
        (1, Direction::Up, r#"{"total":3,"data":null}"#.to_owned()),
        (1, Direction::Up, r#"{"total":3,"data":{"id":1,"kind":"retrieval"}}"#.to_owned()),
        (1, Direction::Down, format!(r#"{{"count":3,"items":{new},"q":{{}}}}"#)),
        (1, Direction::Down, "[]".to_owned()),
    ] {
        let (done, out, dropped) = taken(of, direction, &text);
        assert_eq!(done, Ok(()), "{of} {direction:?} {text}");
        assert_eq!((done, out, dropped), whole(of, direction, &text), "{of} {direction:?} {text}");
    }
    assert!(taken(0, Direction::Up, old).1.contains(r#""type":{"name":"retrieval"}"#));
    let (done, ..) = taken(1, Direction::Up, r#"{"data":[{"id":1},{"id":1,"channel":"shop"}]}"#);
    let fault = done.unwrap_err();
    assert_eq!((fault.kind, fault.place.as_str()), (FaultKind::Collision, "data[1].channel"));
}
