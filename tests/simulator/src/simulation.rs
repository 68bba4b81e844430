//! The world of one seed: machine, network, clients, and what happens when.

use std::collections::BTreeMap;
use std::fmt;

use stemedb_engine::log::SegmentNumber;
use stemedb_engine::log::lane::LaneWrite;
use stemedb_engine::log::segment::SegmentId;
use stemedb_engine::slot::LaneId;
use stemedb_engine::time::UnixMicros;
use stemedb_net::core::Now;
use stemedb_tests::Random;

use crate::answers::Answers;
use crate::auditor::Auditor;
use crate::calm::Calm;
use crate::client::Client;
use crate::disk::{Crash, Disk, SharedDisk};
use crate::link::{Link, LinkNumber};
use crate::model::Model;
use crate::scenario::Scenario;
use crate::schedule::Schedule;
use crate::secured::Tls;
use crate::server::{Happening, NotPrepared, Server, Stage};
use crate::totals::Totals;

/// How long a client waits for an answer before it gives up, in microseconds.
const PATIENCE_US: u64 = 20_000_000;

/// How long everything may take to come to rest once there are no faults any more, in microseconds. A client may be reading a list, one claim a
/// page, whose values come late from tables: that is no fault.
const REST_US_MAX: u64 = 600_000_000;

/// How long a run may take in any world, in microseconds: clients give up after some seconds, and then it ends.
const RUN_US_MAX: u64 = 4 * 3_600_000_000;

/// How many events may happen at one moment.
const EVENTS_AT_ONCE_MAX: u64 = 1_000_000;

/// The wall clock when the world begins, microseconds since 1970.
const BEGINNING_US: i64 = 1_700_000_000_000_000;

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// A client looks what it can do.
    Client(usize),
    /// What clients sent goes on its way.
    Up(LinkNumber),
    /// What a core sent goes on its way.
    Down(LinkNumber),
    /// A core has its turn.
    Turn(usize),
    /// Something happens to a core.
    Tell(usize, Box<Happening>),
    /// A write is done.
    Written(usize, u64),
    /// A segment appears in the directory.
    SegmentAppears(usize, SegmentNumber),
    /// The directory is durable.
    SegmentReady(usize, SegmentNumber),
    /// A segment could not be prepared.
    SegmentFails(usize, SegmentNumber, NotPrepared),
    /// Messages from a core arrive at another.
    Messages(usize, usize),
    /// Time passes for a core.
    Tick(usize),
    /// The upkeep hears which segment a lane writes to.
    LaneWrites(LaneId, SegmentNumber),
    /// The upkeep takes a step.
    Upkeep,
    /// Pieces of a snapshot are written.
    Snapshot,
    /// The run ends.
    End(Ending),
    /// There is room on the disk again.
    DiskHasRoom,
}

/// How a run of the server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Crash(Crash),
    Stop,
    /// Clients that do not read their answers do not hold up the others.
    Close,
}

/// The world of one seed.
#[derive(Debug)]
pub struct Simulation {
    pub(crate) scenario: Scenario,
    pub(crate) random: Random,
    pub(crate) time_us: u64,
    /// What the wall clock is ahead of the time since the beginning.
    pub(crate) wall_ahead_us: i64,
    pub(crate) schedule: Schedule<Event>,
    pub(crate) disk: SharedDisk,
    pub(crate) server: Option<Server>,
    pub(crate) links: BTreeMap<LinkNumber, Link>,
    pub(crate) links_made: LinkNumber,
    pub(crate) clients: Vec<Client>,
    /// The link of each client.
    pub(crate) connected: Vec<Option<LinkNumber>>,
    pub(crate) model: Model,
    pub(crate) answers: Answers,
    pub(crate) auditor: Auditor,
    pub(crate) totals: Totals,
    /// How far the world has come in showing that all goes on when nothing goes wrong any more.
    pub(crate) calm: Calm,
    /// When it came there.
    pub(crate) calm_since_us: u64,
    /// The faults that go on after a time without any.
    pub(crate) faulty: Option<Scenario>,
    /// What clients may still ask for in this run.
    pub(crate) operations_left: u64,
    /// After how many further writes the machine goes down, in the midst of one.
    pub(crate) writes_until_crash: Option<u64>,
    /// Whether a snapshot was taken and nobody but the server has removed it: there must be one.
    pub(crate) has_snapshot: bool,
    /// How many reads the last start had.
    pub(crate) reads_of_start: u64,
    /// How and when the run ends is decided.
    pub(crate) is_ending: bool,
    pub(crate) has_ended: bool,
    /// Where TLS is spoken.
    pub(crate) tls: Option<Tls>,
    seed: u64,
}

impl Simulation {
    /// The world, about to begin. With `trace`, what happens is printed.
    fn new(World { seed, speaks_tls }: World, trace: bool) -> Simulation {
        let mut random = Random::new(seed);
        let mut scenario = Scenario::of(&mut random);
        scenario.speaks_tls |= speaks_tls;
        let client = |number: usize| Client::new(random.fork(1000 + number as u64));
        let mut clients: Vec<_> = (0..scenario.clients).map(client).collect();
        let may_be_full = scenario.index_bytes_max != u64::MAX;
        clients.push(Client::inspector(random.fork(1000 + scenario.clients as u64), may_be_full));
        let auditor = Auditor::new(trace);
        auditor.tell(0, || format!("{scenario:#?}"));
        Simulation {
            disk: SharedDisk::new(Disk::new(random.fork(1))),
            random: random.fork(2),
            time_us: 0,
            wall_ahead_us: BEGINNING_US,
            schedule: Schedule::new(),
            server: None,
            links: BTreeMap::new(),
            links_made: 0,
            connected: vec![None; clients.len()],
            clients,
            model: Model::default(),
            answers: Answers::default(),
            auditor,
            totals: Totals::default(),
            calm: Calm::No,
            calm_since_us: 0,
            faulty: None,
            operations_left: 0,
            writes_until_crash: None,
            has_snapshot: false,
            reads_of_start: 0,
            is_ending: false,
            has_ended: false,
            tls: None,
            seed,
            scenario,
        }
    }

    /// Lets all of it happen. Panics when something does that must not.
    pub fn run(mut self) -> Outcome {
        // The random numbers of TLS are those of a thread.
        self.tls = self.scenario.speaks_tls.then(|| Tls::new(Random::new(self.seed).fork(3)));
        for client in 0..self.scenario.clients {
            self.schedule.add(0, Event::Client(client));
        }
        for _ in 0..self.scenario.runs {
            self.start();
            self.serve(self.scenario.operations_a_run);
        }
        self.scenario = self.scenario.without_faults();
        self.disk.get().is_full = false;
        self.enter(Calm::Serving);
        self.start();
        self.serve(self.scenario.operations_a_run);
        self.enter(Calm::Serving);
        self.start();
        self.scrub();
        for (kind, count) in self.disk.get().take_losses() {
            *self.totals.faults.entry(kind.to_owned()).or_default() += count;
        }
        self.totals.count_answers(&self.answers);
        self.totals.disk_bytes = self.disk.get().bytes();
        self.totals.virtual_us = self.time_us;
        let fingerprint = self.disk.get().fingerprint();
        self.auditor.note(self.time_us, "end", fingerprint, 0);
        self.totals.events = self.auditor.events();
        Outcome { totals: self.totals, sum: self.auditor.to_string() }
    }

    /// Serves clients until the run has come to its end.
    fn serve(&mut self, operations: u64) {
        self.operations_left = operations;
        self.is_ending = false;
        self.has_ended = false;
        self.writes_until_crash = None;
        let began_us = self.time_us;
        let mut events_at_once = 0;
        while !self.has_ended {
            let Some((time_us, event)) = self.schedule.next() else {
                panic!("nothing happens any more, although the server has not ended")
            };
            assert!(time_us >= self.time_us, "time went back");
            events_at_once = if time_us == self.time_us { events_at_once + 1 } else { 0 };
            assert!(events_at_once < EVENTS_AT_ONCE_MAX, "time stands still: {event:?}");
            self.time_us = time_us;
            self.happen(event);
            if !self.is_ending && self.operations_left == 0 {
                self.go_on();
            }
            assert!(
                self.calm == Calm::No || self.time_us - self.calm_since_us < REST_US_MAX,
                "without faults, clients still wait for answers after {} s of {:?}: {:?}",
                REST_US_MAX / 1_000_000,
                self.calm,
                self.clients.iter().map(Client::outstanding).collect::<Vec<_>>()
            );
            assert!(
                self.time_us - began_us < RUN_US_MAX,
                "a run has not ended after {} s",
                RUN_US_MAX / 1_000_000
            );
        }
        if let Some(faulty) = self.faulty.take() {
            self.scenario = faulty;
        }
        self.calm = Calm::No;
        self.server = None;
        self.schedule = Schedule::new();
        for link in std::mem::take(&mut self.links).into_values() {
            self.connected[link.client] = None;
            self.clients[link.client].disconnected();
        }
        self.time_us += self.random.within(1_000..=2_000_000);
        for client in 0..self.scenario.clients {
            self.schedule.add(self.time_us, Event::Client(client));
        }
    }

    /// Decides how the run ends, and when.
    pub(crate) fn end_run(&mut self) {
        self.is_ending = true;
        if self.calm != Calm::No && self.faulty.is_none() {
            self.schedule.add(self.time_us, Event::End(Ending::Stop));
            return;
        }
        if let Some(faulty) = self.faulty.take() {
            self.scenario = faulty;
        }
        self.calm = Calm::No;
        // Clients do not know, and go on.
        self.operations_left = u64::MAX;
        let mut is_cut_short = false;
        let ending = if self.scenario.stops.happens(&mut self.random) {
            is_cut_short = self.random.once_in(3);
            Ending::Stop
        } else {
            if self.random.once_in(2) {
                self.writes_until_crash = Some(self.random.within(0..=10));
            }
            self.crash_kind()
        };
        let in_us = match self.random.within(0..=3) {
            0 => 0,
            1 => self.random.within(0..=1_000),
            2 => self.random.within(0..=20_000),
            _ => self.random.within(0..=300_000),
        };
        self.schedule.add(self.time_us + in_us, Event::End(ending));
        if is_cut_short {
            let after_us = self.random.within(0..=50_000);
            let crash = self.crash_kind();
            self.schedule.add(self.time_us + in_us + after_us, Event::End(crash));
            self.totals.count_fault("stop was cut short");
        }
    }

    /// In what way the machine goes down.
    pub(crate) fn crash_kind(&mut self) -> Ending {
        Ending::Crash(if self.random.once_in(3) { Crash::Kill } else { Crash::PowerCut })
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Client(client) => self.client(client),
            Event::Up(link) => self.up(link),
            Event::Down(link) => self.down(link),
            Event::Turn(core) => self.turn(core),
            Event::Tell(core, happening) => self.tell(core, *happening),
            Event::Written(core, id) => self.written(core, id),
            Event::SegmentAppears(core, number) => self.segment_appears(core, number),
            Event::SegmentReady(core, number) => {
                self.disk.get().sync_directory();
                self.tell(core, Happening::Segment(number, Ok(())));
            }
            Event::SegmentFails(core, number, why) => self.tell(core, Happening::Segment(number, Err(why))),
            Event::Messages(from, to) => self.messages(from, to),
            Event::Tick(core) => {
                self.tell(core, Happening::Tick);
                self.schedule.add(self.time_us + 100_000, Event::Tick(core));
            }
            Event::End(ending) => self.end(ending),
            Event::LaneWrites(lane, number) => self.lane_writes(lane, number),
            Event::Upkeep => self.upkeep(),
            Event::Snapshot => self.write_snapshot(),
            Event::DiskHasRoom => self.disk.get().is_full = false,
        }
    }

    fn end(&mut self, ending: Ending) {
        self.auditor.tell(self.time_us, || format!("end of run: {ending:?}"));
        match ending {
            Ending::Crash(crash) => {
                if let Some(manifest) = self.server.as_ref().and_then(|server| server.keeper.manifest()) {
                    self.check_copy(manifest);
                }
                self.crash(crash);
                self.has_ended = true;
            }
            // The server listens for the wish to stop when it has started.
            Ending::Stop if self.server().serving < self.server().cores.len() => {
                self.schedule.add(self.time_us + 1_000, Event::End(Ending::Stop));
            }
            Ending::Stop => {
                // It ends with the step at hand, or is left with it when all else has ended.
                if !self.random.once_in(4) {
                    self.server().keeper.stop();
                }
                let cores = self.server().cores.len();
                for core in 0..cores {
                    let in_us = self.random.within(0..=2_000);
                    self.schedule.add(self.time_us + in_us, Event::Tell(core, Box::new(Happening::Drain)));
                }
                self.schedule.add(self.time_us + 3_000_000, Event::End(Ending::Close));
            }
            Ending::Close => self.close_cores(),
        }
    }

    /// Has the lanes closed, once all cores are drained, or clients have had time enough.
    pub(crate) fn close_cores(&mut self) {
        for core in 0..self.server().cores.len() {
            if matches!(self.server().cores[core].stage, Stage::Draining | Stage::Drained) {
                let in_us = self.random.within(0..=1_000);
                self.schedule.add(self.time_us + in_us, Event::Tell(core, Box::new(Happening::Close)));
            }
        }
    }

    /// The machine goes down, or only the server.
    pub(crate) fn crash(&mut self, crash: Crash) {
        self.totals.crashes += 1;
        self.auditor.note(self.time_us, "crash", u64::from(crash == Crash::PowerCut), 0);
        let server = self.server.take().expect("only a running server crashes");
        self.disk.get().go_down();
        drop(server.keeper);
        for (core, running) in server.cores.into_iter().enumerate() {
            for under_way in running.writes {
                let LaneWrite { segment: number, offset, buffer, bytes, .. } = under_way.write;
                let segment = SegmentId { lane: LaneId(core as u16), number };
                let is_whole = self.disk.get().write_partly(segment, offset, &buffer[..bytes]);
                self.totals.writes_torn += u64::from(!is_whole);
            }
        }
        self.disk.get().crash(crash);
    }

    pub(crate) fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("the server runs")
    }

    /// The time as a core is told it.
    pub(crate) fn now(&self) -> Now {
        let wall = self.wall_ahead_us + self.time_us as i64;
        Now { monotonic_us: self.time_us, wall: UnixMicros(wall.max(0)) }
    }

    /// Tells a core something, and lets it have a turn soon.
    pub(crate) fn tell(&mut self, core: usize, happening: Happening) {
        let Some(server) = &mut self.server else { return };
        server.cores[core].inbox.push(happening);
        let latency_us = self.random.within(0..=20);
        self.call(core, latency_us);
    }

    /// Lets a core have a turn soon.
    pub(crate) fn call(&mut self, core: usize, latency_us: u64) {
        let time_us = self.time_us;
        let running = &mut self.server().cores[core];
        if !running.is_called {
            running.is_called = true;
            let at_us = running.busy_until_us.max(time_us + latency_us);
            self.schedule.add(at_us, Event::Turn(core));
        }
    }

    /// A client looks what it can do.
    fn client(&mut self, number: usize) {
        let pause_us = match self.random.within(0..=9) {
            0 => self.random.within(0..=100_000),
            _ => self.random.within(0..=2_000),
        };
        self.schedule.add(self.time_us + 200 + pause_us, Event::Client(number));
        let Some(link) = self.connected[number] else {
            if self.operations_left > 0 {
                self.connect(number);
            }
            return;
        };
        // Lists of long values that are all read late may well take longer, a dozen of them asked for at once: nobody gives them up
        // where all must be answered.
        let patience_us = match self.calm.is_held_to() && self.scenario.slow_reads.may_happen() {
            true => REST_US_MAX,
            false => PATIENCE_US,
        };
        let is_lost = self.clients[number]
            .waits_since_us()
            .is_some_and(|since_us| self.time_us - since_us > patience_us);
        assert!(
            !is_lost || !self.calm.is_held_to(),
            "without faults, client {number} has had no answer for {} s",
            patience_us / 1_000_000
        );
        let client = &mut self.clients[number];
        // Where nothing goes wrong, clients hear their answers out.
        let may_leave =
            client.is_done_with_connection() && (!self.calm.is_held_to() || client.outstanding() == 0);
        if is_lost || (may_leave && self.random.once_in(20)) {
            self.reset(link);
            return;
        }
        if self.operations_left == 0 && !client.is_reading() {
            return;
        }
        if client.may_ask(&self.scenario) {
            let before = self.operations_left;
            let bytes = client.ask(&mut self.model, &self.scenario, self.time_us, &mut self.operations_left);
            self.totals.operations += before - self.operations_left;
            self.auditor.note(self.time_us, "ask", number as u64, bytes.len() as u64);
            self.auditor.bytes(&bytes);
            self.send_up(link, &bytes);
            if self.scenario.half_closes.happens(&mut self.random) {
                self.totals.count_fault("connection was half-closed");
                self.clients[number].says_no_more();
                let is_said = self.seed.is_multiple_of(2);
                self.links.get_mut(&link).expect("it was just sent over").finish(is_said);
                self.foresee(link);
            }
        }
    }
}

/// Which world.
#[derive(Debug, Clone, Copy)]
pub struct World {
    /// What all of it follows from.
    pub seed: u64,
    /// Whether its clients speak TLS even if its seed would not have it.
    pub speaks_tls: bool,
}

impl World {
    /// The world, about to begin. With `trace`, what happens in it is printed.
    pub fn simulation(self, trace: bool) -> Simulation {
        Simulation::new(self, trace)
    }
}

/// What is said of a world that shows a broken promise: how to see it again.
impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let World { seed, speaks_tls } = self;
        let tls = if *speaks_tls { " --tls" } else { "" };
        write!(
            f,
            "seed {seed} shows a broken promise. To see it again, twice, or with what happens in it:\n  \
             cargo run --release --locked -p stemedb-simulator -- --seed {seed}{tls}\n  \
             cargo run --release --locked -p stemedb-simulator -- --seed {seed}{tls} --trace"
        )
    }
}

/// What became of a seed.
#[derive(Debug)]
pub struct Outcome {
    /// What has happened, in figures.
    pub totals: Totals,
    /// The auditor's number.
    pub sum: String,
}
