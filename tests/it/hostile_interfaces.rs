//! Interfaces as attackers and broken generators write them: always an answer, never a panic, never a long wait.

use std::fmt::Write as _;

use bifocal::contract::documents::Random;
use bifocal::rules::check_service;
use bifocal::rules::load::ServiceSources;

const SERVICE: &str = "\
versions:
  v1: {path: /v1, answered_by: v2, openapi: api/v1.yaml}
  v2: {path: /v2, upstream: \"http://127.0.0.1:9102\", openapi: api/v2.yaml}
";
const RULES: &str = "types:\n  S0: [p, {added: q}, {removed: r, loss: gone}]\nroutes:\n  - POST /a = POST /a\n";

fn run(old: &str, new: &str) {
    let texts = [("service.yaml", SERVICE), ("v1-v2.yaml", RULES), ("api/v1.yaml", old), ("api/v2.yaml", new)];
    let _ = check_service(&ServiceSources::from_texts("shop", texts));
}

/// Conjunctions whose every combination is another schema.
#[test]
fn bombs_of_schemas_end_at_a_limit() {
    let mut text = "openapi: \"3.1.0\"\ncomponents:\n  schemas:\n".to_owned();
    let to = |at: usize| format!("{{$ref: \"#/components/schemas/S{}\"}}", at % 40);
    for at in 0..40 {
        let both = format!("{{allOf: [{}, {}]}}", to(at + 1), to(at * 7 + 3));
        writeln!(
            text,
            "    S{at}: {{type: object, properties: {{p: {both}, q: {{allOf: [{}, {}]}}, r: {{type: array, items: {both}}}}}}}",
            to(at * 3 + 1),
            to(at * 5 + 2)
        )
        .unwrap();
    }
    run(&text, &text);
}

/// Long chains are deep only in the number of schemas, not in the stack.
#[test]
fn long_chains_do_not_overflow() {
    let mut text = "openapi: \"3.1.0\"\ncomponents:\n  schemas:\n".to_owned();
    for at in 0..20_000 {
        let next = at + 1;
        writeln!(
            text,
            "    S{at}: {{type: object, required: [p], properties: {{p: {{$ref: \"#/components/schemas/S{next}\"}}}}}}"
        )
        .unwrap();
    }
    writeln!(text, "    S20000: {{type: object}}").unwrap();
    run(&text, &text);
}

/// Documents with random cuts, copies and slips.
#[test]
fn damaged_documents_get_an_answer() {
    let sound = "openapi: \"3.0.3\"\npaths:\n  /a:\n    post:\n      parameters: [{name: x, in: query, schema: {type: integer, nullable: true}}]\n      requestBody: {content: {application/json: {schema: {$ref: \"#/components/schemas/S0\"}}}}\n      responses: {\"200\": {content: {application/json: {schema: {oneOf: [{$ref: \"#/components/schemas/S0\"}, {$ref: \"#/components/schemas/S1\"}], discriminator: {propertyName: p}}}}}, default: {description: no}}\ncomponents:\n  schemas:\n    S0: {type: object, required: [p], properties: {p: {type: string, enum: [a, b], minLength: 1}, q: {type: number, minimum: 1, exclusiveMaximum: true, maximum: 9, multipleOf: 0.5}, r: {type: array, minItems: 1, items: {$ref: \"#/components/schemas/S1\"}}}}\n    S1: {allOf: [{$ref: \"#/components/schemas/S0\"}, {additionalProperties: {type: boolean}}], anyOf: [{}, {not: {}}]}\n";
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let mut damaged: Vec<char> = sound.chars().collect();
        for _ in 0..=random.below(4) {
            let at = random.below(damaged.len());
            let end = (at + random.below(12)).min(damaged.len());
            match random.below(3) {
                0 => drop(damaged.drain(at..end)),
                1 => {
                    let copy: Vec<char> = damaged.get(at..end).unwrap_or_default().to_vec();
                    let to = random.below(damaged.len());
                    damaged.splice(to..to, copy);
                }
                _ => {
                    let slips: Vec<char> = "{}[]:,#\"0-x& \n".chars().collect();
                    if let (Some(place), Some(slip)) = (damaged.get_mut(at), random.pick(&slips)) {
                        *place = *slip;
                    }
                }
            }
        }
        let damaged: String = damaged.into_iter().collect();
        run(&damaged, sound);
        run(sound, &damaged);
    }
}
