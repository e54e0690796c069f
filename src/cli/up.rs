//! `smolvm up`: check, plan, boot, run, stop, summary.
//!
//! Deliberately not here: everything that this list names; each has its own room.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use super::args::{Progress, UpArgs};
use super::exit::{self, ExitCode, Failure};
use super::interrupts::Interrupts;
use super::opened::{self, Opened, command_line};
use super::printer::Printer;
use super::remarks;
use super::report_run::{self, Mode};
use super::settings::Settings;
use super::{engines, known_images, life, load, look, plan, ports};
use crate::compose::Chosen;
use crate::compose::Places;
use crate::config::{self, Loaded};
use crate::control::{About, Bound, Role, Server};
use crate::diag::Code;
use crate::event::RunStatus;
use crate::plan::Plan;
use crate::run::{self, Options, RunDeps, RunHandle, Summary};

/// Runs the project.
pub(crate) fn run(args: &UpArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let mode = progress_mode(settings, &|name| std::env::var_os(name), Streams::find());
    // Before anything else: from here on a signal is answered in words and with its code.
    let outcome = look::check(args, mode).and_then(|()| Interrupts::listen()).and_then(|mut interrupts| {
        let ready = {
            let (args, settings, printer) = (args.clone(), settings.clone(), *printer);
            // A file that comes through a pipe, or from a folder that does not answer, may take for ever.
            interrupts.unless_interrupted(move || prepare(&args, &settings, &printer, mode))??
        };
        match ready {
            Ready::Done(code) => Ok(code),
            Ready::Run(plan, chosen, known) => {
                let asked = life::Asked { args, settings, printer, mode, known };
                if args.detach || args.keep {
                    printer.note(&format!("engine: {}\n", chosen.why));
                    return life::up(&asked, *plan, interrupts);
                }
                match life::beside(&asked, &plan, &mut interrupts)? {
                    Some(code) => Ok(code),
                    None => go(args, settings, printer, mode, (*plan, chosen), interrupts),
                }
            }
        }
    });
    if let (Err(failure), Mode::Json) = (&outcome, mode) {
        // A program that reads events gets the end of the run as one, whatever went wrong before its start.
        printer.data(&report_run::failed_early(failure))?;
    }
    outcome
}

/// What came of checking and planning.
enum Ready {
    /// There is nothing to run.
    Done(ExitCode),
    /// This is to be run, with this engine; the file has machines of these names.
    Run(Box<Plan>, Chosen, BTreeSet<String>),
}

fn prepare(args: &UpArgs, settings: &Settings, printer: &Printer, mode: Mode) -> Result<Ready, Failure> {
    let mut loaded = load::load_locked(settings, config::Mode::Run, args.locked)?;
    if args.detach {
        // Machines that no step uses are what `-d` is for.
        loaded.diagnostics.forget(Code(207));
    }
    tell_remarks(&loaded, args, printer, mode)?;
    let project = match loaded.project {
        Some(project) if !loaded.diagnostics.has_errors() => project,
        _ => return Ok(Ready::Done(ExitCode::InvalidFile)),
    };
    let plan = match args.detach {
        true => plan::build_held(&project, &args.selection)?,
        false => plan::build(&project, &args.selection)?,
    };
    if args.dry_run {
        plan::tell_kernel(&plan, printer);
        plan::tell_images(&plan, printer);
        printer.data(&match mode {
            Mode::Json => crate::plan::render_json(&plan),
            _ => crate::plan::render_text(&plan),
        })?;
        return Ok(Ready::Done(ExitCode::Passed));
    }
    if settings.is_offline {
        known_images::all_here(&plan)?;
    }
    let engine = args.engine.unwrap_or(settings.engine);
    let accel = args.accel.unwrap_or(settings.accel);
    let chosen = engines::choose(engine, accel)?;
    let known = project.machines.iter().map(|machine| machine.name.value.clone()).collect();
    Ok(Ready::Run(Box::new(plan), chosen, known))
}

fn tell_remarks(loaded: &Loaded, args: &UpArgs, printer: &Printer, mode: Mode) -> Result<(), Failure> {
    if mode == Mode::Json {
        return printer.data(&report_run::remark_events(&loaded.diagnostics, &loaded.sources, args.max_diagnostics));
    }
    remarks::tell(&loaded.diagnostics, &loaded.sources, args.max_diagnostics, printer);
    Ok(())
}

fn go(
    args: &UpArgs,
    settings: &Settings,
    printer: &Printer,
    mode: Mode,
    (mut plan, chosen): (Plan, Chosen),
    mut interrupts: Interrupts,
) -> Result<ExitCode, Failure> {
    printer.note(&format!("engine: {}\n", chosen.why));
    let opened = Opened::open(args, Places::find()?, &plan, printer, &mut interrupts)?;
    // Before anything boots: a port that is taken would be known only after minutes.
    let published = ports::publish(&mut plan, printer).inspect_err(|_| drop(opened.folder.finish()))?;
    let (handle, door) = run::door();
    let server = serve(&opened, handle.clone(), &interrupts, printer);
    let options = opened::options(args, settings, chosen.accel);
    let deps = RunDeps { published, ..opened.deps(settings, chosen, door) };
    let plan = Arc::new(plan);
    let machines = plan.machines.clone();
    // A run that does not begin was not killed.
    let (record, failed) = opened.record().inspect_err(|_| drop(opened.folder.finish()))?;
    let report = report_run::Report {
        mode,
        settings,
        printer,
        again: again(settings),
        offers_shell: !args.interactive,
        record: Some(record),
        rule: args.exit_code,
        plan: Arc::clone(&plan),
        places: options.parallel.unwrap_or(plan.limits.steps_at_once),
    };
    let summary = match args.interactive {
        true => look::run(plan, (deps, handle), options, report, interrupts)?,
        false => run_and_report(plan, deps, options, report, interrupts)?,
    };
    if let Some(why) = failed.get() {
        let path = opened.folder.events();
        printer.note(&format!("warning: the record `{}` is not whole: {why}\n", path.display()));
    }
    // While the lock is held: the next one may have a socket of its own.
    drop(server);
    // The mark that the run is going on; where it cannot be taken off the next run says that this one was killed.
    if let Err(error) = opened.folder.finish() {
        printer.note(&format!("warning: {error}\n"));
    }
    drop(opened);
    if summary.status == RunStatus::Failed {
        known_images::tell_missing(&machines, printer);
    }
    let code = report_run::ruled(summary.exit_code, summary.status, args.exit_code);
    Ok(if code == 0 { ExitCode::Passed } else { ExitCode::Run(code) })
}

/// Answers other commands of the user about this run. One that cannot be asked runs all the same.
fn serve(opened: &Opened, handle: RunHandle, interrupts: &Interrupts, printer: &Printer) -> Option<Server> {
    let about = About {
        pid: std::process::id(),
        command: command_line(),
        since: std::time::SystemTime::now(),
        role: Role::Foreground,
    };
    let _entered = interrupts.runtime.enter();
    let server = Bound::open(&opened.state, opened.places.runtime.as_deref())
        .and_then(|bound| Server::start(bound, handle, about));
    server
        .inspect_err(|error| {
            let words = exit::chain(error).collect::<Vec<_>>().join(": ");
            printer.note(&format!("warning: `smolvm ps`, `exec` and their like will not reach this run: {words}\n"));
        })
        .ok()
}

fn run_and_report(
    plan: Arc<Plan>,
    deps: RunDeps,
    options: Options,
    report: report_run::Report<'_>,
    interrupts: Interrupts,
) -> Result<Summary, Failure> {
    let Interrupts { runtime, mut signals } = interrupts;
    let (events, reporting) = report_run::spawn(report, runtime.handle())?;
    let summary = runtime.block_on(async {
        let summary = run::run(plan, deps, options, &mut signals, events).await;
        reporting.finish(&summary, &mut signals).await;
        summary
    });
    // Tasks that still block (a prepare that was canceled) do not hold the end.
    runtime.shutdown_background();
    Ok(summary)
}

/// The command that runs the same project again.
pub(crate) fn again(settings: &Settings) -> String {
    let mut words = vec!["smolvm".to_owned()];
    for file in &settings.files {
        words.push(format!("-f {}", quoted(&file.display().to_string())));
    }
    if let Some(name) = &settings.project_name {
        words.push(format!("-p {}", quoted(name)));
    }
    words.push("up".to_owned());
    words.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "._-/+=:,@%".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Which of the two streams are terminals.
#[derive(Debug, Clone, Copy)]
struct Streams {
    stdout: bool,
    stderr: bool,
}

impl Streams {
    fn find() -> Self {
        Self { stdout: io::stdout().is_terminal(), stderr: io::stderr().is_terminal() }
    }
}

/// How a run is shown. `auto` draws a block where a person looks on: both streams are terminals (who sends one of them
/// elsewhere wants what steps print apart from our words), no CI service runs us, and, as with docker compose, colours
/// are not refused. `tty` draws one whatever the streams are; only a terminal that cannot move its cursor gets lines.
fn progress_mode(settings: &Settings, environment: &dyn Fn(&str) -> Option<OsString>, streams: Streams) -> Mode {
    let is_dumb = environment("TERM").is_some_and(|term| term == "dumb");
    let is_ci = environment("CI").is_some_and(|value| !["", "0", "false"].iter().any(|no| value == *no));
    match settings.progress {
        Progress::Json => Mode::Json,
        Progress::Quiet => Mode::Quiet,
        Progress::Plain => Mode::Plain,
        Progress::Tty if is_dumb => Mode::Plain,
        Progress::Tty => Mode::Tty,
        Progress::Auto if is_dumb || is_ci || !settings.color.is_wanted(true) => Mode::Plain,
        Progress::Auto if streams.stdout && streams.stderr => Mode::Tty,
        Progress::Auto => Mode::Plain,
    }
}

/// How what is no run is shown: on standard error alone.
pub(crate) fn lines_mode(settings: &Settings) -> Mode {
    let streams = Streams { stdout: true, stderr: io::stderr().is_terminal() };
    progress_mode(settings, &|name| std::env::var_os(name), streams)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_split_them() {
        assert_eq!(quoted("a/b.yaml"), "a/b.yaml");
        assert_eq!(quoted("my file's"), r"'my file'\''s'");
    }
}
