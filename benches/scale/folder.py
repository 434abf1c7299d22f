"""Rules folders as large as one likes: services with routes that rename one member and convert another."""

import json
import pathlib


def write(root, services, routes, upstream="http://127.0.0.1:9", schemas=False):
    """Writes `services` services with `routes` routes each below `root`; with `schemas`, each version has an interface."""
    for number in range(services):
        write_service(pathlib.Path(root) / name(number), number, routes, upstream, schemas)


def name(number):
    return f"s{number:04}"


def write_service(folder, number, routes, upstream, schemas, member="total"):
    folder.mkdir(parents=True, exist_ok=True)
    interface = lambda version: f", openapi: openapi/{version}.json" if schemas else ""
    (folder / "service.yaml").write_text(
        f"match: {{paths: [/{name(number)}]}}\n"
        f"versions:\n  v1: {{names: ['1']{interface('v1')}}}\n"
        f"  v2: {{names: ['2'], upstream: \"{upstream}\"{interface('v2')}}}\n"
        "negotiate: [{header: API-Version}]\ndefault: v2\n"
    )
    rules = ["types:", "  Item:", "    - id", f"    - amount = {member}: {{decimal: 2}}", "    - label = title", "routes:"]
    # Interfaces say of which type a body is.
    of = "" if schemas else ": {200: Item}"
    paths = (f"/{name(number)}/r{route}/{{id}}" for route in range(routes))
    rules += [f"  - GET {path} = GET {path}{of}" for path in paths]
    (folder / "v1-v2.yaml").write_text("\n".join(rules) + "\n")
    if schemas:
        (folder / "openapi").mkdir(exist_ok=True)
        text = {"type": "string"}
        old = {"id": text, "amount": {"type": "integer"}, "label": text}
        new = {"id": text, member: {"type": "string", "format": "decimal2"}, "title": text}
        for version, properties in [("v1", old), ("v2", new)]:
            document = interface_of(version, number, routes, properties)
            (folder / "openapi" / f"{version}.json").write_text(json.dumps(document))


def interface_of(version, number, routes, properties):
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}}
    operation = {
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
        "responses": {"200": {"description": "found", "content": content}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "scale", "version": version},
        "paths": {f"/{name(number)}/r{route}/{{id}}": {"get": operation} for route in range(routes)},
        "components": {"schemas": {"Item": {"type": "object", "required": list(properties), "properties": properties}}},
    }
