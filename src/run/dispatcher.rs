//! The one place where a run is decided: it owns the state of every machine and step, takes one input at a time, and
//! returns what the workers must do. No clock, thread, file or socket is here, so a run can be played back in a test.
//!
//! Inputs are routed here; what to start, skip and stop next is in `schedule`, the totals are in `verdict`.

use std::sync::Arc;
use std::time::Duration;

use super::chunk::{LineChunks, Source, Utf8Chunks};
use super::held::Held;
use super::input::{Action, Attempt, CancelReason, MachineInput, RunInput, StepInput, Timer};
use super::limits::{FINALLY_AFTER_INTERRUPT, GRACE, TimeLimits};
use super::machine::{Machine, MachineEffect};
use super::options::Options;
use super::pause::Pause;
use super::provide::Pulled;
use super::round::Round;
use super::schedule::needs;
use super::service::ServiceInput;
use super::services::Services;
use super::signals::Signal;
use super::state::RunFolder;
use super::step::{Step, StepEffect, StepFacts};
use crate::event::{Event, OutputOf, StepStatus, Stream};
use crate::plan::{Plan, render_size};

/// What a dispatcher is made from.
#[derive(Debug, Clone)]
pub(super) struct DispatcherFacts {
    pub(super) plan: Arc<Plan>,
    pub(super) options: Options,
    /// Where the logs are; only names are made from it.
    pub(super) folder: Option<RunFolder>,
    /// Engine and accelerator for people: `qemu (tcg)`.
    pub(super) engine: String,
}

/// All state of a run.
#[derive(Debug)]
pub(super) struct Dispatcher {
    pub(super) facts: DispatcherFacts,
    pub(super) machines: Vec<Machine>,
    pub(super) steps: Vec<Step>,
    /// Machine of each step, by place.
    pub(super) machine_of: Vec<usize>,
    /// Places of the steps that each step needs.
    pub(super) needs: Vec<Vec<usize>>,
    /// The first signal.
    pub(super) interrupt: Option<Signal>,
    /// Whether a second signal came.
    pub(super) is_killed: bool,
    /// What failed, where nothing new may start because of it.
    pub(super) halted_by: Option<String>,
    /// Whether `finally` has used up its time after an interrupt.
    pub(super) is_finally_over: bool,
    /// Whether the time of `finally` runs.
    pub(super) is_finally_timed: bool,
    pub(super) is_finished: bool,
    pub(super) now: Duration,
    pub(super) actions: Vec<Action>,
    pub(super) blamed: Vec<bool>,
    pub(super) held: Held,
    pub(super) pause: Pause,
    /// Why steps were passed over for want of what they need beside steps.
    pub(super) lost: Vec<Option<String>>,
    /// Machines that were said not to come.
    pub(super) told_lost: Vec<bool>,
    pub(super) services: Services,
    pub(super) round: Round,
    pub(super) started_at: Vec<Duration>,
    pub(super) phase_at: Vec<Duration>,
    pub(super) step_chunks: Vec<[Utf8Chunks; 2]>,
    pub(super) machine_chunks: Vec<[LineChunks; 2]>,
}

/// The steps of a plan, numbered from `base` on, and the place of each one's machine.
pub(super) fn steps_of(plan: &Plan, base: usize, limits: TimeLimits) -> (Vec<Step>, Vec<usize>) {
    let place = |name: &str| plan.machines.iter().position(|machine| machine.name == name);
    let machine_of: Vec<usize> = plan
        .steps
        .iter()
        .map(|step| place(&step.machine).expect("a plan holds the machine of each of its steps"))
        .collect();
    let step = |(index, step): (usize, &crate::plan::StepPlan)| StepFacts {
        index: base + index,
        id: step.id.clone(),
        timeout: step.timeout,
        retry: step.retry,
        grace: plan.machines[machine_of[index]].stop_grace.unwrap_or(GRACE),
        has_outputs: !step.outputs.is_empty(),
        gives_files: step.chown.is_some(),
        memory: render_size(plan.machines[machine_of[index]].memory_mib),
    };
    let steps = plan.steps.iter().enumerate().map(step).map(|facts| Step::new(facts, limits)).collect();
    (steps, machine_of)
}

impl Dispatcher {
    pub(super) fn new(facts: DispatcherFacts) -> Self {
        let limits = TimeLimits::new(facts.options.time_factor);
        let plan = Arc::clone(&facts.plan);
        let (steps, machine_of) = steps_of(&plan, 0, limits);
        Self {
            machines: plan
                .machines
                .iter()
                .map(|machine| Machine::new(machine.stop_grace.unwrap_or(GRACE), limits))
                .collect(),
            services: Services::new(&plan, limits),
            lost: vec![None; plan.steps.len()],
            told_lost: vec![false; plan.machines.len()],
            steps,
            interrupt: None,
            is_killed: false,
            halted_by: None,
            is_finally_over: false,
            is_finally_timed: false,
            is_finished: false,
            now: Duration::ZERO,
            actions: Vec::new(),
            blamed: vec![false; plan.steps.len()],
            held: Held::new(plan.machines.len()),
            pause: Pause::first(facts.options.looks),
            round: Round::first(&plan),
            started_at: vec![Duration::ZERO; plan.steps.len()],
            phase_at: vec![Duration::ZERO; plan.machines.len()],
            step_chunks: plan.steps.iter().map(|_| Default::default()).collect(),
            machine_chunks: plan.machines.iter().map(|_| Default::default()).collect(),
            needs: needs(&plan),
            machine_of,
            facts,
        }
    }

    /// The first actions.
    pub(super) fn start(&mut self) -> Vec<Action> {
        let run = self.facts.folder.as_ref().map(|folder| folder.id().to_owned()).unwrap_or_default();
        self.emit(Event::RunStarted { run, project: self.facts.plan.project.clone() });
        self.pass_over();
        self.advance();
        std::mem::take(&mut self.actions)
    }

    /// Takes one input, `now` after the start, and returns what must be done.
    pub(super) fn on(&mut self, now: Duration, input: RunInput) -> Vec<Action> {
        if self.is_finished {
            return Vec::new();
        }
        self.now = now;
        match input {
            RunInput::Signal(signal) => self.signal(signal),
            RunInput::Timer(timer) => self.timer(timer),
            RunInput::Command(id, command) => self.command(id, command),
            RunInput::Machine(machine, input) => self.machine_input(machine, input),
            RunInput::Step(number, input) => {
                // What is late of an earlier round says nothing.
                if let Some(step) = self.place_of(number) {
                    self.step_input(step, input);
                }
            }
            RunInput::Round(id, wish) => self.want_round(id, *wish),
            RunInput::RoundBegun(id, begun) => self.round_begun(id, begun),
            RunInput::Service(machine, input) => self.service_input(machine, input),
        }
        self.advance();
        std::mem::take(&mut self.actions)
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.actions.push(Action::Emit(event));
    }

    pub(super) fn signal(&mut self, signal: Signal) {
        if self.interrupt.is_some() {
            if !std::mem::replace(&mut self.is_killed, true) {
                self.emit(Event::Warning { text: format!("{} again: all ends at once", signal.name()) });
            }
            self.cancel_all(&CancelReason::Kill, true);
            self.hurry_providers();
        } else {
            self.interrupt = Some(signal);
            let name = signal.name();
            self.emit(Event::Warning { text: format!("{name}: ending in order; a second signal ends all at once") });
            // Entries of `finally` that run go on: they are what is left to do.
            let passed_on = if self.facts.options.passes_signals { signal } else { Signal::Interrupt };
            self.cancel_all(&CancelReason::Interrupt(passed_on), false);
        }
    }

    fn timer(&mut self, timer: Timer) {
        match timer {
            Timer::StepTime(attempt) => self.attempt_input(attempt, StepInput::TimeUp),
            Timer::StepEnd(attempt, stage) => self.attempt_input(attempt, StepInput::Overdue(stage)),
            Timer::StepRest(attempt) => self.attempt_input(attempt, StepInput::Rested),
            Timer::Machine(machine, life, _) if life != self.life(machine) => {}
            Timer::Machine(machine, _, timer) => self.machine_input(machine, MachineInput::Overdue(timer)),
            Timer::Service(machine, life, _) if life != self.life(machine) => {}
            Timer::Service(machine, _, timer) => self.service_input(machine, ServiceInput::Overdue(timer)),
            Timer::Finally(round) if round != self.round_id() => {}
            Timer::Finally(_) => {
                self.is_finally_over = true;
                self.cancel_all(&CancelReason::FinallyTimeUp, true);
            }
        }
    }

    /// A deadline of an attempt that is over says nothing about the next.
    fn attempt_input(&mut self, attempt: Attempt, input: StepInput) {
        if let Some(step) = self.place_of(attempt.step).filter(|step| self.steps[*step].attempt() == attempt.number) {
            self.step_input(step, input);
        }
    }

    /// Starts the clock of `finally` once an interrupt has come and everything else is over.
    pub(super) fn time_finally(&mut self) {
        if self.ended_by().is_some() && !self.is_finally_timed {
            self.is_finally_timed = true;
            self.actions.push(Action::Arm(Timer::Finally(self.round_id()), FINALLY_AFTER_INTERRUPT));
        }
    }

    pub(super) fn cancel_all(&mut self, reason: &CancelReason, with_finally: bool) {
        for step in 0..self.steps.len() {
            if self.steps[step].is_active() && (with_finally || !self.facts.plan.steps[step].is_finally) {
                self.step_input(step, StepInput::Cancel(reason.clone()));
            }
        }
    }

    pub(super) fn step_input(&mut self, step: usize, input: StepInput) {
        if let StepInput::Output(stream, bytes) = input {
            self.step_output(step, stream, bytes);
            return;
        }
        for effect in self.steps[step].on(input) {
            match effect {
                StepEffect::Begin => self.begin_step(step),
                StepEffect::Rest => self.flush_output(step),
                StepEffect::Exec => self.actions.push(Action::Exec(step)),
                StepEffect::Signal(signal) => self.actions.push(Action::SignalStep(step, signal)),
                StepEffect::Terminate(grace) => self.actions.push(Action::Terminate(step, grace)),
                StepEffect::CheckOutputs => self.actions.push(Action::CheckOutputs(step)),
                StepEffect::GiveFiles => self.actions.push(Action::GiveFiles(step)),
                StepEffect::Given(changed, linked) => {
                    let step = self.facts.plan.steps[step].id.clone();
                    self.emit(Event::Ownership { step, changed, linked });
                }
                StepEffect::Arm(timer, after) => self.actions.push(Action::Arm(timer, after)),
                StepEffect::Warn(text) => self.emit(Event::Warning { text }),
                StepEffect::KillMachine(cause) => {
                    self.machine_input(self.machine_of[step], MachineInput::Fail(cause));
                }
                StepEffect::Done => self.step_done(step),
            }
        }
    }

    fn begin_step(&mut self, step: usize) {
        let plan = &self.facts.plan.steps[step];
        let started = Event::StepStarted {
            step: plan.id.clone(),
            title: plan.title.clone(),
            machine: plan.machine.clone(),
            attempt: self.steps[step].attempt(),
        };
        self.started_at[step] = self.now;
        self.emit(started);
    }

    fn step_output(&mut self, step: usize, stream: Stream, bytes: Vec<u8>) {
        let slot = usize::from(stream == Stream::Stderr);
        if self.steps[step].is_active()
            && let Some(bytes) = self.step_chunks[step][slot].push(bytes)
        {
            let of = OutputOf::Step(self.facts.plan.steps[step].id.clone());
            self.emit(Event::Output { of, stream, bytes });
        }
    }

    /// What an attempt wrote last, though no line ended there.
    fn flush_output(&mut self, step: usize) {
        for (slot, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
            if let Some(bytes) = self.step_chunks[step][slot].finish() {
                let of = OutputOf::Step(self.facts.plan.steps[step].id.clone());
                self.emit(Event::Output { of, stream, bytes });
            }
        }
    }

    fn step_done(&mut self, step: usize) {
        self.flush_output(step);
        let id = &self.facts.plan.steps[step].id;
        let log = self.facts.folder.as_ref().map(|folder| folder.step_log(id).display().to_string());
        let seconds = self.now.saturating_sub(self.started_at[step]).as_secs_f64();
        self.emit_finished(step, seconds, log);
        let plan = &self.facts.plan.steps[step];
        let is_failure = self.is_failed(step) && !plan.continue_on_error && !plan.is_finally;
        if is_failure {
            self.halt(format!("step `{}`", plan.id));
        }
    }

    /// The attempt of a step that runs, or ran last.
    pub(super) fn attempt(&self, step: usize) -> Attempt {
        Attempt { step: self.number_of(step), number: self.steps[step].attempt() }
    }

    pub(super) fn is_failed(&self, step: usize) -> bool {
        let status = self.steps[step].outcome().map(|outcome| outcome.status);
        matches!(status, Some(StepStatus::Failed | StepStatus::TimedOut))
    }

    pub(super) fn skip(&mut self, step: usize, cause: String) {
        self.steps[step].skip(cause);
        self.emit_finished(step, 0.0, None);
    }

    fn emit_finished(&mut self, step: usize, seconds: f64, log: Option<String>) {
        let plan = &self.facts.plan.steps[step];
        let Some(outcome) = self.steps[step].outcome() else { return };
        let event = Event::StepFinished {
            step: plan.id.clone(),
            machine: plan.machine.clone(),
            status: outcome.status,
            exit_code: outcome.exit_code,
            seconds,
            cause: outcome.cause.clone(),
            is_allowed: self.is_failed(step) && plan.continue_on_error,
            log,
        };
        self.emit(event);
    }

    /// Nothing new starts any more, and what runs is ended, unless the run is to keep going.
    pub(super) fn halt(&mut self, culprit: String) {
        if self.facts.options.keep_going || self.halted_by.is_some() {
            return;
        }
        self.halted_by = Some(culprit.clone());
        self.cancel_all(&CancelReason::Failure(culprit), false);
    }

    pub(super) fn machine_input(&mut self, machine: usize, input: MachineInput) {
        match &input {
            MachineInput::Console(bytes) => self.machine_output(machine, Source::Console, bytes),
            MachineInput::Log(bytes) => self.machine_output(machine, Source::Agent, bytes),
            MachineInput::Written(stream, bytes) => {
                let of = OutputOf::Machine(self.facts.plan.machines[machine].name.clone());
                self.emit(Event::Output { of, stream: *stream, bytes: bytes.clone() });
            }
            MachineInput::Progress(text) => {
                let name = self.facts.plan.machines[machine].name.clone();
                self.emit(Event::Progress { machine: name, text: text.clone() });
            }
            MachineInput::Pulled(Pulled { name: image, done, total }) => {
                let machine = self.facts.plan.machines[machine].name.clone();
                self.emit(Event::Pull { machine, image: image.clone(), done: *done, total: *total });
            }
            _ => {}
        }
        for effect in self.machines[machine].on(input) {
            match effect {
                MachineEffect::Prepare => {
                    self.phase_at[machine] = self.now;
                    self.actions.push(Action::Prepare(machine));
                }
                MachineEffect::CancelPrepare => self.actions.push(Action::CancelPrepare(machine)),
                MachineEffect::Start => self.actions.push(Action::Start(machine)),
                MachineEffect::OpenSession => self.actions.push(Action::OpenSession(machine)),
                MachineEffect::SetUp => self.actions.push(Action::SetUp(machine)),
                MachineEffect::Shutdown(grace) => self.actions.push(Action::Shutdown(machine, grace)),
                MachineEffect::Kill => self.actions.push(Action::Kill(machine)),
                MachineEffect::Release => self.actions.push(Action::Release(machine)),
                MachineEffect::Arm(timer, after) => {
                    let timer = Timer::Machine(machine, self.life(machine), timer);
                    self.actions.push(Action::Arm(timer, after));
                }
                MachineEffect::Phase(phase) => self.machine_phase(machine, phase, None),
                MachineEffect::Failed => self.machine_failed(machine),
                MachineEffect::Warn(text) => {
                    let text = format!("machine `{}`: {text}", self.facts.plan.machines[machine].name);
                    self.emit(Event::Warning { text });
                }
            }
        }
    }

    fn machine_output(&mut self, machine: usize, source: Source, bytes: &[u8]) {
        if let Some(bytes) = self.machine_chunks[machine][source as usize].push(bytes) {
            let of = OutputOf::Machine(self.facts.plan.machines[machine].name.clone());
            self.emit(Event::Output { of, stream: Stream::Console, bytes });
        }
    }
}
