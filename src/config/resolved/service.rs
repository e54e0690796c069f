//! What a machine runs beside its steps, and what it waits for. Defaults of a healthcheck are written out.

use std::time::Duration;

use super::super::model::{Command, Condition, Healthcheck, Machine, Service};
use super::super::resolved_names::Names;
use super::super::scalars::show_duration;
use super::super::written::Node;
use super::{Keys, SHELL, spanned, text, words};

/// The shell of a machine's own scripts, where it is another than the default.
pub(super) fn own_shell(machine: &Machine) -> Option<&Vec<String>> {
    let test = machine.service.healthcheck.as_ref().and_then(|check| check.test.as_ref());
    machine.service.command.as_ref().into_iter().chain(test).find_map(|command| match &command.value {
        Command::Script { shell, .. } if *shell != SHELL => Some(shell),
        _ => None,
    })
}

pub(super) fn service<'a>(machine: &'a Machine, names: &Names<'a>, keys: &mut Keys) {
    let Service { command, healthcheck, restart, stop_signal, stop_grace } = &machine.service;
    keys.put("shell", own_shell(machine).map(|shell| words(shell)));
    let depends_on = machine.depends_on.iter().flat_map(|dependency| {
        let node = || dependency.condition.as_ref().map(|condition| condition_node(condition.value));
        names.machines(&dependency.machine.value).into_iter().map(move |name| (name.to_owned(), node()))
    });
    let depends_on: Vec<(String, Option<Node>)> = depends_on.collect();
    keys.put_if(!depends_on.is_empty(), "depends_on", dependencies(depends_on));
    keys.put("command", command.as_ref().map(|command| self::command(&command.value)));
    keys.put("healthcheck", healthcheck.as_ref().map(self::healthcheck));
    keys.put("restart", restart.as_ref().map(|restart| Node::Text(restart.value.word().to_owned())));
    keys.put("stop_signal", stop_signal.as_ref().map(|signal| Node::Text(signal.value.name())));
    keys.put("stop_grace", stop_grace.as_ref().map(|grace| duration(grace.value)));
}

fn condition_node(condition: Condition) -> Node {
    Node::Map(vec![("condition".to_owned(), Node::Text(condition.word().to_owned()))])
}

/// A list where nothing but names was said; all are said or none is.
fn dependencies(said: Vec<(String, Option<Node>)>) -> Node {
    if said.iter().all(|(_, condition)| condition.is_some()) {
        return Node::Map(said.into_iter().filter_map(|(name, condition)| Some((name, condition?))).collect());
    }
    Node::List(said.iter().map(|(name, _)| text(name)).collect())
}

/// As `run`: variables of a command are the guest's.
pub(super) fn command(command: &Command) -> Node {
    match command {
        Command::Script { text, .. } => Node::Text(text.clone()),
        Command::List(list) => Node::List(list.iter().cloned().map(Node::Text).collect()),
    }
}

fn healthcheck(check: &Healthcheck) -> Node {
    let mut keys = Keys::default();
    keys.put("test", check.test.as_ref().map(|test| command(&test.value)));
    keys.put("log_line", check.log_line.as_ref().map(spanned));
    keys.put("interval", duration(check.interval));
    keys.put("timeout", duration(check.timeout));
    keys.put("retries", Node::Number(check.retries.into()));
    keys.put("start_period", duration(check.start_period));
    keys.put("start_interval", duration(check.start_interval));
    Node::Map(keys.0)
}

fn duration(duration: Duration) -> Node {
    Node::Text(show_duration(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
}
