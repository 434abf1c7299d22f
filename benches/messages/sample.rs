//! The order that is carried, and the shipped rules for it.

use std::sync::Arc;

use bifocal::plan::ServicePlan;
use bifocal::rules::check_service;
use bifocal::rules::load::ServiceSources;

use super::broker_process::Kind;
use super::carrier::Told;

/// About 1 KB, with members that no rule names: that of `benches/translate.rs`.
pub(super) const ORDER: &str = include_str!("order.json");

/// The shipped rules, for a channel from old orders to new ones.
pub(super) fn plan(told: &Told) -> Arc<ServicePlan> {
    let address = |name: &str| match told.kind {
        Kind::Rabbit => format!("{{broker: m, queue: {name}}}"),
        Kind::Nats => format!("{{broker: m, subject: {name}, stream: S-{name}}}"),
    };
    let dedup = if told.seen == "none" { "    dedup: off\n" } else { "" };
    let service = format!(
        "{}channels:\n  orders:\n{dedup}    versions:\n      v1: {{ingress: {}}}\n      v2: {{egress: {}}}\n",
        include_str!("../../rules/orders/service.yaml"),
        address(&told.from),
        address(&told.to)
    );
    let rules = format!("{}messages:\n  orders: Order\n", include_str!("../../rules/orders/v1-v2.yaml"));
    let texts = [
        ("service.yaml", service.as_str()),
        ("v1-v2.yaml", &rules),
        ("openapi/v1.yaml", include_str!("../../rules/orders/openapi/v1.yaml")),
        ("openapi/v2.yaml", include_str!("../../rules/orders/openapi/v2.yaml")),
    ];
    let report = check_service(&ServiceSources::from_texts("orders", texts));
    let Some(checked) = &report.checked else { panic!("the rules are refused: {:?}", report.diagnostics) };
    Arc::new(ServicePlan::compile(checked))
}
