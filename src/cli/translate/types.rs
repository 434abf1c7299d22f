//! Documents of a type, through every step between two versions.

use super::documents::LARGEST;
use super::{limits, unknown};
use crate::json::{MAX_DEPTH, Tree};
use crate::plan::{Direction, Scratch, ServicePlan, StepPlan, Stream, StreamLimits, Streamed, TypeId};
use crate::rules::checked::{CheckedService, CheckedStep, CheckedType, Origin};

/// A type's way from one version to another.
pub(super) struct TypeLine<'p> {
    direction: Direction,
    /// In the order of the way.
    steps: Vec<(&'p StepPlan, TypeId)>,
    /// The live document as each step's newer version sees it.
    bases: Vec<Option<Vec<u8>>>,
    scratch: Scratch,
    /// How documents are translated while they are read, if they can be.
    streamed: Option<Streamed>,
    /// How lists of documents are, where a list is no document of the type itself.
    listed: Option<Streamed>,
}

impl<'p> TypeLine<'p> {
    /// Follows a type from version to version by the names of its schemas.
    ///
    /// # Errors
    /// A step has no such type; a base that cannot be used.
    pub(super) fn new(
        checked: &CheckedService,
        plan: &'p ServicePlan,
        (from, to): (usize, usize),
        of: &str,
        base: Option<Vec<u8>>,
    ) -> Result<Self, String> {
        let direction = if from <= to { Direction::Up } else { Direction::Down };
        let indices: Vec<usize> = if from <= to { (from..to).collect() } else { (to..from).rev().collect() };
        let mut name = of.to_owned();
        let mut steps = Vec::new();
        for index in indices {
            let (Some(step), Some(compiled)) = (checked.steps.get(index), plan.steps.get(index)) else { continue };
            let (id, next) = find(step, direction, &name)?;
            steps.push((compiled, id));
            name = next;
        }
        let all = |one: &dyn Fn(&StepPlan, TypeId) -> Option<Streamed>| {
            let ways: Option<Vec<Streamed>> = steps.iter().map(|(step, id)| one(step, *id)).collect();
            ways?.into_iter().reduce(Streamed::then).filter(|_| base.is_none())
        };
        let streamed = all(&|step, id| step.streamed(id, direction));
        let listed = all(&|step, id| step.streamed_list(id, direction));
        let mut line = Self { direction, steps, bases: Vec::new(), scratch: Scratch::default(), streamed, listed };
        line.bases = line.bases(base)?;
        Ok(line)
    }

    /// Whether large documents can be translated while they are read.
    pub(super) fn streams(&self) -> bool {
        self.streamed.is_some() || self.listed.is_some()
    }

    /// Begins a document that is translated while it is read.
    pub(super) fn begin(&self, text: &[u8]) -> Option<Stream> {
        let is_list = text.trim_ascii_start().first() == Some(&b'[');
        let listed = self.listed.as_ref();
        let streamed = listed.filter(|_| is_list).or(self.streamed.as_ref()).or(listed)?;
        Some(Stream::new(streamed, StreamLimits { element: LARGEST, limits: limits() }))
    }

    /// The base at the end of the way, and before every step what it is there.
    fn bases(&mut self, base: Option<Vec<u8>>) -> Result<Vec<Option<Vec<u8>>>, String> {
        let mut bases = vec![None; self.steps.len()];
        let Some(mut base) = base else { return Ok(bases) };
        if self.direction == Direction::Down {
            return Err("--base is a document of the newer version; nothing is put onto it on the way down".to_owned());
        }
        let unfit = |error: &dyn std::fmt::Display| format!("the base document: {error}");
        Tree::parse(&base, MAX_DEPTH).map_err(|error| unfit(&error))?;
        for (slot, (step, id)) in bases.iter_mut().zip(&self.steps).rev() {
            let mut older = Vec::new();
            let down = step.translate(*id, Direction::Down, &base, &mut older, &mut self.scratch, limits());
            down.map_err(|fault| unfit(&fault))?;
            *slot = Some(std::mem::replace(&mut base, older));
        }
        Ok(bases)
    }

    /// # Errors
    /// Why this document cannot be translated.
    pub(super) fn translate(&mut self, document: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let document = document.trim_ascii();
        if let Some(listed) = self.listed.as_ref().filter(|_| document.first() == Some(&b'[')) {
            let mut stream = Stream::new(listed, StreamLimits { element: LARGEST, limits: limits() });
            let done = stream.push(document, out).and_then(|()| stream.finish(out));
            return done.map_err(|fault| fault.to_string());
        }
        let mut current = document.to_vec();
        for ((step, id), base) in self.steps.iter().zip(&self.bases) {
            let mut next = Vec::with_capacity(current.len() + current.len() / 4);
            let done = match base {
                Some(base) => step.put(*id, &current, base, &mut next, limits()),
                None => step.translate(*id, self.direction, &current, &mut next, &mut self.scratch, limits()),
            };
            done.map_err(|fault| fault.to_string())?;
            current = next;
        }
        out.extend_from_slice(&current);
        Ok(())
    }
}

/// The type that a step's source side calls `name`, and what its target side calls it.
fn find(step: &CheckedStep, direction: Direction, name: &str) -> Result<(TypeId, String), String> {
    let names = |of: &CheckedType| match (&of.origin, direction) {
        (Origin::Named { old, new }, Direction::Up) => Some((old.clone(), new.clone())),
        (Origin::Named { old, new }, Direction::Down) => Some((new.clone(), old.clone())),
        _ => None,
    };
    let known: Vec<(TypeId, (String, String))> =
        step.types.iter().enumerate().filter_map(|(index, of)| Some((TypeId(index), names(of)?))).collect();
    let own = known.iter().find(|(_, (source, _))| source == name);
    // The rules' own name of a type is that of its old schema.
    let found = own.or_else(|| known.iter().find(|(_, (_, target))| target == name));
    match found {
        Some((id, (_, target))) => Ok((*id, target.clone())),
        None => Err(unknown("type", name, known.iter().map(|(_, (source, _))| source.as_str()))),
    }
}
