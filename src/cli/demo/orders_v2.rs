//! The new sample service: the same orders, thought of again.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::service::{Resource, Wrong};

/// One order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    #[serde(default)]
    id: String,
    customer: Customer,
    shipping_address: Address,
    status: Status,
    price: Money,
    tax_exempt: bool,
    notes: Vec<String>,
    #[serde(default)]
    created_at: String,
    items: Vec<Item>,
    channel: Channel,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Customer {
    first_name: String,
    last_name: String,
    email: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Address {
    line1: String,
    city: String,
    postal_code: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Status {
    Open,
    Shipped,
    Delivered,
    Cancelled,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Money {
    /// With two decimals.
    value: String,
    currency: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Item {
    id: i64,
    product_id: String,
    name: String,
    quantity: i64,
    unit_price: String,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Channel {
    Web,
    Shop,
    Phone,
}

#[derive(Serialize)]
struct Page {
    data: Vec<Order>,
    meta: Meta,
}

#[derive(Serialize)]
struct Meta {
    total: usize,
}

impl Resource for Order {
    const BASE: &'static str = "/v2/orders";
    const PAGE_SIZE: &'static str = "limit";
    const TAGGED: bool = true;
    const SEED: &'static str = include_str!("orders_v2.json");

    fn id(&self) -> &str {
        &self.id
    }

    fn created(&self) -> &str {
        &self.created_at
    }

    fn stamp(&mut self, id: String, created: String) {
        (self.id, self.created_at) = (id, created);
    }

    fn wrongs(&self) -> Vec<Wrong> {
        let mut wrongs = Vec::new();
        let mut refuse = |is_wrong: bool, field, detail| {
            if is_wrong {
                wrongs.push(Wrong { field, detail });
            }
        };
        refuse(self.customer.first_name.trim().is_empty(), "customer.first_name", "must not be empty");
        refuse(!self.customer.email.contains('@'), "customer.email", "must be an e-mail address");
        refuse(!is_amount(&self.price.value), "price.value", "must be an amount of zero or more with two decimals");
        let is_wrong = |item: &Item| item.quantity < 1 || !is_amount(&item.unit_price);
        refuse(self.items.iter().any(is_wrong), "items", "each needs a quantity of at least 1 and a price");
        wrongs
    }

    fn page(orders: Vec<Self>, total: usize) -> Response {
        Json(Page { data: orders, meta: Meta { total } }).into_response()
    }
}

/// `125.97`
fn is_amount(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.').is_some_and(|(whole, cents)| digits(whole) && digits(cents) && cents.len() == 2)
}
