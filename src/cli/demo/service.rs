//! What both sample services do alike: keep orders in memory, list, show, place, replace and delete them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::gateway::rfc3339;

/// One version's idea of an order.
pub(super) trait Resource: Clone + Serialize + DeserializeOwned + Send + 'static {
    /// Path of the list.
    const BASE: &'static str;
    /// Query parameter that says how many orders a page has.
    const PAGE_SIZE: &'static str;
    /// Whether the service knows `ETag` and `If-Match`.
    const TAGGED: bool;
    /// The orders that there are at the start, as JSON.
    const SEED: &'static str;

    fn id(&self) -> &str;
    fn created(&self) -> &str;
    fn stamp(&mut self, id: String, created: String);
    /// What the service does not accept.
    fn wrongs(&self) -> Vec<Wrong>;
    /// One page of the list.
    fn page(orders: Vec<Self>, total: usize) -> Response;
}

/// A field that is not acceptable, in its version's own terms.
#[derive(Debug, Serialize)]
pub(super) struct Wrong {
    pub(super) field: &'static str,
    pub(super) detail: &'static str,
}

/// A service's state.
struct Shop<T> {
    orders: Mutex<Vec<Kept<T>>>,
}

struct Kept<T> {
    order: T,
    /// Counts the writes, for the entity tag.
    revision: u64,
}

impl<T> Shop<T> {
    fn orders(&self) -> MutexGuard<'_, Vec<Kept<T>>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A service with its first orders.
///
/// # Errors
/// The seed is not a list of orders, which a test rules out.
pub(super) fn service<T: Resource>() -> Result<Router, serde_json::Error> {
    let seed: Vec<T> = serde_json::from_str(T::SEED)?;
    let orders = seed.into_iter().map(|order| Kept { order, revision: 1 }).collect();
    let shop = Arc::new(Shop { orders: Mutex::new(orders) });
    Ok(Router::new()
        .route(T::BASE, get(list::<T>).post(place::<T>))
        .route(&format!("{}/{{id}}", T::BASE), get(show::<T>).put(replace::<T>).delete(delete::<T>))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "There is no such resource", &[]) })
        .with_state(shop))
}

async fn list<T: Resource>(State(shop): State<Arc<Shop<T>>>, uri: Uri) -> Response {
    let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let asked = pairs.filter(|(name, _)| *name == T::PAGE_SIZE).find_map(|(_, value)| value.parse().ok());
    let orders = shop.orders();
    let page = orders.iter().rev().take(asked.unwrap_or(20)).map(|kept| kept.order.clone()).collect();
    T::page(page, orders.len())
}

async fn show<T: Resource>(State(shop): State<Arc<Shop<T>>>, Path(id): Path<String>) -> Response {
    match shop.orders().iter().find(|kept| kept.order.id() == id) {
        Some(kept) => answer(StatusCode::OK, kept),
        None => missing(),
    }
}

async fn place<T: Resource>(State(shop): State<Arc<Shop<T>>>, body: Bytes) -> Response {
    let mut order = match read::<T>(&body) {
        Ok(order) => order,
        Err(refusal) => return refusal,
    };
    let mut orders = shop.orders();
    let numbers = orders.iter().filter_map(|kept| kept.order.id().strip_prefix("ord_")?.parse::<u64>().ok());
    let id = format!("ord_{}", numbers.max().unwrap_or(1000) + 1);
    order.stamp(id, rfc3339(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()));
    let kept = Kept { order, revision: 1 };
    let mut response = answer(StatusCode::CREATED, &kept);
    if let Ok(location) = HeaderValue::from_str(&format!("{}/{}", T::BASE, kept.order.id())) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    orders.push(kept);
    response
}

async fn replace<T: Resource>(
    State(shop): State<Arc<Shop<T>>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut order = match read::<T>(&body) {
        Ok(order) => order,
        Err(refusal) => return refusal,
    };
    let mut orders = shop.orders();
    let Some(kept) = orders.iter_mut().find(|kept| kept.order.id() == id) else { return missing() };
    let wanted = headers.get(header::IF_MATCH).filter(|_| T::TAGGED).map(HeaderValue::as_bytes);
    if wanted.is_some_and(|wanted| wanted != b"*" && wanted != tag(kept).as_bytes()) {
        return problem(StatusCode::PRECONDITION_FAILED, "The order has changed", &[]);
    }
    order.stamp(id, kept.order.created().to_owned());
    *kept = Kept { order, revision: kept.revision + 1 };
    answer(StatusCode::OK, kept)
}

async fn delete<T: Resource>(State(shop): State<Arc<Shop<T>>>, Path(id): Path<String>) -> Response {
    let mut orders = shop.orders();
    let before = orders.len();
    orders.retain(|kept| kept.order.id() != id);
    if orders.len() < before { StatusCode::NO_CONTENT.into_response() } else { missing() }
}

/// An order that the service accepts, or its refusal.
#[expect(clippy::result_large_err, reason = "a refusal is a response, made once and returned at once")]
fn read<T: Resource>(body: &[u8]) -> Result<T, Response> {
    let order: T = serde_json::from_slice(body).map_err(|error| {
        let mut refusal = Problem::new(StatusCode::BAD_REQUEST, "The body is not an order", &[]);
        refusal.detail = Some(error.to_string());
        refusal.into_response()
    })?;
    let wrongs = order.wrongs();
    if wrongs.is_empty() {
        return Ok(order);
    }
    Err(problem(StatusCode::UNPROCESSABLE_ENTITY, "The order is not acceptable", &wrongs))
}

fn answer<T: Resource>(status: StatusCode, kept: &Kept<T>) -> Response {
    let mut response = (status, Json(&kept.order)).into_response();
    if let (true, Ok(tag)) = (T::TAGGED, HeaderValue::from_str(&tag(kept))) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

fn tag<T>(kept: &Kept<T>) -> String {
    format!("\"{}\"", kept.revision)
}

/// RFC 9457.
#[derive(Serialize)]
struct Problem<'w> {
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "<[Wrong]>::is_empty")]
    errors: &'w [Wrong],
}

impl<'w> Problem<'w> {
    fn new(status: StatusCode, title: &'static str, errors: &'w [Wrong]) -> Self {
        Self { title, status: status.as_u16(), detail: None, errors }
    }

    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(self)).into_response()
    }
}

fn problem(status: StatusCode, title: &'static str, errors: &[Wrong]) -> Response {
    Problem::new(status, title, errors).into_response()
}

fn missing() -> Response {
    problem(StatusCode::NOT_FOUND, "There is no such order", &[])
}

#[cfg(test)]
mod tests {
    use super::super::{orders_v1, orders_v2};
    use super::*;

    #[test]
    fn the_first_orders_are_orders() {
        assert!(service::<orders_v1::Order>().is_ok());
        assert!(service::<orders_v2::Order>().is_ok());
        let orders: Vec<orders_v2::Order> = serde_json::from_str(orders_v2::Order::SEED).unwrap();
        assert!(orders.iter().all(|order| order.wrongs().is_empty()));
        let orders: Vec<orders_v1::Order> = serde_json::from_str(orders_v1::Order::SEED).unwrap();
        assert!(orders.iter().all(|order| order.wrongs().is_empty()));
    }
}
