//! `smolvm system`: what the cache takes, and giving it back.
//!
//! Deliberately not here: what may go (`image`), the state of projects.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::args::{DataFormat, GlobalArgs};
use super::exit::{Class, ExitCode, Failure};
use super::images::{failure, open, size, table};
use super::printer::Printer;
use crate::compose::Places;
use crate::image::kernel;
use crate::image::store::Part;
use crate::image::{ImageError, PartUse, PruneRequest, Pruned, StoreUse};

const JSON_VERSION: u32 = 1;
/// Kernels that are not the one of `auto` go when nobody used them for so long, unless something else is said.
const KERNEL_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Options of `system`.
#[derive(Debug, Args)]
pub(crate) struct SystemArgs {
    #[command(subcommand)]
    pub(crate) verb: SystemVerb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum SystemVerb {
    /// Say what images and kernels take on the disk, and how much `prune --all` gives back
    Df(DfArgs),
    /// Remove what no image needs, and images that are not used; what runs keeps what it uses
    Prune(PruneArgs),
    /// Read all that is in the store of images, and remove what is damaged: it comes again when it is wanted
    Verify(VerifyArgs),
}

/// Options of `system df`.
#[derive(Debug, Args)]
pub(crate) struct DfArgs {
    /// Form of the list
    #[arg(long, value_enum, value_name = "FORM", default_value_t = DataFormat::Text)]
    pub(crate) format: DataFormat,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `system prune`.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Also images that have a name, and kernels, whenever they were used
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Also images that have a name, and kernels, that were not used for so long, as 12h, 30d
    #[arg(long, value_name = "DURATION", value_parser = parse_age, allow_hyphen_values = true)]
    pub(crate) older_than: Option<Duration>,
    /// Remove nothing: say what would go
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Options of `system verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

impl SystemArgs {
    /// The global options that stand after the verb.
    pub(crate) fn global(&self) -> &GlobalArgs {
        match &self.verb {
            SystemVerb::Df(args) => &args.global,
            SystemVerb::Prune(args) => &args.global,
            SystemVerb::Verify(args) => &args.global,
        }
    }
}

/// Does what was asked for.
pub(super) fn run(args: &SystemArgs, printer: &Printer) -> Result<ExitCode, Failure> {
    match &args.verb {
        SystemVerb::Df(args) => df(args, printer),
        SystemVerb::Prune(args) => prune(args, printer),
        SystemVerb::Verify(_) => verify(printer),
    }
}

/// A number and a unit, as `90s`, `30m`, `12h`, `30d`, `2w`.
fn parse_age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration: write a number and a unit, as `12h`, `30d`, `2w`");
    let split = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        "w" => 7 * 24 * 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

fn word(part: Part) -> &'static str {
    match part {
        Part::Blobs => "blobs",
        Part::Layers => "layers",
        Part::Roots => "roots",
        Part::Partial => "partial",
    }
}

#[derive(Serialize)]
struct Df {
    version: u32,
    images: usize,
    images_in_use: usize,
    parts: Vec<DfPart>,
}

#[derive(Serialize)]
struct DfPart {
    part: &'static str,
    count: usize,
    size: u64,
    reclaimable: u64,
}

fn df(args: &DfArgs, printer: &Printer) -> Result<ExitCode, Failure> {
    let used = match open()? {
        Some(images) => images.usage().map_err(failure)?,
        None => StoreUse { images: 0, in_use: 0, parts: Vec::new() },
    };
    let cache = Places::find()?.cache;
    let kernels = kernel::in_cache(&cache);
    let idle = kernel::prune(&cache, Duration::ZERO, true, true).bytes;
    let of = |PartUse { part, count, bytes, reclaimable }: &PartUse| DfPart {
        part: word(*part),
        count: *count,
        size: *bytes,
        reclaimable: *reclaimable,
    };
    let own = DfPart { part: "kernels", count: kernels.kernels.len(), size: kernels.bytes(), reclaimable: idle };
    let parts = used.parts.iter().map(of).chain([own]).collect();
    let df = Df { version: JSON_VERSION, images: used.images, images_in_use: used.in_use, parts };
    printer.data(&match args.format {
        DataFormat::Text => df_text(&df),
        DataFormat::Json => json(&df),
    })?;
    Ok(ExitCode::Passed)
}

fn df_text(df: &Df) -> String {
    let head = ["PART", "COUNT", "SIZE", "RECLAIMABLE"].map(str::to_owned);
    let row = |part: &DfPart| {
        let share = (part.reclaimable * 100).checked_div(part.size).unwrap_or(0);
        let reclaimable = format!("{} ({share}%)", size(part.reclaimable));
        [part.part.to_owned(), part.count.to_string(), size(part.size), reclaimable]
    };
    let table = table(std::iter::once(head).chain(df.parts.iter().map(row)).collect());
    let all = df.parts.iter().map(|part| part.size).sum();
    let images = if df.images == 1 { "image" } else { "images" };
    format!("{table}{} in all, {} {images}, {} in use\n", size(all), df.images, df.images_in_use)
}

fn prune(args: &PruneArgs, printer: &Printer) -> Result<ExitCode, Failure> {
    let takes_named = args.all || args.older_than.is_some();
    let request = PruneRequest { takes_named, unused_for: args.older_than, is_dry: args.dry_run };
    let pruned = match open()? {
        Some(images) => images.prune(&request).map_err(failure)?,
        None => Pruned::default(),
    };
    let cache = Places::find()?.cache;
    let age = args.older_than.unwrap_or(if args.all { Duration::ZERO } else { KERNEL_AGE });
    let kernels = kernel::prune(&cache, age, args.all && args.older_than.is_none(), args.dry_run);
    printer.data(&pruned_text(&pruned, (kernels.paths.len(), kernels.bytes), args.dry_run))?;
    if kernels.is_busy {
        printer.note("note: kernels were not looked at, another smolvm is fetching one\n");
    }
    Ok(ExitCode::Passed)
}

fn pruned_text(pruned: &Pruned, (kernels, kernel_bytes): (usize, u64), is_dry: bool) -> String {
    let verb = if is_dry { "would remove" } else { "removed" };
    let mut out = String::new();
    for name in &pruned.images {
        out.push_str(&format!("{verb} image {name}\n"));
    }
    for name in &pruned.in_use {
        out.push_str(&format!("kept image {name}: a machine runs from it\n"));
    }
    let parts = pruned.parts.iter().map(|(part, count, bytes)| (word(*part), *count, *bytes));
    for (part, count, bytes) in parts.chain([("kernels", kernels, kernel_bytes)]).filter(|(_, count, _)| *count > 0) {
        out.push_str(&format!("{verb} {count} of {part}, {}\n", size(bytes)));
    }
    let all = pruned.bytes().saturating_add(kernel_bytes);
    out.push_str(&match is_dry {
        true => format!("would give back {}\n", size(all)),
        false => format!("gave back {}\n", size(all)),
    });
    out
}

/// Something was not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("{} of the store {} damaged, and {} removed", parts(*.0), verb(*.0, "was", "were"), verb(*.0, "is", "are"))]
struct WasDamaged(usize);

fn parts(count: usize) -> String {
    format!("{count} {}", verb(count, "part", "parts"))
}

fn verb<'a>(count: usize, one: &'a str, more: &'a str) -> &'a str {
    if count == 1 { one } else { more }
}

fn verify(printer: &Printer) -> Result<ExitCode, Failure> {
    let Some(images) = open()? else {
        printer.data("the store is empty\n")?;
        return Ok(ExitCode::Passed);
    };
    let damages = images.store().verify(&|| false).map_err(ImageError::from).map_err(failure)?;
    if damages.is_empty() {
        printer.data("the store is whole\n")?;
        return Ok(ExitCode::Passed);
    }
    for damage in &damages {
        printer.data(&format!("removed {} {}\n", word(damage.part), damage.hex))?;
    }
    let failure = Failure::new(Class::World, WasDamaged(damages.len()));
    Err(failure.help("they come again when they are wanted; look whether the disk is sound"))
}

fn json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("text and numbers serialize");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_a_unit() {
        let hours = |number: u64| Ok(Duration::from_secs(number * 3600));
        assert_eq!(["12h", "30d", "2w"].map(parse_age), [hours(12), hours(720), hours(336)]);
        for text in ["", "12", "h", "1y", "99999999999999999999d", "-1d"] {
            assert!(parse_age(text).is_err(), "{text}");
        }
    }

    #[test]
    fn damage_is_counted_in_words() {
        assert_eq!(WasDamaged(1).to_string(), "1 part of the store was damaged, and is removed");
        assert_eq!(WasDamaged(2).to_string(), "2 parts of the store were damaged, and are removed");
    }

    #[test]
    fn what_went_is_said_with_its_room() {
        let pruned = Pruned {
            images: vec!["docker.io/library/a:1".to_owned()],
            in_use: vec!["docker.io/library/b:1".to_owned()],
            parts: vec![(Part::Blobs, 3, 1 << 20), (Part::Layers, 0, 0)],
        };
        assert_eq!(
            pruned_text(&pruned, (1, 1 << 20), false),
            "removed image docker.io/library/a:1\nkept image docker.io/library/b:1: a machine runs from it\n\
             removed 3 of blobs, 1.0 MiB\nremoved 1 of kernels, 1.0 MiB\ngave back 2.0 MiB\n"
        );
    }
}
