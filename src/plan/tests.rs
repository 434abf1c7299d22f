use super::*;
use crate::codecs::{At, Case, Codec, Decimal, Enum, Head, Letters, Split};
use crate::diagnostic::{SourceId, Span};
use crate::path::Place;
use crate::rules::checked::{BoundCodec, CheckedKind, CheckedRule, CheckedType, Origin, Verdict};

const NOWHERE: Span = Span { source: SourceId(0), start: 0, end: 0 };

fn place(text: &str) -> Place {
    let segments = text.split('.').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Place::plain(segments, NOWHERE)
}

fn rule(kind: CheckedKind) -> CheckedRule {
    CheckedRule { kind, lossy: false, verdict: Verdict::Tested, text: String::new(), span: NOWHERE }
}

fn equation(text: &str, codec: BoundCodec) -> CheckedRule {
    let (old, new) = text.split_once(" = ").unwrap_or((text, text));
    let places = |side: &str| side.split(" + ").map(place).collect();
    rule(CheckedKind::Equation { olds: places(old), news: places(new), codec, default: None })
}

fn same(text: &str) -> CheckedRule {
    equation(text, BoundCodec::Value(Codec::Same))
}

fn value(text: &str, codec: Codec) -> CheckedRule {
    equation(text, BoundCodec::Value(codec))
}

fn step(types: Vec<Vec<CheckedRule>>) -> StepPlan {
    let types = types
        .into_iter()
        .map(|rules| CheckedType { name: "T".into(), origin: Origin::Inline, rules, span: NOWHERE })
        .collect();
    StepPlan::compile(&CheckedStep { types, ..CheckedStep::default() })
}

fn run(step: &StepPlan, direction: Direction, text: &str) -> Result<String, Fault> {
    let mut out = Vec::new();
    step.translate(TypeId(0), direction, text.as_bytes(), &mut out, &mut Scratch::default(), Limits::default())?;
    Ok(String::from_utf8(out).unwrap())
}

fn up(step: &StepPlan, text: &str) -> String {
    run(step, Direction::Up, text).unwrap()
}

fn down(step: &StepPlan, text: &str) -> String {
    run(step, Direction::Down, text).unwrap()
}

fn orders() -> StepPlan {
    let status = Enum {
        rows: [("open", "OPEN"), ("closed", "DONE"), ("closed", "CANCELLED")]
            .map(|(old, new)| (format!("\"{old}\""), format!("\"{new}\"")))
            .into(),
        is_map: false,
        else_old: None,
        else_new: None,
        passes: false,
    };
    let split = Split { separator: " ".into(), at: At::Last, fill: Some("-".into()) };
    step(vec![
        vec![
            same("id"),
            value("name = customer.first + customer.last", Codec::Split(split)),
            value("total = price.value", Codec::Decimal(Decimal { scale: 2 })),
            value("currency = price.currency", Codec::Case(Case { old: Letters::Lower, new: Letters::Upper })),
            value("state = status", Codec::Enum(status)),
            equation("lines = items", BoundCodec::Each { of: TypeId(1), key: Some(place("id")) }),
            value("phone = phones", Codec::Head(Head { empty: None, optional: false })),
            rule(CheckedKind::Added { place: place("channel"), default: Some("\"web\"".into()) }),
            rule(CheckedKind::Removed { place: place("fax"), default: Some("null".into()) }),
        ],
        vec![same("id"), same("sku = product_id"), same("qty = quantity")],
    ])
}

#[test]
fn a_rename_changes_the_name_and_nothing_else() {
    let step = step(vec![vec![same("user_name = userName"), same("id")]]);
    let old = "{ \"z\" : 1.10 ,\n \"user_name\"\t: \"\\u00e9\\/ :\" , \"id\":900719925474099301 ,\"a\":[1 , {\"user_name\":-0.0}] }";
    assert_eq!(up(&step, old), old.replacen("user_name", "userName", 1));
    assert_eq!(down(&step, &up(&step, old)), old);
    assert_eq!(up(&step, "{}"), "{}");
    assert_eq!(up(&step, " { } "), "{}");
    assert_eq!(up(&step, "[{\"user_name\":1}]"), "[{\"user_name\":1}]");
}

#[test]
fn an_order_goes_up_and_comes_back() {
    let step = orders();
    let old = r#"{"id":7,"name":"Mary Ann Smith","note":"x","total":1999,"currency":"usd","state":"closed","lines":[{"id":1,"sku":"A","qty":2},{"id":2,"sku":"B","qty":1}],"phone":null,"fax":"1"}"#;
    let new = r#"{"id":7,"customer":{"first":"Mary Ann","last":"Smith"},"note":"x","price":{"value":"19.99","currency":"USD"},"status":"DONE","items":[{"id":1,"product_id":"A","quantity":2},{"id":2,"product_id":"B","quantity":1}],"phones":[],"channel":"web"}"#;
    assert_eq!(up(&step, old), new);
    let back = r#"{"id":7,"name":"Mary Ann Smith","note":"x","total":1999,"currency":"usd","state":"closed","lines":[{"id":1,"sku":"A","qty":2},{"id":2,"sku":"B","qty":1}],"phone":null,"fax":null}"#;
    assert_eq!(down(&step, new), back);
}

#[test]
fn an_object_like_the_one_before_is_translated_by_its_stencil() {
    let step = orders();
    let documents = [
        r#"{"id":7,"name":"Mary Ann Smith","note":"x","total":1999,"currency":"usd","state":"closed","lines":[{"id":1,"sku":"A","qty":2}],"phone":null}"#,
        r#"{"id":"8","name":"Ada Lovelace","note":{"y":[1]},"total":-5,"currency":"eur","state":"open","lines":[],"phone":"1"}"#,
    ];
    for direction in [Direction::Up, Direction::Down] {
        let mut scratch = Scratch::default();
        for (old, misses) in documents.into_iter().zip([1, 0]) {
            let text = if direction == Direction::Up { old.to_owned() } else { up(&step, old) };
            let mut out = Vec::new();
            step.translate(TypeId(0), direction, text.as_bytes(), &mut out, &mut scratch, Limits::default()).unwrap();
            assert_eq!(scratch.misses(TypeId(0)), misses, "{text}");
        }
    }
}

#[test]
fn places_swap_without_an_order() {
    let step = step(vec![vec![same("a = b"), same("b = a")]]);
    assert_eq!(up(&step, r#"{"a":1,"b":2}"#), r#"{"b":1,"a":2}"#);
    assert_eq!(up(&step, r#"{"a":1}"#), r#"{"b":1}"#);
}

#[test]
fn parts_of_an_object_move_and_the_rest_of_it_stays() {
    let step = step(vec![vec![same("addr.zip = postal"), same("city = place.city"), same("addr.no = addr.number")]]);
    assert_eq!(
        up(&step, r#"{"addr":{"x":1,"zip":"9","no":5},"city":"c"}"#),
        r#"{"addr":{"x":1,"number":5},"postal":"9","place":{"city":"c"}}"#
    );
    assert_eq!(
        down(&step, r#"{"place":{"city":"c"},"postal":"9","addr":{"x":1,"number":5}}"#),
        r#"{"city":"c","addr":{"x":1,"no":5,"zip":"9"}}"#
    );
    assert_eq!(up(&step, r#"{"addr":{"zip":"9"}}"#), r#"{"addr":{},"postal":"9"}"#);
    assert_eq!(up(&step, r#"{"addr":{}}"#), r#"{"addr":{}}"#);
    assert_eq!(up(&step, r#"{"addr":"x"}"#), r#"{"addr":"x"}"#);
    assert_eq!(run(&step, Direction::Up, r#"{"place":"x","city":1}"#).unwrap_err().kind, FaultKind::Collision);
    assert_eq!(down(&step, r#"{"place":"x","postal":null}"#), r#"{"place":"x","addr":{"zip":null}}"#);
    assert_eq!(down(&step, r#"{"place":null,"addr":null}"#), "{}");
    assert_eq!(down(&step, r#"{"place":{"city":"c","more":1}}"#), r#"{"place":{"more":1},"city":"c"}"#);
    assert_eq!(down(&step, "{\n  \"place\": {\"x\": 1}\n}"), "{\n  \"place\": {\"x\": 1}\n}");
}

#[test]
fn what_would_collide_is_refused_or_left_out() {
    let step = step(vec![vec![same("user_name = userName"), same("price = price.value")]]);
    let fault = run(&step, Direction::Up, r#"{"user_name":"a","userName":"b"}"#).unwrap_err();
    assert_eq!((fault.kind, fault.place.as_str(), fault.offset), (FaultKind::Collision, "userName", Some(17)));
    let fault = run(&step, Direction::Down, r#"{"price":{"value":1,"extra":2}}"#).unwrap_err();
    assert_eq!((fault.kind, fault.place.as_str()), (FaultKind::Collision, "price.extra"));
    let limits = Limits { unplaced: Unplaced::Drop, ..Limits::default() };
    let (mut out, mut scratch) = (Vec::new(), Scratch::default());
    let text = br#"{"q":1,"price":{"value":1,"extra":2},"user_name":0,"z":3}"#;
    step.translate(TypeId(0), Direction::Down, text, &mut out, &mut scratch, limits).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"q":1,"price":1,"z":3}"#);
    assert_eq!(scratch.dropped(), 2);
}

#[test]
fn faults_name_the_source_place() {
    let step = orders();
    let fault = run(&step, Direction::Up, r#"{"id":1,"total":"x"}"#).unwrap_err();
    assert_eq!((fault.kind, fault.place.as_str(), fault.offset), (FaultKind::Guard, "total", Some(16)));
    let fault = run(&step, Direction::Up, r#"{"lines":[{"id":1},{"sku":1,"sku":2}]}"#).unwrap_err();
    assert_eq!((fault.place.as_str(), fault.offset), ("lines[1]", Some(28)));
    let fault = run(&step, Direction::Down, r#"{"price":{"value":"1.999"}}"#).unwrap_err();
    assert_eq!(fault.place, "price.value");
    for text in ["", " ", "{\"a\":1}]", "{\"a\":", "{,}", "[1,]", "{\"id\":01}", "{\"id\":\"\\ud800\"}", "\u{feff}{}"] {
        assert!(matches!(run(&step, Direction::Up, text).unwrap_err().kind, FaultKind::Json(_)), "{text}");
    }
}

#[test]
fn depth_is_bounded_everywhere() {
    let step = orders();
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("{\"lines\":[", "]}")] {
        let levels = 128 / (open.matches(['[', '{']).count());
        let nested = |levels: usize| format!("{}1{}", open.repeat(levels), close.repeat(levels));
        assert!(run(&step, Direction::Up, &nested(levels)).is_ok(), "{open}");
        let fault = run(&step, Direction::Up, &nested(levels + 1)).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Json(crate::json::ErrorKind::Depth), "{open}");
    }
}

#[test]
fn a_partial_document_fills_in_nothing() {
    let step = orders();
    let run = |direction, text: &str| {
        let (mut out, mut scratch) = (Vec::new(), Scratch::default());
        // Two types: their partial forms follow.
        step.translate(TypeId(2), direction, text.as_bytes(), &mut out, &mut scratch, Limits::default())?;
        Ok::<_, Fault>(String::from_utf8(out).unwrap())
    };
    assert_eq!(run(Direction::Up, r#"{"state":"open"}"#).unwrap(), r#"{"status":"OPEN"}"#);
    assert_eq!(
        run(Direction::Up, r#"{"lines":[{"sku":1}],"x":null}"#).unwrap(),
        r#"{"items":[{"product_id":1}],"x":null}"#
    );
    assert_eq!(run(Direction::Down, r#"{"status":"DONE"}"#).unwrap(), r#"{"state":"closed"}"#);
    let fault = run(Direction::Down, r#"{"customer":{"first":"a"}}"#).unwrap_err();
    assert_eq!((fault.kind, fault.place.as_str()), (FaultKind::Guard, "customer.first"));
}

#[test]
fn a_whole_document_can_move() {
    let step =
        step(vec![vec![equation(". = data", BoundCodec::Each { of: TypeId(1), key: None })], vec![same("a = b")]]);
    assert_eq!(up(&step, r#"[{"a":1}, 2]"#), r#"{"data":[{"b":1}, 2]}"#);
    assert_eq!(down(&step, r#"{"data":[{"b":1}]}"#), r#"[{"a":1}]"#);
    assert_eq!(run(&step, Direction::Down, r#"{"data":[],"more":1}"#).unwrap_err().kind, FaultKind::Collision);
}

fn put(step: &StepPlan, old: &str, base: &str) -> Result<String, Fault> {
    let mut out = Vec::new();
    step.put(TypeId(0), old.as_bytes(), base.as_bytes(), &mut out, Limits::default())?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn unchanged_is_untouched() {
    let step = orders();
    let base = r#"{ "id": 7, "customer": {"first": "Ana", "last": "de la Cruz", "vip": true}, "price": {"value": "19.990", "currency": "USD"},
  "status": "CANCELLED", "items": [{"id": 1, "product_id": "A", "quantity": 2.0, "bin": 9}, {"id": 2, "product_id": "B", "quantity": 1}],
  "phones": ["1", "2"], "channel": "app", "later": [1] }"#;
    let old = down(&step, base);
    assert_eq!(put(&step, &old, base).unwrap(), base);
    // The old client knows nothing of members that it leaves out, moves the lines about and edits two of its fields.
    let edit = r#"{"id":7,"name":"Ana Cruz","total":1999,"currency":"usd","state":"closed","fax":"9",
        "lines":[{"id":2,"sku":"B","qty":1},{"id":1,"sku":"A","qty":3},{"id":3,"sku":"C","qty":1}],"phone":"1"}"#;
    assert_eq!(
        put(&step, edit, base).unwrap(),
        r#"{ "id": 7, "customer": {"first": "Ana", "last": "Cruz", "vip": true}, "price": {"value": "19.990", "currency": "USD"},
  "status": "CANCELLED", "items": [{"id": 2, "product_id": "B", "quantity": 1},{"id": 1, "product_id": "A", "quantity": 3, "bin": 9},{"id":3,"product_id":"C","quantity":1}],
  "phones": ["1", "2"], "channel": "app", "later": [1] }"#
    );
}

#[test]
fn a_write_sets_and_removes() {
    let step = step(vec![vec![same("a = x.a"), same("b = x.b"), same("id")]]);
    assert_eq!(
        put(&step, r#"{"a":1,"new":2,"id":2}"#, r#"{"id":1,"x":{"a":1,"b":2}}"#).unwrap(),
        r#"{"id":2,"x":{"a":1},"new":2}"#
    );
    assert_eq!(put(&step, r#"{"a":1}"#, r#"{"id":1}"#).unwrap(), r#"{"x":{"a":1}}"#);
    assert_eq!(put(&step, r#"{"x":5,"id":1}"#, r#"{"id":1}"#).unwrap_err().kind, FaultKind::Collision);
}

#[test]
fn a_write_with_keys_twice_is_refused() {
    let step = orders();
    let base = r#"{"items":[{"id":1,"product_id":"A"}]}"#;
    let fault = put(&step, r#"{"lines":[{"id":1,"sku":"B"},{"id":1,"sku":"C"}]}"#, base).unwrap_err();
    assert_eq!((fault.kind, fault.place.as_str()), (FaultKind::Guard, "lines[1].id"));
}
