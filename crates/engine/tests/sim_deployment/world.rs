//! A whole small world around the deployment machine: people who ask, a target, a mail that delays, doubles,
//! reorders and loses, and a driver that dies at any moment.

mod driver;

use crate::law::{Law, short};
use crate::made::{Made, longest};
use crate::random::Random;
use crate::target::{Health, Target};
use pilotage_api::proxy::WHOLE;
use pilotage_engine::deployment::{
    Deployment, DeploymentEffect, DeploymentEvent, DeploymentSpec, EffectKind, EffectResult, Kind, Outcome,
    Release, Standing, Undecided,
};
use pilotage_engine::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Faults happen only until then, in milliseconds; afterwards everything must come to its end.
const FAULTS_UNTIL: i64 = 50_000;
const TICK: i64 = 500;
/// Late results and repeated trips are gone by then.
const REST: i64 = 20_000;

pub(crate) struct World {
    random: Random,
    now: i64,
    /// How far the wall clock is off.
    skew: i64,
    /// No fault at all happens in this world: everything good gets live.
    calm: bool,
    /// Effects fail for no reason.
    rough: bool,
    /// How many of the releases were asked for.
    built: usize,
    target: Target,
    /// When the first replica of a revision started.
    born: BTreeMap<String, i64>,
    releases: Vec<Made>,
    cells: Vec<Cell>,
    waiting: Option<Wish>,
    standing: Option<Standing>,
    lived: Vec<usize>,
    quarantined: BTreeSet<String>,
    outage: bool,
    mail: BTreeMap<(i64, u64), Mail>,
    posted: u64,
    busy_until: i64,
    pub(crate) counts: Counts,
    pub(crate) told: bool,
}

/// What the sweep has seen, so that one that never meets a fault is noticed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts(pub(crate) BTreeCounts);

type BTreeCounts = [usize; WORDS.len()];

pub(crate) const WORDS: [&str; 19] = [
    "deployments",
    "events",
    "live",
    "proven",
    "rolled back",
    "aborted",
    "needs attention",
    "trips",
    "outages",
    "quarantined",
    "superseded",
    "frozen",
    "aborts",
    "crashes",
    "doubled",
    "lost",
    "failed",
    "deaths",
    "rollbacks",
];

impl Counts {
    pub(crate) fn plus(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(sum, n)| *sum += n);
        self
    }
}

struct Cell {
    machine: Deployment,
    law: Law,
    release: usize,
}

struct Wish {
    release: usize,
    kind: Kind,
}

enum Mail {
    /// Somebody wants a new release, one that was there before, or an earlier one back.
    Wish(Kind),
    Event(usize, DeploymentEvent),
    Perform(usize, DeploymentEffect),
    Result(usize, u64, EffectResult),
    Again(usize, u64),
    Tick,
    TripIsRepeated(usize, String),
    Crash,
    Restart,
    Death,
    Jump(i64),
    Outage(bool),
    Freeze(bool),
    Abort,
    Wake,
}

impl World {
    pub(crate) fn new(seed: u64, told: bool) -> Self {
        let mut random = Random::new(seed);
        let calm = random.percent(15);
        let rough = random.percent(45);
        let releases = (0..6).map(|n| Made::new(n, &mut random, calm)).collect();
        let mut world = Self {
            now: 1_000,
            skew: 0,
            calm,
            rough,
            built: 0,
            target: Target::default(),
            born: BTreeMap::new(),
            releases,
            cells: Vec::new(),
            waiting: None,
            standing: None,
            lived: Vec::new(),
            quarantined: BTreeSet::new(),
            outage: false,
            mail: BTreeMap::new(),
            posted: 0,
            busy_until: FAULTS_UNTIL,
            counts: Counts::default(),
            told,
            random,
        };
        world.script();
        world
    }

    /// What will happen, whatever the machine does.
    fn script(&mut self) {
        self.post(0, Mail::Wish(Kind::Deploy));
        self.post(TICK, Mail::Tick);
        let mut at = 1_000;
        for _ in 0..self.random.below(5) {
            at += self.some(if self.calm { 60_000 } else { 25_000 });
            let kind = if self.random.percent(25) {
                Kind::Rollback
            } else {
                Kind::Deploy
            };
            self.post(at, Mail::Wish(kind));
        }
        if self.calm {
            return;
        }
        for (percent, most, make) in [
            (50, 3, (|_| Mail::Crash) as fn(&mut Random) -> Mail),
            (30, 2, |_| Mail::Restart),
            (40, 2, |_| Mail::Death),
            (35, 2, |_| Mail::Abort),
            (60, 4, |_| Mail::Wake),
            (20, 2, |random| {
                Mail::Jump(i64::try_from(random.below(20_000)).unwrap() - 8_000)
            }),
        ] {
            if self.random.percent(percent) {
                for _ in 0..=self.random.below(most) {
                    let (at, mail) = (self.some(FAULTS_UNTIL), make(&mut self.random));
                    self.post(at, mail);
                }
            }
        }
        for (percent, from, until) in [
            (
                25,
                (|| Mail::Freeze(true)) as fn() -> Mail,
                (|| Mail::Freeze(false)) as fn() -> Mail,
            ),
            (15, || Mail::Outage(true), || Mail::Outage(false)),
        ] {
            if self.random.percent(percent) {
                let at = self.some(FAULTS_UNTIL - 10_000);
                let length = self.some(10_000);
                self.post(at, from());
                self.post(at + length, until());
            }
        }
    }

    fn some(&mut self, most: i64) -> i64 {
        i64::try_from(self.random.below(usize::try_from(most).unwrap())).unwrap()
    }

    fn post(&mut self, delay: i64, mail: Mail) {
        self.posted += 1;
        self.mail.insert((self.now + delay, self.posted), mail);
    }

    fn count(&mut self, word: &str) {
        let place = WORDS.iter().position(|known| *known == word).unwrap();
        self.counts.0[place] += 1;
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.told {
            println!("{:>8} {}", self.now, what());
        }
    }

    fn faults(&mut self, percent: usize) -> bool {
        !self.calm && self.now < FAULTS_UNTIL && self.random.percent(percent)
    }

    fn wall(&self) -> i64 {
        self.now + self.skew
    }

    fn open(&self) -> Option<usize> {
        self.cells
            .len()
            .checked_sub(1)
            .filter(|last| self.cells[*last].law.ended.is_none())
    }

    /// Until all is at rest. What is broken is the error.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        let mut rest = None;
        loop {
            let quiet = self.open().is_none() && self.waiting.is_none() && self.now > FAULTS_UNTIL;
            if quiet && self.now > *rest.get_or_insert(self.now + REST) {
                return self.check_rest();
            }
            if self.now > self.busy_until {
                return Err(self.stuck());
            }
            let alarm = self
                .open()
                .and_then(|cell| self.cells[cell].machine.deadline())
                .map(|at| at.0 - self.skew);
            let mail = self.mail.keys().next().map(|(at, _)| *at);
            let Some(mail) = mail else {
                return Err(self.stuck());
            };
            match alarm.filter(|alarm| *alarm < mail) {
                // A wake-up is missed: the next one comes with whatever happens next.
                Some(_) if self.faults(5) => self.deliver()?,
                Some(alarm) => {
                    self.now = self.now.max(alarm);
                    let cell = self.cells.len() - 1;
                    self.tell(cell, DeploymentEvent::Wake)?;
                }
                None => self.deliver()?,
            }
        }
    }

    fn stuck(&self) -> String {
        let view = self.cells.last().map(|cell| cell.machine.view());
        let view = view.map(|v| (v.id, v.state, v.reason, v.until, v.moments));
        format!("liveness: no end in time: {view:?}")
    }

    fn check_rest(&self) -> Result<(), String> {
        for cell in &self.cells {
            let id = cell.law.spec.id;
            cell.law
                .check_rest(&self.target)
                .map_err(|why| format!("deployment {id}: {why}"))?;
        }
        let Some(standing) = &self.standing else {
            return Ok(());
        };
        // A failed way back leaves what served; a person looks at it.
        let mut since = self.cells.iter().rev().take_while(|cell| !cell.law.live);
        if since.any(|cell| cell.law.back_failed) {
            return Ok(());
        }
        for replica in &standing.replicas {
            if self.target.share(&replica.service, &standing.release.revision) != WHOLE {
                return Err(format!(
                    "{} is live, and has not all traffic",
                    standing.release.revision
                ));
            }
            if self.target.replicas[&replica.id].health == Health::Stopped {
                return Err(format!("{} is live, and was stopped", replica.id));
            }
        }
        Ok(())
    }

    fn deliver(&mut self) -> Result<(), String> {
        let Some(((at, _), mail)) = self.mail.pop_first() else {
            return Ok(());
        };
        self.now = self.now.max(at);
        match mail {
            Mail::Wish(kind) => self.wish(kind),
            Mail::Event(cell, event) => self.tell(cell, event),
            Mail::Perform(cell, effect) => self.perform(cell, effect),
            Mail::Result(cell, sequence, result) => {
                self.tell(cell, DeploymentEvent::Result { sequence, result })
            }
            Mail::Again(cell, sequence) => {
                self.again(cell, Some(sequence));
                Ok(())
            }
            Mail::Tick => self.tick(),
            Mail::TripIsRepeated(cell, service) => {
                self.send_trip(cell, &service);
                Ok(())
            }
            Mail::Crash => self.crash(),
            Mail::Restart => {
                self.say(|| "the proxy restarts".to_owned());
                self.target.restart_proxy();
                Ok(())
            }
            Mail::Death => self.die(),
            Mail::Jump(by) => {
                self.say(|| format!("the clock jumps by {by}"));
                self.skew += by;
                self.busy_until += by.abs() * 2;
                Ok(())
            }
            Mail::Outage(on) => {
                self.say(|| format!("outage: {on}"));
                self.outage = on;
                self.count("outages");
                Ok(())
            }
            Mail::Freeze(on) => self.freeze(on),
            Mail::Abort => self.abort(),
            Mail::Wake => self
                .open()
                .map_or(Ok(()), |cell| self.tell(cell, DeploymentEvent::Wake)),
        }
    }

    fn freeze(&mut self, on: bool) -> Result<(), String> {
        self.count("frozen");
        let reason = on.then(|| "weekend".to_owned());
        self.open()
            .map_or(Ok(()), |cell| self.tell(cell, DeploymentEvent::Freeze { reason }))
    }

    fn abort(&mut self) -> Result<(), String> {
        let Some(cell) = self.open() else { return Ok(()) };
        self.count("aborts");
        let quarantine = self.random.percent(40);
        let (by, reason) = ("ana".to_owned(), "by hand".to_owned());
        self.tell(
            cell,
            DeploymentEvent::Abort {
                by,
                reason,
                quarantine,
            },
        )
    }

    /// A replica ends and does not come back. One of each service of what is live stays.
    fn die(&mut self) -> Result<(), String> {
        let live = self.standing.as_ref().map(|s| s.release.revision.clone());
        let up: Vec<String> = self
            .target
            .replicas
            .iter()
            .filter(|(_, s)| s.health == Health::Healthy)
            .filter(|(_, s)| {
                Some(&s.revision) != live.as_ref() || self.target.healthy(&s.service, &s.revision) > 1
            })
            .map(|(id, _)| id.clone())
            .collect();
        if up.is_empty() {
            return Ok(());
        }
        let replica = up[self.random.below(up.len())].clone();
        self.say(|| format!("{replica} dies"));
        self.target.replicas.get_mut(&replica).unwrap().health = Health::Dead;
        self.count("deaths");
        if let Some(cell) = self.open() {
            let (delay, why) = (self.some(1_500), "killed".to_owned());
            self.post(
                delay,
                Mail::Event(cell, DeploymentEvent::ReplicaDied { replica, why }),
            );
        }
        Ok(())
    }

    /// One environment has one deployment at a time; a newer one takes the place of one that waits.
    fn wish(&mut self, kind: Kind) -> Result<(), String> {
        let release = match kind {
            Kind::Rollback => match self.lived.iter().rev().nth(1) {
                Some(release) => *release,
                None => return Ok(()),
            },
            Kind::Deploy if self.built > 0 && self.random.percent(15) => self.random.below(self.built),
            Kind::Deploy => {
                self.built = self.releases.len().min(self.built + 1);
                self.built - 1
            }
        };
        self.waiting = Some(Wish { release, kind });
        match self.open() {
            Some(cell) if !self.calm => {
                self.count("superseded");
                let by = i64::try_from(self.cells.len()).unwrap() + 1;
                self.tell(cell, DeploymentEvent::Superseded { by })
            }
            Some(_) => Ok(()),
            None => self.begin(),
        }
    }

    fn begin(&mut self) -> Result<(), String> {
        let Some(Wish { release, kind }) = self.waiting.take() else {
            return Ok(());
        };
        let made = self.releases[release].clone();
        let id = self.cells.len() + 1;
        let spec = DeploymentSpec {
            id: i64::try_from(id).unwrap(),
            project: "o/p".to_owned(),
            environment: "production".to_owned(),
            kind,
            new: Release {
                digest: made.digest.clone(),
                revision: format!("r{id}"),
                commit: format!("c{release}"),
            },
            old: self.standing.clone(),
            plan: made.plan.clone(),
            actor: "ana".to_owned(),
            reason: "push".to_owned(),
            notes: Vec::new(),
        };
        self.busy_until = self
            .busy_until
            .max(self.now.max(FAULTS_UNTIL) + longest(&spec.plan))
            + REST;
        self.count("deployments");
        if kind == Kind::Rollback {
            self.count("rollbacks");
        }
        self.say(|| {
            format!(
                "deployment {id}: {kind:?} of {made:?} over {:?}",
                self.standing.as_ref().map(|s| &s.release.revision)
            )
        });
        let mut law = Law::new(spec.clone());
        law.see(&self.target);
        let (machine, effects) = Deployment::start(Timestamp(self.wall()), spec);
        self.cells.push(Cell {
            machine,
            law,
            release,
        });
        self.take(id - 1, effects)
    }

    fn tell(&mut self, cell: usize, event: DeploymentEvent) -> Result<(), String> {
        self.count("events");
        let wall = self.wall();
        self.say(|| format!("#{} {}", cell + 1, told(&event)));
        let Cell { machine, law, .. } = &mut self.cells[cell];
        let of = match &event {
            DeploymentEvent::Result { sequence, .. } => machine
                .pending()
                .find(|effect| effect.sequence == *sequence)
                .map(|effect| effect.kind),
            _ => None,
        };
        law.told(wall, &event, of.as_ref());
        let Ok(effects) = machine.handle(Timestamp(wall), event) else {
            return Ok(());
        };
        self.take(cell, effects)?;
        self.check_moves(cell)
    }

    /// Going back waits for nobody: neither for a thaw nor for an answer.
    fn check_moves(&self, cell: usize) -> Result<(), String> {
        let Cell { machine, law, .. } = &self.cells[cell];
        let waits = machine.pending().next().is_some() || machine.deadline().is_some();
        match &law.turned {
            Some(why) if law.ended.is_none() && !waits => Err(format!(
                "deployment {}: the way back after {why} stands still",
                law.spec.id
            )),
            _ => Ok(()),
        }
    }

    /// What the machine ordered is checked, and begun.
    fn take(&mut self, cell: usize, effects: Vec<DeploymentEffect>) -> Result<(), String> {
        for effect in &effects {
            self.say(|| format!("#{}     {} {}", cell + 1, effect.sequence, short(&effect.kind)));
        }
        let id = self.cells[cell].law.spec.id;
        let checked = self.cells[cell].law.ordered(&effects, &self.target);
        checked.map_err(|why| format!("deployment {id}: {why}"))?;
        for effect in effects {
            match effect.kind {
                EffectKind::AskRules => self.ask_rules(cell, effect.sequence),
                EffectKind::MarkLive {
                    release,
                    replicas,
                    proven,
                } => {
                    self.count("live");
                    if proven {
                        self.count("proven");
                    }
                    self.standing = Some(Standing { release, replicas });
                    self.lived.push(self.cells[cell].release);
                }
                EffectKind::Quarantine { release, .. } => {
                    self.count("quarantined");
                    self.quarantined.insert(release.digest);
                }
                EffectKind::Notify { .. } => {}
                EffectKind::Finished { outcome } => {
                    self.finished(cell, outcome)?;
                }
                _ => self.send(cell, effect),
            }
        }
        Ok(())
    }

    fn finished(&mut self, cell: usize, outcome: Outcome) -> Result<(), String> {
        match outcome {
            Outcome::Live => {}
            Outcome::RolledBack => self.count("rolled back"),
            Outcome::Aborted => self.count("aborted"),
            Outcome::NeedsAttention => self.count("needs attention"),
        }
        let law = &self.cells[cell].law;
        let good = law.spec.plan.guard.undecided == Undecided::Continue || !law.spec.plan.guard.enabled;
        let tripped = law
            .turned
            .as_ref()
            .is_some_and(|why| why == "a trip" || why == "a verdict");
        if self.calm && good && outcome != Outcome::Live && !tripped {
            return Err(format!(
                "a good release in a calm world ended as {outcome:?}: {:?}",
                law.turned
            ));
        }
        self.begin()
    }
}

fn told(event: &DeploymentEvent) -> String {
    match event {
        DeploymentEvent::Result {
            sequence,
            result: EffectResult::Guard { proven, answers, .. },
        } => {
            format!("result of {sequence}: proven {proven} by {answers}")
        }
        DeploymentEvent::Tripped { service, trip } => format!("trip of {service} in {}", trip.deployment),
        other => format!("{other:?}"),
    }
}
