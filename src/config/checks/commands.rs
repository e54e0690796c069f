//! Rules about what a step or a machine runs: something at all (0505).

use super::world::World;
use crate::config::model::Command;
use crate::diag::{Code, Diagnostic, Diagnostics, Severity, Span};

/// Checks the command of every step.
pub(super) fn check_commands(world: &World<'_>, out: &mut Diagnostics) {
    let steps = world.project.steps.iter().chain(&world.project.finally);
    for step in steps.filter(|step| !step.gaps.command) {
        if let Some(problem) = find_problem(&step.command.value) {
            let help = "write a script, as in `run: make test`, or a program and its arguments, as in \
                        `run: [make, test]`";
            out.push(refuse(&format!("step `{}`", step.id.value), step.command.span, problem, help));
        }
    }
    for machine in &world.project.machines {
        let name = &machine.name.value;
        let service = &machine.service;
        if let Some(command) = &service.command
            && let Some(problem) = find_problem(&command.value)
        {
            let help = "write a program and its arguments, as in `command: [postgres, -c, fsync=off]`, or a script";
            out.push(refuse(&format!("the command of machine `{name}`"), command.span, problem, help));
        }
        if let Some(test) = service.healthcheck.as_ref().and_then(|check| check.test.as_ref())
            && let Some(problem) = find_problem(&test.value)
        {
            let help = "write a program and its arguments, as in `test: [pg_isready, -q]`, or a script";
            out.push(refuse(&format!("the healthcheck of machine `{name}`"), test.span, problem, help));
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

fn refuse(what: &str, span: Span, problem: &str, help: &str) -> Diagnostic {
    Diagnostic::new(Code(505), Severity::Error, format!("{what} runs nothing")).label(span, problem).help(help)
}
