//! Reading rule and service files: is it text, YAML, and of the shape of a rule file?

super::codes! {
    READING;

    R1 "not YAML",
    "The file cannot be read as YAML 1.2. The usual reasons are tabs as indentation, a text with `: ` or ` #` inside \
that needs quotes, or a bracket that is never closed.",
    wrong "types:\n\tOrder: [id]",
    mended "types:\n  Order: [id]";

    R2 "a key is written twice",
    "A map may name each key once. YAML readers disagree about which of the two counts, so neither is used.",
    wrong "types:\n  Order: [id]\n  Order: [id, total]",
    mended "types:\n  Order: [id, total]";

    R3 "a part of YAML that rule files do not have",
    "Tags (`!include`), merge keys (`<<`), several documents in one file and keys that are lists or maps are refused, \
because their meaning depends on the reader. Anchors and aliases for whole values work.",
    wrong "types: !include types.yaml",
    mended "types:\n  Order: [id]";

    R4 "a value without an exact JSON meaning",
    "Values such as `012`, `1_000`, `0x1F`, `.5` or `.inf` are numbers to some readers and texts to others, and JSON \
has none of them. Put quotes around a text; write a number as JSON does.",
    wrong "- {added: code, default: 012}",
    mended "- {added: code, default: \"012\"}";

    R5 "an unknown key",
    "Every key must mean something here; one that does not is nearly always a slip of the pen, and ignoring it would \
silently leave a rule out.",
    wrong "- name = first + last: {splitt: \" \"}",
    mended "- name = first + last: {split: \" \"}";

    R6 "the wrong shape",
    "At this place the file needs something else: a list where a map stands, a text where a list stands, or a list \
that must not be empty.",
    wrong "types:\n  Order: id",
    mended "types:\n  Order: [id]";

    R7 "a key is missing",
    "This part cannot work without the key that the message names, and there is no safe value to assume for it.",
    wrong "# service.yaml\nnegotiate: [path]",
    mended "# service.yaml\nversions:\n  v1: {path: /v1, upstream: \"http://127.0.0.1:9101\"}";

    R8 "a place that cannot be read",
    "A place names one value of a document: `customer.name`, `$.customer.name`, `$['odd.key'].name`, `phones[0]`, \
`phones[type=home].number`, or `.` for the whole; `x-{name}` stands for every member of such a name. Wildcards, filters \
and slices select several; a list's elements are reached by `each`.",
    wrong "- lines[*].sku = items[*].sku",
    mended "- lines = items: {each: Line}";

    R9 "a rule that cannot be read",
    "A rule is a place (`id`), an equation (`old = new`, `old = new + new`), an equation with a codec \
(`old = new: {decimal: 2}`) or with a type (`old = new: Line`), or one of `{added: place}` and `{removed: place}`.",
    wrong "- name = = first",
    mended "- name = first";

    R10 "a route that cannot be read",
    "A route is `METHOD /path = METHOD /path`, the old side first. A path's segments are literal or one whole \
parameter (`{id}`); each parameter's name appears once a side.",
    wrong "- GET orders/{id} = GET /orders/{id}",
    mended "- GET /orders/{id} = GET /orders/{id}";

    R11 "a codec that cannot be used so",
    "A rule converts its value by at most one codec, and the codec must understand what it is given. \
`bifocal explain` followed by a codec's name shows its manual page.",
    wrong "- total = price: {decimal: 2, invert: true}",
    mended "- total = price: {decimal: 2}";

    R12 "declared twice",
    "A name may be declared once: a version in `service.yaml`, a type in a rule file (on either side), a response \
status in a route.",
    wrong "types:\n  Order = Purchase: [id]\n  Cart = Purchase: [id]",
    mended "types:\n  Order = Purchase: [id]\n  Cart = Basket: [id]";

    R13 "an unknown name",
    "A version must be declared in `service.yaml`, a type in the same rule file.",
    wrong "routes:\n  - GET /orders = GET /orders: {200: Ordr}",
    mended "routes:\n  - GET /orders = GET /orders: {200: Order}";

    R14 "a value that is not allowed here",
    "Addresses of services are `http://host:port` or `https://host`, with an optional base path, fixed in the file: no user \
information, no query, no placeholders, no link-local addresses (they reach the machine's own metadata services). Header \
names, host names and path prefixes must be valid as such. Shares of callers belong to versions that run, dates are days \
or moments (RFC 3339) in order, and what names a consumer is no secret.",
    wrong "versions:\n  v1: {upstream: \"http://169.254.169.254/\"}",
    mended "versions:\n  v1: {upstream: \"http://127.0.0.1:9101\"}";

    R15 "two things answer to one name",
    "A caller's request must lead to one service and one version. Names by which callers ask for a version, the \
versions' path prefixes, and the hosts and paths of services may therefore not coincide.",
    wrong "versions:\n  v1: {names: [\"1\"]}\n  v2: {names: [\"1\"]}",
    mended "versions:\n  v1: {names: [\"1\"]}\n  v2: {names: [\"2\"]}";

    R16 "a file that is not read",
    "Rule files are regular UTF-8 files inside the rules folder, within limits of size and number. Links may lead \
anywhere inside the folder (as Kubernetes mounts do) but not out of it.",
    wrong "rules/orders/v1-v2.yaml -> /etc/passwd",
    mended "rules/orders/v1-v2.yaml (a regular file)";

    R17 "the codec does not fit the number of places",
    "Most codecs convert one old place to one new place. Only codecs made for it join several, such as `split`: one \
old place, two new ones.",
    wrong "- name = first + last",
    mended "- name = first + last: {split: \" \", at: last}";

    R18 "a type that contains itself at the same place",
    "Recursive types are fine as long as each step goes deeper into the document. A rule that applies a type to the \
whole document (`.`) of that same type would never come to an end.",
    wrong "types:\n  Order: [\". = .\": Order]",
    mended "types:\n  Order: [parent = ancestor: Order]";

    R19 "a form that cannot be read",
    "A form looks like the value that it describes: `$name` stands for any value, `{name}` for a part of a text, \
`{$each: …}` for any number of elements, `\"...\": $rest` for all further members. A text that begins with `$` is written \
with `$$`, a literal brace is doubled.",
    wrong "- a = b: {wrap: {id: $a-b}}",
    mended "- a = b: {wrap: {id: $}}";

    R20 "a query that cannot be read",
    "Conditions and selections are queries of RFC 9535, such as `$.items[?@.kind == 'book']`. They are read once, when \
the rules are loaded.",
    wrong "- {removed: tax, from: \"$.taxes[*.amount\", reduce: sum, loss: \"made anew\"}",
    mended "- {removed: tax, from: \"$.taxes[*].amount\", reduce: sum, loss: \"made anew\"}";

    R21 "services that change together are not ready",
    "Services of one `lockstep` group change in one generation: when the newest files of all of them are good and name the \
same `step`. Until then all of them go on as they were. To change the group, write the new step into every service of it.",
    wrong "# rules/stock/service.yaml is still at step 6\nlockstep: {group: checkout, step: 7}",
    mended "# rules/stock/service.yaml says the same\nlockstep: {group: checkout, step: 7}";
}
