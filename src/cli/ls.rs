//! `smolvm ls`: the projects of this user whose machines are up, wherever their folders are.
//!
//! Deliberately not here: how the machines of one stand (`ps`).

use std::path::Path;
use std::time::SystemTime;

use clap::Args;
use serde::Serialize;

use super::args::{DataFormat, GlobalArgs};
use super::exit::{Class, ExitCode, Failure};
use super::images::table;
use super::printer::Printer;
use super::project::asking;
use super::ps::{ago, rfc3339};
use super::settings::{Settings, Volume};
use crate::compose::Places;
use crate::control::{Client, ControlError};

const JSON_VERSION: u32 = 1;

/// Options of `ls`.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Form of the list
    #[arg(long, value_enum, value_name = "FORM", default_value_t = DataFormat::Text)]
    format: DataFormat,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// One whose machines are up.
struct Held {
    client: Client,
    /// What its process says; none of one that is about to end, or is of another version.
    said: Option<Said>,
}

struct Said {
    machines: usize,
    since: SystemTime,
}

/// Lists them.
pub(super) fn run(args: &LsArgs, settings: &Settings, printer: &Printer) -> Result<ExitCode, Failure> {
    let places = Places::find()?;
    let all = Client::all(&places.state_home, &places.state_actor);
    let all = all.map_err(|error| Failure::new(Class::World, error))?;
    let held = asking(async move {
        let mut held = Vec::new();
        for (_, client) in all {
            let said = ask(&client).await.ok();
            held.push(Held { client, said });
        }
        Ok(held)
    })?;
    printer.data(&match args.format {
        DataFormat::Text if settings.volume == Volume::Quiet => {
            held.iter().map(|held| format!("{}\n", held.client.project().0)).collect()
        }
        DataFormat::Text => render_text(&held, SystemTime::now()),
        DataFormat::Json => render_json(&held),
    })?;
    Ok(ExitCode::Passed)
}

async fn ask(client: &Client) -> Result<Said, ControlError> {
    let since = client.about().await?.since;
    let machines = client.view().await?.machines;
    Ok(Said { machines: machines.iter().filter(|machine| machine.is_up()).count(), since })
}

fn render_text(held: &[Held], now: SystemTime) -> String {
    let head = ["PROJECT", "MACHINES", "FOR", "PID", "FOLDER"].map(str::to_owned);
    let row = |held: &Held| {
        let (name, folder) = held.client.project();
        let said = held.said.as_ref();
        [
            name.to_owned(),
            said.map(|said| format!("{} up", said.machines)).unwrap_or_default(),
            said.map(|said| ago(now, said.since)).unwrap_or_default(),
            held.client.pid().to_string(),
            shown(folder),
        ]
    };
    table(std::iter::once(head).chain(held.iter().map(row)).collect())
}

/// A folder for people, and that it is gone.
fn shown(folder: &Path) -> String {
    let text = crate::report::readable(folder.to_string_lossy().as_bytes());
    if folder.is_dir() { text } else { format!("{text} (gone)") }
}

fn render_json(held: &[Held]) -> String {
    let entry = |held: &Held| {
        let (name, folder) = held.client.project();
        Entry {
            name: name.to_owned(),
            folder: folder.to_string_lossy().into_owned(),
            pid: held.client.pid(),
            machines_up: held.said.as_ref().map(|said| said.machines),
            since: held.said.as_ref().map(|said| rfc3339(said.since)),
        }
    };
    let report = Report { version: JSON_VERSION, projects: held.iter().map(entry).collect() };
    let mut text = serde_json::to_string(&report).expect("text and numbers serialize");
    text.push('\n');
    text
}

#[derive(Serialize)]
struct Report {
    version: u32,
    projects: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    folder: String,
    pid: u32,
    machines_up: Option<usize>,
    since: Option<String>,
}
