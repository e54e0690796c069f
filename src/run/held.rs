//! What is asked of a run from outside: which machines are to stay up, go down, and come up again.
//!
//! Deliberately not here: the life of one machine (`machine`), and what needs it (`schedule`).

use super::dispatcher::Dispatcher;
use super::handle::{CommandError, RunCommand};
use super::input::Action;

impl Dispatcher {
    /// Takes what somebody asks for.
    pub(super) fn command(&mut self, id: u64, _command: RunCommand) {
        let answer = CommandError::Refused("this run takes no commands".to_owned());
        self.actions.push(Action::Answer(id, Err(answer)));
    }

    /// Whether nothing more comes by itself.
    pub(super) fn is_settled(&self) -> bool {
        self.steps.iter().all(super::step::Step::is_done)
    }
}
