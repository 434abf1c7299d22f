//! The old sample service: orders as they were first thought of.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::service::{Resource, Wrong};

/// One order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    #[serde(default)]
    id: String,
    customer_name: String,
    email: String,
    street: String,
    city: String,
    zip: String,
    state: State,
    /// In hundredths.
    total: i64,
    currency: String,
    taxable: bool,
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    created: String,
    lines: Vec<Line>,
    #[serde(default)]
    fax: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Open,
    Shipped,
    Closed,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Line {
    id: i64,
    sku: String,
    title: String,
    qty: i64,
    price: i64,
}

impl Resource for Order {
    const BASE: &'static str = "/orders";
    const PAGE_SIZE: &'static str = "per_page";
    const TAGGED: bool = false;
    const SEED: &'static str = include_str!("orders_v1.json");

    fn id(&self) -> &str {
        &self.id
    }

    fn created(&self) -> &str {
        &self.created
    }

    fn stamp(&mut self, id: String, created: String) {
        (self.id, self.created) = (id, created);
    }

    fn wrongs(&self) -> Vec<Wrong> {
        let mut wrongs = Vec::new();
        let mut refuse = |is_wrong: bool, field, detail| {
            if is_wrong {
                wrongs.push(Wrong { field, detail });
            }
        };
        refuse(self.customer_name.trim().is_empty(), "customer_name", "must not be empty");
        refuse(!self.email.contains('@'), "email", "must be an e-mail address");
        refuse(self.total < 0, "total", "must not be negative");
        refuse(self.lines.iter().any(|line| line.qty < 1), "lines", "each quantity must be at least 1");
        wrongs
    }

    fn page(orders: Vec<Self>, total: usize) -> Response {
        ([("x-total-count", total.to_string())], Json(orders)).into_response()
    }
}
