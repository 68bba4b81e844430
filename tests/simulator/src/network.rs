//! The network: brings what clients and cores send to each other, sometimes late, in pieces, or not at all.

use crate::link::{Link, LinkNumber};
use crate::server::{Happening, Stage};
use crate::simulation::{Event, Simulation};

impl Simulation {
    /// Gives a client a connection to one of the cores, if that takes it.
    pub(crate) fn connect(&mut self, client: usize) {
        let now = self.now();
        let Some(server) = &mut self.server else { return };
        let core = self.random.within(0..=server.cores.len() as u64 - 1) as usize;
        let running = &mut server.cores[core];
        if running.stage != Stage::Running {
            return;
        }
        let Ok(key) = running.core.accepted(now) else { return };
        self.links_made += 1;
        let number = self.links_made;
        running.links.insert(key, number);
        let unix_s = now.wall.0 as u64 / 1_000_000;
        let tls = self.tls.as_ref().map(|tls| Box::new(tls.connect(&mut self.random, unix_s)));
        let is_secured = tls.is_some();
        let mut link = Link::new(client, core, key, tls);
        link.reads_slowly = self.scenario.slow_readers.happens(&mut self.random);
        self.totals.slow_readers += u64::from(link.reads_slowly);
        self.links.insert(number, link);
        self.connected[client] = Some(number);
        self.auditor.note(self.time_us, "connect", client as u64, core as u64);
        if is_secured {
            self.send_up(number, b"");
        }
    }

    /// Takes bytes from a client.
    pub(crate) fn send_up(&mut self, number: LinkNumber, bytes: &[u8]) {
        let link = self.links.get_mut(&number).expect("clients send over links that are there");
        link.say(bytes);
        self.foresee(number);
    }

    /// A client breaks its connection.
    pub(crate) fn reset(&mut self, number: LinkNumber) {
        let Link { client, core, key, .. } =
            self.links.remove(&number).expect("only links that are there break");
        self.auditor.note(self.time_us, "reset", client as u64, core as u64);
        self.connected[client] = None;
        self.clients[client].disconnected();
        self.server().cores[core].links.remove(&key);
        self.tell(core, Happening::Broken(key));
        self.totals.resets += 1;
    }

    /// The core has closed a connection.
    pub(crate) fn closed(&mut self, number: LinkNumber) {
        let Some(link) = self.links.remove(&number) else { return };
        // What is still on its way may cross with the end of a connection that was idle.
        let may_close =
            !self.calm.is_held_to() || !link.up.is_empty() || self.clients[link.client].may_be_left();
        assert!(may_close, "without faults, client {} has lost its connection and its answers", link.client);
        self.auditor.note(self.time_us, "close", link.client as u64, link.core as u64);
        self.connected[link.client] = None;
        if link.client == self.scenario.clients && self.clients[link.client].outstanding() > 0 {
            self.inspect_again();
        }
        self.clients[link.client].disconnected();
    }

    /// Something moves towards the core.
    pub(crate) fn up(&mut self, number: LinkNumber) {
        let Some(link) = self.links.get_mut(&number) else { return };
        link.up_is_foreseen = false;
        if link.up_stalled_until_us > self.time_us || !link.moves_up() {
            self.foresee(number);
            return;
        }
        let (core, key) = (link.core, link.key);
        let bytes = self.piece(number, |link| link.up.len());
        let link = self.links.get_mut(&number).expect("it was just there");
        if bytes > 0 {
            let piece: Vec<u8> = link.up.drain(..bytes).collect();
            self.auditor.note(self.time_us, "up", number, bytes as u64);
            self.tell(core, Happening::Received(key, piece));
        } else if link.up_ends && !link.up_ended {
            link.up_ended = true;
            self.tell(core, Happening::ReceivedEnd(key));
        }
        self.after_piece(number);
    }

    /// Something moves towards the client.
    pub(crate) fn down(&mut self, number: LinkNumber) {
        let Some(link) = self.links.get_mut(&number) else { return };
        link.down_is_foreseen = false;
        if link.down_stalled_until_us > self.time_us {
            self.foresee(number);
            return;
        }
        let (client, core, key) = (link.client, link.core, link.key);
        let mut bytes =
            self.piece(number, |link| link.down.as_ref().map_or(0, |(buffer, sent)| buffer.len() - sent));
        if self.links[&number].reads_slowly {
            bytes = bytes.min(self.random.within(1..=600) as usize);
            let pause_us = self.random.within(1_000..=100_000);
            self.links.get_mut(&number).expect("it was just there").down_stalled_until_us =
                self.time_us + pause_us;
        }
        let link = self.links.get_mut(&number).expect("it was just there");
        if let Some((buffer, sent)) = &mut link.down {
            let piece = *sent..*sent + bytes;
            *sent += bytes;
            self.auditor.note(self.time_us, "down", number, bytes as u64);
            self.auditor.bytes(&buffer[piece.clone()]);
            let piece = buffer[piece].to_vec();
            let understood = link.hear(&piece);
            self.clients[client].receive(&understood, &mut self.model, &mut self.answers);
            link.speak();
            let (buffer, sent) = link.down.as_ref().expect("it is there");
            let done = (*sent == buffer.len()).then(|| link.down.take().expect("it is there").0);
            self.tell(core, Happening::Sent(key, bytes));
            if let Some(buffer) = done {
                self.tell(core, Happening::SendDone(key, buffer));
            }
        } else if link.down_ends {
            // The client has all it will get.
            link.down_ends = false;
            link.up_ends = true;
        }
        self.after_piece(number);
    }

    /// How much of what waits moves at once.
    fn piece(&mut self, number: LinkNumber, waiting: impl Fn(&Link) -> usize) -> usize {
        let waiting = waiting(&self.links[&number]);
        if waiting > 1 && self.scenario.cuts.happens(&mut self.random) {
            self.totals.count_fault("bytes came in pieces");
            return self.random.within(1..=waiting as u64 - 1) as usize;
        }
        waiting
    }

    /// A piece has moved: now the link may break, or stall.
    fn after_piece(&mut self, number: LinkNumber) {
        if self.scenario.resets.happens(&mut self.random) {
            let link = &self.links[&number];
            if !link.up.is_empty() || link.down.is_some() {
                self.totals.count_fault("connection broke in the midst of what was sent");
            }
            self.reset(number);
            return;
        }
        if self.scenario.stalls.happens(&mut self.random) {
            let stall_us = self.random.within(1_000..=4_000_000);
            let until_us = self.time_us + stall_us;
            let link = self.links.get_mut(&number).expect("it was just there");
            let (up, down) = match self.random.within(0..=2) {
                0 => (true, false),
                1 => (false, true),
                _ => (true, true),
            };
            if up {
                link.up_stalled_until_us = until_us;
            }
            if down {
                link.down_stalled_until_us = until_us;
            }
            self.totals.stalls += 1;
        }
        self.foresee(number);
    }

    /// Makes sure that what waits will move.
    pub(crate) fn foresee(&mut self, number: LinkNumber) {
        let latency_us = self.random.within(5..=200);
        let Some(link) = self.links.get_mut(&number) else { return };
        let soon_us = self.time_us + latency_us;
        if link.moves_up() && !link.up_is_foreseen {
            link.up_is_foreseen = true;
            self.schedule.add(soon_us.max(link.up_stalled_until_us), Event::Up(number));
        }
        if link.moves_down() && !link.down_is_foreseen {
            link.down_is_foreseen = true;
            self.schedule.add(soon_us.max(link.down_stalled_until_us), Event::Down(number));
        }
    }
}
