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

    S3 "a keyword with a value that it cannot have",
    "A keyword of an OpenAPI document has a value of the wrong shape: `type` names no type of JSON Schema, `minLength` \
is not a whole number, a parameter has no `in`. What it means can only be guessed, so it is refused.",
    wrong "type: strng",
    mended "type: string";

    S4 "references that lead in a circle",
    "A schema may refer to itself through a property or a list's elements, but not through `$ref` or `allOf` alone: \
such a schema has no content.",
    wrong "A: {$ref: \"#/components/schemas/A\"}",
    mended "A: {type: object, properties: {next: {$ref: \"#/components/schemas/A\"}}}";
}
