//! Rules about what a step runs: something at all (0505).

use super::world::World;
use crate::config::model::{Command, Step};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity};

/// Checks the command of every step.
pub(super) fn check_commands(world: &World<'_>, out: &mut Diagnostics) {
    let steps = world.project.steps.iter().chain(&world.project.finally);
    for step in steps.filter(|step| !step.gaps.command) {
        if let Some(problem) = find_problem(&step.command.value) {
            out.push(refuse(step, problem));
        }
    }
}

fn find_problem(command: &Command) -> Option<&'static str> {
    match command {
        Command::Script { text, .. } if text.trim().is_empty() => Some("this script is empty"),
        Command::List(words) if words.is_empty() => Some("this list names no program"),
        Command::List(words) if words[0].trim().is_empty() => Some("the program's name is empty"),
        _ => None,
    }
}

fn refuse(step: &Step, problem: &str) -> Diagnostic {
    Diagnostic::new(Code(505), Severity::Error, format!("step `{}` runs nothing", step.id.value))
        .label(step.command.span, problem)
        .help("write a script, as in `run: make test`, or a program and its arguments, as in `run: [make, test]`")
}
