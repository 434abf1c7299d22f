//! The law of every codec: what goes up and is not refused comes back as the value it was.

#![expect(clippy::indexing_slicing, reason = "a test ends by panicking")]

use bifocal::codecs::{Codec, Direction, parse};
use bifocal::contract::Budget;
use bifocal::contract::documents::{End, Guided, Random, VALUES, Value};
use bifocal::contract::laws::{Engine, Translator, verify_with};
use bifocal::diagnostic::{Diagnostics, SourceId};
use bifocal::json::write_string;
use bifocal::plan::{self, Scratch, StepPlan, TypeId};
use bifocal::rules::check_service;
use bifocal::rules::checked::Verdict;
use bifocal::rules::load::ServiceSources;
use bifocal::rules::yaml::{self, Limits};
use proptest::prelude::*;
use proptest::strategy::{Just, ValueTree};

use crate::corpus_documents::compile;
use crate::corpus_rules::SERVICE;

/// Reads a codec as a rule gives it; what was said where it is refused.
fn read(name: &str, map: &str) -> Result<Codec, Vec<String>> {
    let mut diagnostics = Diagnostics::default();
    let node = yaml::parse(SourceId(0), map, Limits::RULES, &mut diagnostics).unwrap();
    parse(name, node.as_map().unwrap(), &mut diagnostics)
        .ok_or_else(|| diagnostics.iter().map(|one| one.message.clone()).collect())
}

fn string(text: &str) -> String {
    let mut json = Vec::new();
    write_string(text, &mut json);
    String::from_utf8(json).unwrap()
}

/// JSON texts of numbers in several spellings.
fn number() -> BoxedStrategy<String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        (0..100_000_u32).prop_map(|number| number.to_string()),
        (any::<i32>(), 0..1_000_000_u32).prop_map(|(whole, part)| format!("{whole}.{part:06}")),
        (-999..999_i32, -9..9_i32).prop_map(|(digits, power)| format!("{digits}e{power}")),
    ]
    .boxed()
}

fn texts(pattern: &'static str) -> BoxedStrategy<String> {
    pattern.prop_map(|text| string(&text)).boxed()
}

/// Each codec with old values, most of which it accepts.
fn cases() -> Vec<(&'static str, &'static str, BoxedStrategy<String>)> {
    let seconds = || (0..4_000_000_000_u64, 0..1_000_000_000_u32);
    let unix = seconds().prop_map(|(whole, part)| format!("{whole}.{part:09}")).boxed();
    let whole = (0..4_000_000_000_u64).prop_map(|number| number.to_string()).boxed();
    let day = (0..9999_u32, 1..13_u32, 1..32_u32);
    let date = day.prop_map(|(year, month, day)| format!("\"{year:04}-{month:02}-{day:02}\"")).boxed();
    let clock = (0..200_u32, 0..60_u32, 0..60_u32).prop_map(|(h, m, s)| format!("\"{h:02}:{m:02}:{s:02}\"")).boxed();
    let json = prop_oneof![number(), texts("[a-c \\\\\"]{0,4}"), Just("{\"a\":[true,{}]}".to_owned())];
    vec![
        ("linear", "linear: {mul: 1000, add: -3.5}", number()),
        ("linear", "linear: {mul: 5/8}", number()),
        ("linear", "linear: {mul: 60}\nround: half_even\nplaces: 2", number()),
        ("duration", "duration: [s, ns]", number()),
        ("duration", "duration: [h, iso8601]", number()),
        ("duration", "duration: [ms, go]", number()),
        ("duration", "duration: [clock, '{min}m']", clock.clone()),
        ("duration", "duration: [clock, go]", clock),
        ("duration", "duration: [go, s]", texts("([1-9]h[1-9]m|[1-9]m)?[1-9](\\.[1-9])?s")),
        ("duration", "duration: [iso8601, clock]", texts("PT([1-9]H)?([1-9]M)?([1-9]S)?")),
        ("date", "date: [unix, rfc3339]", unix.clone()),
        ("date", "date: [unix_ms, unix_ns]", whole.clone()),
        ("date", "date: [date, http]", date.clone()),
        ("date", "date: [date, rfc3339]\nzone: America/Sao_Paulo", date.clone()),
        ("date", "date: [date, '%d/%m/%Y']", date),
        ("date", "date: [unix, '%Y-%m-%d %H:%M:%S']\nzone: Europe/Paris", whole),
        ("csv", "csv: ','", texts("[ab,\"\\\\]{0,8}")),
        ("csv", "csv: ', '\nquotes: true\nwrap: ['[', ']']", texts("\\[[ab, \"]{0,8}\\]")),
        ("prefix", "prefix: ab", texts("(ab)?[abc]{0,4}")),
        ("prefix", "prefix: [a, bb]", texts("a[abc]{0,4}")),
        ("suffix", "suffix: [a, bb]", texts("[abc]{0,4}a")),
        ("replace", "replace: [aa, a]", texts("[ab]{0,6}")),
        ("replace", "replace: [a, ab]", texts("[abc]{0,6}")),
        ("replace", "replace: ['/', '.']", texts("[/ab]{0,6}")),
        ("template", "template: ['{a}-{b}', '{b}.{a}']", texts("[x.-]{1,3}-[x.-]{1,3}")),
        ("template", "template: ['a{n:digits}', '{n:digits}%']", texts("a[0-9]{0,3}")),
        ("json", "json: true", json.prop_map(|text| string(&text)).boxed()),
        ("base64", "base64: true", texts("([A-D][Qg]==|[a-z]{4}){0,3}")),
        ("base64", "base64: url", texts("([a-z]{4}){0,2}([A-D][Qg])?")),
        ("hex", "hex: true", texts("([2-7][0-9a-fA]){0,3}")),
        ("percent", "percent: true", texts("(%20|%2F|[a-z.]|%C3%A9){0,6}")),
        ("nothing", "nothing: ['', null]", texts("[ab]?")),
        ("nothing", "nothing: [0, '']", number()),
        ("type", "type: [number, integer]", number()),
        ("case", "case: [snake, camel]", texts("[a-c][a-c1]{0,2}(_[a-c1]{1,3}){0,2}")),
        ("case", "case: [camel, constant]", texts("[a-c1]{1,3}([A-C][a-c1]{1,2}){0,2}")),
        ("case", "case: [pascal, kebab]", texts("([A-C][a-c1]{0,2}){0,3}")),
    ]
}

/// What came back, or `None` where the way up is refused.
fn round(codec: &Codec, old: &str) -> Option<Vec<u8>> {
    let (mut new, mut back) = (Vec::new(), Vec::new());
    let there = codec.convert(Direction::Up, Some(old.as_bytes()), &mut new).ok()?.then_some(new);
    codec.convert(Direction::Down, there.as_deref(), &mut back).unwrap();
    Some(back)
}

#[test]
fn what_goes_up_comes_back() {
    for (name, map, old) in cases() {
        let codec = read(name, map).unwrap();
        assert_eq!(codec.loses(), None, "{map}");
        let mut accepted = 0;
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for _ in 0..300 {
            let old = old.new_tree(&mut runner).unwrap().current();
            if let Some(back) = round(&codec, &old) {
                accepted += 1;
                let text = String::from_utf8_lossy(&back).into_owned();
                let same = Value::parse(&back).unwrap().same(&Value::parse(old.as_bytes()).unwrap());
                assert!(same, "{map}: {old} comes back as {text}");
            }
        }
        assert!(accepted >= 30, "{map} accepts {accepted} of 300");
    }
}

/// What is said of one rule between places of these schemas, and its verdict.
fn proven(codec: &str, old: &str, new: &str) -> (Vec<String>, Option<Verdict>) {
    let api = |schema: &str| {
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\npaths: {{}}\ncomponents: {{schemas: {{T: {{type: object, \
             required: [a], properties: {{a: {schema}}}}}}}}}\n"
        )
    };
    let service = "versions:\n  v1: {path: /v1, answered_by: v2, openapi: api/v1.yaml}\n  v2: {path: /v2, upstream: \
                   \"http://127.0.0.1:9102\", openapi: api/v2.yaml}\n";
    let rules = format!("types:\n  T:\n    - a = a: {{{codec}}}\n");
    let (old, new) = (api(old), api(new));
    let texts = [("service.yaml", service), ("v1-v2.yaml", &rules), ("api/v1.yaml", &old), ("api/v2.yaml", &new)];
    let report = check_service(&ServiceSources::from_texts("shop", texts));
    let verdict = report.checked.as_ref().map(|checked| checked.steps[0].types[0].rules[0].verdict);
    let errors = report.diagnostics.iter().filter(|one| one.code.0.starts_with('E'));
    (errors.map(|one| one.code.0.to_owned()).collect(), verdict)
}

#[test]
fn types_that_do_not_fit_are_refuted_and_nothing_is_proven_in_vain() {
    let (text, number, list) = ("{type: string}", "{type: number}", "{type: array, items: {type: string}}");
    for (codec, old, new) in [
        ("linear: {mul: 2}", number, number),
        ("duration: [s, go]", number, text),
        ("date: [unix, rfc3339]", number, text),
        ("csv: ','", text, list),
        ("prefix: a", text, text),
        ("suffix: a", text, text),
        ("replace: [a, b]", text, text),
        ("template: ['a{x}', '{x}']", text, text),
        ("base64: true", text, text),
        ("hex: true", text, text),
        ("percent: true", text, text),
        ("type: [number, integer]", number, "{type: integer}"),
        ("clamp: {max: 5}, loss: cut", number, number),
        ("reciprocal: 5, round: floor, loss: rounded", number, number),
    ] {
        let (errors, verdict) = proven(codec, old, new);
        assert_eq!((errors, verdict), (Vec::new(), Some(Verdict::Tested)), "{codec}");
        let wrong = "{type: object}";
        assert!(proven(codec, wrong, new).0.contains(&"E4".to_owned()), "{codec}, old");
        assert!(proven(codec, old, wrong).0.contains(&"E4".to_owned()), "{codec}, new");
    }
    assert!(proven("csv: ','", text, "{type: array, items: {type: integer}}").0.contains(&"E4".to_owned()));
    assert!(proven("presence: 1", text, number).0.contains(&"E4".to_owned()));
    assert!(proven("presence: 1", "{type: boolean}", number).0.contains(&"E5".to_owned()));
    assert!(proven("nothing: ['', null]", text, text).0.contains(&"E4".to_owned()));
    // Where every value is listed, each is tried.
    let (errors, verdict) = proven("prefix: a", "{enum: [ab, ac]}", "{enum: [b, c]}");
    assert_eq!((errors, verdict), (Vec::new(), Some(Verdict::Proven)));
    assert!(!proven("prefix: a", "{enum: [ab, ac]}", "{enum: [b, d]}").0.is_empty());
}

#[test]
fn pages_come_back() {
    let codec = read("page", "page: {size: 20, first: 1}").unwrap();
    proptest!(|(page in 1..1_000_000_u64, size in 1..10_000_u64, texts in any::<(bool, bool)>())| {
        let spell = |number: u64, text: bool| if text { format!("\"{number}\"") } else { number.to_string() };
        let old = [spell(page, texts.0), spell(size, texts.1)];
        let (mut new, mut back) = (Vec::new(), Vec::new());
        let (mut at, mut to) = ([None; 2], [None; 2]);
        let inputs = [Some(old[0].as_bytes()), Some(old[1].as_bytes())];
        codec.convert_many(Direction::Up, &inputs, &mut at, &mut new).unwrap();
        let middle = at.map(|range: Option<(usize, usize)>| range.map(|(start, end)| &new[start..end]));
        codec.convert_many(Direction::Down, &middle, &mut to, &mut back).unwrap();
        let found = to.map(|range: Option<(usize, usize)>| range.map(|(start, end)| &back[start..end]).unwrap());
        prop_assert_eq!(found, [old[0].as_bytes(), old[1].as_bytes()]);
    });
}

/// Documents made for the codecs themselves, by the rules alone, keep the laws; most of them are translated.
#[test]
fn generated_documents_keep_the_laws() {
    let rules = r#"types:
  All:
    - a = a: {linear: {mul: 1000}}
    - b = b: {reciprocal: 1000, round: floor, loss: rounded}
    - c = c: {duration: [go, iso8601]}
    - d = d: {duration: ["{s}s", clock]}
    - e = e: {date: [unix, rfc3339]}
    - f = f: {date: [date, "%d.%m.%Y"]}
    - g = g: {csv: ",", quotes: true, wrap: ["<", ">"]}
    - h = h: {prefix: "x-"}
    - i = i: {suffix: ["a", "b"]}
    - j = j: {replace: ["/", "."]}
    - k = k: {template: ["{a:word}/{b:digits}", "{b:digits}-{a:word}"]}
    - l = l: {json: true}
    - m = m: {base64: true}
    - n = n: {hex: true}
    - o = o: {percent: true}
    - p = p: {presence: {on: 1}}
    - q = q: {nothing: ["", null]}
    - r = r: {nothing: [null, absent]}
    - s = s: {clamp: {max: 10}, loss: cut}
    - t = t: {type: [number, integer]}
    - u = u: {case: [snake, pascal]}
    - v1 + v2 = w1 + w2: {page: {size: 20}}
"#;
    let sources = ServiceSources::from_texts("shop", [("service.yaml", SERVICE), ("v1-v2.yaml", rules)]);
    let report = check_service(&sources);
    let step = &report.checked.as_ref().unwrap().steps[0];
    let plan = StepPlan::compile(step);
    let budget = Budget { documents: 400, seed: 11 };
    let evidence = verify_with(step, &mut Engine::new(&plan), None, None, budget, &mut Diagnostics::default());
    let broken: Vec<_> = evidence.types.iter().flat_map(|one| &one.laws).filter(|one| one.law.is_required()).collect();
    assert!(!broken.is_empty());
    for one in broken {
        assert!(one.counter_example.is_none(), "{one:?}");
    }
    for is_old in [true, false] {
        let (end, direction) = if is_old { (End::Old, Direction::Up) } else { (End::New, Direction::Down) };
        let mut refused = Vec::new();
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let mut guided =
                Guided { types: &step.types, end, random: &mut random, unknown_members: false, left: VALUES };
            let document = guided.document(TypeId(0)).to_json();
            refused.extend(Engine::new(&plan).translate(TypeId(0), direction, &document).err());
        }
        assert!(refused.len() <= 30, "{} of 300 are refused, {direction:?}: {refused:#?}", refused.len());
    }
}

/// A value that becomes absent leaves no trace for the next object of the same shape, and null in a partial document.
#[test]
fn what_becomes_absent_is_gone_from_one_document_only() {
    let step = compile("T:\n  - a = x: {presence: [1]}\n  - b = y.z: {nothing: [0, absent]}\n  - c\n");
    let mut scratch = Scratch::default();
    let mut run = |of: usize, text: &str| {
        let mut out = Vec::new();
        let limits = plan::Limits::default();
        step.translate(TypeId(of), Direction::Up, text.as_bytes(), &mut out, &mut scratch, limits).unwrap();
        String::from_utf8(out).unwrap()
    };
    for _ in 0..2 {
        assert_eq!(run(0, r#"{"a":false,"b":0,"c":1}"#), r#"{"c":1}"#);
        assert_eq!(run(0, r#"{"a":true,"b":2,"c":1}"#), r#"{"x":[1],"y":{"z":2},"c":1}"#);
        assert_eq!(run(0, r#"{"a":true,"b":0,"c":1}"#), r#"{"x":[1],"c":1}"#);
        assert_eq!(run(0, r#"{"c":1,"a":false}"#), r#"{"c":1}"#);
        assert_eq!(run(1, r#"{"a":false,"b":0,"c":1}"#), r#"{"x":null,"y":{"z":null},"c":1}"#);
        assert_eq!(run(1, r#"{"a":true,"b":3}"#), r#"{"x":[1],"y":{"z":3}}"#);
        assert_eq!(run(1, r#"{"c":2}"#), r#"{"c":2}"#);
    }
}

#[test]
fn any_bytes_are_converted_or_refused() {
    let json = prop_oneof![
        number(),
        texts(".{0,12}"),
        texts("[-PTHMS0-9.:%{}, /+=]{0,12}"),
        Just("[\"a\",[]]".to_owned()),
        Just("null".to_owned()),
        Just("true".to_owned()),
        (0..2000_u32).prop_map(|power| format!("1e{power}")),
        (0..2000_u32).prop_map(|power| format!("-1e-{power}")),
    ];
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for (name, map, _) in cases() {
        let lenient = read(name, &format!("{map}\nloss: yes")).unwrap();
        for _ in 0..200 {
            let value = json.new_tree(&mut runner).unwrap().current();
            for direction in [Direction::Up, Direction::Down] {
                let mut out = Vec::new();
                if lenient.convert(direction, Some(value.as_bytes()), &mut out) == Ok(true) {
                    assert!(Value::parse(&out).is_some(), "{map} {value}: {}", String::from_utf8_lossy(&out));
                    assert!(out.len() < 5000, "{map} {value}");
                }
            }
        }
    }
}

#[test]
fn what_loses_says_so() {
    for (name, map) in [
        ("linear", "linear: {mul: 0.001}\nround: floor"),
        ("linear", "linear: {add: 0.5}\nround: floor"),
        ("reciprocal", "reciprocal: 60\nround: ceil"),
        ("date", "date: [rfc3339, unix]"),
        ("date", "date: [unix_ms, http]"),
        ("date", "date: [unix, date]"),
        ("clamp", "clamp: {max: 9}"),
    ] {
        assert!(read(name, map).unwrap().loses().is_some(), "{map}");
    }
}

#[test]
fn arguments_are_checked() {
    for (name, map, message) in [
        ("linear", "linear: 5", "expected a map with members, found a number"),
        ("linear", "linear: {mul: 0}", "`mul: 0` forgets the value"),
        ("linear", "linear: {mul: 1/0}", "not a number or fraction of reasonable size"),
        ("linear", "linear: {mul: 1e999}", "not a number or fraction of reasonable size"),
        ("linear", "linear: {times: 2}", "`linear` takes `mul` and `add`"),
        ("linear", "linear: {mul: 2}\nplaces: 2", "`places` without `round`"),
        ("linear", "linear: {mul: 2}\nround: up", "`round` is not a way to round"),
        ("reciprocal", "reciprocal: 0\nround: floor", "`reciprocal` takes the product, a number that is not zero"),
        ("reciprocal", "reciprocal: 10", "`reciprocal` needs `round`"),
        ("duration", "duration: [s, weeks]", "not a format of durations"),
        ("duration", "duration: s", "expected a list of two, old then new, found a string"),
        ("date", "date: [unix, iso]", "not a format of dates"),
        ("date", "date: [unix, '%H:%M']", "a pattern that cannot be read back"),
        ("date", "date: [unix, date]\nzone: Mars/Olympus", "not a time zone"),
        ("csv", "csv: ''", "`csv` takes the separator"),
        ("csv", "csv: ','\nwrap: x", "`wrap` takes two texts"),
        ("csv", "csv: ','\nquotes: x", "`quotes` is not a boolean"),
        ("prefix", "prefix: ''", "`prefix` takes a text, or a list of the old one and the new one"),
        ("suffix", "suffix: [a, b, c]", "`suffix` takes a text, or a list of the old one and the new one"),
        ("replace", "replace: [a, a]", "both texts are the same"),
        ("replace", "replace: [a, '']", "expected a text of 1 to 64 bytes"),
        ("template", "template: ['{a}{b}', '{a}-{b}']", "two holes without a text between them"),
        ("template", "template: ['{a}', '{b}']", "the patterns have different names"),
        ("template", "template: ['{a}-{a}', '{a}']", "`{a}` stands twice"),
        ("template", "template: ['{a:x}', '{a}']", "not a hole of a pattern"),
        ("template", "template: ['{a', '{a}']", "not a hole of a pattern"),
        ("template", "template: ['a', 'b']", "expected a pattern with 1 to 16 holes"),
        ("json", "json: pretty", "`json` takes no argument"),
        ("base64", "base64: std", "not a kind of Base64"),
        ("hex", "hex: upper", "`hex` takes no argument"),
        ("percent", "percent: true\nkeep: é", "`keep` takes ASCII characters, without `%`"),
        ("presence", "presence: null", "null is the same as nothing here"),
        ("presence", "presence: 1\ndefault: 1", "a default would turn false into true"),
        ("nothing", "nothing: [null, null]", "both sides write nothing alike"),
        ("nothing", "nothing: [null, absent]\ndefault: 1", "a default beside `absent`"),
        ("clamp", "clamp: {min: 3, max: 2}", "`min` is above `max`"),
        ("clamp", "clamp: {}", "expected a map with members, found a map"),
        ("clamp", "clamp: {least: 2}", "`clamp` takes `min`, `max` and `length`"),
        ("page", "page: {first: 0}", "`page` needs a `size` above zero"),
        ("page", "page: {size: x}", "expected a whole number"),
        ("type", "type: [integer, number]", "exactly one of the two types must be `string`"),
        ("case", "case: [snake, title]", "not a letter case"),
    ] {
        assert_eq!(read(name, map), Err(vec![message.to_owned()]), "{map}");
    }
}
