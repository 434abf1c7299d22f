//! Carries out what is ordered, away from whoever asked for it: that somebody goes away does not end it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch as channel};
use tokio::task::{AbortHandle, JoinHandle};

use super::counts::Open;
use super::entry::Background;
use super::operation::{self, State};
use super::order::{Answer, Order};
use super::{Asynchronous, carry};
use crate::gateway::App;
use crate::gateway::record::Facts;
use crate::gateway::tls::Connector;
use crate::gateway::trouble::{Kind, Trouble};
use crate::gateway::upstream::Upstreams;
use crate::store::{Store, StoreError, now};

/// Between two rounds of letting go of what has ended.
const SWEEPS: Duration = Duration::from_secs(30);
/// Longer than any operation may take.
const PATIENT: Duration = Duration::from_secs(400 * 24 * 3600);

/// What there is to do.
#[derive(Debug)]
pub(in crate::gateway) enum Task {
    /// An operation that is kept.
    Operation { service: String, id: String, waits: Open },
    /// A request whose caller waits, or did. Without `facts`: nobody ever did.
    Once { order: Box<Order>, facts: Option<Facts>, done: oneshot::Sender<Result<Answer, Trouble>> },
}

/// Does what is to be done until the gateway ends.
struct Runner {
    app: Arc<App>,
    /// The same, which waits as long as an operation may.
    patient: Arc<App>,
    waiting: mpsc::Receiver<Task>,
    at_work: channel::Receiver<()>,
}

/// All work of a gateway.
pub(in crate::gateway) struct Orders(Option<(JoinHandle<()>, channel::Sender<()>)>);

impl Orders {
    /// Begins to work.
    pub(in crate::gateway) fn begin(app: &App) -> Self {
        let Some(waiting) = app.asynchronous.take_waiting() else { return Self(None) };
        let (runner, work) = Runner::new(app, waiting);
        Self(Some((tokio::spawn(runner.run()), work)))
    }

    /// Waits for what has begun; nobody asks for anything any more.
    pub(in crate::gateway) async fn finished(self) {
        let Some((runner, work)) = self.0 else { return };
        runner.abort();
        let _ = runner.await;
        work.closed().await;
    }
}

/// Takes up what a process before this one has left, once the store is this one's.
pub(in crate::gateway) async fn recover(app: &App) {
    if let Err(error) = take_up(app).await {
        tracing::error!(%error, "operations of before cannot be taken up");
    }
}

async fn take_up(app: &App) -> Result<(), StoreError> {
    let Some(store) = app.asynchronous.keeper.opened() else { return Ok(()) };
    let own = app.asynchronous.run;
    let mut left = Vec::new();
    operation::visit(&store, |id, found| {
        if found.state.is_open() {
            left.push((id.to_owned(), found));
        }
    })?;
    let counts = &app.metrics.kept;
    for (id, found) in left {
        let service = found.order.service.clone();
        // What a service may be told twice is begun again; of everything else nobody knows how far it came.
        let again = found.order.from.method().is_idempotent();
        match found.state {
            State::Waiting => {}
            State::Running if found.run == own => continue,
            State::Running if again => {
                let begun = |one| operation::Operation { state: State::Waiting, updated: now(), ..one };
                operation::advance(&store, (&service, &id), &[State::Running], begun).await?;
                counts.operation(&service, "repeated");
            }
            State::Running => {
                let detail = "the gateway ended while the service was at it; whether it was carried out is not known";
                let trouble = Trouble::new(Kind::OperationInterrupted).detail(detail);
                let answer = Answer::of(&trouble, &found.order.names.0);
                let keep = keep(app, &found.order);
                let failed = move |one: operation::Operation| one.finished(State::Failed, Some(answer), keep);
                operation::advance(&store, (&service, &id), &[State::Running], failed).await?;
                counts.operation(&service, "interrupted");
                continue;
            }
            _ => continue,
        }
        let waits = counts.open(&service, State::Waiting);
        app.asynchronous.ask(Task::Operation { service, id, waits });
    }
    Ok(())
}

fn keep(app: &App, order: &Order) -> Duration {
    let rule = carry::standing_of(app, order).ok().and_then(|standing| standing.plan.operations.clone());
    rule.map_or(Duration::from_secs(3600), |rule| rule.keep)
}

impl Runner {
    fn new(app: &App, waiting: mpsc::Receiver<Task>) -> (Self, channel::Sender<()>) {
        let (work, at_work) = channel::channel(());
        let mut patient = app.share();
        let connector = Connector::new(app.certificates.clone(), app.settings.timeouts.peer);
        patient.upstreams = Upstreams::patient(connector, &app.clusters, PATIENT);
        (Self { app: Arc::new(app.share()), patient: Arc::new(patient), waiting, at_work }, work)
    }

    /// Works until nothing can be asked any more.
    async fn run(mut self) {
        let sweeping = tokio::spawn(sweep(self.app.clone()));
        let mut places: HashMap<String, Arc<Semaphore>> = HashMap::new();
        while let Some(task) = self.waiting.recv().await {
            let at_work = self.at_work.clone();
            match task {
                Task::Once { order, facts, done } => {
                    let app = self.app.clone();
                    tokio::spawn(async move {
                        let _at_work = at_work;
                        let mut line = match facts {
                            Some(facts) => Background::for_caller(&app, &order, facts),
                            None => Background::begin(&app, "cancel", &order),
                        };
                        let came = carry::carry_out(&app, &order, line.facts()).await;
                        line.ended(&came);
                        drop(line);
                        let _ = done.send(came);
                    });
                }
                // What has not begun is left to the next process.
                Task::Operation { .. } if self.app.asynchronous.has_ended() => {}
                Task::Operation { service, id, waits } => {
                    let Some(store) = self.app.asynchronous.keeper.opened() else { continue };
                    let generation = self.app.current.snapshot();
                    let rule = generation.services.get(&service).and_then(|one| one.plan.operations.as_ref());
                    let most = rule.map_or(16, |rule| rule.at_once);
                    let places =
                        places.entry(service.clone()).or_insert_with(|| Arc::new(Semaphore::new(most))).clone();
                    drop(at_work);
                    let work = Working {
                        app: self.patient.clone(),
                        store,
                        service,
                        id: id.clone(),
                        waits,
                        at_work: self.at_work.clone(),
                    };
                    let begun = tokio::spawn(work.wait(places));
                    self.app.asynchronous.begun(id, begun.abort_handle());
                }
            }
        }
        sweeping.abort();
    }
}

/// Lets go of what has ended, now and then.
async fn sweep(app: Arc<App>) {
    loop {
        tokio::time::sleep(SWEEPS).await;
        if let Some(store) = app.asynchronous.keeper.opened()
            && let Err(error) = store.sweep(now()).await
        {
            tracing::error!(%error, "what has ended cannot be let go of");
        }
    }
}

struct Working {
    app: Arc<App>,
    store: Store,
    service: String,
    id: String,
    waits: Open,
    at_work: channel::Receiver<()>,
}

impl Working {
    /// Waits for its turn. While it waits it does not keep the gateway from ending.
    async fn wait(self, places: Arc<Semaphore>) {
        let Self { app, store, service, id, waits, at_work } = self;
        let mut ended = app.asynchronous.ended.subscribe();
        let place = tokio::select! {
            place = places.acquire_owned() => place,
            _ = ended.wait_for(|is_over| *is_over) => return app.asynchronous.over(&id),
        };
        let _at_work = at_work;
        drop(waits);
        if place.is_ok() && !app.asynchronous.has_ended() {
            let worked = work(&app, &store, (&service, &id)).await;
            if let Err(error) = worked {
                tracing::error!(%error, operation = %id, "an operation cannot be kept");
            }
        }
        app.asynchronous.over(&id);
    }
}

/// Carries out one operation.
async fn work(app: &Arc<App>, store: &Store, (service, id): (&str, &str)) -> Result<(), StoreError> {
    let run = app.asynchronous.run;
    let begin = move |one| operation::Operation { state: State::Running, run, updated: now(), ..one };
    let Some(taken) = operation::advance(store, (service, id), &[State::Waiting], begin).await? else { return Ok(()) };
    let standing = carry::standing_of(app, &taken.order);
    let rule = standing.ok().and_then(|standing| standing.plan.operations.clone());
    let (keep, timeout) =
        rule.map_or((Duration::from_secs(3600), Duration::from_secs(600)), |rule| (rule.keep, rule.timeout));
    let _running = app.metrics.kept.open(service, State::Running);
    let mut line = Background::begin(app, "operation", &taken.order);
    let came = tokio::time::timeout(timeout, carry::carry_out(app, &taken.order, line.facts())).await;
    let late =
        |_| Trouble::new(Kind::UpstreamTimeout).detail("the service did not come to an end in the time that it has");
    let came = came.map_err(late).and_then(|came| came);
    line.ended(&came);
    drop(line);
    let (state, answer) = match came {
        Ok(answer) => (State::Done, answer),
        Err(trouble) => {
            let (_, code, _, _) = trouble.kind.row();
            let cause = trouble.cause.as_deref().unwrap_or_default();
            tracing::warn!(request_id = %taken.order.names.0, code, cause, operation = %id, "an operation failed");
            (State::Failed, Answer::of(&trouble, &taken.order.names.0))
        }
    };
    let finish = move |one: operation::Operation| one.finished(state, Some(answer), keep);
    if operation::advance(store, (service, id), &[State::Running], finish).await?.is_some() {
        app.metrics.kept.operation(service, state.name());
    }
    app.asynchronous.changed.send_modify(|count| *count = count.wrapping_add(1));
    Ok(())
}

impl Asynchronous {
    fn begun(&self, id: String, task: AbortHandle) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.is_finished() {
            tasks.insert(id, task);
        }
    }

    fn over(&self, id: &str) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Ends the work on one.
    pub(super) fn abort(&self, id: &str) {
        let task = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let Some(task) = task {
            task.abort();
        }
    }
}
