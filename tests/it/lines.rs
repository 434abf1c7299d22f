//! Version lines of any length: steps said as one make of every document what they make of it one by one.

#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test ends by panicking")]

use std::fmt::Write as _;

use bifocal::contract::documents::{Random, Value};
use bifocal::plan::{BodyOut, Fault, FaultKind, Limits, RequestIn, ResponseIn, Scratch, ServicePlan};
use bifocal::rules::load::ServiceSources;
use bifocal::rules::prove_service;
use http::{HeaderMap, Method, StatusCode};

/// A line of as many versions as there are rule texts, and one more.
fn line(rules: &[String]) -> Option<ServicePlan> {
    let last = rules.len() + 1;
    let mut service = "versions:\n".to_owned();
    for version in 1..=last {
        let up = if version == last {
            "upstream: \"http://127.0.0.1:9\"".to_owned()
        } else {
            format!("answered_by: v{last}")
        };
        writeln!(service, "  v{version}: {{path: /v{version}, {up}}}").unwrap();
    }
    let names: Vec<String> = (1..last).map(|old| format!("v{old}-v{}.yaml", old + 1)).collect();
    let files = names.iter().map(String::as_str).zip(rules.iter().map(String::as_str));
    let texts = std::iter::once(("service.yaml", service.as_str())).chain(files);
    let report = prove_service(&ServiceSources::from_texts("line", texts));
    report.checked.as_ref().map(ServicePlan::compile)
}

/// The same types and their routes.
fn with_routes(types: &str) -> String {
    let mut rules = format!("types:\n{types}routes:\n");
    for method in ["POST", "PATCH"] {
        writeln!(rules, "  - {method} /t = {method} /t:\n      request: [\"body = body\": Outer]").unwrap();
        writeln!(rules, "      200: [\"body = body\": Outer]").unwrap();
    }
    rules
}

/// Which way a body goes, and in what.
#[derive(Debug, Clone, Copy)]
struct Trip<'m> {
    method: &'m str,
    asked: usize,
    served: usize,
    is_request: bool,
}

/// A body at the end of a trip, and how many members were left out.
fn go(plan: &ServicePlan, trip: Trip<'_>, body: &[u8], scratch: &mut Scratch) -> Result<(Vec<u8>, usize), Fault> {
    let exchange = plan.exchange(trip.asked, trip.served, trip.method, ("/t", None)).unwrap();
    let (headers, method) = (HeaderMap::new(), Method::from_bytes(trip.method.as_bytes()).unwrap());
    let (out, dropped) = if trip.is_request {
        let request = RequestIn { method: &method, path: "/t", query: None, headers: &headers, body: Some(body) };
        (exchange.request(&request, None, scratch, Limits::default())?.body, 0)
    } else {
        let response = ResponseIn { status: StatusCode::OK, headers: &headers, body: Some(body) };
        let response = exchange.response(&response, None, scratch, Limits::default())?;
        (response.body, response.dropped)
    };
    match out {
        BodyOut::Replaced(text) => Ok((text, dropped)),
        BodyOut::Unchanged => Ok((body.to_vec(), dropped)),
    }
}

/// The same trip, one step after another.
fn go_stepwise(plan: &ServicePlan, trip: Trip<'_>, body: &[u8]) -> Result<(Vec<u8>, usize), Fault> {
    let mut stops: Vec<usize> = (trip.asked.min(trip.served)..=trip.asked.max(trip.served)).collect();
    if (trip.asked > trip.served) == trip.is_request {
        stops.reverse();
    }
    let (mut text, mut dropped) = (body.to_vec(), 0);
    for stop in stops.windows(2) {
        let (asked, served) = if trip.is_request { (stop[0], stop[1]) } else { (stop[1], stop[0]) };
        let (next, left_out) = go(plan, Trip { asked, served, ..trip }, &text, &mut Scratch::default())?;
        text = next;
        dropped += left_out;
    }
    Ok((text, dropped))
}

/// Members may come in another order, and white space may stand elsewhere; everything else is the same.
fn assert_same(plan: &ServicePlan, trip: Trip<'_>, body: &[u8], scratch: &mut Scratch, story: &str) -> bool {
    let (at_once, by_step) = (go(plan, trip, body, scratch), go_stepwise(plan, trip, body));
    let told = || format!("{trip:?}\n{story}\n{}\n{at_once:?}\n{by_step:?}", String::from_utf8_lossy(body));
    match (&at_once, &by_step) {
        (Ok(one), Ok(other)) => {
            let (a, b) = (Value::parse(&one.0).unwrap(), Value::parse(&other.0).unwrap());
            let shown = || format!("{}\n{}", String::from_utf8_lossy(&one.0), String::from_utf8_lossy(&other.0));
            assert!(a.same(&b) && one.1 == other.1, "{}\n{}", told(), shown());
            true
        }
        (Err(one), Err(other)) => {
            assert_eq!(one.kind, other.kind, "{}", told());
            false
        }
        _ => panic!("{}", told()),
    }
}

/// Places of tame lines, and of wild ones, whose objects come and go.
const NAMES: [[&str; 8]; 2] =
    [["a", "b", "c", "d", "e", "f", "m.a", "m.b"], ["a", "b", "c", "d", "m.a", "m.b", "n.a", "n.o.b"]];
/// For wild lines; the last ones for tame lines, too.
const CODECS: [&str; 14] = [
    "{json: true}",
    "{csv: \",\"}",
    "{presence: [1]}",
    "{nothing: [null, absent]}",
    "{nothing: [\"x\", null]}",
    "{replace: [x, yy]}",
    "{hex: true}",
    "{invert: true}",
    "{decimal: 2}",
    "{case: [lower, upper]}",
    "{head: true}",
    "{enum: [[x, y], [y, z], [z, x]]}",
    "{prefix: x}",
    "{enum: [[x, z], [y, z]]}",
];

/// Rules from some places of one version to those of the next; answers these.
fn generated_rules(random: &mut Random, is_wild: bool, state: &[String]) -> (String, Vec<String>) {
    let mut olds: Vec<String> = state.to_vec();
    if random.chance(if is_wild { 30 } else { 5 }) {
        olds.extend(random.pick(&NAMES[usize::from(is_wild)]).map(|name| (*name).to_owned()));
    }
    olds.sort_unstable();
    olds.dedup();
    let mut free: Vec<&str> = NAMES[usize::from(is_wild)].to_vec();
    random.shuffle(&mut free);
    let mut state = Vec::new();
    let mut rules = String::new();
    for old in olds {
        let fits = |name: &&str| {
            if random.chance(25) { *name == old } else { is_wild || name.contains('.') == old.contains('.') }
        };
        let new = free.iter().position(fits);
        let Some(new) = new.filter(|new| *new < free.len()).map(|new| free.remove(new)) else { continue };
        let default = if random.chance(if is_wild { 15 } else { 5 }) { ", default: x" } else { "" };
        match random.below(if is_wild { 10 } else { 24 }) {
            0 => writeln!(rules, "    - {{removed: {old}, default: x, loss: gone}}").unwrap(),
            1 => writeln!(rules, "    - {{removed: {old}, loss: gone}}").unwrap(),
            2..=4 => {
                let codec = random.pick(&CODECS[if is_wild { 0 } else { 11 }..]).unwrap().trim_end_matches('}');
                writeln!(rules, "    - {old} = {new}: {codec}{default}, loss: allowed}}").unwrap();
            }
            5 if !free.is_empty() => {
                let other = free.remove(0);
                writeln!(rules, "    - {old} = {new} + {other}: {{split: \"-\"}}").unwrap();
                state.push(other.to_owned());
            }
            6 if !default.is_empty() => writeln!(rules, "    - {old} = {new}: {{default: x}}").unwrap(),
            _ => writeln!(rules, "    - {old} = {new}").unwrap(),
        }
        state.push(new.to_owned());
    }
    if random.chance(40)
        && let Some(new) = free.pop()
    {
        let default = if random.chance(60) { ", default: x" } else { "" };
        writeln!(rules, "    - {{added: {new}{default}}}").unwrap();
        state.push(new.to_owned());
    }
    (rules, state)
}

const VALUES: [&str; 18] = [
    "\"x\"",
    "\"y\"",
    "\"z\"",
    "\"p-q\"",
    "\"X\"",
    "true",
    "false",
    "125",
    "\"1.25\"",
    "\"{\\\"a\\\":[1]}\"",
    "\"null\"",
    "\"x,y\"",
    "[\"x\",\"y\"]",
    "null",
    "[\"x\"]",
    "[]",
    "{}",
    "{\"a\":1}",
];

/// A document with values at places, now and then at others, and with oddities.
fn document(random: &mut Random, is_wild: bool, places: &[String], depth: usize, inner: &str) -> Value {
    let mut value = Value::parse(b"{}").unwrap();
    let odd = random.chance(25);
    let mut set = |is_forced: bool, place: &str, text: &str| {
        let path: Vec<String> = place.split('.').map(str::to_owned).collect();
        let blocked =
            (1..path.len()).any(|end| value.at(&path[..end]).is_some_and(|up| !matches!(up, Value::Object(_))));
        if !blocked || (is_forced && path.len() == 1) {
            value.set(&path, Value::parse(text.as_bytes()).unwrap());
        }
    };
    for place in places {
        if random.chance(75) {
            let text = random.pick(&VALUES[..if odd { VALUES.len() } else { 3 }]).unwrap();
            set(false, place, text);
        }
    }
    if random.chance(30) {
        set(false, random.pick(&["other", "m.other", "n.other", "n.o.other"]).unwrap(), "7");
    }
    if odd {
        let place = *random.pick(&NAMES[usize::from(is_wild)]).unwrap();
        set(true, place, random.pick(&VALUES).unwrap());
        if random.chance(30) {
            let place = *random.pick(&["m", "n", "n.o"]).unwrap();
            set(true, place, random.pick(&["null", "{}", "7"]).unwrap());
        }
    }
    if depth > 0 && random.chance(70) {
        let document = document(random, is_wild, places, depth - 1, inner);
        let text = if random.chance(80) { Value::Array(vec![document.clone(), document]) } else { document };
        set(false, inner, std::str::from_utf8(&text.to_json()).unwrap());
    }
    value
}

/// How random lines went.
#[derive(Debug, Default)]
struct Tally {
    /// Trips whose steps are one, some of whose steps are one, and none of whose are.
    whole: usize,
    partly: usize,
    stepwise: usize,
    /// Documents that were translated.
    same: usize,
    /// Those that fused steps did not take.
    detours: usize,
}

fn try_lines(seeds: std::ops::Range<u64>) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        let mut random = Random::new(seed);
        let is_wild = random.chance(50);
        let steps = 2 + random.below(3);
        let names = &NAMES[usize::from(is_wild)][..3 + random.below(5)];
        let mut versions: Vec<Vec<String>> = vec![names.iter().map(|&name| name.to_owned()).collect()];
        let mut rules = Vec::new();
        for step in 0..steps {
            let (text, state) = generated_rules(&mut random, is_wild, &versions[step]);
            let nested = match random.below(6) {
                0 => String::new(),
                1 => format!("    - kids{step} = kids{}\n", step + 1),
                2 => format!("    - kids{step} = kids{}: Outer\n", step + 1),
                _ => format!("    - kids{step} = kids{}: {{each: Outer, key: a}}\n", step + 1),
            };
            rules.push(with_routes(&format!("  Outer:\n    - id\n{text}{nested}")));
            versions.push(state);
        }
        let Some(plan) = line(&rules) else { continue };
        let mut scratch = Scratch::default();
        for (asked, served) in [(0, steps), (steps, 0)] {
            for method in ["POST", "PATCH"] {
                let passes = plan.exchange(asked, served, method, ("/t", None)).unwrap().request_passes();
                match passes {
                    1 => tally.whole += 1,
                    _ if passes < steps => tally.partly += 1,
                    _ => tally.stepwise += 1,
                }
                for is_request in [true, false] {
                    let from = if is_request { asked } else { served };
                    let trip = Trip { method, asked, served, is_request };
                    for _ in 0..8 {
                        let kids = format!("kids{from}");
                        let body = document(&mut random, is_wild, &versions[from], 2, &kids).to_json();
                        let story = format!("seed {seed}: {rules:#?}");
                        tally.same += usize::from(assert_same(&plan, trip, &body, &mut scratch, &story));
                    }
                }
            }
        }
        tally.detours += scratch.detours();
    }
    tally
}

#[test]
fn fused_steps_are_the_same_as_one_by_one() {
    let tally = try_lines(0..500);
    let Tally { whole, partly, stepwise, same, detours } = tally;
    assert!([whole, partly, stepwise, same / 20, detours / 2].iter().all(|count| *count > 100), "{tally:?}");
}

/// An order by five versions: rename, move, enumeration and decimal, each in a step of its own.
const FIVE: [&str; 4] = [
    "  Outer:\n    - id\n    - state = status\n    - lines = items: {each: Line, key: id}\n  Line: [id, sku = product]\n",
    "  Outer:\n    - id\n    - street = address.street\n    - city = address.city\n",
    "  Outer:\n    - status: {enum: {open: OPEN, closed: DONE}}\n    - items: {each: Line, key: id}\n  Line: [id, qty = count]\n",
    "  Outer:\n    - total: {decimal: 2}\n    - address.street = address.line1\n    - {added: channel, default: web}\n",
];

fn five() -> ServicePlan {
    line(&FIVE.map(with_routes)).unwrap()
}

#[test]
fn five_versions_are_read_once() {
    let plan = five();
    for (asked, served) in [(0, 4), (4, 0), (0, 2), (1, 4), (3, 1)] {
        let exchange = plan.exchange(asked, served, "POST", ("/t", None)).unwrap();
        assert_eq!((exchange.request_passes(), exchange.response_passes(StatusCode::OK)), (1, 1), "{asked} {served}");
    }
    let old = br#"{"id":1,"state":"open","total":1999,"street":"Kai 1","city":"Ada","more":7,"lines":[{"id":1,"sku":"A","qty":2}]}"#;
    let trip = Trip { method: "POST", asked: 0, served: 4, is_request: true };
    let mut scratch = Scratch::default();
    let (new, _) = go(&plan, trip, old, &mut scratch).unwrap();
    let expected = br#"{"id":1,"status":"OPEN","total":"19.99","address":{"line1":"Kai 1","city":"Ada"},"more":7,"items":[{"id":1,"product":"A","count":2}],"channel":"web"}"#;
    assert!(Value::parse(&new).unwrap().same(&Value::parse(expected).unwrap()), "{}", String::from_utf8_lossy(&new));
    let (back, _) = go(&plan, Trip { is_request: false, ..trip }, &new, &mut scratch).unwrap();
    assert!(Value::parse(&back).unwrap().same(&Value::parse(old).unwrap()), "{}", String::from_utf8_lossy(&back));
    assert_eq!(scratch.detours(), 0);
}

#[test]
fn faults_are_told_in_the_terms_of_who_sent_the_body() {
    let trip = Trip { method: "POST", asked: 0, served: 4, is_request: true };
    let fault = go(&five(), trip, br#"{"state":"lost"}"#, &mut Scratch::default()).unwrap_err();
    assert_eq!((fault.kind, fault.place.as_str(), fault.offset), (FaultKind::Guard, "state", Some(9)));
    let fault = go(&five(), trip, br#"{"lines":[{"id":1,"qty":1,"count":2}]}"#, &mut Scratch::default()).unwrap_err();
    assert_eq!((fault.kind, fault.place.as_str()), (FaultKind::Collision, "lines[0].count"));
}

/// What is in doubt stays with the single steps.
#[test]
fn doubtful_steps_are_not_fused() {
    for (older, newest) in [
        ("a = m.x", "m.x = b"),
        ("a = m.x", "m = n"),
        ("a = m", "m.x = n"),
        ("a = b: {default: x}", "b = c: {head: true}"),
        ("a = b", "{added: b}"),
        ("{added: b, default: x}", "b = c: {decimal: 2}"),
        ("a = b: {decimal: 2}", "{removed: b, loss: gone}"),
        ("a = b", "c = d\n    - a = e"),
    ] {
        let rules = [older, newest].map(|rules| with_routes(&format!("  Outer:\n    - {rules}\n")));
        let plan = line(&rules).unwrap();
        let exchange = plan.exchange(0, 2, "POST", ("/t", None)).unwrap();
        assert_eq!(exchange.request_passes(), 2, "{older} and {newest}");
    }
}
