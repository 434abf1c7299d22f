//! stub, replaced by merge
use crate::json::Tree;
use super::PlaceError;
/// q
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query(String);
/// c
#[derive(Debug)]
pub struct TooCostly;
impl Query {
    /// p
    pub fn parse(text: &str) -> Result<Self, PlaceError> { Ok(Self(text.to_owned())) }
    /// t
    pub fn text(&self) -> &str { &self.0 }
    /// s
    pub fn select<'t, 'a>(&self, root: &'t Tree<'a>) -> Result<Vec<&'t Tree<'a>>, TooCostly> { Ok(vec![root]) }
    /// m
    pub fn matches(&self, root: &Tree<'_>) -> Result<bool, TooCostly> { self.select(root).map(|s| !s.is_empty()) }
}
