//! The laws themselves: they hold for generated rule sets, they notice broken engines, and the engine agrees with the
//! executable specification where that is at hand.

#![expect(clippy::indexing_slicing, clippy::string_slice, reason = "a test ends by panicking")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bifocal::codecs::Direction;
use bifocal::contract::documents::{Generator, Random, Value};
use bifocal::contract::laws::{Engine, Law, Translator, verify_with};
use bifocal::contract::{Budget, Interface};
use bifocal::diagnostic::{Diagnostics, Style, to_text};
use bifocal::plan::{Fault, StepPlan};
use bifocal::rules::checked::{BoundCodec, CheckedKind, CheckedStep, TypeId, Verdict};
use bifocal::rules::load::ServiceSources;
use bifocal::rules::{Report, check_service};

const SERVICE: &str = "\
versions:
  v1: {path: /v1, answered_by: v2, openapi: api/v1.yaml}
  v2: {path: /v2, upstream: \"http://127.0.0.1:9102\", openapi: api/v2.yaml}
";

/// The first case of a corpus file.
fn sound(name: &str) -> Report {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/corpus/lens/{name}.md"));
    let text = std::fs::read_to_string(path).unwrap();
    let block = |file: &str| {
        let start = text.find(&format!("```yaml {file}\n")).unwrap() + 9 + file.len();
        text[start..].split("\n```").next().unwrap().to_owned()
    };
    check(&block("v1-v2.yaml"), &block("api/v1.yaml"), &block("api/v2.yaml"))
}

fn check(rules: &str, old: &str, new: &str) -> Report {
    let texts = [("service.yaml", SERVICE), ("v1-v2.yaml", rules), ("api/v1.yaml", old), ("api/v2.yaml", new)];
    check_service(&ServiceSources::from_texts("shop", texts))
}

/// Required laws that an engine breaks on a corpus case.
fn broken(name: &str, engine: impl FnOnce(&CheckedStep) -> Box<dyn Translator>) -> Vec<Law> {
    let report = sound(name);
    let step = &report.checked.as_ref().unwrap().steps[0];
    let mut engine = engine(step);
    let (old, new) = interfaces(&report);
    let budget = Budget { documents: 150, seed: 7 };
    let evidence = verify_with(step, &mut *engine, Some(old), Some(new), budget, &mut Diagnostics::default());
    let laws = evidence.types.iter().flat_map(|one| &one.laws);
    let mut found: Vec<Law> =
        laws.filter(|one| one.law.is_required() && one.counter_example.is_some()).map(|one| one.law).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn interfaces(report: &Report) -> (&Interface, &Interface) {
    (report.interfaces[0].as_ref().unwrap(), report.interfaces[1].as_ref().unwrap())
}

type Change = fn(Direction, &[u8], &mut Value);

/// An engine with one part replaced.
struct Mutant {
    plan: StepPlan,
    /// What writes back.
    puts: StepPlan,
    keeps_base: bool,
    change: Change,
}

impl Mutant {
    fn boxed(step: &CheckedStep, keeps_base: bool, change: Change) -> Box<dyn Translator> {
        let plan = || StepPlan::compile(step);
        Box::new(Self { plan: plan(), puts: plan(), keeps_base, change })
    }
}

impl Translator for Mutant {
    fn translate(&mut self, of: TypeId, direction: Direction, input: &[u8]) -> Result<Vec<u8>, Fault> {
        let text = Engine::new(&self.plan).translate(of, direction, input)?;
        let mut value = Value::parse(&text).unwrap();
        (self.change)(direction, input, &mut value);
        Ok(value.to_json())
    }

    fn put(&mut self, of: TypeId, old: &[u8], base: &[u8]) -> Result<Vec<u8>, Fault> {
        if !self.keeps_base {
            return self.translate(of, Direction::Up, old);
        }
        Engine::new(&self.puts).put(of, old, base)
    }
}

fn nothing(_: Direction, _: &[u8], _: &mut Value) {}

#[test]
fn a_whole_engine_breaks_no_law() {
    for name in ["name_split", "cents_to_money", "customer_list"] {
        assert_eq!(broken(name, |step| Mutant::boxed(step, true, nothing)), [], "{name}");
    }
}

#[test]
fn writing_without_a_base_is_noticed() {
    let laws = broken("customer_list", |step| Mutant::boxed(step, false, nothing));
    assert!(laws.contains(&Law::GetPut) && laws.contains(&Law::Local), "{laws:?}");
}

#[test]
fn a_naive_split_is_noticed() {
    fn naive(direction: Direction, input: &[u8], value: &mut Value) {
        let old = Value::parse(input).unwrap();
        if let (Direction::Up, Some(Value::String(name))) = (direction, old.get("name")) {
            let (first, last) = name.rsplit_once(' ').unwrap_or((name, "-"));
            value.set(&["first_name".to_owned()], Value::String(first.to_owned()));
            value.set(&["last_name".to_owned()], Value::String(last.to_owned()));
        }
    }
    let laws = broken("name_split", |step| Mutant::boxed(step, true, naive));
    assert!(laws.contains(&Law::ValidUp) && laws.contains(&Law::OldExact), "{laws:?}");
}

#[test]
fn decimals_by_float_are_noticed() {
    fn float(direction: Direction, input: &[u8], value: &mut Value) {
        let new = Value::parse(input).unwrap();
        let path = ["price".to_owned(), "value".to_owned()];
        if let (Direction::Down, Some(Value::String(text))) = (direction, new.at(&path)) {
            #[expect(clippy::cast_possible_truncation, reason = "the mistake under test")]
            let cents = (text.parse::<f64>().unwrap() * 100.0) as i64;
            value.set(&["amount".to_owned()], Value::Number(cents.to_string()));
        }
    }
    let laws = broken("cents_to_money", |step| Mutant::boxed(step, true, float));
    assert!(laws.contains(&Law::OldExact), "{laws:?}");
}

#[test]
fn lists_without_alignment_are_noticed_by_locality_alone() {
    let laws = broken("customer_list", |step| {
        let mut keyless = step.clone();
        for rule in keyless.types.iter_mut().flat_map(|one| &mut one.rules) {
            if let CheckedKind::Equation { codec: BoundCodec::Each { key, .. }, .. } = &mut rule.kind {
                *key = None;
            }
        }
        let (plan, puts) = (StepPlan::compile(step), StepPlan::compile(&keyless));
        Box::new(Mutant { plan, puts, keeps_base: true, change: nothing })
    });
    assert_eq!(laws, [Law::Local]);
}

/// One field of a generated rule set: its schema on both sides and what the rule says besides its places.
fn field(random: &mut Random) -> (String, String, String, usize) {
    let pick = |random: &mut Random, all: &[&str]| (*random.pick(all).unwrap()).to_owned();
    let plain = |schema: String| (schema.clone(), schema, String::new(), 1);
    match random.below(12) {
        0 => plain(format!("{{type: integer, minimum: {}, maximum: {}}}", random.below(9), 10 + random.below(99))),
        1 => plain(format!("{{type: string, minLength: {}, maxLength: {}}}", random.below(3), 3 + random.below(9))),
        2 => plain(pick(
            random,
            &["{type: number}", "{type: boolean}", "{type: [string, \"null\"]}", "{}", "{type: string, format: date}"],
        )),
        3 => plain(format!("{{type: array, minItems: {}, items: {{type: [integer, \"null\"]}}}}", random.below(3))),
        4 => plain(
            "{type: object, required: [p], properties: {p: {type: string}, q: {type: number, multipleOf: 0.5}}}"
                .to_owned(),
        ),
        5 => ("{type: boolean}".to_owned(), "{type: boolean}".to_owned(), "invert: true".to_owned(), 1),
        6 => {
            let scale = random.below(5);
            (
                "{type: integer}".to_owned(),
                format!("{{type: string, format: decimal{scale}}}"),
                format!("decimal: {scale}"),
                1,
            )
        }
        7 => (
            "{type: string, format: lower}".to_owned(),
            "{type: string, format: upper}".to_owned(),
            "case: [lower, upper]".to_owned(),
            1,
        ),
        8 => (
            "{type: string, format: intstr}".to_owned(),
            "{type: integer}".to_owned(),
            "type: [string, integer]".to_owned(),
            1,
        ),
        9 => (
            "{type: string, enum: [a, b]}".to_owned(),
            "{type: [string, integer], enum: [A, 7, C]}".to_owned(),
            "enum: [[a, A], [b, 7], [b, C]]".to_owned(),
            1,
        ),
        10 => (
            "{type: string, minLength: 1}".to_owned(),
            "{type: string, minLength: 1}".to_owned(),
            format!(
                "split: \"{}\", at: {}, fill: \"-\"",
                pick(random, &[" ", "b", "--"]),
                pick(random, &["first", "last"])
            ),
            2,
        ),
        _ => (
            "{type: [string, \"null\"], maxLength: 9}".to_owned(),
            "{type: array, items: {type: string, maxLength: 9}}".to_owned(),
            "head: true".to_owned(),
            1,
        ),
    }
}

/// The members of one side: at the root, and in one nested object.
#[derive(Default)]
struct Members {
    root: Vec<(String, String, bool)>,
    nested: Vec<(String, String, bool)>,
}

impl Members {
    /// Adds a member and answers its place.
    fn add(&mut self, name: String, schema: &str, is_required: bool, nested: bool) -> String {
        let member = (name.clone(), schema.to_owned(), is_required);
        if nested {
            self.nested.push(member);
            return format!("box.{name}");
        }
        self.root.push(member);
        name
    }

    fn schema(mut self) -> String {
        if !self.nested.is_empty() {
            let nested = object(&self.nested);
            self.root.push(("box".to_owned(), nested, true));
        }
        object(&self.root)
    }
}

fn object(members: &[(String, String, bool)]) -> String {
    let required: Vec<&str> = members.iter().filter(|one| one.2).map(|one| one.0.as_str()).collect();
    let properties: Vec<String> = members.iter().map(|(name, schema, _)| format!("{name}: {schema}")).collect();
    format!("{{type: object, required: [{}], properties: {{{}}}}}", required.join(", "), properties.join(", "))
}

/// A type's rules and its schemas. `below`: a type that one of its places holds.
fn generated_type(random: &mut Random, name: &str, below: Option<&str>) -> (String, [String; 2]) {
    let mut rules = format!("  {name}:\n    - id\n");
    let (mut old, mut new) = (Members::default(), Members::default());
    for side in [&mut old, &mut new] {
        side.add("id".to_owned(), "{type: integer}", true, false);
    }
    for number in 0..=random.below(6) {
        let (left, right, codec, parts) = field(random);
        // `head` knows no absent old value.
        let is_required = codec.starts_with("head") || random.chance(50);
        let left = old.add(format!("f{number}"), &left, is_required, random.chance(30));
        let nested = random.chance(30);
        let rights: Vec<String> =
            (0..parts).map(|part| new.add(format!("g{number}{part}"), &right, is_required, nested)).collect();
        writeln!(rules, "    - {left} = {}: {{{codec}}}", rights.join(" + ")).unwrap();
    }
    if let Some(below) = below {
        let reference = format!("{{$ref: \"#/components/schemas/{below}\"}}");
        let (schema, codec) = if random.chance(50) {
            (format!("{{type: array, items: {reference}}}"), format!("{{each: {below}, key: id}}"))
        } else {
            (reference, below.to_owned())
        };
        let left = old.add("inner".to_owned(), &schema, true, random.chance(30));
        let right = new.add("within".to_owned(), &schema, true, random.chance(30));
        writeln!(rules, "    - {left} = {right}: {codec}").unwrap();
    }
    if random.chance(50) {
        let place = new.add("fresh".to_owned(), "{type: string}", true, random.chance(30));
        writeln!(rules, "    - {{added: {place}, default: web}}").unwrap();
    }
    if random.chance(50) {
        let place = old.add("gone".to_owned(), "{type: [string, \"null\"]}", true, random.chance(30));
        writeln!(rules, "    - {{removed: {place}, default: null, loss: retired}}").unwrap();
    }
    // A required object needs a member that is always there.
    if !old.nested.is_empty() {
        let place = old.add("keep".to_owned(), "{type: integer}", true, true);
        writeln!(rules, "    - {{removed: {place}, default: 1, loss: retired}}").unwrap();
    }
    if !new.nested.is_empty() {
        let place = new.add("keep".to_owned(), "{type: integer}", true, true);
        writeln!(rules, "    - {{added: {place}, default: 1}}").unwrap();
    }
    (rules.replace(": {}\n", "\n"), [old.schema(), new.schema()])
}

#[test]
fn the_laws_hold_for_generated_rule_sets() {
    let (mut proven, mut rules_seen) = (0, 0);
    for seed in 0..25 {
        let mut random = Random::new(seed);
        let mut rules = "types:\n".to_owned();
        let head = "openapi: \"3.1.0\"\npaths: {}\ncomponents:\n  schemas:\n".to_owned();
        let mut interfaces = [head.clone(), head];
        let names = ["Outer", "Middle", "Inner"];
        for (at, name) in names.iter().enumerate() {
            let (text, schemas) = generated_type(&mut random, name, names.get(at + 1).copied());
            rules.push_str(&text);
            for (interface, schema) in interfaces.iter_mut().zip(schemas) {
                writeln!(interface, "    {name}: {schema}").unwrap();
            }
        }
        let [old, new] = &interfaces;
        let report = check(&rules, old, new);
        let found = to_text(&report.diagnostics, &report.sources, Style::Plain);
        assert!(
            report.diagnostics.is_empty() && report.checked.is_some(),
            "seed {seed}\n{found}\n{rules}\n{old}\n{new}"
        );
        let verdicts = report.verdicts();
        rules_seen += verdicts.len();
        proven += verdicts.iter().filter(|one| one.verdict == Verdict::Proven).count();
    }
    // Most of what is generated lies inside the decidable fragment.
    assert!(proven * 2 > rules_seen, "{proven} of {rules_seen}");
}

/// Without schemas the same rule sets load too; documents are then made by the rules.
#[test]
fn the_laws_hold_for_generated_rule_sets_without_schemas() {
    let service = SERVICE.replace(", openapi: api/v1.yaml", "").replace(", openapi: api/v2.yaml", "");
    for seed in 0..25 {
        let mut random = Random::new(seed);
        let mut rules = "types:\n".to_owned();
        let names = ["Outer", "Middle", "Inner"];
        for (at, name) in names.iter().enumerate() {
            rules.push_str(&generated_type(&mut random, name, names.get(at + 1).copied()).0);
        }
        let texts = [("service.yaml", service.as_str()), ("v1-v2.yaml", rules.as_str())];
        let report = check_service(&ServiceSources::from_texts("shop", texts));
        let found = to_text(&report.diagnostics, &report.sources, Style::Plain);
        assert!(report.diagnostics.is_empty() && report.checked.is_some(), "seed {seed}\n{found}\n{rules}");
        assert!(report.verdicts().iter().all(|one| one.verdict == Verdict::Tested));
    }
}

/// Where the executable specification lies; printed where it does not.
fn specification() -> Option<PathBuf> {
    let folder = std::env::var_os("BIFOCAL_LENS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/lens"), PathBuf::from);
    let runs = Command::new("python3").args(["-c", "import yaml"]).status().is_ok_and(|status| status.success());
    (folder.join("lens_proto.py").exists() && runs).then_some(folder)
}

const ORACLE: &str = r#"
import sys, json, copy
sys.path.insert(0, sys.argv[1])
import lens_proto as lens
example = lens.EX["examples"][sys.argv[2]]
rules = lens.resolve(copy.deepcopy(example["types"]), example["root"])
for line in sys.stdin:
    old, new = json.loads(line)
    print(json.dumps([lens.up(rules, old), lens.down(rules, new), lens.put(rules, old, new)]))
"#;

#[test]
fn the_engine_agrees_with_the_specification() {
    let Some(folder) = specification() else {
        eprintln!("skipped: no executable specification here (set BIFOCAL_LENS to its folder)");
        return;
    };
    for (name, root) in [("name_split", "Customer"), ("cents_to_money", "LineItem"), ("customer_list", "CustomerList")]
    {
        let report = sound(name);
        let step = &report.checked.as_ref().unwrap().steps[0];
        let (old, new) = interfaces(&report);
        let of = TypeId(step.types.iter().position(|one| one.name == root).unwrap());
        let mut random = Random::new(99);
        let documents: Vec<[Value; 2]> = (0..400)
            .map(|_| {
                [old, new].map(|interface| {
                    let mut generator = Generator::new(interface, &mut random);
                    // The specification knows unknown members at the root alone.
                    generator.unknown_members = false;
                    generator.document(interface.component(root).unwrap())
                })
            })
            .collect();
        let mut oracle = Command::new("python3")
            .args(["-c", ORACLE, folder.to_str().unwrap(), name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input: Vec<u8> = documents
            .iter()
            .flat_map(|pair| {
                let mut line = Value::Array(pair.to_vec()).to_json();
                line.push(b'\n');
                line
            })
            .collect();
        let mut stdin = oracle.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(&input).unwrap());
        let output = oracle.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success());
        let plan = StepPlan::compile(step);
        let mut engine = Engine::new(&plan);
        let lines: Vec<&[u8]> = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), documents.len());
        let mut compared = 0;
        for ([old, new], line) in documents.iter().zip(lines) {
            let (old, new) = (old.to_json(), new.to_json());
            let results = [
                engine.translate(of, Direction::Up, &old),
                engine.translate(of, Direction::Down, &new),
                engine.put(of, &old, &new),
            ];
            // Two elements of one key are refused at run time; the specification takes the first.
            if results[2].as_ref().is_err_and(|fault| fault.detail.contains("expected") && fault.detail.contains("key"))
            {
                continue;
            }
            let actual = Value::Array(results.map(|text| Value::parse(&text.unwrap()).unwrap()).to_vec());
            let expected = Value::parse(line).unwrap();
            compared += 1;
            assert!(
                actual.same(&expected),
                "{name}\nold: {}\nnew: {}\nexpected: {}\nactual:   {}",
                String::from_utf8_lossy(&old),
                String::from_utf8_lossy(&new),
                String::from_utf8_lossy(&expected.to_json()),
                String::from_utf8_lossy(&actual.to_json())
            );
        }
        assert!(compared > 50, "{name}: {compared}");
    }
}
