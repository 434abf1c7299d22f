//! The laws on types whose rules say more than one codec between plain places: on their examples, changed.

use bifocal::contract::{Budget, Documents, verify_service};
use bifocal::diagnostic::{Diagnostics, Style, to_text};
use bifocal::rules::load::ServiceSources;
use bifocal::rules::{Held, Report, check_again, check_service};

const SERVICE: &str = "versions: {v1: {}, v2: {upstream: \"http://127.0.0.1:1\"}}\n";

fn sources(rules: &str) -> ServiceSources {
    ServiceSources::from_texts("shop", [("service.yaml", SERVICE), ("v1-v2.yaml", rules)])
}

fn found(report: &Report) -> String {
    to_text(&report.diagnostics, &report.sources, Style::Plain)
}

/// What an example of `total` in cents as `price` shows is true of it alone.
const WRONG: &str = "\
types:
  Order:
    - total = price: {cel: {up: \"value * 100\", down: \"value\"}}
examples:
  - {type: Order, old: {total: 0}, new: {price: 0}}
";

#[test]
fn an_expression_that_does_not_come_back_is_refused() {
    let text = found(&check_service(&sources(WRONG)));
    assert!(text.contains("error[E14]: `Order` breaks OldExact: "), "{text}");
    assert!(text.contains("old: {\"total\":1}"), "the smallest document: {text}");
    let right = WRONG.replace("\"value\"", "\"value / 100\"");
    assert_eq!(found(&check_service(&sources(&right))), "");
}

#[test]
fn a_condition_on_one_way_alone_loses_what_it_leaves_behind() {
    let rules = |when: &str| {
        format!(
            "types:\n  Pay:\n    - id\n    - note = remark: {{when: {when}}}\nexamples:\n\
             \x20 - {{type: Pay, old: {{id: 1, note: x}}, new: {{id: 1, remark: x}}}}\n\
             \x20 - {{type: Pay, old: {{id: 2, hidden: true}}, new: {{id: 2, hidden: true}}}}\n"
        )
    };
    let text = found(&check_service(&sources(&rules("{old: \"!$.hidden\"}"))));
    assert!(text.contains("`Pay` breaks OldExact"), "{text}");
    assert_eq!(found(&check_service(&sources(&rules("\"!$.hidden\"")))), "");
}

#[test]
fn evidence_says_where_documents_came_from() {
    let rules = "types:\n  T: [a = b: {wrap: {x: $}}]\n  U: [a = b: {wrap: {x: $}}]\n\
                 examples:\n  - {type: T, old: {a: 1}, new: {b: {x: 1}}}\n";
    let report = check_service(&sources(rules));
    assert_eq!(found(&report), "");
    let budget = Budget { documents: 30, seed: 1 };
    let evidence = verify_service(report.checked.as_ref().unwrap(), &[], budget, &mut Diagnostics::default());
    let types: Vec<_> = evidence.iter().flat_map(|step| &step.types).collect();
    let [only] = types.as_slice() else { panic!("a type without examples has nothing to be tried on: {types:?}") };
    assert_eq!((only.name.as_str(), only.documents), ("T", Documents::Examples));
    assert!(only.laws.iter().all(|law| law.documents > 10), "{:?}", only.laws);
}

#[test]
fn what_held_is_not_tried_again() {
    let held = Held::default();
    let good = "types:\n  T: [a = b]\nexamples:\n  - {type: T, old: {a: 1}, new: {b: 1}}\n";
    for _ in 0..3 {
        assert_eq!(found(&check_again(&sources(good), &held)), "");
    }
    assert_eq!(held.tried(), 1);
    assert_eq!(found(&check_again(&sources(&good.replace('b', "c")), &held)), "");
    assert_eq!(held.tried(), 2);
    // What did not hold is found again.
    for tries in 3..5 {
        assert!(found(&check_again(&sources(WRONG), &held)).contains("E14"));
        assert_eq!(held.tried(), tries);
    }
}

#[test]
fn one_changed_step_of_a_line_is_tried_alone() {
    let service = "versions: {v1: {}, v2: {}, v3: {upstream: \"http://127.0.0.1:1\"}}\n";
    let rules = |last: &str| {
        let (first, last) = ("types:\n  T: [a = b]\n".to_owned(), format!("types:\n  T: [b = {last}]\n"));
        let texts = [("service.yaml", service), ("v1-v2.yaml", &*first), ("v2-v3.yaml", &*last)];
        ServiceSources::from_texts("shop", texts)
    };
    let held = Held::default();
    assert!(check_again(&rules("c"), &held).checked.is_some());
    assert_eq!(held.tried(), 2);
    assert!(check_again(&rules("d"), &held).checked.is_some());
    assert_eq!(held.tried(), 3);
}

/// A line of three versions with large interfaces; the newest one has `more` in it.
fn with_interfaces(rule: &str, more: &str) -> ServiceSources {
    let interface = |name: &str, more: &str| {
        let long = "x".repeat(200 << 10);
        let item = format!("{{type: object, required: [{name}], properties: {{{name}: {{type: string}}}}}}");
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1', description: {long}}}\npaths: {{}}\n\
             components: {{schemas: {{T: {item}{more}}}}}\n"
        )
    };
    let service = "versions:\n  v1: {openapi: o/1.yaml}\n  v2: {openapi: o/2.yaml}\n  \
                   v3: {openapi: o/3.yaml, upstream: \"http://127.0.0.1:1\"}\n";
    let (first, last) = ("types:\n  T: [a = b]\n", format!("types:\n  T: [{rule}]\n"));
    let [one, two, three] = [interface("a", ""), interface("b", ""), interface("c", more)];
    let texts = [("service.yaml", service), ("v1-v2.yaml", first), ("v2-v3.yaml", &last)];
    let interfaces = [("o/1.yaml", &*one), ("o/2.yaml", &*two), ("o/3.yaml", &*three)];
    ServiceSources::from_texts("shop", texts.into_iter().chain(interfaces))
}

#[test]
fn a_large_interface_is_read_once() {
    let held = Held::default();
    for rule in ["b = c", "b: c", "b = c"] {
        let report = check_again(&with_interfaces(rule, ""), &held);
        // What is remembered says the same as what is read, spans included.
        let fresh = check_again(&with_interfaces(rule, ""), &Held::default());
        assert_eq!(found(&report), found(&fresh));
        assert_eq!(report.checked.is_some(), rule == "b = c");
        assert_eq!(held.interfaces_read(), 3);
    }
    assert!(check_again(&with_interfaces("b = c", ", U: {type: string}"), &held).checked.is_some());
    assert_eq!(held.interfaces_read(), 4);
    // One with findings is read, and its findings are told, every time.
    for read in 5..7 {
        let report = check_again(&with_interfaces("b = c", ", U: {$ref: '#/nowhere'}"), &held);
        assert!(!report.diagnostics.is_empty());
        assert_eq!(held.interfaces_read(), read);
    }
}
