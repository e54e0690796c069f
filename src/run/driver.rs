//! The loop around the dispatcher: reads the inbox, the clock and the signals, and carries out what is decided.
//!
//! Output waits in a bounded outbox until the reporters take it. While it is full the inbox is not read, so the guests
//! are held back; signals and deadlines are still heard. A second signal waits for no reporter.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::dispatcher::{Dispatcher, DispatcherFacts};
use super::handle::{Asked, Inside, ToAnswer};
use super::input::{Action, RunInput, Timer};
use super::limits::{KILLED, TimeLimits};
use super::logs::Logs;
use super::options::{Options, RunDeps, Summary};
use super::signals::Signal;
use super::view::Lookout;
use super::worker::Workers;
use crate::engine::Accel;
use crate::event::{Event, Timed};
use crate::plan::Plan;

/// Inputs that wait; each is at most one frame of the agent.
const INBOX: usize = 16;
/// Bytes of output that wait for the reporters before the guests are held back.
const OUTBOX_BYTES: usize = 1 << 20;
/// How long the reporters may take for the last events after a second signal.
const LAST_EVENTS: Duration = Duration::from_secs(1);

/// Carries a plan out. Returns when no VM, file server or task of the run is left; the last event is `RunFinished`.
/// Must be called within a tokio runtime with time and I/O enabled. The receiver of `events` may be slow: the guests
/// are held back then, and nothing is lost; where it is gone the run goes on without it. Later signals are the caller's.
pub async fn run(
    plan: Arc<Plan>,
    deps: RunDeps,
    options: Options,
    signals: &mut mpsc::UnboundedReceiver<Signal>,
    events: mpsc::Sender<Timed>,
) -> Summary {
    Driver::new(plan, deps, options, events).run(signals).await
}

struct Driver {
    dispatcher: Dispatcher,
    workers: Arc<Workers>,
    logs: Logs,
    start: Instant,
    timers: BTreeMap<(Instant, u64), Timer>,
    timers_set: u64,
    outbox: VecDeque<Timed>,
    outbox_bytes: usize,
    events: mpsc::Sender<Timed>,
    inbox: mpsc::Receiver<RunInput>,
    urgent: mpsc::UnboundedReceiver<RunInput>,
    summary: Option<Summary>,
    lookout: Lookout,
    inside: Option<Inside>,
    answers: BTreeMap<u64, ToAnswer>,
    commands_taken: u64,
    /// Who wants to look on at rounds that have not begun.
    waiting: BTreeMap<u64, mpsc::Sender<Timed>>,
    /// When the round began, after the start.
    round_at: Duration,
}

/// What the loop was woken by.
enum Wake {
    Input(RunInput),
    Asked(Asked),
    Sent,
    Deaf,
}

impl Driver {
    fn new(plan: Arc<Plan>, deps: RunDeps, options: Options, events: mpsc::Sender<Timed>) -> Self {
        let (to_inbox, inbox) = mpsc::channel(INBOX);
        let (to_urgent, urgent) = mpsc::unbounded_channel();
        let accel = match deps.accel {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
        };
        let limits = TimeLimits::new(options.time_factor);
        let facts = DispatcherFacts {
            plan: Arc::clone(&plan),
            options,
            folder: deps.folder.clone(),
            engine: format!("{} ({accel})", deps.engine.name()),
        };
        let lookout = Lookout::new(&plan);
        let logs = Logs::new(deps.folder.clone());
        let door = deps.door.clone();
        let workers = Workers::new(plan, deps, limits, to_inbox, to_urgent);
        Self {
            dispatcher: Dispatcher::new(facts),
            logs,
            lookout,
            inside: door.and_then(|door| door.open(&workers)),
            answers: BTreeMap::new(),
            commands_taken: 0,
            waiting: BTreeMap::new(),
            round_at: Duration::ZERO,
            workers,
            start: Instant::now(),
            timers: BTreeMap::new(),
            timers_set: 0,
            outbox: VecDeque::new(),
            outbox_bytes: 0,
            events,
            inbox,
            urgent,
            summary: None,
        }
    }

    async fn run(mut self, signals: &mut mpsc::UnboundedReceiver<Signal>) -> Summary {
        let actions = self.dispatcher.start();
        self.carry_out(actions);
        let mut has_signals = true;
        let summary = loop {
            if let Some(summary) = self.summary.take() {
                break summary;
            }
            match self.wait(signals, &mut has_signals).await {
                Wake::Input(input) => {
                    let actions = self.dispatcher.on(self.start.elapsed(), input);
                    self.carry_out(actions);
                }
                Wake::Asked(asked) => {
                    let input = self.take(asked);
                    let actions = self.dispatcher.on(self.start.elapsed(), input);
                    self.carry_out(actions);
                }
                Wake::Sent => {}
                Wake::Deaf => self.forget_outbox(),
            }
        };
        drop(self.inside.take());
        self.workers.release_all();
        // One that blocks in a call of the system cannot be waited for.
        let _ = timeout(KILLED, self.workers.rest()).await;
        self.flush(signals).await;
        summary
    }

    /// Waits for the next thing to do. Signals come first, then deadlines, then what must not wait behind output.
    async fn wait(&mut self, signals: &mut mpsc::UnboundedReceiver<Signal>, has_signals: &mut bool) -> Wake {
        loop {
            let deadline = self.timers.first_key_value().map(|((at, _), _)| *at);
            let is_open = self.outbox_bytes < OUTBOX_BYTES || self.dispatcher.is_killed;
            tokio::select! {
                biased;
                signal = signals.recv(), if *has_signals => match signal {
                    Some(signal) => return Wake::Input(RunInput::Signal(signal)),
                    None => *has_signals = false,
                },
                () = sleep_until(deadline.unwrap_or(self.start)), if deadline.is_some() => {
                    if let Some((_, timer)) = self.timers.pop_first() {
                        return Wake::Input(RunInput::Timer(timer));
                    }
                }
                Some(input) = self.urgent.recv() => return Wake::Input(input),
                Some(asked) = next_command(&mut self.inside) => return Wake::Asked(asked),
                permit = self.events.reserve(), if !self.outbox.is_empty() => {
                    let Ok(permit) = permit else { return Wake::Deaf };
                    if let Some(event) = self.outbox.pop_front() {
                        self.outbox_bytes -= weight(&event.event);
                        permit.send(event);
                    }
                    return Wake::Sent;
                }
                Some(input) = self.inbox.recv(), if is_open => return Wake::Input(input),
            }
        }
    }

    /// What is asked as an input, with a number for its answer.
    fn take(&mut self, asked: Asked) -> RunInput {
        match asked {
            Asked::Command(command, answer) => {
                self.commands_taken += 1;
                self.answers.insert(self.commands_taken, answer);
                RunInput::Command(self.commands_taken, command)
            }
            Asked::Round(number, wish, listener, answer) => {
                self.answers.insert(number, answer);
                self.waiting.insert(number, listener);
                RunInput::Round(number, wish)
            }
        }
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Emit(event) => self.emit(event),
                Action::Prepare(machine) => self.workers.prepare(machine),
                Action::CancelPrepare(machine) => self.workers.cancel_prepare(machine),
                Action::Start(machine) => self.workers.start(machine),
                Action::OpenSession(machine) => self.workers.open_session(machine),
                Action::SetUp(machine) => self.workers.set_up(machine),
                Action::Exec(step) => {
                    self.workers.exec(self.dispatcher.machine_of[step], self.dispatcher.attempt(step));
                }
                Action::SignalStep(step, signal) => {
                    self.workers.signal(self.dispatcher.machine_of[step], self.dispatcher.attempt(step), signal);
                }
                Action::Terminate(step, grace) => {
                    self.workers.terminate(self.dispatcher.machine_of[step], self.dispatcher.attempt(step), grace);
                }
                Action::CheckOutputs(step) => {
                    self.workers.check_outputs(self.dispatcher.machine_of[step], self.dispatcher.number_of(step));
                }
                Action::GiveFiles(step) => {
                    self.workers.give_files(self.dispatcher.machine_of[step], self.dispatcher.number_of(step));
                }
                Action::Service(machine, action) => self.workers.service(machine, action),
                Action::Shutdown(machine, grace) => self.workers.shut_down(machine, grace),
                Action::Kill(machine) => self.workers.kill(machine),
                Action::Release(machine) => {
                    self.workers.release(machine);
                    self.workers.refuse(machine);
                }
                Action::Arm(timer, after) => {
                    self.timers_set += 1;
                    self.timers.insert((Instant::now() + after, self.timers_set), timer);
                }
                Action::Answer(id, answer) => {
                    // Who is answered sees what has come.
                    self.show();
                    self.waiting.remove(&id);
                    // Who asked may have gone.
                    let _ = self.answers.remove(&id).map(|waiting| waiting.send(answer));
                }
                Action::BeginRound(id, plan) => {
                    if let Some(listener) = self.waiting.remove(&id) {
                        self.workers.begin_round(id, plan, listener);
                    }
                }
                Action::Record(folder) => {
                    self.round_at = self.start.elapsed();
                    self.logs = Logs::new(folder);
                }
                Action::NextRound { plan, step_base, anew, removed } => {
                    self.lookout.turn(&plan, &anew, &removed);
                    self.workers.turn(plan, step_base);
                }
                Action::Finish(summary) => self.summary = Some(summary),
            }
        }
        self.show();
    }

    fn emit(&mut self, event: Event) {
        let now = self.start.elapsed();
        let at = now.saturating_sub(self.round_at);
        if let Some(text) = self.logs.record(at, &event) {
            self.outbox.push_back(Timed { at, event: Event::Warning { text } });
        }
        let is_lost = self.dispatcher.is_killed && self.outbox_bytes >= OUTBOX_BYTES;
        if is_lost && matches!(event, Event::Output { .. }) {
            return;
        }
        self.outbox_bytes += weight(&event);
        let timed = Timed { at, event };
        self.lookout.note(now, &timed.event);
        if let Some(inside) = &self.inside {
            inside.tell(&timed);
        }
        self.outbox.push_back(timed);
    }

    /// Shows what is now to those who look from outside.
    fn show(&mut self) {
        if let Some(inside) = &self.inside
            && let Some(view) = self.lookout.news(self.dispatcher.is_settled())
        {
            inside.show(view);
        }
    }

    fn forget_outbox(&mut self) {
        self.outbox.clear();
        self.outbox_bytes = 0;
    }

    /// Gives the reporters the last events. A signal shortens it, but never by so much that who reads misses the end.
    async fn flush(&mut self, signals: &mut mpsc::UnboundedReceiver<Signal>) {
        let outbox = std::mem::take(&mut self.outbox);
        let send = async {
            for event in outbox {
                if self.events.send(event).await.is_err() {
                    return;
                }
            }
        };
        let is_killed = self.dispatcher.is_killed;
        let hurry = async {
            if !is_killed {
                next(signals).await;
            }
            sleep(LAST_EVENTS).await;
        };
        tokio::select! {
            () = send => {}
            () = hurry => {}
        }
    }
}

/// The next command from outside; never where nobody can ask.
async fn next_command(inside: &mut Option<Inside>) -> Option<Asked> {
    match inside {
        Some(inside) => inside.commands.recv().await,
        None => std::future::pending().await,
    }
}

/// Returns after a signal; never where none can come.
async fn next(signals: &mut mpsc::UnboundedReceiver<Signal>) {
    if signals.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

fn weight(event: &Event) -> usize {
    match event {
        Event::Output { bytes, .. } => bytes.len(),
        _ => 0,
    }
}
