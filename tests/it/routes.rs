//! Which route a request is of, and which service's it is: what the plan's indices find is what asking one after the other
//! finds.

#![expect(clippy::panic, reason = "a test ends by panicking")]

use std::collections::HashSet;
use std::sync::Arc;

use bifocal::diagnostic::{SourceId, Span};
use bifocal::path::percent;
use bifocal::path::template::{QueryValue, Segment, Template};
use bifocal::plan::{NoRoute, Plan, ServicePlan};
use bifocal::rules::load::ServiceSources;
use bifocal::rules::{Report, prove_service};
use proptest::prelude::*;
use proptest::sample::select;

fn template(text: &str) -> Template {
    Template::parse(text, Span { source: SourceId(0), start: 0, end: 0 }).unwrap()
}

/// Templates that get in each other's way; no two of them match the same requests equally well.
fn templates() -> impl Strategy<Value = Vec<String>> {
    const SEGMENTS: [&str; 13] =
        ["a", "b", "ab", "A", "%2541", "{}", "{}", "a{}", "b{}", "{}b", "{}.x", "a{}b", "ab{}"];
    let method = select(vec!["GET", "GET", "HEAD", "POST", "*"]);
    let end = select(vec!["", "", "", "/", "/{...}"]);
    let query = select(vec!["", "", "", "?k=1", "?k=2", "?k={}", "?k=1&j={}"]);
    let one = (method, prop::collection::vec(select(SEGMENTS.to_vec()), 0..4), end, query);
    let text = one.prop_map(|(method, segments, end, query)| {
        let mut path: String = segments.iter().map(|segment| format!("/{segment}")).collect();
        path.push_str(if path.is_empty() && end.is_empty() { "/" } else { end });
        let mut text = format!("{method} {path}{query}");
        for number in 0.. {
            let named = text.replacen("{}", &format!("{{p{number}}}"), 1);
            if named == text {
                break;
            }
            text = named;
        }
        text.replace("{...}", "{all...}")
    });
    prop::collection::vec(text, 1..24).prop_map(|texts| {
        let mut seen = HashSet::new();
        let is_new = |text: &String| seen.insert(format!("{:?}", template(text).shape()));
        texts.into_iter().filter(is_new).collect()
    })
}

fn request() -> impl Strategy<Value = (&'static str, String, Option<&'static str>)> {
    const SEGMENTS: [&str; 14] =
        ["a", "b", "ab", "A", "%41", "%2541", "%4", "", "axb", "aab", "abb", "a.x", "abab", "c"];
    let segments = prop::collection::vec(select(SEGMENTS.to_vec()), 0..5);
    let path = segments.prop_map(|segments| format!("/{}", segments.join("/")));
    let query = select(vec![None, Some(""), Some("k=1"), Some("k=2&j=0"), Some("j=%31&%6B=1"), Some("k=3")]);
    (select(vec!["GET", "HEAD", "POST", "DELETE"]), path, query)
}

fn param_names(template: &Template) -> String {
    template.params().map(|name| format!("/{{{name}}}")).collect()
}

fn line(rules: &[Vec<String>]) -> ServicePlan {
    let last = rules.len() + 1;
    let versions: String = (1..last).map(|version| format!("  v{version}: {{}}\n")).collect();
    let service = format!("versions:\n{versions}  v{last}: {{upstream: \"http://127.0.0.1:9\"}}\n");
    let file =
        |routes: &Vec<String>| routes.iter().fold("routes:\n".to_owned(), |all, one| all + "  - '" + one + "'\n");
    let mut texts = vec![("service.yaml".to_owned(), service)];
    texts.extend((1..).zip(rules).map(|(old, routes)| (format!("v{old}-v{}.yaml", old + 1), file(routes))));
    compile("line", &texts)
}

fn compile(name: &str, texts: &[(String, String)]) -> ServicePlan {
    let report = prove_service(&ServiceSources::from_texts(
        name,
        texts.iter().map(|(path, text)| (path.as_str(), text.as_str())),
    ));
    let Report { checked: Some(checked), .. } = report else { panic!("{texts:?}: {:?}", report.diagnostics) };
    ServicePlan::compile(&checked)
}

/// What is asked of a request beside its path, answered one by one.
fn is_of(template: &Template, method: &str) -> bool {
    let own = template.method.as_str();
    own == "*" || own == method || (own, method) == ("GET", "HEAD")
}

fn matches(segments: &[Segment], parts: &[&str]) -> bool {
    match (segments, parts) {
        ([], []) => true,
        ([Segment::Rest(_)], parts) => !parts.join("/").is_empty(),
        ([segment, segments @ ..], [part, parts @ ..]) => {
            let is_same = match segment {
                Segment::Literal(text) => part == text || percent::decode(part).as_ref() == Some(text),
                Segment::Part { prefix, suffix, .. } => {
                    part.len() > prefix.len() + suffix.len() && part.starts_with(prefix) && part.ends_with(suffix)
                }
                Segment::Param(_) => !part.is_empty(),
                Segment::Rest(_) => false,
            };
            is_same && matches(segments, parts)
        }
        _ => false,
    }
}

fn matches_path(template: &Template, path: &str) -> bool {
    let parts: Vec<&str> = path[1..].split('/').collect();
    matches(&template.segments, if path == "/" { &[] } else { &parts })
}

fn matches_query(template: &Template, query: Option<&str>) -> bool {
    let decode = |text| percent::decode(text).unwrap();
    let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let pairs: Vec<(String, String)> = pairs.map(|(name, value)| (decode(name), decode(value))).collect();
    template.query.iter().all(|(name, wanted)| {
        pairs.iter().any(|(known, value)| {
            known == name && matches!(wanted, QueryValue::Param(_)) || *wanted == QueryValue::Literal(value.clone())
        })
    })
}

/// Whether every request that `other` stands for is one of the template's, literal by literal.
fn covers(template: &Template, other: &Template) -> bool {
    let (own, others) = (&template.segments, &other.segments);
    let is_open = matches!(own.last(), Some(Segment::Rest(_))) && others.len() >= own.len();
    let same_query = |(name, wanted): &(String, QueryValue)| {
        let given = other.query.iter().find(|(known, _)| known == name);
        given.is_some_and(|(_, given)| matches!(wanted, QueryValue::Param(_)) || wanted == given)
    };
    (own.len() == others.len() || is_open)
        && template.query.iter().all(same_query)
        && own.iter().zip(others).all(|pair| match pair {
            (Segment::Rest(_), _) => true,
            (_, Segment::Rest(_)) => false,
            (Segment::Param(_), _) => true,
            (Segment::Literal(own), Segment::Literal(other)) => own == other,
            (Segment::Part { .. }, Segment::Literal(text)) => matches(std::slice::from_ref(pair.0), &[text]),
            (Segment::Part { prefix, suffix, .. }, Segment::Part { prefix: before, suffix: behind, .. }) => {
                (prefix, suffix) == (before, behind)
            }
            _ => false,
        })
}

/// The best of all that fit, the last one of equals.
fn best<'t>(all: &'t [Template], method: &str, fits: impl Fn(&Template) -> bool) -> Option<&'t Template> {
    all.iter().filter(|one| is_of(one, method) && fits(one)).max_by_key(|one| one.specificity())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_takes_the_best_route(texts in templates(), requests in prop::collection::vec(request(), 40)) {
        let all: Vec<Template> = texts.iter().map(|text| template(text)).collect();
        let routes = all.iter().enumerate().map(|(number, one)| {
            format!("{one} = {} /to-{number}{}", one.method, param_names(one))
        });
        let plan = line(&[routes.collect()]);
        for (method, path, query) in requests {
            let fits = |one: &Template| matches_path(one, &path) && matches_query(one, query);
            let expected = best(&all, method, fits).map(ToString::to_string);
            let target = (path.as_str(), query);
            prop_assert_eq!(plan.operation(0, method, target), expected.as_deref(), "{} {:?} of {:?}", method, target, &texts);
            let methods = all.iter().filter(|one| fits(one)).map(|one| one.method.clone()).collect();
            let found = plan.exchange(0, 1, method, target).map(|exchange| exchange.label().to_owned());
            prop_assert_eq!(found, expected.ok_or(NoRoute { methods }));
        }
    }

    /// A route leads to the best one of the next step that takes all of its requests.
    #[test]
    fn a_route_leads_to_the_best_route(firsts in templates(), seconds in templates()) {
        let (firsts, all) = [firsts, seconds].map(|texts| texts.iter().map(|text| template(text)).collect::<Vec<_>>()).into();
        let from = firsts.iter().enumerate().map(|(number, one)| {
            format!("{} /from-{number}{} = {one}", one.method, param_names(one))
        });
        let to = all.iter().enumerate().map(|(number, one)| {
            format!("{one} = {} /to-{number}{}", one.method, param_names(one))
        });
        let plan = line(&[from.collect(), to.collect()]);
        for (number, first) in firsts.iter().enumerate() {
            let path = format!("/from-{number}{}", first.params().map(|_| "/x").collect::<String>());
            let method = if first.method == "*" { "PUT" } else { &first.method };
            let fits = |one: &Template| covers(one, first);
            let expected = best(&all, method, fits).map(|one| all.iter().position(|other| other == one).unwrap());
            let found = plan.exchange(0, 2, method, (&path, None));
            let found = found.map(|exchange| exchange.served_template().unwrap().to_string());
            let methods = all.iter().filter(|one| fits(one)).map(|one| one.method.clone()).collect();
            let expected = expected.and_then(|at| Some(format!("{} /to-{at}{}", all.get(at)?.method, param_names(all.get(at)?))));
            prop_assert_eq!(found, expected.ok_or(NoRoute { methods }), "{}", first);
        }
    }

    /// A named host before any host, then the longest prefix of whole segments.
    #[test]
    fn a_request_is_of_the_best_service(
        claims in prop::collection::btree_set((0..4_usize, 0..8_usize), 1..20),
        cuts in prop::collection::vec(1..4_usize, 20),
        asked in prop::collection::vec((0..5_usize, select(vec!["/", "/a", "/a/", "/a//b", "/a/b/c", "/ab", "/b/a", "*", "/a%2Fb"])), 30),
    ) {
        const HOSTS: [&str; 5] = ["", "one.example", "two.example", "ONE.example", "other.example"];
        const PATHS: [&str; 8] = ["", "/a", "/b", "/a/b", "/ab", "/a/b/c", "/b/a", "/a/c"];
        let list = |name: &str, all: &[&str]| {
            if all == [""] { String::new() } else { format!("{name}: [{}], ", all.join(", ")) }
        };
        // Each claim of a host and a path is one service's; some have several paths.
        let mut claims: Vec<(usize, Vec<usize>)> = claims.into_iter().map(|(host, path)| (host % 3, vec![path])).collect();
        claims.sort();
        claims.dedup();
        let mut services: Vec<(usize, Vec<usize>)> = Vec::new();
        for ((host, paths), cut) in claims.into_iter().zip(cuts) {
            match services.last_mut() {
                Some((known, all)) if *known == host && cut > 1 && *all != [0] && paths != [0] => all.extend(paths),
                _ => services.push((host, paths)),
            }
        }
        let plans = services.iter().enumerate().map(|(number, (host, paths))| {
            let paths: Vec<&str> = paths.iter().map(|path| PATHS[*path]).collect();
            let matched = format!("match: {{{}{}}}\n", list("hosts", &[HOSTS[*host]]), list("paths", &paths));
            let service = format!("{matched}versions: {{v1: {{upstream: \"http://127.0.0.1:9\"}}}}\n");
            Arc::new(compile(&format!("s{number}"), &[("service.yaml".to_owned(), service)]))
        });
        let plan = Plan::new(plans.collect());
        for (host, path) in asked {
            let host = Some(HOSTS[host]).filter(|host| !host.is_empty());
            let rank = |service: &ServicePlan| {
                let is_named = host.is_some_and(|host| service.hosts.contains(&host.to_ascii_lowercase()));
                let is_below = |prefix: &&String| path == **prefix || path.starts_with(&format!("{prefix}/"));
                let longest = service.paths.iter().filter(is_below).map(String::len).max();
                let longest = if service.paths.is_empty() { Some(0) } else { longest };
                longest.filter(|_| is_named || service.hosts.is_empty()).map(|length| (is_named, length))
            };
            let expected = plan.services().iter().filter_map(|one| Some((rank(one)?, &one.name))).max();
            let found = plan.service_for(host, path).map(|one| &one.name);
            prop_assert_eq!(found, expected.map(|(_, name)| name), "{:?} {}", host, path);
        }
    }
}
