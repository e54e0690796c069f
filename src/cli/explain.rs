//! `smolvm explain`: the text of a rule, or the list of all of them.
//!
//! Deliberately not here: the texts (`docs/rules`, read by `diag`).

use serde::Serialize;

use super::args::{DataFormat, ExplainArgs};
use super::exit::{Class, ExitCode, Failure};
use super::printer::Printer;
use crate::diag::{PageStyle, Rule, parse_code};

const JSON_VERSION: u32 = 1;

/// Paragraphs are no wider, and no narrower, than this.
const WIDTH: std::ops::RangeInclusive<usize> = 40..=100;

/// There is no such rule.
#[derive(Debug, thiserror::Error)]
#[error("`{code}` is not the code of a rule")]
struct UnknownRule {
    code: String,
}

#[derive(Serialize)]
struct RuleOf<'a> {
    version: u32,
    code: String,
    level: &'a str,
    title: &'a str,
    markdown: String,
}

#[derive(Serialize)]
struct List<'a> {
    version: u32,
    rules: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    code: String,
    level: &'a str,
    title: &'a str,
}

/// Prints a rule, or all titles.
pub(crate) fn run(args: &ExplainArgs, printer: &Printer) -> Result<ExitCode, Failure> {
    let text = match (&args.code, args.format) {
        (Some(code), format) => {
            let rule = find(code)?;
            match format {
                DataFormat::Text => rule.render(&page_style(printer)),
                DataFormat::Json => json(&RuleOf {
                    version: JSON_VERSION,
                    code: rule.code().to_string(),
                    level: rule.level(),
                    title: rule.title(),
                    markdown: rule.markdown(),
                }),
            }
        }
        (None, DataFormat::Text) => list(),
        (None, DataFormat::Json) => {
            let entry =
                |rule: &'static Rule| Entry { code: rule.code().to_string(), level: rule.level(), title: rule.title() };
            json(&List { version: JSON_VERSION, rules: Rule::all().iter().map(entry).collect() })
        }
    };
    printer.data(&text)?;
    Ok(ExitCode::Passed)
}

fn find(code: &str) -> Result<&'static Rule, Failure> {
    if let Some(rule) = parse_code(code).and_then(Rule::find) {
        return Ok(rule);
    }
    let failure = Failure::new(Class::Usage, UnknownRule { code: code.to_owned() });
    let failure = match Rule::nearest(code) {
        Some(near) => failure.help(format!("did you mean `{}`: {}?", near.code(), near.title())),
        None => failure,
    };
    Err(failure.help("`smolvm explain --list` lists all rules"))
}

/// A line a rule: code, level, title.
fn list() -> String {
    let lines =
        Rule::all().iter().map(|rule| format!("{}  {:<7}  {}\n", rule.code(), rule.severity().word(), rule.title()));
    lines.collect()
}

fn page_style(printer: &Printer) -> PageStyle {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
    let width = columns.map_or(*WIDTH.end(), |columns| columns.clamp(*WIDTH.start(), *WIDTH.end()));
    PageStyle { width, is_color: printer.stdout_style().is_colored() }
}

fn json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("texts and numbers always serialize");
    text.push('\n');
    text
}
