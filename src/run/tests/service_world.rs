//! The part of the simulated world that services are: each start and each test does as a script says.

use std::collections::BTreeMap;

use super::sim::World;
use crate::event::Stream;
use crate::guest::ExitStatus;
use crate::run::input::{RunInput, ServiceAction, StartFailure};
use crate::run::service::ServiceInput;

/// How one start of a service behaves; times are in milliseconds after it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Life {
    /// Until it is asked to end.
    #[default]
    Runs,
    /// It ends by itself.
    Exits(u64, i32),
    /// It prints this, and runs on.
    Says(u64, &'static str),
    /// Only KILL ends it.
    Stubborn,
    /// There is no such program.
    NotFound,
}

/// How the services of a run behave.
#[derive(Debug, Clone, Default)]
pub(super) struct ServiceScript {
    /// The starts of each machine's service, first to last; the last one is that of all that follow.
    lives: BTreeMap<String, Vec<Life>>,
    /// Codes of the tests of each, likewise; without any they pass. `None` is a test that never ends.
    tests: BTreeMap<String, Vec<Option<i32>>>,
    /// How far each has come.
    starts: BTreeMap<usize, (u32, Life)>,
    tested: BTreeMap<usize, usize>,
}

impl ServiceScript {
    pub(super) fn lives(&mut self, machine: &str, lives: &[Life]) {
        self.lives.insert(machine.to_owned(), lives.to_vec());
    }

    pub(super) fn tests(&mut self, machine: &str, codes: &[Option<i32>]) {
        self.tests.insert(machine.to_owned(), codes.to_vec());
    }
}

impl World<'_> {
    pub(super) fn service(&mut self, machine: usize, action: ServiceAction) {
        let name = self.plan.machines[machine].name.clone();
        match action {
            ServiceAction::Exec(start) => self.start_service(machine, &name, start),
            ServiceAction::AskToEnd(start) | ServiceAction::Signal(start, _) => {
                let life = self.services.starts.get(&machine).cloned();
                if life.is_some_and(|(known, life)| known == start && life != Life::Stubborn) {
                    self.end_service(machine, start, 5, ExitStatus::Code(0));
                }
            }
            ServiceAction::Kill(start) => self.end_service(machine, start, 1, ExitStatus::Signal(9)),
            ServiceAction::Test(test) => {
                let done = self.services.tested.entry(machine).or_default();
                let codes = self.services.tests.get(&name);
                let code = codes.and_then(|codes| codes.get(*done).or(codes.last()).copied()).unwrap_or(Some(0));
                *done += 1;
                let said = ServiceInput::TestOutput(test, format!("test says {code:?}\n").into_bytes());
                self.later(1, RunInput::Service(machine, said));
                if let Some(code) = code {
                    let ended = ServiceInput::TestExited(test, ExitStatus::Code(code));
                    self.later(2, RunInput::Service(machine, ended));
                }
            }
            ServiceAction::KillTest(test) => {
                self.later(1, RunInput::Service(machine, ServiceInput::TestExited(test, ExitStatus::Signal(9))));
            }
        }
    }

    fn start_service(&mut self, machine: usize, name: &str, start: u32) {
        let lives = self.services.lives.get(name);
        let place = usize::try_from(start).unwrap() - 1;
        let life = lives.and_then(|lives| lives.get(place).or(lives.last()).cloned()).unwrap_or_default();
        if life == Life::NotFound {
            let failure = StartFailure { exit_code: 127, cause: "there is no program `serve`".to_owned() };
            return self.later(1, RunInput::Service(machine, ServiceInput::Started(start, Err(failure))));
        }
        self.services.starts.insert(machine, (start, life.clone()));
        self.later(1, RunInput::Service(machine, ServiceInput::Started(start, Ok(()))));
        match life {
            Life::Exits(after, code) => self.end_service(machine, start, after, ExitStatus::Code(code)),
            Life::Says(after, text) => {
                let output = ServiceInput::Output(start, Stream::Stdout, text.as_bytes().to_vec());
                self.later(after, RunInput::Service(machine, output));
            }
            Life::Runs | Life::Stubborn | Life::NotFound => {}
        }
    }

    /// Each start ends once; a machine that is gone tells nothing of it.
    fn end_service(&mut self, machine: usize, start: u32, after_ms: u64, status: ExitStatus) {
        let is_this = self.services.starts.get(&machine).is_some_and(|(known, _)| *known == start);
        if is_this && self.has_vm(machine) {
            self.services.starts.remove(&machine);
            self.later(after_ms, RunInput::Service(machine, ServiceInput::Exited(start, status, false)));
        }
    }
}
