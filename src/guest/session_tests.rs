//! Sessions with guests that are played by the test, and misbehave.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use smolvm_agent::{
    ANSWER_MAX, Answer, Bytes, CONTROL_PORT, Command, Exec, ExitStatus, Numbered, OUTPUT_PORT, REQUEST_MAX, Reply,
    Report, Request, Stream, decode, encode, frame_length, greeting,
};
use tokio::sync::mpsc::Receiver;

use super::{Claim, Dial, Session, SessionError, SessionEvent, SessionLimits};

const LIMIT: Duration = Duration::from_secs(20);

/// The guest's ends of the connections that the host dials; the first `refusals` dials meet nobody.
struct Guest {
    refusals: AtomicUsize,
    dialed: mpsc::Sender<(u32, UnixStream)>,
}

impl Dial for Guest {
    fn dial(&self, port: u32) -> io::Result<UnixStream> {
        let (host, guest) = UnixStream::pair()?;
        let refuse = |left: usize| left.checked_sub(1);
        if self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, refuse).is_err() {
            self.dialed.send((port, guest)).map_err(io::Error::other)?;
        }
        Ok(host)
    }

    fn join(&self, _port: u32, _opening: &[u8], _stream: std::os::fd::OwnedFd, _claim: Claim) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A guest that answers after `refusals` refused dials, played by `play` on a thread: control, output.
fn guest(
    refusals: usize,
    play: impl FnOnce(UnixStream, UnixStream) + Send + 'static,
) -> (Arc<dyn Dial>, std::thread::JoinHandle<()>) {
    let (dialed, connections) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let take = || {
            let (port, mut stream): (u32, UnixStream) = connections.recv().expect("the host dials");
            let mut theirs = [0; 8];
            stream.read_exact(&mut theirs).expect("the host greets");
            stream.write_all(&greeting()).expect("the host listens");
            (port, stream)
        };
        match (take(), take()) {
            ((CONTROL_PORT, control), (OUTPUT_PORT, output)) | ((OUTPUT_PORT, output), (CONTROL_PORT, control)) => {
                play(control, output);
            }
            other => panic!("{other:?}"),
        }
    });
    (Arc::new(Guest { refusals: AtomicUsize::new(refusals), dialed }), thread)
}

fn in_runtime<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async { tokio::time::timeout(LIMIT, test).await.expect("it ends in time") })
}

async fn open(dial: Arc<dyn Dial>) -> (Session, Receiver<SessionEvent>) {
    let limits = SessionLimits { connect: LIMIT, heartbeat: LIMIT };
    Session::open(dial, limits).await.expect("the guest answers")
}

fn read_request(stream: &mut UnixStream) -> Option<Numbered> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).ok()?;
    let mut payload = vec![0; frame_length(header, REQUEST_MAX).expect("the host keeps the limit")];
    stream.read_exact(&mut payload).expect("the host sends whole frames");
    Some(decode(&payload).expect("the host speaks the protocol"))
}

fn answer(stream: &mut UnixStream, id: u32, reply: Reply) {
    let frame = encode(&Answer::Reply { id, reply }, ANSWER_MAX).expect("it fits");
    stream.write_all(&frame).expect("the host reads");
}

fn report(report: &Report) -> Vec<u8> {
    encode(report, ANSWER_MAX).expect("it fits")
}

fn exec(id: u64) -> Exec {
    let command = Command::List(vec!["true".into()]);
    Exec {
        id,
        command,
        env: Vec::new(),
        working_dir: None,
        is_working_dir_made: false,
        user: "root".into(),
        streams: None,
    }
}

/// Answers every request with `Done` until the host is gone.
fn agree(mut control: UnixStream) {
    while let Some(request) = read_request(&mut control) {
        answer(&mut control, request.id, Reply::Done);
    }
}

#[test]
fn host_dials_until_the_guest_listens() {
    in_runtime(async {
        let (dial, thread) = guest(7, |control, _output| agree(control));
        let (session, events) = open(dial).await;
        session.refresh_shares().await.expect("it is answered");
        drop((session, events));
        thread.join().expect("the guest sees the end");
    });
}

#[test]
fn guest_that_never_listens_is_given_up() {
    in_runtime(async {
        let (dialed, _connections) = mpsc::channel();
        let dial = Arc::new(Guest { refusals: AtomicUsize::new(usize::MAX), dialed });
        let limits = SessionLimits { connect: Duration::from_millis(50), heartbeat: LIMIT };
        assert!(matches!(Session::open(dial, limits).await, Err(SessionError::Connect { .. })));
    });
}

#[test]
fn guest_that_accepts_and_says_nothing_is_given_up() {
    in_runtime(async {
        let (dialed, _connections) = mpsc::channel();
        let dial = Arc::new(Guest { refusals: AtomicUsize::new(0), dialed });
        let limits = SessionLimits { connect: Duration::from_millis(50), heartbeat: LIMIT };
        assert!(matches!(Session::open(dial, limits).await, Err(SessionError::Connect { .. })));
    });
}

#[test]
fn agent_of_another_version_is_not_spoken_to() {
    in_runtime(async {
        let (dialed, connections) = mpsc::channel::<(u32, UnixStream)>();
        // Both connections are made at once, and each is answered: which one the host hears first does not matter.
        std::thread::spawn(move || {
            for (_, mut stream) in connections {
                if stream.read_exact(&mut [0; 8]).is_ok() {
                    let _ = stream.write_all(b"smolvm\x63\x00");
                }
            }
        });
        let dial = Arc::new(Guest { refusals: AtomicUsize::new(0), dialed });
        let limits = SessionLimits { connect: LIMIT, heartbeat: LIMIT };
        let error = Session::open(dial, limits).await.expect_err("it is another version");
        let SessionError::Greeting { source } = error else { panic!("{error}") };
        let words =
            format!("the other side speaks version 99 of the protocol, this side {}", smolvm_agent::PROTOCOL_VERSION);
        assert_eq!(source.to_string(), words);
    });
}

#[test]
fn end_comes_after_the_output_and_what_nobody_started_is_dropped() {
    in_runtime(async {
        let (dial, thread) = guest(0, |mut control, mut output| {
            let request = read_request(&mut control).expect("a request");
            answer(&mut control, request.id, Reply::Done);
            let alien = Report::Output { exec: 99, stream: Stream::Stdout, bytes: Bytes(vec![1]) };
            let chunk = Report::Output { exec: 5, stream: Stream::Stderr, bytes: Bytes(vec![0xff, 0]) };
            let exited = Report::Exited { exec: 5, status: ExitStatus::Code(3), is_out_of_memory: false };
            // The end of a command counts once.
            for each in [&alien, &chunk, &exited, &exited, &chunk] {
                output.write_all(&report(each)).expect("the host reads");
            }
        });
        let (session, mut events) = open(dial).await;
        session.exec(exec(5)).await.expect("it starts");
        let expected = [
            SessionEvent::Output { exec: 5, stream: Stream::Stderr, bytes: vec![0xff, 0] },
            SessionEvent::Exited { exec: 5, status: ExitStatus::Code(3), is_out_of_memory: false },
            SessionEvent::Closed { reason: "the guest closed it".into() },
        ];
        for event in expected {
            assert_eq!(events.recv().await, Some(event));
        }
        assert_eq!(events.recv().await, None);
        let error = session.refresh_shares().await.expect_err("it is over");
        assert_eq!(error.to_string(), "the connection to the agent is closed: the guest closed it");
        thread.join().expect("the guest ends");
    });
}

#[test]
fn waiting_requests_fail_when_the_guest_ends_within_a_frame() {
    in_runtime(async {
        let (dial, _thread) = guest(0, |mut control, _output| {
            read_request(&mut control).expect("a request");
            control.write_all(&[200, 0, 0, 0, 1, 2, 3]).expect("the host reads");
        });
        let (session, _events) = open(dial).await;
        let error = session.resolve_user("root").await.expect_err("it is over");
        // Which of the two connections ends first is chance.
        assert!(error.to_string().starts_with("the connection to the agent is closed: the guest closed it"), "{error}");
    });
}

#[test]
fn frame_over_the_limit_ends_the_session() {
    in_runtime(async {
        let (dial, _thread) = guest(0, |control, mut output| {
            output.write_all(&u32::MAX.to_le_bytes()).expect("the host reads");
            agree(control);
        });
        let (_session, mut events) = open(dial).await;
        let Some(SessionEvent::Closed { reason }) = events.recv().await else { panic!("no end") };
        assert!(reason.starts_with("the guest broke the protocol"), "{reason}");
    });
}

#[test]
fn silence_is_told_once_and_again_after_a_sign_of_life() {
    in_runtime(async {
        let (sender, go) = mpsc::channel::<()>();
        let (dial, _thread) = guest(0, move |mut control, _output| {
            go.recv().expect("the test goes on");
            let beat = encode(&Answer::Heartbeat, ANSWER_MAX).expect("it fits");
            control.write_all(&beat).expect("the host reads");
            // The connections stay open until the test ends.
            let _ = go.recv();
        });
        let limits = SessionLimits { connect: LIMIT, heartbeat: Duration::from_millis(30) };
        let (_session, mut events) = Session::open(dial, limits).await.expect("the guest answers");
        assert_eq!(events.recv().await, Some(SessionEvent::Silent { seconds: 0 }));
        let again = tokio::time::timeout(Duration::from_millis(100), events.recv()).await;
        assert!(again.is_err(), "a silence is told once");
        sender.send(()).expect("the guest waits");
        assert_eq!(events.recv().await, Some(SessionEvent::Silent { seconds: 0 }));
    });
}

#[test]
fn a_guest_without_a_pulse_that_answers_is_alive() {
    in_runtime(async {
        let (dial, _thread) = guest(0, |mut control, _output| {
            while let Some(Numbered { id, request }) = read_request(&mut control) {
                assert_eq!(request, Request::Ping);
                answer(&mut control, id, Reply::Done);
            }
        });
        let limits = SessionLimits { connect: LIMIT, heartbeat: Duration::from_millis(300) };
        let (_session, mut events) = Session::open(dial, limits).await.expect("the guest answers");
        let silent = tokio::time::timeout(Duration::from_millis(900), events.recv()).await;
        assert!(silent.is_err(), "{silent:?}");
    });
}

#[test]
fn flood_that_nobody_receives_is_held_back_and_requests_are_answered() {
    in_runtime(async {
        let (dial, thread) = guest(0, |control, mut output| {
            output.set_write_timeout(Some(Duration::from_millis(200))).expect("a socket can");
            let flood = report(&Report::Log { bytes: Bytes(vec![b'x'; 64 << 10]) });
            let mut sent = 0;
            // A write that ends because of its time limit was held back all the while.
            while let Ok(count) = output.write(&flood[sent % flood.len()..]) {
                sent += count;
                assert!(sent < 8 << 20, "the host takes a flood in");
            }
            agree(control);
        });
        let (session, events) = open(dial).await;
        session.refresh_shares().await.expect("it is answered");
        drop((session, events));
        thread.join().expect("the guest was held back");
    });
}

#[test]
fn answers_that_were_not_asked_for_change_nothing() {
    in_runtime(async {
        let (dial, _thread) = guest(0, |mut control, _output| {
            let request = read_request(&mut control).expect("a request");
            answer(&mut control, request.id.wrapping_add(7), Reply::Done);
            answer(&mut control, request.id, Reply::Missing(vec![1, 9]));
            agree(control);
        });
        let (session, _events) = open(dial).await;
        let patterns = ["/a".to_owned(), "/b".to_owned()];
        assert!(matches!(session.missing_outputs(&patterns).await, Err(SessionError::WrongAnswer)));
        session.refresh_shares().await.expect("the session lives");
    });
}

#[test]
fn canceled_request_leaves_the_session_whole() {
    in_runtime(async {
        let (dial, _thread) = guest(0, |mut control, _output| {
            let first = read_request(&mut control).expect("a request");
            let second = read_request(&mut control).expect("a request");
            assert!(matches!(second.request, Request::Signal { .. }));
            answer(&mut control, first.id, Reply::Done);
            answer(&mut control, second.id, Reply::Done);
            agree(control);
        });
        let (session, _events) = open(dial).await;
        let canceled = tokio::time::timeout(Duration::from_millis(20), session.refresh_shares()).await;
        assert!(canceled.is_err());
        session.signal(1, 2).await.expect("it is answered");
    });
}

#[test]
fn request_over_the_limit_is_refused_before_it_is_sent() {
    in_runtime(async {
        let (dial, _thread) = guest(0, |control, _output| agree(control));
        let (session, _events) = open(dial).await;
        let huge = vec!["x".repeat(REQUEST_MAX)];
        assert!(matches!(session.missing_outputs(&huge).await, Err(SessionError::TooLong { .. })));
        session.refresh_shares().await.expect("the session lives");
    });
}

#[test]
fn shutdown_that_the_end_of_the_guest_answers_is_fine() {
    in_runtime(async {
        let (dial, _thread) = guest(0, |mut control, _output| {
            read_request(&mut control).expect("a request");
        });
        let (session, _events) = open(dial).await;
        session.shutdown(Duration::ZERO).await.expect("the guest is off");
    });
}
