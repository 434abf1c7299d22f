//! Metrics as OpenMetrics has them, and the traces among them.

#![expect(clippy::panic, reason = "a test ends by panicking")]

use std::collections::BTreeSet;

use super::super::support::*;

const ACCEPT: &str = "Accept: application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5";

/// Names and values.
type Labels = Vec<(String, String)>;

/// A trace that stands beside a bucket.
#[derive(Debug)]
struct Exemplar {
    /// The bucket's family and labels.
    bucket: String,
    trace: String,
}

/// `name="value",…`, its escapes resolved; and what follows the brace.
fn labels(text: &str) -> (Labels, &str) {
    let mut labels = Vec::new();
    let mut rest = text.strip_prefix('{').expect("a brace");
    while !rest.starts_with('}') {
        let (name, behind) = rest.split_once("=\"").expect("a label");
        let is_name = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
        assert!(!name.is_empty() && name.chars().all(is_name) && !name.starts_with(|sign: char| sign.is_ascii_digit()));
        let (mut value, mut signs) = (String::new(), behind.char_indices());
        let end = loop {
            match signs.next().expect("a quote") {
                (at, '"') => break at,
                (_, '\\') => value.push(match signs.next().expect("an escape").1 {
                    'n' => '\n',
                    sign @ ('\\' | '"') => sign,
                    sign => panic!("\\{sign}"),
                }),
                (_, '\n') => panic!("a line break"),
                (_, sign) => value.push(sign),
            }
        };
        labels.push((name.to_owned(), value));
        rest = &behind[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    (labels, &rest[1..])
}

/// What a family is while its samples are read.
struct Family {
    name: String,
    kind: String,
    /// What its last count was, and of which labels; the last bucket must say the same.
    count: Option<(Labels, f64)>,
    /// The last bucket: its labels but for `le`, its bound and its count.
    bucket: Option<(Labels, f64, f64)>,
}

/// Reads a whole exposition as strictly as OpenMetrics 1.0 says.
fn read(text: &str) -> Vec<Exemplar> {
    let body = text.strip_suffix("# EOF\n").expect("an end");
    let (mut families, mut samples, mut exemplars) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let mut family: Option<Family> = None;
    for line in body.lines() {
        if let Some(told) = line.strip_prefix("# ") {
            let (what, rest) = told.split_once(' ').unwrap();
            let (name, told) = rest.split_once(' ').unwrap();
            match what {
                "HELP" => assert!(families.insert(name.to_owned()), "{name} twice"),
                "TYPE" => {
                    assert!(families.contains(name) && ["counter", "gauge", "histogram"].contains(&told), "{line}");
                    family = Some(Family { name: name.to_owned(), kind: told.to_owned(), count: None, bucket: None });
                }
                other => panic!("{other}"),
            }
            continue;
        }
        let family = family.as_mut().expect("a family");
        let end = line.find(['{', ' ']).unwrap();
        let (labels_of, rest) =
            if line[end..].starts_with('{') { labels(&line[end..]) } else { (vec![], &line[end..]) };
        let suffix = line[..end].strip_prefix(&family.name).unwrap_or_else(|| panic!("{line} within {}", family.name));
        let names: BTreeSet<_> = labels_of.iter().map(|(name, _)| name).collect();
        assert!(names.len() == labels_of.len(), "{line}");
        assert!(samples.insert(line[..line.len() - rest.len()].to_owned()), "{line} twice");
        let (sample, exemplar) = match rest.split_once(" # ") {
            Some((sample, exemplar)) => (sample, Some(exemplar)),
            None => (rest, None),
        };
        let value: f64 = sample.strip_prefix(' ').unwrap().parse().unwrap_or_else(|_| panic!("{line}"));
        match (family.kind.as_str(), suffix) {
            ("counter", "_total") => assert!(value >= 0.0 && value.fract() == 0.0, "{line}"),
            ("gauge", "") | ("histogram", "_sum") => {}
            ("histogram", "_count") => family.count = Some((labels_of, value)),
            ("histogram", "_bucket") => {
                let (le, of): (Vec<_>, Vec<_>) = labels_of.into_iter().partition(|(name, _)| name == "le");
                let bound: f64 = le[0].1.parse().unwrap();
                let before = family.bucket.take().filter(|(same, ..)| *same == of);
                let (least, count) = before.map_or((f64::NEG_INFINITY, 0.0), |(_, bound, count)| (bound, count));
                assert!(bound > least && value >= count, "{line}");
                if let Some(exemplar) = exemplar {
                    let (trace, rest) = labels(exemplar);
                    let length: usize = trace.iter().map(|(name, value)| name.len() + value.len()).sum();
                    let numbers: Vec<f64> = rest.trim().split(' ').map(|one| one.parse().unwrap()).collect();
                    assert!(length <= 128 && trace.len() == 1 && trace[0].0 == "trace_id", "{line}");
                    assert!(numbers[0] > least && numbers[0] <= bound && numbers[1] > 1.7e9, "{line}");
                    exemplars.push(Exemplar { bucket: format!("{}{of:?}", family.name), trace: trace[0].1.clone() });
                }
                if bound.is_infinite() {
                    let (counted, all) = family.count.take().unwrap();
                    assert!(counted == of && (all - value).abs() < 0.5, "{line}");
                } else {
                    family.bucket = Some((of, bound, value));
                }
            }
            _ => panic!("{line} in a {}", family.kind),
        }
        assert!(exemplar.is_none() || suffix == "_bucket", "{line}");
    }
    exemplars
}

#[tokio::test]
async fn latencies_lead_to_traces_for_those_who_ask_for_openmetrics() {
    let service = Service::start(|_| json(NEW)).await;
    let gateway = Gateway::start(&orders(None, Some(service.addr), "v2"), vec![]).await;
    let trace = |digit: char, flags: &str| {
        format!("traceparent: 00-{}-00f067aa0ba902b7-{flags}", String::from(digit).repeat(32))
    };
    for (line, header) in [
        ("GET /v1/orders/7", trace('a', "01")),
        ("GET /v2/orders/7", trace('b', "03")),
        // Nobody records these.
        ("GET /v1/orders/7", trace('c', "00")),
        ("GET /v1/orders/7", "X-Nothing: x".to_owned()),
    ] {
        assert_eq!(gateway.ask(line, &[&header], b"").await.status, 200, "{line}");
    }
    gateway.access_log(4).await;
    let told = ask(gateway.admin, "GET /metrics", &[ACCEPT], b"").await;
    assert_eq!(told.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let exemplars = read(told.text());
    let of =
        |digit: char| exemplars.iter().filter(|one| one.trace == String::from(digit).repeat(32)).collect::<Vec<_>>();
    let (old, new) = (of('a'), of('b'));
    assert!(exemplars.len() == 2 && old.len() == 1 && new.len() == 1, "{exemplars:?}");
    assert!(old[0].bucket.starts_with("bifocal_request_duration_seconds") && old[0].bucket.contains("v1"), "{old:?}");
    assert!(new[0].bucket.contains("(\"asked\", \"v2\")"), "{new:?}");

    // Everybody else gets the same without.
    for headers in
        [vec![], vec!["Accept: text/plain"], vec!["Accept: */*"], vec!["Accept: application/openmetrics-text;q=0"]]
    {
        let plain = ask(gateway.admin, "GET /metrics", &headers, b"").await;
        assert!(!plain.text().contains("trace_id") && read(plain.text()).is_empty(), "{headers:?}");
        let bare =
            |text: &str| text.lines().map(|line| line.split(" # {").next().unwrap().to_owned()).collect::<Vec<_>>();
        assert_eq!(bare(plain.text()), bare(told.text()));
    }
}
