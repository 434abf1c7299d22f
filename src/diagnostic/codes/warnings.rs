//! What works, but is probably not meant.

super::codes! {
    WARNINGS;

    W1 "a type that nothing uses",
    "No route, rule or example leads to this type, so its rules never run. Delete it, or use it where its documents \
appear: in a route's `request` or responses, or in another type's rule.",
    wrong "types:\n  Order: [id]\n  Line: [sku]\nroutes:\n  - GET /orders/{id} = GET /orders/{id}: {200: Order}",
    mended "types:\n  Order: [id, lines: {each: Line}]\n  Line: [sku]\nroutes:\n  - GET /orders/{id} = GET /orders/{id}: {200: Order}";
}
