//! Goal: a stop waits for the step at hand, but not for ever. Method: a thread whose step ends when the test says so.

use super::*;

/// Goal: nothing is removed that an archive which has just been begun counts on. Method: its mark appears between a look at it and a removal.
#[test]
fn nothing_is_removed_before_the_mark_of_the_archive_is_known() {
    let wal = tempfile::tempdir().expect("a directory");
    assert!(removal_right(wal.path(), None).is_some(), "there is no archive");
    archive_mark::write(wal.path(), &Covered::default()).expect("writable");
    assert!(removal_right(wal.path(), None).is_none(), "the mark is news");
    assert!(removal_right(wal.path(), Some(&Covered::default())).is_some());
    std::fs::write(archive_mark::path(wal.path()), "damaged").expect("writable");
    assert!(removal_right(wal.path(), None).is_none(), "there is an archive, whatever it has");
    std::fs::remove_file(archive_mark::path(wal.path())).expect("it is there");
    let _hold = stemedb_engine::data_dir::Hold::on(wal.path()).expect("nobody removes anything");
    assert!(removal_right(wal.path(), None).is_none(), "somebody reads");
}

/// Goal: cores know when the CPU is theirs. Method: while an order is waited for, and after it has come; and a glance without waiting.
#[test]
fn who_waits_for_orders_is_not_at_work() {
    let (at_work, (orders, received)) = (AtWork::default(), channel());
    at_work.set(true);
    let shared = at_work.clone();
    let waiting = thread::spawn(move || {
        assert!(matches!(wait(&received, Duration::from_secs(600), &shared), Ok(Order::Piece)));
        assert!(shared.get(), "the order is being carried out");
        assert!(wait(&received, Duration::ZERO, &shared).is_err());
        assert!(shared.get(), "that was a glance");
    });
    while at_work.get() {
        thread::yield_now();
    }
    orders.send(Order::Piece).expect("it is waited for");
    waiting.join().expect("all of it holds");
}

/// A thread whose step at hand lasts until the sender is dropped.
fn in_a_step() -> (UpkeepThread, Sender<()>) {
    let (release, step) = channel::<()>();
    let keep = move |orders: &Receiver<Order>, _own: Sender<Order>| {
        let _ = step.recv();
        assert!(matches!(orders.recv(), Ok(Order::Stop)));
    };
    (UpkeepThread::running(keep).expect("a thread can be started"), release)
}

#[test]
fn a_stop_waits_for_the_step_at_hand() {
    let (thread, step) = in_a_step();
    thread.stop_soon();
    let (returned, has_returned) = channel();
    let waiting = thread::spawn(move || {
        thread.wait(Instant::now() + Duration::from_secs(600));
        let _ = returned.send(());
    });
    assert!(has_returned.recv_timeout(Duration::from_millis(20)).is_err(), "the step is at hand");
    drop(step);
    waiting.join().expect("it does not panic");
}

#[test]
fn a_step_that_takes_too_long_is_left() {
    let (thread, step) = in_a_step();
    thread.stop_soon();
    thread.wait(Instant::now() + Duration::from_millis(20));
    // It is still at its step.
    step.send(()).expect("somebody listens");
}
