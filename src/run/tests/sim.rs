//! A world in virtual time: it answers the dispatcher's actions as a script says, and records the events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(super) use super::script::{Boot, Does, Script, options};
use super::service_world::ServiceScript;
use crate::engine::VmExit;
use crate::event::{Event, Stream};
use crate::guest::ExitStatus;
use crate::plan::Plan;
use crate::run::dispatcher::{Dispatcher, DispatcherFacts};
use crate::run::input::{Action, MachineInput, PrepareFailure, RunInput, StartFailure, StepInput};
use crate::run::limits::TimeLimits;
use crate::run::{CommandError, GivenFiles, RunFolder, Summary};

/// What came of a simulated run.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) events: Vec<(Duration, Event)>,
    pub(super) summary: Summary,
    /// Answers to commands, with their numbers, in the order in which they came.
    pub(super) answers: Vec<(u64, Result<(), CommandError>)>,
    /// When each of them came.
    pub(super) answered: Vec<Duration>,
    /// What each machine still holds at the end, by name; empty where nothing outlives the run.
    pub(super) left: Vec<String>,
}

pub(super) struct World<'a> {
    pub(super) plan: Arc<Plan>,
    /// Number of the first step of the round.
    base: usize,
    script: &'a Script,
    now: Duration,
    sequence: u64,
    queue: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    inputs: Vec<Option<RunInput>>,
    prepared: Vec<bool>,
    vms: Vec<bool>,
    is_deaf: Vec<bool>,
    /// How often each step was started.
    started: Vec<usize>,
    pub(super) services: ServiceScript,
}

impl Played {
    /// Exit code and passed steps when what is to stay was up.
    pub(super) fn settled(&self) -> Option<(u8, usize)> {
        self.events.iter().find_map(|(_, event)| match event {
            Event::RunHeld { exit_code, passed, .. } => Some((*exit_code, *passed)),
            _ => None,
        })
    }
}

/// Plays a plan to its end.
pub(super) fn simulate(plan: &Plan, script: &Script) -> Played {
    let facts = DispatcherFacts {
        plan: Arc::new(plan.clone()),
        options: script.options.clone().unwrap_or_else(options),
        folder: Some(folder()),
        engine: "fake (tcg)".to_owned(),
    };
    let mut dispatcher = Dispatcher::new(facts);
    let machines = plan.machines.len();
    let mut world = World {
        plan: Arc::new(plan.clone()),
        base: 0,
        script,
        now: Duration::ZERO,
        sequence: 0,
        queue: BinaryHeap::new(),
        inputs: Vec::new(),
        prepared: vec![false; machines],
        vms: vec![false; machines],
        is_deaf: vec![false; machines],
        started: vec![0; plan.steps.len()],
        services: script.services.clone(),
    };
    for (at, signal) in &script.signals {
        world.later(*at, RunInput::Signal(*signal));
    }
    for (id, (at, command)) in (1..).zip(&script.commands) {
        world.later(*at, RunInput::Command(id, command.clone()));
    }
    for (id, (at, wish)) in (ROUND..).zip(&script.rounds) {
        world.later(*at, RunInput::Round(id, Box::new(wish.clone())));
    }
    let (mut events, mut answers, mut answered) = (Vec::new(), Vec::new(), Vec::new());
    let mut actions = dispatcher.start();
    loop {
        for action in std::mem::take(&mut actions) {
            match action {
                Action::Emit(event) => events.push((world.now, event)),
                Action::Answer(id, answer) => {
                    answers.push((id, answer));
                    answered.push(world.now);
                }
                Action::Finish(summary) => {
                    let left = world.left();
                    return Played { events, summary, answers, answered, left };
                }
                other => world.act(other),
            }
        }
        let Reverse((at, _, place)) = world.queue.pop().expect("the run hangs: nothing will ever happen");
        world.now = at;
        let input = world.inputs[place].take().expect("an input is taken once");
        actions = dispatcher.on(at, input);
    }
}

/// The number of the first round.
pub(super) const ROUND: u64 = 100;

pub(super) fn folder() -> RunFolder {
    RunFolder::fake("run", Path::new("/state/run"))
}

impl World<'_> {
    pub(super) fn has_vm(&self, machine: usize) -> bool {
        self.vms[machine]
    }

    pub(super) fn later(&mut self, after_ms: u64, input: RunInput) {
        self.at(self.now + Duration::from_millis(after_ms), input);
    }

    fn at(&mut self, at: Duration, input: RunInput) {
        self.sequence += 1;
        self.inputs.push(Some(input));
        self.queue.push(Reverse((at, self.sequence, self.inputs.len() - 1)));
    }

    fn machine(&mut self, after_ms: u64, machine: usize, input: MachineInput) {
        self.later(after_ms, RunInput::Machine(machine, input));
    }

    fn boot(&self, machine: usize) -> Boot {
        self.script.boots.get(&self.plan.machines[machine].name).copied().unwrap_or_default()
    }

    fn does(&self, step: usize) -> (u64, Does) {
        let id = &self.plan.steps[step].id;
        let earlier = self.script.attempts.get(id).and_then(|attempts| attempts.get(self.started[step].max(1) - 1));
        earlier.or_else(|| self.script.steps.get(id)).cloned().unwrap_or((10, Does::Exit(0)))
    }

    fn machine_of(&self, step: usize) -> usize {
        let name = &self.plan.steps[step].machine;
        self.plan.machines.iter().position(|machine| machine.name == *name).unwrap()
    }

    fn left(&self) -> Vec<String> {
        let is_held = |place: &usize| self.prepared[*place] || self.vms[*place];
        (0..self.vms.len()).filter(is_held).map(|place| self.plan.machines[place].name.clone()).collect()
    }

    fn end_vm(&mut self, after_ms: u64, machine: usize, exit: VmExit) {
        if std::mem::take(&mut self.vms[machine]) {
            self.machine(after_ms, machine, MachineInput::Exited(exit));
            self.machine(after_ms, machine, MachineInput::Closed("the guest closed it".to_owned()));
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Prepare(machine) => self.prepare(machine),
            Action::CancelPrepare(machine) => {
                if self.boot(machine) != Boot::PrepareHangs {
                    self.machine(1, machine, MachineInput::Prepared(Err(failure())));
                }
            }
            Action::Start(machine) if self.boot(machine) == Boot::CannotStart => {
                self.machine(1, machine, MachineInput::Started(Err("no such program".to_owned())));
            }
            Action::Start(machine) => {
                self.vms[machine] = true;
                self.machine(1, machine, MachineInput::Started(Ok(())));
            }
            Action::OpenSession(machine) => self.open(machine),
            Action::SetUp(machine) if self.boot(machine) == Boot::MountFails => {
                self.machine(1, machine, MachineInput::SetUp(Err("wrong mount `/code`: it is writable".to_owned())));
            }
            Action::SetUp(machine) => self.machine(1, machine, MachineInput::SetUp(Ok(()))),
            Action::Exec(step) => self.exec(step),
            Action::SignalStep(step, signal) => self.signal(step, signal),
            Action::Terminate(step, grace) => self.terminate(step, grace),
            Action::CheckOutputs(step) => {
                let lacks = self.does(step).1 == Does::LacksOutput;
                let missing = if lacks { vec!["/output/app".to_owned()] } else { Vec::new() };
                self.later(1, RunInput::Step(self.base + step, StepInput::Outputs(Ok(missing))));
            }
            Action::GiveFiles(step) => {
                self.later(1, RunInput::Step(self.base + step, StepInput::Given(Ok(GivenFiles::default()))));
            }
            Action::Service(machine, action) => self.service(machine, action),
            Action::Shutdown(machine, _) if self.boot(machine) == Boot::StopHangs => {}
            Action::Shutdown(machine, _) => self.end_vm(5, machine, VmExit::PoweredOff),
            Action::Kill(machine) if self.boot(machine) == Boot::Immortal => {}
            Action::Kill(machine) => self.end_vm(1, machine, VmExit::Killed),
            Action::Release(machine) => {
                self.prepared[machine] = false;
                self.vms[machine] = false;
            }
            Action::Arm(timer, after) => self.at(self.now + after, RunInput::Timer(timer)),
            Action::BeginRound(id, plan) => {
                self.later(1, RunInput::RoundBegun(id, Ok((plan, Some(folder())))));
            }
            Action::Record(_) => {}
            Action::NextRound { plan, step_base, .. } => {
                for held in [&mut self.prepared, &mut self.vms, &mut self.is_deaf] {
                    held.resize(plan.machines.len(), false);
                }
                self.started = vec![0; plan.steps.len()];
                (self.plan, self.base) = (plan, step_base);
            }
            Action::Answer(..) | Action::Emit(_) | Action::Finish(_) => {
                unreachable!("the caller takes these")
            }
        }
    }

    fn prepare(&mut self, machine: usize) {
        match self.boot(machine) {
            Boot::PrepareHangs => {
                self.prepared[machine] = true;
                self.machine(60_000, machine, MachineInput::Prepared(Ok(())));
            }
            Boot::CannotPrepare => self.machine(1, machine, MachineInput::Prepared(Err(failure()))),
            _ => {
                self.prepared[machine] = true;
                self.machine(1, machine, MachineInput::Prepared(Ok(())));
            }
        }
    }

    fn open(&mut self, machine: usize) {
        match self.boot(machine) {
            Boot::AgentSilent => {
                let limit = TimeLimits::new(1).boot();
                let news = MachineInput::Agent(Err("the agent did not answer within 30s".to_owned()));
                self.at(self.now + limit, RunInput::Machine(machine, news));
            }
            Boot::KernelPanics => {
                self.machine(5, machine, MachineInput::Console(b"Kernel panic - not syncing: no init\n".to_vec()));
                self.end_vm(6, machine, VmExit::Panicked("no init".to_owned()));
            }
            _ => self.machine(10, machine, MachineInput::Agent(Ok(()))),
        }
    }

    fn exec(&mut self, step: usize) {
        self.started[step] += 1;
        let (after, does) = self.does(step);
        let machine = self.machine_of(step);
        if does == Does::NotFound {
            let failure = StartFailure { exit_code: 127, cause: "there is no program `cargo`".to_owned() };
            self.later(1, RunInput::Step(self.base + step, StepInput::Started(Err(failure))));
            return;
        }
        self.later(1, RunInput::Step(self.base + step, StepInput::Started(Ok(()))));
        let text = format!("{} €\n", self.plan.steps[step].id);
        self.later(1, RunInput::Step(self.base + step, StepInput::Output(Stream::Stdout, text.into_bytes())));
        match does {
            Does::Exit(code) => self.exit(after, step, ExitStatus::Code(code), false),
            Does::LacksOutput => self.exit(after, step, ExitStatus::Code(0), false),
            Does::Signal(signal) => self.exit(after, step, ExitStatus::Signal(signal), false),
            Does::OutOfMemory => self.exit(after, step, ExitStatus::Signal(9), true),
            Does::Vm(exit) => self.end_vm(after, machine, exit),
            Does::Silent => self.machine(after, machine, MachineInput::Silent(15)),
            Does::AgentGone => self.machine(after, machine, MachineInput::Closed("the guest closed it".to_owned())),
            Does::ShareDies => {
                let (share, reason) = ("share `share0` (/code)".to_owned(), "killed by signal 9".to_owned());
                self.machine(after, machine, MachineInput::ShareDied { share, reason });
            }
            Does::AgentDeaf => self.is_deaf[machine] = true,
            Does::Sleeps | Does::IgnoresTerm | Does::NotFound => {}
        }
    }

    fn exit(&mut self, after_ms: u64, step: usize, status: ExitStatus, is_out_of_memory: bool) {
        self.later(after_ms, RunInput::Step(self.base + step, StepInput::Exited(status, is_out_of_memory)));
    }

    fn signal(&mut self, step: usize, signal: i32) {
        if !self.is_deaf[self.machine_of(step)] && self.does(step).1 != Does::IgnoresTerm {
            self.exit(1, step, ExitStatus::Signal(signal), false);
        }
    }

    fn terminate(&mut self, step: usize, grace: Duration) {
        if self.is_deaf[self.machine_of(step)] {
            return;
        }
        if self.does(step).1 == Does::IgnoresTerm {
            let after = u64::try_from(grace.as_millis()).unwrap();
            self.exit(after + 1, step, ExitStatus::Signal(9), false);
        } else {
            self.exit(1, step, ExitStatus::Signal(15), false);
        }
    }
}

fn failure() -> PrepareFailure {
    PrepareFailure { message: "no kernel can be had".to_owned(), is_host_unfit: false }
}
