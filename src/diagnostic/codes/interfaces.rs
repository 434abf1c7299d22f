//! Reading interface descriptions (OpenAPI files).

super::codes! {
    INTERFACES;

    S1 "not an OpenAPI 3.0 or 3.1 document",
    "The file that `openapi:` names must begin with `openapi: 3.0.x` or `openapi: 3.1.x` and have the shape of such a \
document: `paths` and `components` are maps, a schema is a map or (3.1) a boolean.",
    wrong "swagger: \"2.0\"\npaths: {}",
    mended "openapi: \"3.0.3\"\npaths: {}";

    S2 "a reference that leads nowhere",
    "A `$ref` must name a part of the same file that exists, for example `#/components/schemas/Order`. References into \
other files or over the network are not followed.",
    wrong "schema: {$ref: \"#/components/schemas/Ordr\"}",
    mended "schema: {$ref: \"#/components/schemas/Order\"}";
}
