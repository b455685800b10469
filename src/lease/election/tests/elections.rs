//! Whole elections of several candidates, with clocks and networks that cannot be trusted.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What becomes of one request, in milliseconds.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// It arrives, and its answer does.
    Answered { there: u64, back: u64 },
    /// It arrives, maybe much later, and its answer is lost.
    Unanswered { there: u64 },
    /// It is lost.
    Lost,
}

/// What happens to a candidate, or to the Lease.
#[derive(Debug, Clone, Copy)]
enum Happening {
    /// The process stands still for so long.
    Freezes(u64),
    /// It is killed and starts again.
    Crashes,
    /// It stops as it should, and starts again.
    Stops,
    /// Its wall clock is put somewhere else, by so many seconds.
    IsPut(i64),
    /// Somebody annotates the Lease.
    Annotates,
}

#[derive(Debug, Clone)]
struct Story {
    /// By each candidate: how fast its clock is, in thousandths; how wrong its wall clock, in seconds.
    clocks: Vec<(u64, i64)>,
    fates: Vec<Fate>,
    happenings: Vec<(u64, usize, Happening)>,
}

/// For how long a story goes on before everything works again.
const CHAOS: u64 = 150_000;

fn story() -> impl Strategy<Value = Story> {
    let delay = || prop_oneof![6 => 0..60_u64, 2 => 60..4_000_u64, 1 => 4_000..30_000_u64];
    let fate = prop_oneof![
        6 => (delay(), delay()).prop_map(|(there, back)| Fate::Answered { there, back }),
        1 => delay().prop_map(|there| Fate::Unanswered { there }),
        1 => Just(Fate::Lost),
    ];
    let happening = prop_oneof![
        (1_000..40_000_u64).prop_map(Happening::Freezes),
        Just(Happening::Crashes),
        Just(Happening::Stops),
        (-7_200..7_200_i64).prop_map(Happening::IsPut),
        Just(Happening::Annotates),
    ];
    let clock = (850..=1_200_u64, -7_200..7_200_i64);
    let happenings = prop::collection::vec((0..CHAOS, 0..3_usize, happening), 0..12);
    (
        prop::collection::vec(clock, 2..=3),
        prop::collection::vec(fate, 1..200),
        happenings,
    )
        .prop_map(|(clocks, fates, happenings)| Story {
            clocks,
            fates,
            happenings,
        })
}

enum Request {
    Read,
    Write { lease: Value, begun: Moment },
}

enum Event {
    Begins,
    Arrives(Request, Option<u64>),
    Read(Option<Value>),
    Wrote(Option<Value>, Moment),
    GivesUp,
    Happens(Happening),
}

struct Process {
    election: Election,
    speed: u64,
    wall: i64,
    frozen_until: u64,
    /// Answers to earlier attempts are nobody's.
    attempt: u64,
    known: Option<Value>,
}

/// Candidates, a network and an API server, in milliseconds of true time.
struct World {
    start: Moment,
    now: u64,
    number: u64,
    queue: BTreeMap<(u64, u64), (usize, u64, Event)>,
    processes: Vec<Process>,
    lease: Option<Value>,
    version: u64,
    fates: Vec<Fate>,
    led: usize,
}

impl World {
    fn new(story: &Story) -> Self {
        let mut world = Self {
            start: Moment::now(),
            now: 0,
            number: 0,
            queue: BTreeMap::new(),
            processes: vec![],
            lease: None,
            version: 0,
            fates: story.fates.clone(),
            led: 0,
        };
        for (who, (speed, wall)) in story.clocks.iter().enumerate() {
            world.processes.push(Process {
                election: candidate(&format!("{who}-0")),
                speed: *speed,
                wall: *wall,
                frozen_until: 0,
                attempt: 0,
                known: None,
            });
            world.after(0, who, Event::Begins);
        }
        for (at, who, happening) in &story.happenings {
            let who = who % world.processes.len();
            world.after(*at, who, Event::Happens(*happening));
        }
        world
    }

    fn after(&mut self, time: u64, who: usize, event: Event) {
        self.number += 1;
        let attempt = self.processes[who].attempt;
        let due = (self.now + time, self.number);
        self.queue.insert(due, (who, attempt, event));
    }

    /// The candidate's own clock.
    fn clock(&self, who: usize) -> Moment {
        let own = self.now * self.processes[who].speed / 1_000;
        self.start.plus(Duration::from_millis(own))
    }

    /// In true time, what a candidate takes for so long.
    fn own(&self, who: usize, time: Duration) -> u64 {
        u64::try_from(time.as_millis()).unwrap() * 1_000 / self.processes[who].speed
    }

    fn wall(&self, who: usize) -> Timestamp {
        let now = self.now.cast_signed() / 1_000 + self.processes[who].wall;
        Timestamp::from_second(noon().as_second() + now).unwrap()
    }

    fn leaders(&self) -> Vec<usize> {
        let leads = |who: &usize| {
            let deadline = self.processes[*who].election.deadline();
            deadline.is_some_and(|deadline| self.clock(*who) < deadline)
        };
        (0..self.processes.len()).filter(leads).collect()
    }

    /// Runs until nothing is left to do or this time has come; panics where two lead.
    fn run(&mut self, until: u64) {
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > until {
                break;
            }
            let ((now, _), (who, attempt, event)) = entry.remove_entry();
            self.now = now;
            self.step(who, attempt, event);
            let leaders = self.leaders();
            assert!(leaders.len() < 2, "{leaders:?} lead at {now} ms");
            self.led = self.led.max(leaders.len());
        }
        self.now = until;
    }

    fn step(&mut self, who: usize, attempt: u64, event: Event) {
        if let Event::Arrives(request, back) = event {
            let answer = self.serve(request);
            if let Some(back) = back
                && self.processes[who].attempt == attempt
            {
                self.after(back, who, answer);
            }
            return;
        }
        if let Event::Happens(happening) = event {
            return self.happen(who, happening);
        }
        let process = &mut self.processes[who];
        if process.attempt != attempt {
            return;
        }
        if process.frozen_until > self.now {
            let thaws = process.frozen_until - self.now;
            return self.after(thaws, who, event);
        }
        match event {
            Event::Begins => {
                self.after(self.own(who, seconds(5)), who, Event::GivesUp);
                match self.processes[who].known.take() {
                    Some(known) => self.decide(who, Some(known)),
                    None => self.send(who, Request::Read),
                }
            }
            Event::Read(lease) => self.decide(who, lease),
            Event::Wrote(lease, begun) => {
                let process = &mut self.processes[who];
                if lease.is_some() {
                    process.election.wrote(begun);
                }
                process.known = lease;
                self.rest(who);
            }
            Event::GivesUp => self.rest(who),
            Event::Arrives(..) | Event::Happens(_) => unreachable!("dealt with above"),
        }
    }

    fn decide(&mut self, who: usize, lease: Option<Value>) {
        let (read, now) = (self.clock(who), self.wall(who));
        match self.processes[who].election.turn(lease, read, now) {
            Some(lease) => self.send(who, Request::Write { lease, begun: read }),
            None => self.rest(who),
        }
    }

    fn rest(&mut self, who: usize) {
        self.processes[who].attempt += 1;
        self.after(self.own(who, crate::lease::RETRY), who, Event::Begins);
    }

    fn send(&mut self, who: usize, request: Request) {
        let calm = Fate::Answered { there: 5, back: 5 };
        let fate = if self.now > CHAOS {
            calm
        } else {
            self.number += 1;
            self.fates[usize::try_from(self.number).unwrap() % self.fates.len()]
        };
        match fate {
            Fate::Answered { there, back } => {
                self.after(there, who, Event::Arrives(request, Some(back)));
            }
            Fate::Unanswered { there } => self.after(there, who, Event::Arrives(request, None)),
            Fate::Lost => {}
        }
    }

    /// The API server.
    fn serve(&mut self, request: Request) -> Event {
        match request {
            Request::Read => Event::Read(self.lease.clone()),
            Request::Write { mut lease, begun } => {
                let stored = self.lease.as_ref();
                let stored = stored.map_or(&Value::Null, |stored| version(stored));
                if version(&lease) != stored {
                    return Event::Wrote(None, begun);
                }
                self.version += 1;
                lease["metadata"]["resourceVersion"] = self.version.to_string().into();
                self.lease = Some(lease.clone());
                Event::Wrote(Some(lease), begun)
            }
        }
    }

    fn happen(&mut self, who: usize, happening: Happening) {
        let (clock, wall) = (self.clock(who), self.wall(who));
        let process = &mut self.processes[who];
        match happening {
            Happening::Freezes(time) => process.frozen_until = self.now + time,
            Happening::IsPut(seconds) => process.wall += seconds,
            Happening::Annotates => {
                if let Some(lease) = &mut self.lease {
                    self.version += 1;
                    lease["metadata"]["resourceVersion"] = self.version.to_string().into();
                }
            }
            Happening::Stops if process.election.deadline().is_some() => {
                process.election.resign();
                if let Some(lease) = process.known.take() {
                    let lease = record::released(lease, wall);
                    self.send(
                        who,
                        Request::Write {
                            lease,
                            begun: clock,
                        },
                    );
                }
                self.start_again(who);
            }
            Happening::Stops | Happening::Crashes => self.start_again(who),
        }
    }

    fn start_again(&mut self, who: usize) {
        let process = &mut self.processes[who];
        process.election = candidate(&format!("{who}-{}", self.now));
        process.frozen_until = 0;
        process.known = None;
        self.rest(who);
    }
}

fn version(lease: &Value) -> &Value {
    &lease["metadata"]["resourceVersion"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn two_candidates_never_lead_at_once_and_one_does_in_the_end(story in story()) {
        let mut world = World::new(&story);
        world.run(CHAOS);
        // what was frozen thaws, what was on its way arrives, what was held expires
        world.run(CHAOS + 100_000);
        prop_assert_eq!(world.leaders().len(), 1);
        prop_assert_eq!(world.led, 1);
    }
}
