//! Dead letters as operators see them: which there are, what is in one, and sending them on.
//!
//! A letter belongs to one flow and one version's readers. Sending it on translates its message with the rules of now, for
//! these readers and nobody else, whether or not its id counts as done. The letter is settled when the broker has confirmed
//! the message: a crash between the two sends it on twice, and none loses it.

mod attempt;
mod letter;
mod redrive;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

pub use attempt::Outlook;
pub(super) use letter::next_order;
pub use letter::{Facts, Letter, REDRIVE};
pub use redrive::{Errand, Outcome, Redriven};

use super::broker::{Broker, Look, Lost};
use super::flow::Flow;
use crate::rules::channel::Address;

/// Letters of one address that are looked at: what lies behind them is seen when some of them are gone.
pub const DEEPEST: usize = 10_000;
/// How long one request may take. What is not done by then is left, and said to be.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this flow.
    pub flow: Option<String>,
    /// For this reason.
    pub reason: Option<String>,
    /// For the readers of this version.
    pub to: Option<String>,
    /// This one.
    pub id: Option<String>,
}

impl Filter {
    /// Whether a letter is meant.
    pub fn takes(&self, facts: &Facts) -> bool {
        let is = |wanted: &Option<String>, said: &String| wanted.as_ref().is_none_or(|wanted| wanted == said);
        is(&self.flow, &facts.flow)
            && is(&self.reason, &facts.reason)
            && is(&self.to, &facts.to)
            && is(&self.id, &facts.id)
    }
}

/// A row of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What the letter says.
    pub facts: Facts,
    /// Bytes of the message's body.
    pub size: usize,
    /// Where it is.
    pub at: Address,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Letters, each address's in their order.
    pub rows: Vec<Row>,
    /// Whether there are more than were asked for, or than are looked at.
    pub more: bool,
    /// Messages at these addresses that no flow has put there.
    pub others: u64,
    /// Addresses that could not be looked through, and why.
    pub problems: Vec<(Address, String)>,
}

/// The dead letters of some flows. One request at a time looks at them.
#[derive(Clone)]
pub struct Letters {
    flows: Vec<Flow>,
    one: Arc<Mutex<()>>,
}

impl Letters {
    /// Those of these flows; `one` is held while somebody looks.
    pub fn new(flows: Vec<Flow>, one: Arc<Mutex<()>>) -> Self {
        Self { flows, one }
    }

    /// The flow of a name.
    fn flow(&self, name: &str) -> Option<&Flow> {
        self.flows.iter().find(|flow| flow.status.name == name)
    }

    /// Every address that flows put letters at.
    fn addresses(&self, of: Option<&str>) -> BTreeMap<Address, Arc<dyn Broker>> {
        let flows = self.flows.iter().filter(|flow| of.is_none_or(|name| flow.status.name == name));
        flows.map(|flow| (flow.dead.1.clone(), flow.dead.0.clone())).collect()
    }

    /// Letters that a filter takes, up to `most`.
    pub async fn list(&self, filter: &Filter, most: usize) -> Listed {
        let until = Instant::now() + PATIENCE;
        let mut listed = Listed::default();
        let Ok(_one) = timeout_at(until, self.one.lock()).await else {
            listed.more = true;
            return listed;
        };
        for (address, broker) in self.addresses(filter.flow.as_deref()) {
            let looked = timeout_at(until, list_one(&*broker, &address, filter, most, &mut listed)).await;
            let looked = looked.unwrap_or_else(|_| Err(Lost("it did not answer in time".to_owned())));
            if let Err(Lost(why)) = looked {
                listed.problems.push((address, why));
            }
        }
        // A broker may give back what was looked at in another order.
        listed.rows.sort_by(|one, other| (&one.at, one.facts.order).cmp(&(&other.at, other.facts.order)));
        listed
    }

    /// One letter, and what the rules of now make of it.
    ///
    /// # Errors
    /// The letters cannot be looked through. None: there is no such letter.
    pub async fn show(&self, flow: &str, id: &str) -> Result<Option<(Row, Letter, Outlook)>, Lost> {
        let until = Instant::now() + PATIENCE;
        let late = |_| Lost("it did not answer in time".to_owned());
        let _one = timeout_at(until, self.one.lock()).await.map_err(late)?;
        let filter = Filter { flow: Some(flow.to_owned()), id: Some(id.to_owned()), ..Filter::default() };
        for (at, broker) in self.addresses(Some(flow)) {
            let found = timeout_at(until, find(&*broker, &at, &filter)).await.map_err(late)??;
            let Some(letter) = found else { continue };
            let outlook = self.flow(flow).map_or(Outlook::Gone, |flow| attempt::outlook(flow, &letter));
            let row = Row { facts: letter.facts.clone(), size: letter.message.body.len(), at };
            return Ok(Some((row, letter, outlook)));
        }
        Ok(None)
    }
}

async fn list_one(
    broker: &dyn Broker,
    address: &Address,
    filter: &Filter,
    most: usize,
    listed: &mut Listed,
) -> Result<(), Lost> {
    let mut look = broker.look(address, None).await?;
    let looked = async {
        for _ in 0..DEEPEST {
            let Some(found) = look.next().await? else { return Ok(()) };
            let Some(letter) = Letter::read(found.message) else {
                listed.others += 1;
                continue;
            };
            if !filter.takes(&letter.facts) {
                continue;
            }
            if listed.rows.len() >= most {
                listed.more = true;
                return Ok(());
            }
            listed.rows.push(Row { size: letter.message.body.len(), facts: letter.facts, at: address.clone() });
        }
        listed.more = true;
        Ok(())
    };
    let looked = looked.await;
    look.end().await;
    looked
}

/// The first letter that a filter takes.
async fn find(broker: &dyn Broker, address: &Address, filter: &Filter) -> Result<Option<Letter>, Lost> {
    let mut look = broker.look(address, None).await?;
    let found = find_in(&mut *look, filter).await;
    look.end().await;
    found
}

async fn find_in(look: &mut dyn Look, filter: &Filter) -> Result<Option<Letter>, Lost> {
    for _ in 0..DEEPEST {
        let Some(found) = look.next().await? else { return Ok(None) };
        if let Some(letter) = Letter::read(found.message).filter(|letter| filter.takes(&letter.facts)) {
            return Ok(Some(letter));
        }
    }
    Ok(None)
}
