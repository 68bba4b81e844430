//! Goal: batches store every good line once, wait while too much of them is on its way, and leave nothing behind.
//! Method: bodies in pieces of any size, with the disk on and off.

use super::*;

#[test]
fn a_batch_counts_every_line_and_one_bad_line_spoils_no_other() {
    let mut world = World::serving(2);
    let mut body = String::new();
    for number in 0..100 {
        body += &claim(&format!("b/{number}"), number);
        body += "\n";
    }
    body += "\n{\"subject\":\"b\"}\n";
    body += &claim("b/0", 0);
    let (status, answer) = world.post(0, "/v1/assert/batch", &body);
    assert_eq!(status, OK);
    assert!(
        answer.starts_with(r#"{"accepted":100,"exists":1,"rejected":1,"errors":[{"line":102,"#),
        "{answer}"
    );
    assert_eq!(world.assertions(), 100);

    let array = format!("[{},17,{}]", claim("b/0", 0), claim("b/new", 1));
    let (status, answer) = world.post(1, "/v1/assert/batch", &array);
    assert_eq!(status, OK);
    assert!(answer.starts_with(r#"{"accepted":1,"exists":1,"rejected":1,"errors":[{"line":2,"#), "{answer}");
}

/// What is wrong with a line is told with its column, and a line has a bound: white space before it counts, whichever piece
/// of the body it came in.
#[test]
fn white_space_before_a_batch_means_the_same_however_it_is_cut() {
    let limits = http::Limits { body_bytes_max: 200, ..http::Limits::default() };
    let answer = |body: &str, cut: usize| {
        let mut world = World::with(1, |config| config.http = Arc::new(limits.clone()));
        world.open();
        let client = world.connect(0);
        let request = post("/v1/assert/batch", body);
        let (one, other) = request.split_at(request.len() - body.len() + cut);
        world.send(client, one.as_bytes());
        world.send(client, other.as_bytes());
        world.take(client)
    };
    let spaces = " ".repeat(195);
    let bodies = [
        r#"   {"subject":}"#,
        "\n \n  {\"subject\":1}",
        &format!("{spaces}{}", claim("a", 1)),
        &format!("\n{spaces}[{}]", claim("a", 1)),
        &format!("{spaces} \n{spaces}  \n{}", claim("a", 1)),
        "\n \n  [1,",
        &" ".repeat(500),
    ];
    for body in bodies {
        let whole = answer(body, 0);
        for cut in 1..=body.len() {
            assert_eq!(answer(body, cut), whole, "cut after {cut} bytes of {body:?}");
        }
    }
    assert!(answer(bodies[2], 7).contains(r#""rejected":1,"errors":[{"line":1,"code":"body_too_large""#));
    assert!(answer(bodies[3], 7).contains(r#""accepted":1"#), "an array begins with its bracket");
    assert!(answer(bodies[4], 7).contains(r#""accepted":1"#), "a blank line at the beginning has no bound");
}

#[test]
fn a_batch_pauses_while_too_much_of_it_waits_for_the_disk() {
    let mut world = World::with(2, |config| config.batch_bytes_open_max = 64 << 10);
    world.open();
    world.disk_is_on = false;
    let client = world.connect(0);
    world.send(client, b"POST /v1/assert/batch HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    let (mut sent, mut lines) = (0_usize, 0_usize);
    while world.paused.is_empty() {
        let line = claim(&format!("p/{lines}"), 1) + "\n";
        world.send(client, format!("{:x}\r\n{line}\r\n", line.len()).as_bytes());
        sent += line.len();
        lines += 1;
        assert!(sent < 1 << 20, "the connection takes in more than any bound of it");
    }
    // What waits in the cores is bounded by the batch's share; the rest waits in the connection.
    assert!(world.cores[0].room.batches.open_bytes <= 64 << 10);
    world.disk_is_on = true;
    for core in 0..2 {
        world.do_writes(core);
    }
    world.run();
    assert_eq!(world.paused.last(), Some(&(0, client.1, false)), "the connection goes on");
    world.send(client, b"0\r\n\r\n");
    let answer = world.take(client);
    assert!(
        answer.ends_with(&format!(r#"{{"accepted":{lines},"exists":0,"rejected":0,"errors":[]}}"#)),
        "{answer}"
    );
}

#[test]
fn an_array_is_sent_on_its_way_as_there_is_room_for_it() {
    const CLAIMS: usize = 3000;
    let mut world = World::with(2, |config| config.batch_bytes_open_max = 64 << 10);
    world.open();
    world.disk_is_on = false;
    let client = world.connect(0);
    // The first is wrong, and known to be so before any other is stored.
    let claims: Vec<String> = (0..CLAIMS).map(|number| claim(&format!("a/{number}"), 1)).collect();
    world.send(client, post("/v1/assert/batch", &format!("[{{}},{}]", claims.join(","))).as_bytes());
    let open_bytes = world.cores[0].room.batches.open_bytes;
    assert!((1..=64 << 10).contains(&open_bytes), "{open_bytes} bytes of claims are on their way");
    world.disk_is_on = true;
    for core in 0..2 {
        world.do_writes(core);
    }
    world.run();
    let answer = world.take(client);
    assert!(answer.contains(&format!(r#"{{"accepted":{CLAIMS},"exists":0,"rejected":1,"#)), "{answer}");
    let room = &world.cores[0].room;
    assert_eq!((room.batches.open_bytes, room.batches.paused.len(), room.batches.keys.len()), (0, 0, 0));
}

#[test]
fn whatever_lines_come_in_at_once_batches_take_no_more_than_the_lane_has_room_for() {
    let value = "v".repeat(60 << 10);
    let line =
        |subject: String| format!(r#"{{"concept_path":"{subject}","predicate":"is","value":"{value}"}}"#);
    for (clients, lines) in [(1, 300), (64, 4)] {
        // Eight frames of a mebibyte, of which one core's batches may fill a quarter.
        let mut world = World::with(1, |config| config.batch_bytes_open_max = 2 << 20);
        world.open();
        world.disk_is_on = false;
        let clients: Vec<_> = (0..clients).map(|_| world.connect(0)).collect();
        for (number, (core, key)) in clients.iter().enumerate() {
            let body: String = (0..lines).map(|place| line(format!("c/{number}/{place}")) + "\n").collect();
            let head = "POST /v1/assert/batch HTTP/1.1\r\nhost: x\r\n";
            let request = if number % 2 == 0 {
                format!("{head}content-length: {}\r\n\r\n{body}", body.len())
            } else {
                format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
            };
            world.cores[*core].received(*key, request.as_bytes(), world.now);
        }
        world.run();
        assert!(world.cores[0].room.batches.open_bytes < (2 << 20) + (128 << 10));
        world.disk_is_on = true;
        world.do_writes(0);
        world.run();
        for client in clients {
            let answer = world.take(client);
            let all = format!(r#"{{"accepted":{lines},"exists":0,"rejected":0,"errors":[]}}"#);
            assert!(answer.ends_with(&all), "{answer}");
        }
    }
}

#[test]
fn a_batch_that_breaks_off_stores_its_whole_lines_and_no_half() {
    let mut world = World::serving(2);
    let client = world.connect(0);
    let body = claim("x/1", 1) + "\n" + &claim("x/2", 2) + "\n" + &claim("x/3", 3);
    let request = post("/v1/assert/batch", &body);
    world.send(client, &request.as_bytes()[..request.len() - 1]);
    world.cores[0].broken(client.1);
    world.run();
    assert_eq!(world.assertions(), 2);
    assert_eq!(world.cores[0].room.batches.keys.len(), 0);
    assert!(world.cores[0].room.operations.is_empty());
}

#[test]
fn only_so_many_batches_at_once() {
    let mut world = World::serving(1);
    let head = b"POST /v1/assert/batch HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n";
    let clients: Vec<_> = (0..batch::BATCHES_MAX)
        .map(|_| {
            let client = world.connect(0);
            world.send(client, head);
            client
        })
        .collect();
    let one_too_many = world.connect(0);
    world.send(one_too_many, head);
    let answer = world.take(one_too_many);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("retry-after: 1"), "{answer}");
    world.cores[0].broken(clients[0].1);
    let next = world.connect(0);
    world.send(next, head);
    assert_eq!(world.take(next), "");
}

/// Goal: clients who hardly send anything do not keep others out. Method: as many batches as may come in, all but one of them
/// slow, then more.
#[test]
fn where_there_is_no_room_the_slowest_batch_gives_way() {
    let mut world = World::with(1, |config| config.connections_max = 200);
    world.open();
    let head = "POST /v1/assert/batch HTTP/1.1\r\nhost: x\r\ncontent-length: 400000\r\n\r\n";
    let line = claim("slow/1", 1) + "\n";
    let mut clients = Vec::new();
    for number in 0..batch::BATCHES_MAX {
        let client = world.connect(0);
        world.send(client, head.as_bytes());
        let bytes = match number {
            5 => 200_000,
            9 => 1,
            _ => 100 + number,
        };
        world.send(client, line.as_bytes());
        world.send(client, " ".repeat(bytes).as_bytes());
        clients.push(client);
    }
    let begin = |world: &mut World| {
        let client = world.connect(0);
        world.send(client, head.as_bytes());
        client
    };
    world.now.monotonic_us += 9_900_000;
    let early = begin(&mut world);
    assert!(world.take(early).starts_with("HTTP/1.1 503"), "ten seconds are given to each");
    world.now.monotonic_us += 100_000;
    let fresh: Vec<_> = (1..batch::BATCHES_MAX).map(|_| begin(&mut world)).collect();
    let told = world.take(clients[9]);
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("less than 16 KiB a second"), "{told}");
    // What it sends all the same is read over.
    world.send(clients[9], line.as_bytes());
    assert!(fresh.iter().all(|&client| world.take(client).is_empty()), "each found room");
    for (number, &client) in clients.iter().enumerate().filter(|(number, _)| *number != 9) {
        assert_eq!(world.take(client).is_empty(), number == 5, "batch {number}");
    }
    let late = begin(&mut world);
    assert!(world.take(late).starts_with("HTTP/1.1 503"), "the others have not had their ten seconds");
    assert_eq!(world.cores[0].room.batches.keys.len(), batch::BATCHES_MAX);
    assert_eq!(world.assertions(), 1, "a whole line is stored");
}

/// Goal: who is refused keeps nobody out. Method: as many slow batches as may come in, then some that are refused for what
/// stands in their heads.
#[test]
fn a_batch_that_is_refused_makes_no_other_give_way() {
    let mut world = World::with(1, |config| config.connections_max = 200);
    world.open();
    let begin = |world: &mut World, fields: &str| {
        let client = world.connect(0);
        let head = format!("POST /v1/assert/batch HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n{fields}\r\n");
        world.send(client, head.as_bytes());
        client
    };
    let slow: Vec<_> = (0..batch::BATCHES_MAX).map(|_| begin(&mut world, "")).collect();
    let conditional = begin(&mut world, "if-match: \"a\"\r\n");
    let answer = world.take(conditional);
    assert!(answer.starts_with("HTTP/1.1 503"), "without its condition there is no room for it: {answer}");
    world.now.monotonic_us += 10_000_000;
    for (fields, status) in [
        ("content-encoding: gzip\r\n", 415),
        ("content-encoding: gzip\r\nif-match: \"a\"\r\n", 415),
        ("if-match: \"a\"\r\n", 412),
        ("x-agent-id: a\r\nx-agent-id: a\r\n", 400),
    ] {
        let refused = begin(&mut world, fields);
        let answer = world.take(refused);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{fields}: {answer}");
        assert!(slow.iter().all(|&client| world.take(client).is_empty()), "{fields}");
    }
    let taken = begin(&mut world, "");
    assert_eq!(world.take(taken), "");
    assert_eq!(slow.iter().filter(|&&client| !world.take(client).is_empty()).count(), 1);
}
