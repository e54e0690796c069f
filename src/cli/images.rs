//! `smolvm images`: what is in the store, a line an image.
//!
//! Deliberately not here: the look itself (`image`).

use std::time::SystemTime;

use clap::Args;
use serde::Serialize;

use super::args::{DataFormat, GlobalArgs};
use super::exit::{Class, ExitCode, Failure};
use super::printer::Printer;
use crate::compose::Places;
use crate::image::registry::RegistryAccess;
use crate::image::store::Store;
use crate::image::{ImageError, Images, ListedImage};

const JSON_VERSION: u32 = 1;

/// Options of `images`.
#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Form of the list
    #[arg(long, value_enum, value_name = "FORM", default_value_t = DataFormat::Text)]
    pub(crate) format: DataFormat,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// Lists them.
pub(super) fn run(args: &ImagesArgs, printer: &Printer) -> Result<ExitCode, Failure> {
    let images = match open()? {
        Some(images) => images.list().map_err(failure)?,
        None => Vec::new(),
    };
    printer.data(&match args.format {
        DataFormat::Text => render_text(&images),
        DataFormat::Json => render_json(&images),
    })?;
    Ok(ExitCode::Passed)
}

/// The store, where there is one: looking makes none.
pub(super) fn open() -> Result<Option<Images>, Failure> {
    let cache = Places::find()?.cache;
    match Store::existing(&cache).map_err(ImageError::from).map_err(failure)? {
        Some(_) => Images::open(&cache, RegistryAccess::default()).map(Some).map_err(failure),
        None => Ok(None),
    }
}

/// A failure of the store, with what to do.
pub(super) fn failure(error: ImageError) -> Failure {
    let help = error.help();
    help.into_iter().fold(Failure::new(Class::World, error), Failure::help)
}

/// `3.1 MiB`.
pub(super) fn size(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

/// Name and tag, as people write them: of docker's registry the short form. A path has no tag.
fn split(name: &str) -> (String, String) {
    if name.starts_with("oci:/") || name.starts_with("docker-archive:/") {
        return (name.to_owned(), "-".to_owned());
    }
    let bare = name.split('@').next().unwrap_or(name);
    let (repository, tag) = match bare.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (bare, "-"),
    };
    let short = repository.strip_prefix("docker.io/").unwrap_or(repository);
    (short.strip_prefix("library/").unwrap_or(short).to_owned(), tag.to_owned())
}

/// The day of an RFC 3339 time.
fn day(time: &str) -> String {
    time.split('T').next().filter(|day| day.len() == 10).unwrap_or("-").to_owned()
}

fn rfc3339(time: SystemTime) -> Option<String> {
    let time = jiff::Timestamp::try_from(time).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn render_text(images: &[ListedImage]) -> String {
    let head = ["NAME", "TAG", "DIGEST", "PLATFORM", "SIZE", "UNPACKED", "CREATED", "USED"].map(str::to_owned);
    let row = |image: &ListedImage| {
        let (name, tag) = split(&image.name);
        let used = match (image.is_in_use, image.used) {
            (true, _) => "now".to_owned(),
            (false, used) => used.and_then(rfc3339).map_or("-".to_owned(), |time| day(&time)),
        };
        let digest = image.digest.hex()[..12].to_owned();
        let unpacked = image.unpacked.map_or("-".to_owned(), size);
        let created = image.created.as_deref().map_or("-".to_owned(), day);
        [name, tag, digest, image.platform.to_string(), size(image.packed), unpacked, created, used]
    };
    table(std::iter::once(head).chain(images.iter().map(row)).collect())
}

/// Columns, two blanks apart.
pub(super) fn table<const N: usize>(rows: Vec<[String; N]>) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    images: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    digest: &'a str,
    platform: String,
    size: u64,
    unpacked_size: Option<u64>,
    created: Option<&'a str>,
    since: &'a str,
    used: Option<String>,
    in_use: bool,
}

fn render_json(images: &[ListedImage]) -> String {
    let entries = images.iter().map(|image| Entry {
        name: &image.name,
        digest: image.digest.as_str(),
        platform: image.platform.to_string(),
        size: image.packed,
        unpacked_size: image.unpacked,
        created: image.created.as_deref(),
        since: &image.since,
        used: image.used.and_then(rfc3339),
        in_use: image.is_in_use,
    });
    let report = Report { version: JSON_VERSION, images: entries.collect() };
    let mut text = serde_json::to_string(&report).expect("text and numbers serialize");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_as_people_write_them() {
        let shown = |name: &str| {
            let (name, tag) = split(name);
            format!("{name} {tag}")
        };
        assert_eq!(shown("docker.io/library/alpine:3.20"), "alpine 3.20");
        assert_eq!(shown("docker.io/owner/tool:1"), "owner/tool 1");
        assert_eq!(shown("registry.example:5000/a/b:v1@sha256:00"), "registry.example:5000/a/b v1");
        assert_eq!(shown("registry.example:5000/a/b@sha256:00"), "registry.example:5000/a/b -");
        assert_eq!(shown("oci:/images/a:b"), "oci:/images/a:b -");
    }

    #[test]
    fn sizes_have_a_digit_behind_the_point() {
        assert_eq!([0, 1023, 1024, 3_300_000, 5 << 30].map(size), ["0 B", "1023 B", "1.0 KiB", "3.1 MiB", "5.0 GiB"]);
    }
}
