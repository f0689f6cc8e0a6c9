//! Drives the durable machines: loads one, lets it handle an event, stores state, event and effects in one
//! transaction, and performs the effects afterwards.
//!
//! Everything that it needs to go on after a crash is in the store; what is held in memory is a cache. Wake-ups
//! carry no data: whoever is woken looks at the store. Another kind of machine is another file here and an arm in
//! [`Driver::perform`].

mod cache;
pub mod deployment;
mod effect;
pub mod environment;
mod lease;
mod projection;
mod run;
mod timer;

pub use lease::{Offer, engine_runner};
pub(crate) use run::to_text;
pub use run::{NewRun, Refused};

use crate::clock::Clock;
use cache::RunCache;
use pilotage_store::{Connection, EffectRow, Result, Store, Transaction};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Notify, watch};

/// The kind of a run's machine.
pub const RUN: &str = "run";
/// The kind of the one machine that holds all leases.
const LEASES: &str = "leases";
/// The kind of the one machine that holds all concurrency groups.
const GROUPS: &str = "groups";
/// The number of a machine that is the only one of its kind.
const ONLY: i64 = 1;

pub struct Driver {
    pub store: Arc<Store>,
    pub clock: Arc<Clock>,
    runs: Arc<RunCache>,
    wakes: Wakes,
    /// A transaction found no room on the disk: what runners said of their leases since then may not be stored.
    deaf: AtomicBool,
}

/// Who is woken after a transaction. All of them look for themselves whether there is something to do.
struct Wakes {
    outbox: Notify,
    timer: Notify,
    changed: watch::Sender<u64>,
    /// The queue and its leases: what runners wait for.
    queue: watch::Sender<u64>,
}

/// One transaction, with what machines need in it.
pub struct Turn<'c> {
    pub c: &'c mut Connection,
    pub now: i64,
    runs: Arc<RunCache>,
    /// Whether this transaction changes what runners wait for.
    queue_changed: Arc<AtomicBool>,
}

impl Driver {
    #[must_use]
    pub fn new(store: Arc<Store>, clock: Arc<Clock>) -> Self {
        let wakes = Wakes {
            outbox: Notify::new(),
            timer: Notify::new(),
            changed: watch::channel(0).0,
            queue: watch::channel(0).0,
        };
        Self {
            store,
            clock,
            runs: Arc::default(),
            wakes,
            deaf: AtomicBool::new(false),
        }
    }

    /// Runs one transaction and wakes whom it may concern.
    pub async fn turn<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(Turn<'c>) -> Transaction<'c, T> + Send + 'static,
    {
        let (runs, now) = (Arc::clone(&self.runs), self.clock.now());
        let queue_changed = Arc::new(AtomicBool::new(false));
        let changes = Arc::clone(&queue_changed);
        let end = self
            .store
            .write(move |c| {
                work(Turn {
                    c,
                    now,
                    runs,
                    queue_changed: changes,
                })
            })
            .await;
        if let Err(error) = &end {
            if error.is_full() {
                self.deaf.store(true, Ordering::Relaxed);
            }
            // Nothing has changed: whoever was woken would only try the same again, without a pause.
            return end;
        }
        self.wakes.outbox.notify_one();
        self.wakes.timer.notify_one();
        self.wakes.changed.send_modify(|n| *n = n.wrapping_add(1));
        if queue_changed.load(Ordering::Relaxed) {
            self.wakes.queue.send_modify(|n| *n = n.wrapping_add(1));
        }
        end
    }

    /// Rises with each change of what runners wait for: jobs in the queue, leases that end, cancels, drains.
    #[must_use]
    pub fn queue_changes(&self) -> watch::Receiver<u64> {
        self.wakes.queue.subscribe()
    }

    /// Rises with each change of anything; a reader who sees it rise looks again.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.wakes.changed.subscribe()
    }

    /// Puts what an earlier process left in order. Before anything else.
    pub async fn resume(&self) -> Result<()> {
        self.turn(|mut turn| Box::pin(async move { turn.resume_leases().await }))
            .await?;
        // What cannot be done now is tried again while the server runs.
        if let Err(error) = self.settle().await {
            crate::error::log("not all of what an earlier server left could be done", &error);
        }
        Ok(())
    }

    /// Performs effects until none is open.
    pub async fn settle(&self) -> Result<()> {
        while self.perform_open().await? > 0 {}
        Ok(())
    }

    /// Performs every effect that is open now, in order; gives how many of them could be done.
    ///
    /// One that cannot be done holds up its own machine, nobody else's. It is an error only where nothing was done.
    pub async fn perform_open(&self) -> Result<usize> {
        let mut open = self.store.read().await?.open_effects().await?;
        // Those take their time, in tasks of their own.
        open.retain(|effect| effect.kind != deployment::DEPLOYMENT);
        let (mut done, mut stuck) = (0, None);
        for effect in open {
            let machine = (effect.kind.clone(), effect.id);
            if stuck.as_ref().is_some_and(|(of, _)| *of == machine) {
                continue;
            }
            match self.perform(effect).await {
                Ok(()) => done += 1,
                Err(error) => {
                    crate::error::log(
                        &format!("an effect of {} {} cannot be performed", machine.0, machine.1),
                        &error,
                    );
                    stuck = Some((machine, error));
                }
            }
        }
        match stuck {
            Some((_, error)) if done == 0 => Err(error),
            _ => Ok(done),
        }
    }

    /// Performs one effect. What it came to, and that it is done, is one transaction.
    pub async fn perform(&self, effect: EffectRow) -> Result<()> {
        match effect.kind.as_str() {
            RUN => {
                self.turn(move |mut turn| Box::pin(async move { turn.perform_run_effect(effect).await }))
                    .await
            }
            kind => {
                tracing::error!(machine.kind = %kind, "an effect of an unknown kind of machine, `{kind}`, is passed over");
                self.turn(move |turn| {
                    Box::pin(async move {
                        turn.c
                            .effect_done(&effect.kind, effect.id, effect.seq, turn.now)
                            .await
                    })
                })
                .await
            }
        }
    }

    /// Performs effects whenever there are some, until it is dropped.
    pub async fn run_outbox(&self) {
        loop {
            let woken = self.wakes.outbox.notified();
            match self.settle().await {
                Ok(()) => woken.await,
                Err(error) => {
                    crate::error::log("effects cannot be performed; tried again in a second", &error);
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            }
        }
    }
}

impl Turn<'_> {
    /// Says that runners will want to look, once this transaction is committed.
    pub fn touch_queue(&self) {
        self.queue_changed.store(true, Ordering::Relaxed);
    }
}
