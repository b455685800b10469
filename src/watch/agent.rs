//! The loop itself: what watches, settings and finished deeds tell goes into the ledger, and what the ledger
//! decides is begun.
//!
//! Decides how many rounds are under way and when everything is looked at again.

mod places;
mod telling;
#[cfg(test)]
mod tests;

use super::deeds::{Brought, Done, Hands};
use super::footing::{Footing, RunId};
use super::ledger::Ledger;
use super::round::{Found, Said, round};
use super::{Health, Known, Metrics};
use crate::cluster::{Cluster, Error, Watched};
use crate::config::AgentSettings;
use crate::outcome::Failure;
use crate::registry::Prover;
use futures::stream::{self, BoxStream, SelectAll, StreamExt as _};
use places::Place;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use telling::{TELLERS, Told};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Workloads of one round at the most.
const ROUND: usize = 250;
/// Rounds under way at once.
const ROUNDS: usize = 2;
/// For how long more is waited for before a round is begun.
const GATHERING: Duration = Duration::from_millis(20);
/// The loop moves at least this often: its probe asks for that.
const BEAT: Duration = Duration::from_secs(10);
/// Between two tries to look at everything, or to take settings over.
const PAUSE: Duration = Duration::from_secs(10);
/// Watch events taken in before anything else is looked at.
const GULP: usize = 500;

/// The agent: what it works on, and what it tells of itself.
pub struct Agent {
    /// Where the workloads are.
    pub cluster: Cluster,
    /// What it works by; a change is taken over at once.
    pub settings: watch::Receiver<Arc<AgentSettings>>,
    /// Whether somebody paused it: nothing new is begun while that is so.
    pub paused: watch::Receiver<bool>,
    /// What its probes answer.
    pub health: Health,
    /// What it counts.
    pub metrics: Metrics,
    /// What it knows to be complete in the target.
    pub known: Known,
    /// The run that its records name.
    pub run: RunId,
}

/// Something that was under way has ended.
enum Ended {
    Deed(Box<Done>),
    Round(Vec<Found>),
    /// Nothing waits for it.
    Aside,
}

/// The loop under way.
struct Working<'a> {
    agent: &'a Agent,
    /// As they were given last; those in force are the footing's.
    settings: Arc<AgentSettings>,
    hands: Hands,
    ledger: Ledger,
    places: Vec<Place>,
    watches: SelectAll<BoxStream<'static, (usize, Result<Watched, Error>)>>,
    /// All namespaces, where all are worked in.
    namespaces: BoxStream<'static, Result<Watched, Error>>,
    marks: u64,
    tasks: JoinSet<Ended>,
    rounds: usize,
    said: Arc<Said>,
    /// What is to be told of workloads in Events that nobody writes yet.
    untold: VecDeque<Told>,
    tellers: Arc<Semaphore>,
    due_since: Option<Instant>,
    resync: Option<Instant>,
    refresh: Option<Instant>,
    /// Whether whoever else asks is told that workloads are repointed.
    offering: bool,
    stop: CancellationToken,
}

impl Agent {
    /// Works until `closing` is cancelled and what is under way then has ended, or until `stop` is cancelled.
    /// May be called again after it returned.
    ///
    /// # Errors
    /// When it cannot begin: the cluster does not say what it has.
    pub async fn work(
        &self,
        closing: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        self.health.works();
        let mut settings = self.settings.clone();
        let now_in_force = settings.borrow_and_update().clone();
        let begun = Working::begin(self, now_in_force, stop.child_token());
        let Some(working) = stop.run_until_cancelled(begun).await else {
            return Ok(());
        };
        let mut working = working?;
        let ended = stop
            .run_until_cancelled(working.run(settings, closing))
            .await;
        working.stop.cancel();
        self.known.clear();
        ended.unwrap_or(Ok(()))
    }
}

impl Agent {
    async fn footing(
        &self,
        settings: &Arc<AgentSettings>,
        stop: &CancellationToken,
    ) -> Result<Footing, Failure> {
        let (settings, known) = (Arc::clone(settings), self.known.clone());
        Footing::new(settings, &self.cluster, &self.run, known, stop.clone()).await
    }
}

impl<'a> Working<'a> {
    async fn begin(
        agent: &'a Agent,
        settings: Arc<AgentSettings>,
        stop: CancellationToken,
    ) -> Result<Self, Failure> {
        let footing = agent.footing(&settings, &stop).await?;
        agent.known.about(&settings.target);
        let hands = Hands {
            cluster: agent.cluster.clone(),
            footing: Arc::new(footing),
            metrics: agent.metrics.clone(),
            prover: prover(&settings),
        };
        let mut working = Self {
            agent,
            ledger: Ledger::new(agent.known.clone(), settings.max_rollouts),
            settings,
            hands,
            places: Vec::new(),
            watches: SelectAll::new(),
            namespaces: stream::pending().boxed(),
            marks: 0,
            tasks: JoinSet::new(),
            rounds: 0,
            said: Arc::default(),
            untold: VecDeque::new(),
            tellers: Arc::new(Semaphore::new(TELLERS)),
            due_since: None,
            resync: None,
            refresh: None,
            offering: false,
            stop,
        };
        let now = Instant::now();
        working.refreshes(now);
        working.ledger.look_again(now);
        working.survey().await?;
        Ok(working)
    }

    async fn run(
        &mut self,
        mut settings: watch::Receiver<Arc<AgentSettings>>,
        closing: &CancellationToken,
    ) -> Result<(), Failure> {
        let mut paused = self.agent.paused.clone();
        loop {
            self.ledger.held = *paused.borrow_and_update();
            self.ledger.ends = closing.is_cancelled();
            if self.ledger.ends && self.tasks.is_empty() {
                return Ok(());
            }
            self.begin_what_is_due().await;
            self.tell_of_itself();
            let wake = tokio::time::sleep_until(self.wakes().into());
            tokio::select! {
                () = closing.cancelled(), if !self.ledger.ends => {}
                Some((at, told)) = self.watches.next() => self.take_in(at, told),
                Some(told) = self.namespaces.next() => self.take_namespace(told),
                Some(ended) = self.tasks.join_next() => {
                    // none is aborted; of one that panicked there is nothing to tell, where the process goes on
                    if let Ok(ended) = ended {
                        self.ended(ended);
                    }
                }
                Ok(()) = settings.changed() => {
                    self.settings = settings.borrow_and_update().clone();
                    self.resync = Some(Instant::now());
                }
                Ok(()) = paused.changed() => {}
                () = wake => {}
            }
        }
    }

    fn ended(&mut self, ended: Ended) {
        let now = Instant::now();
        match ended {
            Ended::Aside => {}
            Ended::Round(found) => {
                self.rounds -= 1;
                for Found { id, read, verdict } in found {
                    self.ledger.planned(&id, read, verdict, now);
                }
            }
            Ended::Deed(done) => self.done(*done, now),
        }
    }

    fn done(&mut self, done: Done, now: Instant) {
        match done {
            Done::Brought(brought) => {
                let Brought {
                    copy,
                    outcome,
                    denied,
                    openly,
                } = *brought;
                self.ledger.brought(&copy, &outcome, &denied, &openly, now);
            }
            Done::Checked(copy, checked) => self.ledger.checked(&copy, &checked, now),
            Done::Written(id, written) => self.ledger.written(&id, written, now),
            Done::Looked(id, pulling, pulls) => self.ledger.looked(&id, pulling, pulls, now),
            Done::PutBack(id, done) => self.ledger.put_back_done(&id, done, now),
            Done::PullSecret(namespace, written) => {
                if let Err(failure) = &written {
                    tracing::error!(namespace, "keeping up the pull secret: {failure}");
                }
                self.ledger.secret_written(&namespace, written.is_ok(), now);
            }
            Done::LoggedIn(answer) => {
                self.ledger.logged_in(answer.is_ok(), now);
                match answer {
                    Ok(()) => self.agent.health.well("target"),
                    Err(failure) => {
                        tracing::error!("{failure}");
                        self.agent.health.trouble("target", failure.to_string());
                    }
                }
            }
        }
    }

    /// Begins everything whose time has come; in a process that ends nothing has, but to tell what ended.
    async fn begin_what_is_due(&mut self) {
        if self.ledger.ends {
            return self.tell();
        }
        let now = Instant::now();
        if self.resync.is_some_and(|at| at <= now) {
            self.look_again(now).await;
        }
        if self.refresh.is_some_and(|at| at <= now) {
            self.refreshes(now);
            tracing::info!("looking at the tags of all sources again");
            self.ledger.renew_all(now);
        }
        for action in self.ledger.actions(now) {
            let deed = self.hands.clone().carry_out(action);
            self.tasks
                .spawn(async move { Ended::Deed(Box::new(deed.await)) });
        }
        self.begin_rounds(now);
        self.tell();
    }

    fn begin_rounds(&mut self, now: Instant) {
        if self.ledger.due() == 0 || self.stop.is_cancelled() {
            self.due_since = None;
            return;
        }
        let since = *self.due_since.get_or_insert(now);
        let gathered = self.ledger.due() >= ROUND || now.duration_since(since) >= GATHERING;
        while gathered && self.rounds < ROUNDS && self.ledger.due() > 0 {
            let due = self.ledger.take_due(ROUND);
            if due.is_empty() {
                break;
            }
            self.rounds += 1;
            let (hands, said) = (self.hands.clone(), Arc::clone(&self.said));
            self.tasks.spawn(async move {
                Ended::Round(round(&hands.cluster, &hands.footing, &said, due).await)
            });
            self.due_since = None;
        }
    }

    /// When something may be due that nobody tells of.
    fn wakes(&self) -> Instant {
        let now = Instant::now();
        if self.ledger.ends {
            return now + BEAT;
        }
        let gathered = self.due_since.map(|since| since + GATHERING);
        let gathered = gathered.filter(|_| self.rounds < ROUNDS);
        let all = [gathered, self.ledger.wakes(), self.resync, self.refresh];
        let beat = now + BEAT;
        all.into_iter().flatten().fold(beat, Instant::min)
    }

    /// Looks at everything from the start, by the settings that were given last. As long as they cannot be
    /// used, the old ones hold.
    async fn look_again(&mut self, now: Instant) {
        let agent = self.agent;
        tracing::info!("looking at everything again");
        self.resync = Some(now + PAUSE);
        match agent.footing(&self.settings, &self.stop).await {
            Ok(footing) => {
                agent.health.well("footing");
                let before = Arc::clone(&self.hands.footing.settings);
                let are_others = !Arc::ptr_eq(&self.settings, &before);
                self.hands.footing = Arc::new(footing);
                self.hands.prover = prover(&self.settings);
                self.said = Arc::default();
                self.offering = false;
                agent.known.about(&self.settings.target);
                agent.known.set_terms(None);
                // surveys are more frequent, and put nothing off
                if self.settings.refresh != before.refresh {
                    self.refreshes(now);
                }
                if are_others {
                    self.ledger.anew(self.settings.max_rollouts, now);
                } else {
                    self.ledger.look_again(now);
                }
            }
            Err(failure) => {
                tracing::error!("the old settings hold: {failure}");
                return agent.health.trouble("footing", failure.to_string());
            }
        }
        if let Err(failure) = self.survey().await {
            tracing::error!("{failure}");
        }
    }

    /// When the tags of all sources are looked at next.
    fn refreshes(&mut self, now: Instant) {
        self.refresh = self.settings.refresh.map(|after| now + after);
    }

    fn tell_of_itself(&mut self) {
        let terms = || self.hands.footing.terms();
        let offered = self.ledger.repoints() && !self.ledger.held && !self.ledger.ends;
        if offered != self.offering {
            let terms = offered.then(terms).flatten();
            self.offering = terms.is_some();
            self.agent.known.set_terms(terms);
        }
        let (health, metrics) = (&self.agent.health, &self.agent.metrics);
        health.moved();
        match self.ledger.trouble() {
            Some(why) => health.trouble("nodes", why),
            None => health.well("nodes"),
        }
        let census = self.ledger.census(Instant::now());
        let number = |many: usize| i64::try_from(many).unwrap_or(i64::MAX);
        metrics.workloads.set(number(census.workloads));
        metrics.waiting.set(number(census.waiting));
        metrics.copying.set(number(census.copying));
        metrics.rollouts.set(number(census.rollouts));
        metrics.failing.set(number(census.failing));
        let lag = i64::try_from(census.lag.as_secs()).unwrap_or(i64::MAX);
        metrics.lag.set(lag);
        metrics.paused.set(i64::from(*self.agent.paused.borrow()));
    }
}

fn prover(settings: &AgentSettings) -> Arc<Prover> {
    Arc::new(Prover::new(false, settings.concurrency))
}
