//! Runs through the real loop, workers and sessions, with a fake engine and a fake agent at the other end of sockets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::plans::{finally, plan, step};
use super::world::{FakeEngine, FakeProvider, World};
use crate::engine::Accel;
use crate::event::{Event, MachinePhase, OutputOf, RunStatus, Stream, Timed};
use crate::plan::{Cache, Command, GuestPath, MountPlan, MountPlanKind, OwnerPlan, Plan, StepPlan};
use crate::run::{Options, ProjectState, RunDeps, Signal, Summary, run};
use crate::sys::identity::Actor;

/// The longest that a test may take.
const DEADLINE: Duration = Duration::from_secs(60);

struct Bench {
    world: Arc<World>,
    home: tempfile::TempDir,
}

/// A run that is going on.
struct Going {
    events: mpsc::Receiver<Timed>,
    signals: mpsc::UnboundedSender<Signal>,
    summary: tokio::task::JoinHandle<Summary>,
}

impl Bench {
    fn new() -> Self {
        Self { world: World::new(), home: tempfile::tempdir().unwrap() }
    }

    fn start(&self, plan: Plan) -> Going {
        let state = ProjectState::locate(self.home.path(), Actor::Own, "acme", Path::new("/code/acme"));
        let lock = state.lock("smolvm up", true).unwrap();
        let (folder, _) = state.begin_run(&lock).unwrap();
        let deps = RunDeps {
            published: Arc::default(),
            engine: Arc::new(FakeEngine(Arc::clone(&self.world))),
            accel: Accel::Tcg,
            provider: Arc::new(FakeProvider(Arc::clone(&self.world))),
            folder: Some(folder),
            attendant: None,
            door: None,
            rounds: None,
        };
        let (to_events, events) = mpsc::channel(4);
        let (signals, mut to_run) = mpsc::unbounded_channel();
        let going = async move {
            let options = Options::for_accel(Accel::Kvm);
            run(Arc::new(plan), deps, options, &mut to_run, to_events).await
        };
        Going { events, signals, summary: tokio::spawn(going) }
    }

    async fn play(&self, plan: Plan) -> (Summary, Vec<Event>) {
        self.start(plan).finish().await
    }

    fn assert_nothing_is_left(&self) {
        assert_eq!(self.world.live_vms.load(Ordering::SeqCst), 0, "VMs outlive the run");
        assert_eq!(self.world.live_shares.load(Ordering::SeqCst), 0, "file servers outlive the run");
    }
}

impl Going {
    async fn finish(mut self) -> (Summary, Vec<Event>) {
        let mut events = Vec::new();
        let all = async {
            while let Some(timed) = self.events.recv().await {
                events.push(timed.event);
            }
            self.summary.await.unwrap()
        };
        let summary = timeout(DEADLINE, all).await.expect("the run ends");
        (summary, events)
    }

    /// Takes events until one is as wanted.
    async fn until(&mut self, is_wanted: fn(&Event) -> bool) {
        let wanted = async {
            while let Some(timed) = self.events.recv().await {
                if is_wanted(&timed.event) {
                    return;
                }
            }
            panic!("the run ended before");
        };
        timeout(DEADLINE, wanted).await.expect("the event comes");
    }

    /// Takes events until a step has written something.
    async fn until_output(&mut self) {
        self.until(|event| matches!(event, Event::Output { of: OutputOf::Step(_), .. })).await;
    }
}

fn command(name: &str, needs: &[&str], words: &[&str]) -> StepPlan {
    StepPlan { command: Command::List(words.iter().map(|word| (*word).to_owned()).collect()), ..step(name, needs) }
}

fn output_of(events: &[Event], id: &str) -> Vec<u8> {
    let mut all = Vec::new();
    for event in events {
        if let Event::Output { of: OutputOf::Step(step), stream: Stream::Stdout, bytes } = event
            && step == id
        {
            all.extend_from_slice(bytes);
        }
    }
    all
}

fn log_of(events: &[Event], id: &str) -> Vec<u8> {
    let log = events.iter().find_map(|event| match event {
        Event::StepFinished { step, log, .. } if step == id => log.clone(),
        _ => None,
    });
    std::fs::read(log.expect("a step that ran has a log")).unwrap()
}

fn mounted(mut plan: Plan, target: &str) -> Plan {
    plan.machines[0].mounts = vec![MountPlan {
        target: GuestPath::parse(target).unwrap(),
        create: false,
        kind: MountPlanKind::Bind {
            tag: "share0".to_owned(),
            source: "/".into(),
            is_file: false,
            readonly: false,
            owner: OwnerPlan::Invoker,
            guest_owner: None,
            cache: Cache::Auto,
        },
    }];
    plan
}

#[tokio::test]
async fn steps_run_in_machines_and_nothing_is_left() {
    let bench = Bench::new();
    let steps = vec![command("a@one", &[], &["echo", "hello"]), command("b@two", &["a"], &["exit", "0"])];
    let (summary, events) = bench.play(plan(steps)).await;
    assert_eq!((summary.status, summary.exit_code, summary.passed), (RunStatus::Passed, 0, 2));
    assert_eq!(output_of(&events, "a"), b"hello");
    assert_eq!(log_of(&events, "a"), b"hello");
    assert!(matches!(events.last(), Some(Event::RunFinished { exit_code: 0, .. })));
    let kills = bench.world.notes().iter().filter(|note| *note == "kill").count();
    assert_eq!(kills, 0, "{:?}", bench.world.notes());
    bench.assert_nothing_is_left();
}

#[tokio::test]
async fn the_console_goes_to_events_and_its_log() {
    let bench = Bench::new();
    let (_, events) = bench.play(plan(vec![command("a@one", &[], &["exit", "0"])])).await;
    let is_console = |event: &Event| {
        matches!(event, Event::Output { of: OutputOf::Machine(name), stream: Stream::Console, bytes }
            if name == "one" && bytes == b"Linux version 6\n")
    };
    assert!(events.iter().any(is_console));
    let progress = |event: &Event| matches!(event, Event::Progress { text, .. } if text == "unpacking the kernel");
    assert!(events.iter().any(progress));
    let state = ProjectState::locate(bench.home.path(), Actor::Own, "acme", Path::new("/code/acme"));
    let console = state.runs().unwrap()[0].console("one");
    assert_eq!(std::fs::read(console).unwrap(), b"Linux version 6\n");
}

#[tokio::test]
async fn output_is_cut_between_characters_and_is_exact_to_the_byte() {
    let bench = Bench::new();
    let (_, events) = bench.play(plan(vec![command("a@one", &[], &["bytes", "a€😀"])])).await;
    let expected: Vec<u8> = "a€😀".bytes().chain([0xff, 0xe2, 0x82]).collect();
    assert_eq!(output_of(&events, "a"), expected);
    assert_eq!(log_of(&events, "a"), expected);
    let chunks: Vec<&Vec<u8>> = events
        .iter()
        .filter_map(|event| match event {
            Event::Output { of: OutputOf::Step(_), bytes, .. } => Some(bytes),
            _ => None,
        })
        .collect();
    assert_eq!(chunks, [&b"a".to_vec(), &"€".into(), &"😀".into(), &vec![0xff], &vec![0xe2, 0x82]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_output_is_held_back_by_a_slow_reporter() {
    const FLOOD: usize = 100 << 20;
    /// Queues of the protocol, the inbox, the outbox, the socket and what is in hands; far from the whole.
    const IN_FLIGHT_MAX: usize = 16 << 20;
    let bench = Bench::new();
    let mut going = bench.start(plan(vec![command("a@one", &[], &["flood", &FLOOD.to_string()])]));
    let (mut taken, mut most) = (0, 0);
    while let Some(timed) = timeout(DEADLINE, going.events.recv()).await.expect("events come") {
        if let Event::Output { of: OutputOf::Step(_), bytes, .. } = timed.event {
            taken += bytes.len();
            most = most.max(bench.world.written.load(Ordering::SeqCst).saturating_sub(taken));
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(taken, FLOOD);
    assert!(most < IN_FLIGHT_MAX, "{most} bytes were in flight");
    assert_eq!(going.summary.await.unwrap().exit_code, 0);
}

#[tokio::test]
async fn independent_steps_meet_while_both_run() {
    let bench = Bench::new();
    let steps = vec![command("a@one", &[], &["meet"]), command("b@two", &[], &["meet"])];
    let (summary, _) = bench.play(plan(steps)).await;
    assert_eq!(summary.passed, 2);
}

#[tokio::test]
async fn a_guest_that_powers_off_fails_its_step_after_its_last_words() {
    let bench = Bench::new();
    let steps = vec![command("a@one", &[], &["poweroff"]), command("b@one", &["a"], &["exit", "0"])];
    let (summary, events) = bench.play(plan(steps)).await;
    assert_eq!(summary.exit_code, 125);
    assert_eq!(summary.cause.unwrap(), "step `a` failed: machine `one`: the guest powered off");
    assert_eq!(output_of(&events, "a"), b"last words\n");
    bench.assert_nothing_is_left();
}

#[tokio::test]
async fn a_share_that_dies_takes_its_machine_with_it() {
    let bench = Bench::new();
    let (summary, _) = bench.play(plan(vec![command("a@one", &[], &["lose-share"])])).await;
    assert_eq!(
        summary.cause.unwrap(),
        "step `a` failed: machine `one`: the file server of share `share0` died: killed by signal 9"
    );
    assert!(bench.world.notes().contains(&"kill".to_owned()));
    bench.assert_nothing_is_left();
}

#[tokio::test]
async fn the_view_of_the_shares_follows_the_users_of_the_steps() {
    let bench = Bench::new();
    let as_app =
        |name, needs: &[&str]| StepPlan { user: Some("app".to_owned()), ..command(name, needs, &["exit", "0"]) };
    let steps = vec![
        command("a@one", &[], &["echo", "1"]),
        as_app("b@one", &["a"]),
        as_app("c@one", &["b"]),
        command("d@one", &["c"], &["echo", "2"]),
    ];
    let (summary, _) = bench.play(mounted(plan(steps), "/code")).await;
    assert_eq!(summary.passed, 4);
    assert_eq!(
        bench.world.notes(),
        [
            "boot one",
            "set_view 0:0",
            "exec echo 1",
            "set_view 1000:1000",
            "refresh",
            "exec exit 0",
            "exec exit 0",
            "set_view 0:0",
            "refresh",
            "exec echo 2",
            "shutdown",
            "release"
        ]
    );
}

#[tokio::test]
async fn what_steps_make_is_recorded_and_given_before_they_are_done() {
    let bench = Bench::new();
    let output = vec![GuestPath::parse("/code/app").unwrap()];
    let gives = |name, needs: &[&str], words: &[&str]| StepPlan {
        chown: Some((7, 8)),
        continue_on_error: true,
        ..command(name, needs, words)
    };
    let steps = vec![
        gives("a@one", &[], &["exit", "3"]),
        StepPlan { outputs: output, ..gives("b@one", &[], &["exit", "4"]) },
        gives("c@one", &[], &["missing"]),
    ];
    let (_, events) = bench.play(mounted(plan(steps), "/code")).await;
    let of_shares = |note: &String| note.starts_with("record") || note.starts_with("give");
    let notes: Vec<String> = bench.world.notes().into_iter().filter(of_shares).collect();
    assert_eq!(notes, ["record", "give 7:8 [] true", "give 7:8 [\"/code/app\"] true", "record"]);
    let is_given = |event: &&Event| matches!(event, Event::Ownership { changed: 3, linked: 0, .. });
    assert_eq!(events.iter().filter(is_given).count(), 2);
}

#[tokio::test]
async fn owners_that_are_fixed_are_shown_before_the_mounts_are_made_and_stay() {
    let bench = Bench::new();
    let steps = vec![
        StepPlan { user: Some("app".to_owned()), ..command("a@one", &[], &["echo", "1"]) },
        command("b@one", &["a"], &["echo", "2"]),
    ];
    let mut plan = mounted(plan(steps), "/code");
    if let MountPlanKind::Bind { guest_owner, .. } = &mut plan.machines[0].mounts[0].kind {
        *guest_owner = Some("app".to_owned());
    }
    plan.machines[0].mounts.push(MountPlan {
        target: GuestPath::parse("/over").unwrap(),
        create: false,
        kind: MountPlanKind::Overlay { tag: "share1".to_owned(), source: "/".into(), guest_owner: None },
    });
    let (summary, _) = bench.play(plan).await;
    assert_eq!(summary.passed, 2);
    assert_eq!(
        bench.world.notes(),
        [
            "boot one",
            "set_view 0:0",
            "fix_view share0 1000:1000",
            "fix_view share1 0:0",
            "exec echo 1",
            "exec echo 2",
            "shutdown",
            "release"
        ]
    );
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let unknown = StepPlan { user: Some("nobody".to_owned()), ..command("a@one", &[], &["exit", "0"]) };
    let lacking =
        StepPlan { outputs: vec![GuestPath::parse("/lost").unwrap()], ..command("a@one", &[], &["exit", "0"]) };
    let cases = [
        (plan(vec![command("a@one", &[], &["missing"])]), 127, "step `a` failed: there is no program `missing`"),
        (mounted(plan(vec![unknown]), "/code"), 126, "step `a` failed: the image has no user of this name"),
        (plan(vec![lacking]), 1, "step `a` failed: output is missing: `/lost`"),
        (plan(vec![command("a@one", &[], &["exit", "42"])]), 42, "step `a` failed with exit code 42"),
        (
            mounted(plan(vec![command("a@one", &[], &["exit", "0"])]), "/bad"),
            125,
            "machine `one` failed: mount: wrong mount `/bad`: it is writable",
        ),
        (
            plan(vec![command("a@broken", &[], &["exit", "0"])]),
            125,
            "machine `broken` failed: engine: cannot run `fake-vm`: entity not found",
        ),
        (
            plan(vec![command("a@unfit", &[], &["exit", "0"])]),
            69,
            "machine `unfit` failed: prepare: this host has no user namespaces",
        ),
        (
            plan(vec![command("a@panics", &[], &["exit", "0"])]),
            125,
            "machine `panics` failed: kernel: the guest's kernel panicked: VFS",
        ),
    ];
    for (plan, code, cause) in cases {
        let bench = Bench::new();
        let (summary, _) = bench.play(plan).await;
        assert_eq!((summary.exit_code, summary.cause.as_deref()), (code, Some(cause)));
        bench.assert_nothing_is_left();
    }
}

#[tokio::test]
async fn a_step_out_of_time_is_terminated() {
    let bench = Bench::new();
    let limited = StepPlan { timeout: Some(Duration::from_millis(20)), ..command("a@one", &[], &["sleep"]) };
    let (summary, _) = bench.play(plan(vec![limited])).await;
    assert_eq!((summary.status, summary.exit_code), (RunStatus::TimedOut, 124));
    assert!(bench.world.notes().contains(&"terminate".to_owned()));
}

#[tokio::test]
async fn an_interrupt_reaches_the_step_and_then_finally_runs() {
    let bench = Bench::new();
    let end = StepPlan { is_finally: true, ..command("end@one", &[], &["echo", "end"]) };
    let mut going = bench.start(plan(vec![command("a@one", &[], &["sleep"]), end, finally("far@two")]));
    going.until_output().await;
    going.signals.send(Signal::Interrupt).unwrap();
    let (summary, events) = going.finish().await;
    assert_eq!((summary.status, summary.exit_code), (RunStatus::Interrupted, 130));
    assert_eq!(output_of(&events, "end"), b"end");
    let notes = bench.world.notes();
    assert_eq!(notes[2..], ["exec sleep", "signal 2", "exec echo end", "shutdown", "release"]);
    bench.assert_nothing_is_left();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_while_mounts_are_made_leaves_nothing() {
    let bench = Bench::new();
    let mut going = bench.start(mounted(plan(vec![command("a@one", &[], &["echo", "never"])]), "/stuck"));
    going.until(|event| matches!(event, Event::Machine { phase: MachinePhase::Agent, .. })).await;
    going.signals.send(Signal::Interrupt).unwrap();
    let (summary, _) = going.finish().await;
    assert_eq!((summary.exit_code, summary.skipped), (130, 1));
    bench.assert_nothing_is_left();
}

#[tokio::test]
async fn a_second_signal_waits_neither_for_the_guest_nor_for_the_reporter() {
    let bench = Bench::new();
    let mut going = bench.start(plan(vec![command("a@one", &[], &["flood", "1000000000"])]));
    going.until_output().await;
    // From here on nobody takes events.
    going.signals.send(Signal::Terminate).unwrap();
    going.signals.send(Signal::Interrupt).unwrap();
    let summary = timeout(DEADLINE, going.summary).await.expect("the run ends").unwrap();
    assert_eq!(summary.exit_code, 143);
    bench.assert_nothing_is_left();
}

#[tokio::test]
async fn a_run_goes_on_without_its_reporter() {
    let bench = Bench::new();
    let steps = vec![command("a@one", &[], &["flood", "10000000"]), command("b@one", &["a"], &["exit", "5"])];
    let mut going = bench.start(plan(steps));
    going.until_output().await;
    drop(going.events);
    let summary = timeout(DEADLINE, going.summary).await.expect("the run ends").unwrap();
    assert_eq!(summary.exit_code, 5);
    bench.assert_nothing_is_left();
}
