//! A whole small world around the deployment machine: people who ask, a target, a mail that delays, doubles,
//! reorders and loses, and a driver that dies at any moment.

use crate::law::{Law, short};
use crate::made::{Fault, Made, longest};
use crate::random::Random;
use crate::target::{Health, Target};
use pilotage_api::proxy::{Trip, WHOLE};
use pilotage_engine::deployment::{
    Deployment, DeploymentEffect, DeploymentEvent, DeploymentSpec, EffectKind, EffectResult, Kind, Outcome,
    Release, RulesAnswer, Standing, Undecided,
};
use pilotage_engine::time::Timestamp;
use serde_json::Value;
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

    fn ask_rules(&mut self, cell: usize, sequence: u64) {
        let digest = self.cells[cell].law.spec.new.digest.clone();
        let granted = RulesAnswer::Granted { digest };
        let other = RulesAnswer::Granted {
            digest: "sha256:other".to_owned(),
        };
        let forward = self.cells[cell].law.spec.kind == Kind::Deploy;
        let held = forward && self.quarantined.contains(&self.cells[cell].law.spec.new.digest);
        let refused = RulesAnswer::Refused {
            reason: "no".to_owned(),
        };
        let waiting = |n: usize| RulesAnswer::Waiting {
            reason: format!("waits {n}"),
        };
        let answer = match self.random.below(40) {
            _ if held => refused,
            _ if self.calm || !forward => granted,
            0 => refused,
            1 => other,
            n @ 2..=8 => {
                let later = match self.random.below(10) {
                    0 => other,
                    1 => refused,
                    2 => waiting(n + 1),
                    _ => granted.clone(),
                };
                for (most, answer) in [(8_000, later), (1_000, granted)] {
                    let delay = self.some(most) + if most == 1_000 { 8_000 } else { 0 };
                    self.post(delay, Mail::Event(cell, DeploymentEvent::Rules { answer }));
                }
                waiting(n)
            }
            _ => granted,
        };
        let delay = if self.calm { 0 } else { self.some(300) };
        self.post(
            delay,
            Mail::Result(cell, sequence, EffectResult::Rules { answer }),
        );
    }

    fn send(&mut self, cell: usize, effect: DeploymentEffect) {
        let most = match effect.kind {
            EffectKind::Prepare { .. } | EffectKind::Before { .. } | EffectKind::Start { .. } => 1_500,
            EffectKind::Apply { .. } | EffectKind::Verify { .. } => 600,
            _ => 200,
        };
        let delay = self.some(most);
        self.post(delay, Mail::Perform(cell, effect));
    }

    /// What was ordered and is still waited for is done again, all of it or one.
    fn again(&mut self, cell: usize, sequence: Option<u64>) {
        let open: Vec<DeploymentEffect> = self.cells[cell]
            .machine
            .pending()
            .filter(|effect| sequence.is_none_or(|sequence| effect.sequence == sequence))
            .collect();
        for effect in open {
            match effect.kind {
                EffectKind::AskRules => self.ask_rules(cell, effect.sequence),
                _ => self.send(cell, effect),
            }
        }
    }

    /// The driver dies: what it was at is cut off or runs on unheard, and it goes on from what was stored.
    fn crash(&mut self) -> Result<(), String> {
        self.count("crashes");
        self.say(|| "the driver dies".to_owned());
        let keep = self.random.percent(50);
        self.mail.retain(|_, mail| match mail {
            Mail::Result(..) | Mail::Again(..) => false,
            Mail::Perform(..) => keep,
            _ => true,
        });
        let Some(cell) = self.open() else { return Ok(()) };
        let stored = serde_json::to_string(&self.cells[cell].machine).unwrap();
        let machine: Deployment = serde_json::from_str(&stored).unwrap();
        let again = serde_json::to_string(&machine).unwrap();
        if again != stored
            && !same(
                &serde_json::from_str(&again).unwrap(),
                &serde_json::from_str(&stored).unwrap(),
            )
        {
            return Err("the stored form does not hold all".to_owned());
        }
        self.cells[cell].machine = machine;
        self.again(cell, None);
        Ok(())
    }

    fn tick(&mut self) -> Result<(), String> {
        self.post(TICK, Mail::Tick);
        let Some(cell) = self.open() else { return Ok(()) };
        let names: Vec<String> = self.target.services.keys().cloned().collect();
        for name in names {
            let Some(service) = self.target.services.get_mut(&name).filter(|s| s.is_armed()) else {
                continue;
            };
            let had = service.trip().is_some();
            let (cells, releases, born) = (&self.cells, &self.releases, &self.born);
            let (now, outage) = (self.now, self.outage);
            let manner = |revision: &str| {
                let of = revision.trim_start_matches('r').parse::<usize>().unwrap();
                let mut manner =
                    releases[cells[of - 1].release].manner(now - born.get(revision).unwrap_or(&now));
                if outage {
                    manner.errors = 100;
                }
                manner
            };
            let requests = if cell.is_multiple_of(4) { 3 } else { 12 };
            if service.answer(now, requests, &mut self.random, manner) && !had {
                self.count("trips");
                self.say(|| format!("{name} trips"));
                self.cells[cell].law.see(&self.target);
                self.send_trip(cell, &name);
            }
        }
        Ok(())
    }

    /// The proxy tells of its trip until it is acknowledged; the mail may be slow, and double it.
    fn send_trip(&mut self, cell: usize, name: &str) {
        let Some(service) = self.target.services.get(name).filter(|s| !s.acknowledged) else {
            return;
        };
        let Some(trip) = service.trip().cloned() else {
            return;
        };
        let trip = if self.faults(10) {
            Trip {
                verdict: serde_json::json!({}),
                ..trip
            }
        } else {
            trip
        };
        let times = if self.faults(10) { 2 } else { 1 };
        for _ in 0..times {
            let delay = if self.faults(20) {
                self.some(8_000)
            } else {
                self.some(100)
            };
            let event = DeploymentEvent::Tripped {
                service: name.to_owned(),
                trip: Box::new(trip.clone()),
            };
            self.post(delay, Mail::Event(cell, event));
        }
        self.post(3_000, Mail::TripIsRepeated(cell, name.to_owned()));
    }

    fn perform(&mut self, cell: usize, effect: DeploymentEffect) -> Result<(), String> {
        let sequence = effect.sequence;
        let waited_for = self.cells[cell]
            .machine
            .pending()
            .any(|known| known.sequence == sequence);
        // What is not wanted any more is not begun; but a table may have been on its way to the proxy already.
        let late = matches!(effect.kind, EffectKind::Apply { .. }) && self.random.percent(50);
        if effect.kind.is_awaited() && !waited_for && !late {
            return Ok(());
        }
        self.say(|| format!("#{}     does {sequence}", cell + 1));
        let failed = |why: &str| EffectResult::Failed { why: why.to_owned() };
        let result = if self.rough && self.faults(2) {
            self.count("failed");
            failed("out of order")
        } else {
            let (result, length) = self.carry_out(cell, &effect.kind)?;
            if length > 0 {
                self.post(length, Mail::Result(cell, sequence, result));
                return Ok(());
            }
            if self.rough && self.faults(2) {
                self.count("failed");
                failed("timed out, and was done")
            } else {
                result
            }
        };
        if self.faults(4) {
            self.count("lost");
            let delay = 500 + self.some(2_000);
            self.post(delay, Mail::Again(cell, sequence));
            return Ok(());
        }
        if self.faults(5) {
            self.count("doubled");
            let delay = self.some(5_000);
            self.post(delay, Mail::Result(cell, sequence, result.clone()));
        }
        let delay = self.some(200);
        self.post(delay, Mail::Result(cell, sequence, result));
        Ok(())
    }

    /// Does it in the target; the result, and how long it takes beyond that.
    fn carry_out(&mut self, cell: usize, kind: &EffectKind) -> Result<(EffectResult, i64), String> {
        let law = &self.cells[cell].law;
        let fault = self.releases[self.cells[cell].release].fault;
        let end = |result: Result<(), String>| match result {
            Ok(()) => EffectResult::Done,
            Err(why) => EffectResult::Failed { why },
        };
        let result = match kind {
            EffectKind::Start { service, index, id } => {
                let revision = law.spec.new.revision.clone();
                let good = fault != Fault::Crash || *index == 0;
                let known = self.target.start(id, service, &revision, good);
                self.born.entry(revision).or_insert(self.now);
                match known {
                    Some(address) => EffectResult::Started { address },
                    None => EffectResult::Failed {
                        why: "exited with 1".to_owned(),
                    },
                }
            }
            EffectKind::Apply { table } => {
                let service = table.id.rsplit('/').next().unwrap_or_default();
                let done = self.target.apply(service, table);
                self.cells[cell].law.see(&self.target);
                end(done)
            }
            EffectKind::Remove { service, epoch, .. } => end(self
                .target
                .services
                .entry(service.clone())
                .or_default()
                .remove(*epoch)),
            EffectKind::ReadGuard { service } => {
                let known = self.target.services.get(service).and_then(|s| s.evidence());
                match known {
                    None => EffectResult::Guard {
                        evidence: None,
                        proven: false,
                        answers: 0,
                        needed: 0,
                    },
                    Some((evidence, proven, answers, needed)) => EffectResult::Guard {
                        evidence: Some(Box::new(evidence)),
                        proven,
                        answers,
                        needed,
                    },
                }
            }
            EffectKind::Verify { revision, .. } => self.verify(cell, revision),
            EffectKind::Drain {
                service,
                revision,
                deadline_ms,
            } => {
                if self.target.share(service, revision) > 0 {
                    EffectResult::Failed {
                        why: format!("{revision} has a share"),
                    }
                } else {
                    let length = 1 + self.some(i64::try_from(*deadline_ms).unwrap());
                    return Ok((EffectResult::Drained { finished: 3, cut: 0 }, length));
                }
            }
            EffectKind::Stop { replica } => {
                law.check_idle(replica, &self.target)?;
                self.target.stop(replica);
                EffectResult::Done
            }
            EffectKind::AcknowledgeTrip { service } => {
                if let Some(service) = self.target.services.get_mut(service) {
                    service.acknowledged = true;
                }
                EffectResult::Done
            }
            _ => EffectResult::Done,
        };
        Ok((result, 0))
    }

    /// Asks each service of that release who answers, and how.
    fn verify(&self, cell: usize, revision: &str) -> EffectResult {
        let spec = &self.cells[cell].law.spec;
        let services: BTreeSet<&str> = match spec.old.as_ref().filter(|old| old.release.revision == revision)
        {
            Some(old) => old.replicas.iter().map(|r| r.service.as_str()).collect(),
            None => spec.plan.services.iter().map(|s| s.name.as_str()).collect(),
        };
        let fault = self.releases[self.cells[cell].release].fault;
        let checks = fault == Fault::Checks && revision == spec.new.revision;
        for service in services {
            let right =
                self.target.share(service, revision) == WHOLE && self.target.healthy(service, revision) > 0;
            if !right || self.outage || checks {
                return EffectResult::Failed {
                    why: format!("{service} is not answered well by {revision}"),
                };
            }
        }
        EffectResult::Verified {
            what: format!("{revision} answers"),
        }
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

/// Whether two stored forms say the same; JSON may lose the last bit of a fraction.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(x), Value::Number(y)) if x.is_f64() && y.is_f64() => {
            let (x, y) = (x.as_f64().unwrap_or(0.0), y.as_f64().unwrap_or(0.0));
            (x - y).abs() <= 1e-12 * x.abs().max(y.abs())
        }
        _ => a == b,
    }
}
