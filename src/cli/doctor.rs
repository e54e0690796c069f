//! `smolvm doctor`: whether this host can run machines, which engine serves and why, and what to install.
//!
//! Deliberately not here: the look itself (`host`, `image`).

use serde::Serialize;

use super::args::{DataFormat, DoctorArgs};
use super::exit::{ExitCode, Failure};
use super::printer::Printer;
use crate::compose::Places;
use crate::host::{self, Finding, Standing};
use crate::image::kernel::{AutoChoice, describe_auto};
use crate::report::Style;

const JSON_VERSION: u32 = 1;

/// Looks, and says what was found.
pub(crate) fn run(args: &DoctorArgs, printer: &Printer) -> Result<ExitCode, Failure> {
    let mut findings = host::findings();
    findings.push(match Places::find() {
        Ok(places) => kernel(&describe_auto(&places.cache)),
        Err(error) => no_place(&error.into()),
    });
    let is_ready = findings.iter().all(|finding| finding.standing != Standing::Bad);
    printer.data(&match args.format {
        DataFormat::Text => render_text(&findings, is_ready, printer.stdout_style()),
        DataFormat::Json => render_json(&findings, is_ready),
    })?;
    Ok(if is_ready { ExitCode::Passed } else { ExitCode::HostUnfit })
}

fn kernel(choice: &AutoChoice) -> Finding {
    let standing = if matches!(choice, AutoChoice::Nothing { .. }) { Standing::Notice } else { Standing::Good };
    Finding { subject: "kernel", standing, words: choice.to_string(), commands: Vec::new() }
}

fn no_place(failure: &Failure) -> Finding {
    let commands = vec!["export HOME=\"$(mktemp -d)\"".to_owned()];
    Finding { subject: "folders", standing: Standing::Bad, words: failure.cause(), commands }
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Good => "good",
        Standing::Notice => "notice",
        Standing::Bad => "bad",
    }
}

fn render_text(findings: &[Finding], is_ready: bool, style: Style) -> String {
    let mut out = String::new();
    for finding in findings {
        let word = format!("{:<6}", word(finding.standing));
        let word = match finding.standing {
            Standing::Good => style.good(&word),
            Standing::Notice => style.warn(&word),
            Standing::Bad => style.bad(&word),
        };
        out.push_str(&format!("{word}  {:<10}  {}\n", finding.subject, finding.words));
        for command in &finding.commands {
            out.push_str(&format!("{:20}$ {command}\n", ""));
        }
    }
    out.push_str(if is_ready { "machines run on this host\n" } else { "machines cannot run on this host\n" });
    out
}

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    ready: bool,
    findings: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    subject: &'a str,
    standing: &'a str,
    words: &'a str,
    commands: &'a [String],
}

fn render_json(findings: &[Finding], is_ready: bool) -> String {
    let entries = findings.iter().map(|finding| Entry {
        subject: finding.subject,
        standing: word(finding.standing),
        words: &finding.words,
        commands: &finding.commands,
    });
    let report = Report { version: JSON_VERSION, ready: is_ready, findings: entries.collect() };
    let mut text = serde_json::to_string(&report).expect("text and lists serialize");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(standing: Standing, commands: &[&str]) -> Finding {
        let commands = commands.iter().map(|&command| command.to_owned()).collect();
        Finding { subject: "engine", standing, words: "QEMU is not installed".to_owned(), commands }
    }

    #[test]
    fn text_has_the_commands_below_what_they_mend() {
        assert_eq!(
            render_text(&[finding(Standing::Bad, &["sudo apt-get install qemu"])], false, Style::plain()),
            "bad     engine      QEMU is not installed\n                    $ sudo apt-get install qemu\n\
             machines cannot run on this host\n"
        );
    }

    #[test]
    fn the_form_for_programs_is_versioned() {
        assert_eq!(
            render_json(&[finding(Standing::Good, &[])], true),
            "{\"version\":1,\"ready\":true,\"findings\":[{\"subject\":\"engine\",\"standing\":\"good\",\
             \"words\":\"QEMU is not installed\",\"commands\":[]}]}\n"
        );
    }
}
