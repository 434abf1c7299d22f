//! Services that change together: all of a group are at one step, or none of them changes.

use crate::diagnostic::Span;

/// `lockstep: {group: checkout, step: 7}`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lockstep {
    /// What the services that change together have in common.
    pub group: String,
    /// Which change this is; the same in all of them.
    pub step: String,
    /// Where it is written.
    pub span: Span,
}

/// A service as the others of its group see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub service: String,
    /// Its group and step.
    pub lockstep: Lockstep,
    /// Whether its newest files are good.
    pub is_good: bool,
}

impl Lockstep {
    /// What keeps a service from changing now; `None`: nothing does.
    pub fn waits_for(&self, members: &[Member]) -> Option<String> {
        let of_group = || members.iter().filter(|one| one.lockstep.group == self.group);
        if let Some(refused) = of_group().find(|one| !one.is_good) {
            return Some(format!("`{}` of the group `{}` is refused", refused.service, self.group));
        }
        let other = of_group().find(|one| one.lockstep.step != self.step)?;
        let (group, step) = (&self.group, &other.lockstep.step);
        Some(format!("`{}` of the group `{group}` is at step `{step}`, this one at `{}`", other.service, self.step))
    }
}
