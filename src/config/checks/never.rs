//! Steps that can never run (0208): their own `if` is false whatever the variables are, or they need by name one that
//! is passed over.

use std::collections::HashMap;

use super::world::World;
use crate::config::model::{Exclusion, Spanned, exclusions, profiles};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity, Span};

/// Checks every step.
pub(super) fn check_never(world: &World<'_>, out: &mut Diagnostics) {
    let project = world.project;
    let (steps, finally) = exclusions(project, &[]);
    let excluded = project.steps.iter().zip(&steps).filter_map(|(step, why)| Some((step.declared_id(), why.as_ref()?)));
    let why: HashMap<&str, &Exclusion> = excluded.collect();
    for (step, own) in project.steps.iter().zip(&steps).chain(project.finally.iter().zip(&finally)) {
        let id = step.declared_id();
        match own {
            Some(Exclusion::Condition { span, is_constant: true }) => out.push(always_false(id, *span)),
            Some(Exclusion::Need(need)) => out.push(needs_what_is_out(id, need, why.get(need.value.as_str()).copied())),
            _ => {}
        }
    }
}

fn warn(message: String) -> Diagnostic {
    Diagnostic::new(Code(208), Severity::Warning, message)
}

fn always_false(id: &str, span: Span) -> Diagnostic {
    warn(format!("step `{id}` never runs: its `if` is always false"))
        .label(span, "no variable in it can change that")
        .help("take the step out, or compare a variable, as `if: \"${CI} == true\"`")
}

fn needs_what_is_out(id: &str, need: &Spanned<String>, why: Option<&Exclusion>) -> Diagnostic {
    let cause = match why {
        Some(Exclusion::Condition { .. }) => ", whose `if` does not hold".to_owned(),
        Some(Exclusion::Profiles(names) | Exclusion::MachineProfiles(names)) => {
            format!(", which runs only with {}", profiles(names))
        }
        Some(Exclusion::Need(_)) => ", which does not run either".to_owned(),
        None => String::new(),
    };
    warn(format!("step `{id}` does not run: it needs `{}`{cause}", need.value)).label(need.span, "passed over").help(
        "give both the same `if` or `profiles`, or take this need out: a step without `needs` waits for the one above that runs",
    )
}
