//! The places that a rule names on either side, and what it does to how deep values lie.

use crate::codecs::nesting;
use crate::path::Place;
use crate::rules::checked::{BoundCodec, CheckedKind};

pub(super) fn olds(kind: &CheckedKind) -> &[Place] {
    match kind {
        CheckedKind::Equation { olds, .. } => olds,
        CheckedKind::Removed { place, .. } => std::slice::from_ref(place),
        CheckedKind::Added { .. } | CheckedKind::Mapping(_) => &[],
    }
}

pub(super) fn news(kind: &CheckedKind) -> &[Place] {
    match kind {
        CheckedKind::Equation { news, .. } => news,
        CheckedKind::Added { place, .. } => std::slice::from_ref(place),
        CheckedKind::Removed { .. } | CheckedKind::Mapping(_) => &[],
    }
}

pub(super) fn olds_mut(kind: &mut CheckedKind) -> &mut [Place] {
    match kind {
        CheckedKind::Equation { olds, .. } => olds,
        CheckedKind::Removed { place, .. } => std::slice::from_mut(place),
        CheckedKind::Added { .. } | CheckedKind::Mapping(_) => &mut [],
    }
}

pub(super) fn news_mut(kind: &mut CheckedKind) -> &mut [Place] {
    match kind {
        CheckedKind::Equation { news, .. } => news,
        CheckedKind::Added { place, .. } => std::slice::from_mut(place),
        CheckedKind::Removed { .. } | CheckedKind::Mapping(_) => &mut [],
    }
}

/// How much deeper a value may be nested behind the rule than before it, the place apart.
pub(super) fn deepens(kind: &CheckedKind) -> usize {
    let (codec, default) = match kind {
        CheckedKind::Equation { codec: BoundCodec::Value(codec), default, .. } => (codec.deepens(), default),
        CheckedKind::Equation { default, .. }
        | CheckedKind::Added { default, .. }
        | CheckedKind::Removed { default, .. } => (0, default),
        CheckedKind::Mapping(_) => return usize::MAX,
    };
    codec.max(default.as_deref().map_or(0, nesting))
}
