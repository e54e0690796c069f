//! The life of one machine, from planned to gone.
//!
//! ```text
//!                                          no agent     closed, or VM ended
//!                                              ├────────┬──────────┬──────► Lost ─both, or time is up─► Gone
//! Planned ─boot─► Preparing ─► Starting ─► Booting ─agent─► Mounting ─► Ready ─stop─► Stopping ─VM ended─► Gone
//!                    │ abandon    │           │             │          │              │
//!                    ▼            └──────── deadline, silence, share died, abandon ──────┘
//!                 Leaving ─provider done─► Gone ◄─VM ended── Ending ◄── kill ──┘
//! ```
//!
//! `Failed` is said once, when it is known that the machine ended when it should not have; the state then still goes
//! on to `Gone`, where the VM has ended and everything is released. With an open session the end of the VM and the end
//! of the session come in either order: both are waited for, because the kernel's last words say why, and what the
//! guest wrote before is still on its way. This module decides and does nothing: [`Machine::on`] takes one input and
//! returns what must be done next.

use std::collections::BTreeSet;
use std::time::Duration;

use super::chunk::{Source, Tail, clean};
use super::input::{MachineInput, MachineTimer, PrepareFailure};
use super::kernel_lines;
use super::limits::{KILLED, LAST_OUTPUT, TimeLimits};
use crate::engine::VmExit;
use crate::event::MachinePhase;

/// Where a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MachineState {
    Planned,
    Preparing,
    /// Not wanted any more, but the provider still works.
    Leaving,
    Starting,
    Booting,
    Mounting,
    Ready,
    /// The agent is gone, the VM not yet.
    Lost,
    Stopping,
    /// Killed.
    Ending,
    Gone,
}

/// What must be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MachineEffect {
    Prepare,
    CancelPrepare,
    Start,
    OpenSession,
    SetUp,
    Shutdown(Duration),
    Kill,
    Release,
    Arm(MachineTimer, Duration),
    Phase(MachinePhase),
    Failed,
    Warn(String),
}

/// Why a machine failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Death {
    /// One line: phase and cause.
    pub(super) cause: String,
    /// The end of the console.
    pub(super) console: Vec<String>,
    /// Whether this host cannot run machines at all.
    pub(super) is_host_unfit: bool,
}

/// Remarks about one life of a machine; a guest could make more.
const REMARKS_MAX: usize = 16;

/// One machine.
#[derive(Debug)]
pub(super) struct Machine {
    state: MachineState,
    death: Option<Death>,
    tail: Tail,
    /// What the kernel's lines have made us tell, each once.
    told: BTreeSet<String>,
    /// Why the session ended, once it has.
    closed: Option<String>,
    /// How the VM ended, while the end of the session is waited for.
    exit: Option<VmExit>,
    /// Where it was when it was lost.
    lost_in: MachineState,
    /// Whether it was ready in this life.
    was_ready: bool,
    /// For what runs in it to end, before it powers off.
    grace: Duration,
    /// The same, where somebody has said it for this life.
    asked_grace: Option<Duration>,
    /// Whether it is gone although something of it may still be there.
    is_unsure: bool,
    limits: TimeLimits,
}

use MachineEffect as Do;
use MachineInput as In;
use MachineState as At;

impl Machine {
    pub(super) fn new(grace: Duration, limits: TimeLimits) -> Self {
        Self {
            state: At::Planned,
            death: None,
            tail: Tail::default(),
            told: BTreeSet::new(),
            closed: None,
            exit: None,
            lost_in: At::Planned,
            was_ready: false,
            grace,
            asked_grace: None,
            is_unsure: false,
            limits,
        }
    }

    /// What runs in it has so long to end.
    pub(super) fn give_grace(&mut self, grace: Duration) {
        self.asked_grace = Some(grace);
    }

    pub(super) fn state(&self) -> MachineState {
        self.state
    }

    /// Why it failed, once it has.
    pub(super) fn death(&self) -> Option<&Death> {
        self.death.as_ref()
    }

    /// Whether it holds nothing of the host.
    pub(super) fn is_at_rest(&self) -> bool {
        matches!(self.state, At::Planned | At::Gone)
    }

    /// Whether it was ready once in this life.
    pub(super) fn was_ready(&self) -> bool {
        self.was_ready
    }

    /// Whether it is on its way up.
    pub(super) fn is_coming_up(&self) -> bool {
        matches!(self.state, At::Preparing | At::Starting | At::Booting | At::Mounting)
    }

    /// Begins a new life, where the one before is over and holds nothing any more; tells whether it could.
    pub(super) fn renew(&mut self) -> bool {
        if self.state != At::Gone || self.is_unsure {
            return false;
        }
        (self.state, self.was_ready) = (At::Planned, false);
        (self.death, self.closed, self.exit, self.asked_grace) = (None, None, None, None);
        self.tail = Tail::default();
        self.told.clear();
        true
    }

    /// Is to live anew, as another machine where another grace is given; where it cannot, that is how it failed.
    pub(super) fn begin_anew(&mut self, grace: Option<Duration>) {
        if let Some(grace) = grace {
            self.grace = grace;
        }
        if self.state == At::Gone && !self.renew() {
            self.die("it cannot be started again: what its last life held did not end".to_owned(), false);
        }
    }

    /// Takes one input; what makes no sense in a state is ignored, because workers may be late.
    pub(super) fn on(&mut self, input: MachineInput) -> Vec<MachineEffect> {
        match (self.state, input) {
            (_, In::Console(bytes)) => {
                self.tail.push(Source::Console, &bytes);
                Vec::new()
            }
            (_, In::Log(bytes)) => {
                self.tail.push(Source::Agent, &bytes);
                let is_news = |remark: &String| self.told.len() < REMARKS_MAX && self.told.insert(remark.clone());
                let remark = kernel_lines::remark(&bytes).filter(is_news);
                remark.into_iter().map(Do::Warn).collect()
            }
            (_, In::Exited(exit)) => self.exited(&exit),
            (_, In::Remark(text)) => vec![Do::Warn(text)],
            (_, In::Abandon) => self.abandon(),
            (_, In::Fail(cause)) => self.fail(cause),
            (_, In::ShareDied { share, reason }) => self.share_died(&share, &reason),
            (_, In::Overdue(timer)) => self.overdue(timer),
            (At::Planned, In::Boot) => self.go(At::Preparing, vec![Do::Prepare]),
            (At::Planned | At::Preparing | At::Leaving | At::Gone, In::Prepared(result)) => self.prepared(result),
            (_, In::Started(result)) => self.started(result),
            (At::Booting, In::Agent(Ok(()))) => self.go(At::Mounting, vec![Do::Phase(MachinePhase::Agent), Do::SetUp]),
            // The channel also ends where the VM does, whose end says more.
            (At::Booting, In::Agent(Err(cause))) => {
                self.closed = Some(cause);
                self.lose(self.limits.last_words())
            }
            (At::Mounting, In::SetUp(Ok(()))) => {
                self.was_ready = true;
                self.go(At::Ready, vec![Do::Phase(MachinePhase::Mounted), Do::Phase(MachinePhase::Ready)])
            }
            (At::Mounting, In::SetUp(Err(cause))) => self.fail(format!("mount: {cause}")),
            (At::Mounting | At::Ready, In::Silent(seconds)) => {
                self.fail(format!("the guest fell silent: no heartbeat for {seconds} s"))
            }
            (At::Mounting | At::Ready, In::Closed(reason)) => {
                self.closed = Some(reason);
                self.lose(self.limits.last_words())
            }
            (At::Lost, In::Closed(_)) => self.lost(),
            (At::Ready, In::Stop) => self.stop(),
            (At::Stopping, In::ShutdownFailed(reason)) => {
                let warning = format!("it could not be asked to power off ({reason}), so it was killed");
                self.end(vec![Do::Warn(warning)])
            }
            _ => Vec::new(),
        }
    }

    fn go(&mut self, state: MachineState, effects: Vec<MachineEffect>) -> Vec<MachineEffect> {
        self.state = state;
        effects
    }

    fn prepared(&mut self, result: Result<(), PrepareFailure>) -> Vec<MachineEffect> {
        match (self.state, result) {
            (At::Preparing, Ok(())) => self.go(At::Starting, vec![Do::Phase(MachinePhase::Prepared), Do::Start]),
            (At::Preparing, Err(failure)) => {
                self.die(format!("prepare: {}", failure.message), failure.is_host_unfit);
                self.go(At::Gone, vec![Do::Failed, Do::Release])
            }
            // Nobody waits for it any more.
            _ => self.go(At::Gone, vec![Do::Release]),
        }
    }

    fn started(&mut self, result: Result<(), String>) -> Vec<MachineEffect> {
        match (self.state, result) {
            (At::Starting, Ok(())) => self.go(At::Booting, vec![Do::Phase(MachinePhase::Booting), Do::OpenSession]),
            (At::Starting, Err(cause)) => {
                self.die(format!("engine: {cause}"), false);
                self.go(At::Gone, vec![Do::Failed, Do::Release])
            }
            // It was given up between the engine's start and the news of it.
            (At::Ending, Ok(())) => vec![Do::Kill],
            (At::Ending, Err(_)) => self.gone(Vec::new()),
            _ => Vec::new(),
        }
    }

    fn stop(&mut self) -> Vec<MachineEffect> {
        let grace = self.asked_grace.unwrap_or(self.grace);
        let overdue = grace + self.limits.answer();
        let effects =
            vec![Do::Phase(MachinePhase::Stopping), Do::Shutdown(grace), Do::Arm(MachineTimer::Stop, overdue)];
        self.go(At::Stopping, effects)
    }

    fn exited(&mut self, exit: &VmExit) -> Vec<MachineEffect> {
        let words = exit_words(exit);
        match self.state {
            At::Planned | At::Preparing | At::Leaving | At::Gone => Vec::new(),
            At::Starting | At::Booting => self.failed_at_exit(format!("kernel: {words}")),
            At::Mounting | At::Ready => {
                self.exit = Some(exit.clone());
                self.lose(LAST_OUTPUT)
            }
            At::Lost => {
                self.exit = Some(exit.clone());
                self.lost()
            }
            At::Stopping if *exit == VmExit::PoweredOff => self.gone(Vec::new()),
            At::Stopping => self.gone(vec![Do::Warn(format!("while it stopped: {words}"))]),
            At::Ending => self.gone(Vec::new()),
        }
    }

    /// Session or VM has ended, the other should follow.
    fn lose(&mut self, patience: Duration) -> Vec<MachineEffect> {
        self.lost_in = self.state;
        self.go(At::Lost, vec![Do::Arm(MachineTimer::Lost, patience)])
    }

    /// Both have ended, or the time for the second is up.
    fn lost(&mut self) -> Vec<MachineEffect> {
        let phase = match self.lost_in {
            At::Booting => "kernel: ",
            At::Mounting => "mount: ",
            _ => "",
        };
        let reason = self.closed.as_deref().unwrap_or("its connection ended");
        match &self.exit {
            Some(exit) => self.failed_at_exit(format!("{phase}{}", exit_words(exit))),
            None if self.lost_in == At::Booting => self.fail(format!("agent: {reason}")),
            None => self.fail(format!("{phase}the agent is gone: {reason}")),
        }
    }

    fn failed_at_exit(&mut self, cause: String) -> Vec<MachineEffect> {
        self.die(cause, false);
        self.go(At::Gone, vec![Do::Failed, Do::Release])
    }

    fn abandon(&mut self) -> Vec<MachineEffect> {
        match self.state {
            At::Preparing => self.go(At::Leaving, vec![Do::CancelPrepare, Do::Arm(MachineTimer::End, KILLED)]),
            // The VM has ended already.
            At::Lost if self.exit.is_some() => self.gone(Vec::new()),
            At::Starting | At::Booting | At::Mounting | At::Ready | At::Lost | At::Stopping => self.end(Vec::new()),
            At::Planned | At::Leaving | At::Ending | At::Gone => Vec::new(),
        }
    }

    fn share_died(&mut self, share: &str, reason: &str) -> Vec<MachineEffect> {
        if self.state == At::Stopping {
            return self.end(vec![Do::Warn(format!("the file server of {share} died while it stopped: {reason}"))]);
        }
        self.fail(format!("the file server of {share} died: {reason}"))
    }

    fn overdue(&mut self, timer: MachineTimer) -> Vec<MachineEffect> {
        match (self.state, timer) {
            (At::Lost, MachineTimer::Lost) => self.lost(),
            (At::Stopping, MachineTimer::Stop) => {
                self.end(vec![Do::Warn("it did not power off in time, so it was killed".to_owned())])
            }
            (At::Leaving, MachineTimer::End) => {
                self.is_unsure = true;
                self.go(At::Gone, vec![Do::Release])
            }
            (At::Ending, MachineTimer::End) => {
                self.is_unsure = true;
                self.gone(vec![Do::Warn("its VM did not end when it was killed".to_owned())])
            }
            _ => Vec::new(),
        }
    }

    /// It ended when it should not have: says so, and kills what is left.
    fn fail(&mut self, cause: String) -> Vec<MachineEffect> {
        match self.state {
            At::Planned | At::Leaving | At::Ending | At::Gone => Vec::new(),
            At::Preparing => {
                self.die(cause, false);
                let mut effects = vec![Do::Failed];
                effects.extend(self.abandon());
                effects
            }
            At::Lost if self.exit.is_some() => self.failed_at_exit(cause),
            At::Starting | At::Booting | At::Mounting | At::Ready | At::Lost | At::Stopping => {
                self.die(cause, false);
                self.end(vec![Do::Failed])
            }
        }
    }

    fn die(&mut self, cause: String, is_host_unfit: bool) {
        self.death = Some(Death { cause, console: self.tail.lines(), is_host_unfit });
    }

    fn end(&mut self, mut effects: Vec<MachineEffect>) -> Vec<MachineEffect> {
        effects.extend([Do::Kill, Do::Arm(MachineTimer::End, KILLED)]);
        self.go(At::Ending, effects)
    }

    /// The VM has ended. A machine that failed has said so before.
    fn gone(&mut self, mut effects: Vec<MachineEffect>) -> Vec<MachineEffect> {
        if self.death.is_none() {
            effects.push(Do::Phase(MachinePhase::Stopped));
        }
        effects.push(Do::Release);
        self.go(At::Gone, effects)
    }
}

/// How a VM ended, in words that go after the machine's name. The panic's line comes from the guest.
fn exit_words(exit: &VmExit) -> String {
    match exit {
        VmExit::PoweredOff => "the guest powered off".to_owned(),
        VmExit::Rebooted => "the guest rebooted".to_owned(),
        VmExit::Panicked(line) => {
            let line = clean(line.as_bytes());
            let why = line.split_once("Kernel panic - not syncing: ").map_or(line.as_str(), |(_, why)| why);
            format!("the guest's kernel panicked: {why}")
        }
        VmExit::Killed => "the VM was killed".to_owned(),
        VmExit::EngineFailed(words) => format!("the engine ended: {words}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::GRACE;
    use super::*;

    const UP: [fn() -> MachineInput; 5] =
        [|| In::Boot, || In::Prepared(Ok(())), || In::Started(Ok(())), || In::Agent(Ok(())), || In::SetUp(Ok(()))];

    /// A machine after the first `steps` inputs of its way up.
    fn machine(steps: usize) -> Machine {
        let mut machine = Machine::new(GRACE, TimeLimits::new(1));
        for input in &UP[..steps] {
            machine.on(input());
        }
        machine
    }

    fn cause(machine: &Machine) -> &str {
        machine.death().map_or("none", |death| death.cause.as_str())
    }

    #[test]
    fn the_way_up_and_down() {
        let mut machine = machine(5);
        assert_eq!(machine.state(), At::Ready);
        assert_eq!(machine.on(In::Stop)[..2], [Do::Phase(MachinePhase::Stopping), Do::Shutdown(GRACE)]);
        let end = machine.on(In::Exited(VmExit::PoweredOff));
        assert_eq!(end, [Do::Phase(MachinePhase::Stopped), Do::Release]);
        assert!(machine.is_at_rest() && machine.death().is_none());
    }

    #[test]
    fn a_failed_boot_names_its_phase() {
        let cases: [(usize, MachineInput, &str); 7] = [
            (
                1,
                In::Prepared(Err(PrepareFailure { message: "no kernel".to_owned(), is_host_unfit: false })),
                "prepare: no kernel",
            ),
            (2, In::Started(Err("no such program".to_owned())), "engine: no such program"),
            (3, In::Exited(VmExit::Panicked("no init".to_owned())), "kernel: the guest's kernel panicked: no init"),
            (3, In::Agent(Err("no answer".to_owned())), "agent: no answer"),
            (4, In::SetUp(Err("cannot mount `/code`".to_owned())), "mount: cannot mount `/code`"),
            (4, In::Exited(VmExit::PoweredOff), "mount: the guest powered off"),
            (
                4,
                In::ShareDied { share: "share `share0`".to_owned(), reason: "signal 9".to_owned() },
                "the file server of share `share0` died: signal 9",
            ),
        ];
        for (steps, input, expected) in cases {
            let mut machine = machine(steps);
            let effects = machine.on(input);
            let more = machine.on(In::Overdue(MachineTimer::Lost));
            assert!(effects.contains(&Do::Failed) || more.contains(&Do::Failed), "{expected}");
            assert_eq!(cause(&machine), expected);
            machine.on(In::Exited(VmExit::Killed));
            assert_eq!(machine.state(), At::Gone, "{expected}");
        }
    }

    #[test]
    fn a_kernel_that_ends_is_to_blame_for_the_agent_that_never_came() {
        let mut machine = machine(3);
        assert!(!machine.on(In::Agent(Err("the machine is gone".to_owned()))).contains(&Do::Failed));
        machine.on(In::Exited(VmExit::Rebooted));
        assert_eq!((cause(&machine), machine.state()), ("kernel: the guest rebooted", At::Gone));
    }

    #[test]
    fn a_lost_agent_waits_for_the_kernels_last_words() {
        let mut machine = machine(5);
        assert!(!machine.on(In::Closed("end of file".to_owned())).contains(&Do::Failed));
        let line = "[ 1.5] Kernel panic - not syncing: Attempted to kill init!".to_owned();
        machine.on(In::Exited(VmExit::Panicked(line)));
        assert_eq!(cause(&machine), "the guest's kernel panicked: Attempted to kill init!");
    }

    #[test]
    fn output_on_its_way_is_waited_for_when_the_vm_has_ended() {
        let mut machine = machine(5);
        assert!(!machine.on(In::Exited(VmExit::Rebooted)).contains(&Do::Failed));
        assert_eq!(machine.on(In::Closed("end of file".to_owned())), [Do::Failed, Do::Release]);
        assert_eq!(cause(&machine), "the guest rebooted");
    }

    #[test]
    fn a_lost_agent_whose_vm_lives_on_is_killed() {
        let mut machine = machine(5);
        machine.on(In::Closed("end of file".to_owned()));
        let effects = machine.on(In::Overdue(MachineTimer::Lost));
        assert_eq!(effects[..2], [Do::Failed, Do::Kill]);
        assert_eq!(cause(&machine), "the agent is gone: end of file");
    }

    #[test]
    fn a_silent_guest_is_killed() {
        let mut machine = machine(5);
        assert_eq!(machine.on(In::Silent(15))[..2], [Do::Failed, Do::Kill]);
        assert_eq!(cause(&machine), "the guest fell silent: no heartbeat for 15 s");
    }

    #[test]
    fn a_machine_that_does_not_power_off_is_killed_and_counts_as_stopped() {
        let mut machine = machine(5);
        machine.on(In::Stop);
        assert!(machine.on(In::Overdue(MachineTimer::Stop)).contains(&Do::Kill));
        let end = machine.on(In::Exited(VmExit::Killed));
        assert_eq!(end, [Do::Phase(MachinePhase::Stopped), Do::Release]);
    }

    #[test]
    fn a_machine_that_is_given_up_early_leaves_nothing() {
        for steps in 1..=5 {
            let mut machine = machine(steps);
            machine.on(In::Abandon);
            assert!(!machine.is_at_rest(), "after {steps}");
            for input in UP.iter().skip(1) {
                machine.on(input());
            }
            machine.on(In::Exited(VmExit::Killed));
            assert!(machine.is_at_rest() && machine.death().is_none(), "after {steps}");
        }
    }

    #[test]
    fn an_engine_that_starts_too_late_is_killed() {
        let mut machine = machine(2);
        machine.on(In::Abandon);
        assert_eq!(machine.on(In::Started(Ok(()))), [Do::Kill]);
    }

    #[test]
    fn a_vm_that_survives_its_kill_does_not_hold_the_run() {
        let mut machine = machine(5);
        machine.on(In::Abandon);
        assert!(machine.on(In::Overdue(MachineTimer::End)).contains(&Do::Release));
        assert!(machine.is_at_rest());
    }

    #[test]
    fn a_machine_that_is_gone_lives_anew_unless_something_of_it_may_be_left() {
        let mut failed = machine(3);
        assert!(!failed.renew(), "it lives");
        failed.on(In::Exited(VmExit::Rebooted));
        assert!(failed.renew() && failed.death().is_none() && failed.state() == At::Planned);
        for input in &UP {
            failed.on(input());
        }
        assert_eq!(failed.state(), At::Ready);
        failed.on(In::Abandon);
        failed.on(In::Overdue(MachineTimer::End));
        assert!(failed.is_at_rest() && !failed.renew());
    }

    #[test]
    fn boot_failures_keep_the_end_of_the_console() {
        let mut machine = machine(3);
        machine.on(In::Console(b"Kernel panic - not syncing\nend\n".to_vec()));
        machine.on(In::Exited(VmExit::Rebooted));
        assert_eq!(machine.death().unwrap().console, ["Kernel panic - not syncing", "end"]);
    }
}
