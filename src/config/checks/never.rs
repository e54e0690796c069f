//! Steps that can never run (0208): their own `if` is false whatever the variables are, or they need by name one that
//! is passed over.

use super::world::World;
use crate::config::model::{Exclusion, exclusions};
use crate::diag::{Code, Diagnostic, Diagnostics, Severity};

/// Checks every step.
pub(super) fn check_never(world: &World<'_>, out: &mut Diagnostics) {
    let (steps, finally) = exclusions(world.project, &[]);
    let all = world.project.steps.iter().chain(&world.project.finally);
    let found: Vec<Option<&Exclusion>> = steps.iter().chain(&finally).map(Option::as_ref).collect();
    let why: std::collections::HashMap<&str, &Exclusion> = world
        .project
        .steps
        .iter()
        .zip(&steps)
        .filter_map(|(step, excluded)| Some((step.declared_id(), excluded.as_ref()?)))
        .collect();
    for (step, excluded) in all.zip(found) {
        let id = step.declared_id();
        let diagnostic = match excluded {
            Some(Exclusion::Condition { span, is_constant: true }) => Diagnostic::new(
                Code(208),
                Severity::Warning,
                format!("step `{id}` never runs: its `if` is always false"),
            )
            .label(*span, "no variable in it can change that")
            .help("take the step out, or compare a variable, as `if: \"${CI} == true\"`"),
            Some(Exclusion::Need(need)) => {
                let cause = why.get(need.value.as_str()).map_or_else(String::new, |why| match why {
                    Exclusion::Condition { .. } => ", whose `if` does not hold".to_owned(),
                    Exclusion::Profiles(names) | Exclusion::MachineProfiles(names) => {
                        format!(", which runs only with {}", crate::config::model::profiles(names))
                    }
                    Exclusion::Need(_) => ", which does not run either".to_owned(),
                });
                let message = format!("step `{id}` does not run: it needs `{}`{cause}", need.value);
                Diagnostic::new(Code(208), Severity::Warning, message)
                    .label(need.span, "passed over")
                    .help("give both the same `if` or `profiles`, or take this need out: a step without `needs` waits for the one above that runs")
            }
            _ => continue,
        };
        out.push(diagnostic);
    }
}
