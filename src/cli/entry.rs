//! From the words of the command line to an exit code.

use std::process;

use clap::Parser;

use super::args::{Cli, Verb};
use super::exit::{ExitCode, Failure};
use super::printer::Printer;
use super::settings::Settings;
use super::{
    check, config, copy, doctor, exec, explain, images, init, kernel, life, lock, logs, ls, lsp, plan, port, ps, pull,
    run, schema, stats, system, up, version, volumes,
};
use crate::compose::Places;
use crate::image::Cache;
use crate::sdk;

/// Runs the command line of this process.
pub fn main() -> process::ExitCode {
    // The program starts itself anew as the server of a share, a disk or a network, or as a supervisor; that child has no
    // command line of a person's.
    if let Some(code) = sdk::serve_child() {
        return code;
    }
    if std::env::args_os().nth(1).is_some_and(|word| word == "__supervise") {
        return life::supervise();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Passed };
            // Help into a pipe that was closed is no failure.
            let _ = error.print();
            return code.into();
        }
    };
    let global = cli.verb.global().clone().or(cli.global);
    let settings = match Settings::resolve(global, &|name| std::env::var_os(name)) {
        Ok(settings) => settings,
        Err(failure) => return fail(None, &failure),
    };
    let printer = Printer::new(&settings);
    match dispatch(&cli.verb, &settings, &printer) {
        Ok(code) => code.into(),
        Err(failure) => fail(Some(&printer), &failure),
    }
}

fn dispatch(verb: &Verb, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    if matches!(verb, Verb::Up(_) | Verb::Run(_) | Verb::Check(_) | Verb::Plan(_) | Verb::Kernel(_) | Verb::Doctor(_)) {
        clear_left(printer);
    }
    match verb {
        Verb::Up(args) => up::run(args, settings, printer),
        Verb::Run(args) => run::run(args, settings, printer),
        Verb::Down(args) => life::down(args, settings, printer),
        Verb::Stop(args) => life::stop(args, settings, printer),
        Verb::Start(args) => life::start(args, settings, printer),
        Verb::Restart(args) => life::restart(args, settings, printer),
        Verb::Kill(args) => life::kill(args, settings, printer),
        Verb::Wait(args) => life::wait(args, settings, printer),
        Verb::Ps(args) => ps::run(args, settings, printer),
        Verb::Ls(args) => ls::run(args, settings, printer),
        Verb::Stats(args) => stats::run(args, settings, printer),
        Verb::Logs(args) => logs::run(args, settings, printer),
        Verb::Exec(args) => exec::exec(args, settings),
        Verb::Shell(args) => exec::shell(args, settings),
        Verb::Copy(args) => copy::run(args, settings, printer),
        Verb::Port(args) => port::run(args, settings, printer),
        Verb::Check(args) => check::run(args, settings, printer),
        Verb::Plan(args) => plan::run(args, settings, printer),
        Verb::Config(args) => config::run(args, settings, printer),
        Verb::Explain(args) => explain::run(args, printer),
        Verb::Init(args) => init::run(args, settings, printer),
        Verb::Schema(_) => schema::run(printer),
        Verb::Lsp(args) => lsp::run(args, settings, printer),
        Verb::Pull(args) => pull::run(args, settings, printer),
        Verb::Lock(args) => lock::lock(args, settings, printer),
        Verb::Update(args) => lock::update(args, settings, printer),
        Verb::Kernel(args) => kernel::run(args, settings, printer),
        Verb::Images(args) => images::run(args, printer),
        Verb::Volumes(args) => volumes::run(args, settings, printer),
        Verb::System(args) => system::run(args, printer),
        Verb::Doctor(args) => doctor::run(args, printer),
        Verb::Version(_) => version::run(printer),
    }
}

/// Removes what killed runs left in the cache, and says so. What they left of a project is named by its next `up`.
fn clear_left(printer: &Printer) {
    let left = Places::find().ok().and_then(|places| Some(Cache::existing(&places.cache)?.sweep()));
    for path in left.unwrap_or_default() {
        printer.note(&format!("note: cleared `{}`, which a killed run left\n", path.display()));
    }
}

fn fail(printer: Option<&Printer>, failure: &Failure) -> process::ExitCode {
    printer.copied().unwrap_or_else(Printer::without_settings).failure(failure);
    failure.exit_code().into()
}
