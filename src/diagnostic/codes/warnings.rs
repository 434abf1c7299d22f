//! What works, but is probably not meant.

super::codes! {
    WARNINGS;

    W1 "a type that nothing uses",
    "No route, rule or example leads to this type, so its rules never run. Delete it, or use it where its documents \
appear: in a route's `request` or responses, or in another type's rule.",
    wrong "types:\n  Order: [id]\n  Line: [sku]\nroutes:\n  - GET /orders/{id} = GET /orders/{id}: {200: Order}",
    mended "types:\n  Order: [id, lines: {each: Line}]\n  Line: [sku]\nroutes:\n  - GET /orders/{id} = GET /orders/{id}: {200: Order}";

    W2 "a type without a schema of its name",
    "The interface has no schema of this name under `components/schemas`, and no route or other type leads to one, so \
the type's rules cannot be proven: their verdict is \"tested\". Where the schema's name differs between the versions, \
write `Old = New: [...]`.",
    wrong "# the schemas are Order and Purchase\ntypes:\n  Order: [id]",
    mended "types:\n  Order = Purchase: [id]";

    W3 "a route that the interface does not describe",
    "The OpenAPI file has no operation of this method and path (names of parameters do not matter), so its messages \
cannot be proven and nothing is derived for it.",
    wrong "# the file describes /orders/{id}\nroutes:\n  - GET /order/{id} = GET /orders/{id}",
    mended "routes:\n  - GET /orders/{id} = GET /orders/{id}";

    W4 "an old write replaces what only the new side knows",
    "The body of this `PUT` has members that only the new interface knows (`added`). Written as it is, the old \
caller's document would set them to their defaults. `write: merge` reads the live document first and changes only what \
the old caller changed; `write: replace` says that the defaults are meant. A `PATCH` sends a part of a document: it is \
translated as a part, and no defaults are written.",
    wrong "- PUT /orders/{id} = PUT /orders/{id}: {request: Order}",
    mended "- PUT /orders/{id} = PUT /orders/{id}: {write: merge, request: Order}";
}
