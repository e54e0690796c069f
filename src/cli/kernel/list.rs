//! `smolvm kernel ls`: a line a kernel, which one `auto` takes and why, and what could be had.

use std::time::SystemTime;

use jiff::tz::TimeZone;
use serde::Serialize;

use super::args::KernelLsArgs;
use crate::cli::args::DataFormat;
use crate::cli::exit::{ExitCode, Failure};
use crate::cli::printer::Printer;
use crate::compose::Places;
use crate::image::kernel::{AutoChoice, KernelList, StoredKernel, StoredKind, describe_auto, host_kernel, in_cache};

const JSON_VERSION: u32 = 1;

/// All that is told.
struct Told {
    list: KernelList,
    auto: AutoChoice,
    /// What could be had: what it is, and how.
    offers: Vec<Offer>,
}

/// A kernel that is not in the cache.
#[derive(Debug, Serialize)]
struct Offer {
    kind: &'static str,
    words: String,
    command: Option<&'static str>,
}

/// Looks, and prints the list.
pub(super) fn run(args: &KernelLsArgs, printer: &Printer) -> Result<ExitCode, Failure> {
    let places = Places::find()?;
    let list = in_cache(&places.cache);
    let told = Told { offers: offers(&list, host_kernel()), auto: describe_auto(&places.cache), list };
    printer.data(&match args.format {
        DataFormat::Text => render_text(&told, &TimeZone::system()),
        DataFormat::Json => render_json(&told),
    })?;
    Ok(ExitCode::Passed)
}

fn offers(list: &KernelList, host: Result<std::path::PathBuf, String>) -> Vec<Offer> {
    let has = |kind: StoredKind| list.kernels.iter().any(|kernel| kernel.kind == kind);
    let mut offers = Vec::new();
    if !has(StoredKind::Lean { is_current: true }) {
        let words = "a lean kernel, made here from the distribution's source: it boots soonest".to_owned();
        offers.push(Offer { kind: "lean", words, command: Some("smolvm kernel build") });
    }
    let words = match has(StoredKind::Package) {
        true => "a newer kernel of the distribution, where there is one",
        false => "the distribution's kernel",
    };
    offers.push(Offer { kind: "package", words: words.to_owned(), command: Some("smolvm kernel pull") });
    if let Ok(path) = host {
        let words = format!("this computer's own, {}, where none of these can be had", path.display());
        offers.push(Offer { kind: "host", words, command: None });
    }
    offers
}

fn render_text(told: &Told, zone: &TimeZone) -> String {
    let mut out = String::new();
    if !told.list.kernels.is_empty() {
        out.push_str(&format!("  {:<28}  {:>9}  {:<16}  {}\n", "VERSION", "SIZE", "SINCE", "ORIGIN"));
    }
    for kernel in &told.list.kernels {
        let mark = if kernel.is_auto { '*' } else { ' ' };
        let version = kernel.version.as_deref().unwrap_or("?");
        let (size, since) = (mib(kernel.bytes), date(kernel.since, zone));
        out.push_str(&format!("{mark} {version:<28}  {size:>9}  {since:<16}  {}{}\n", kernel.origin, remark(kernel)));
    }
    out.push_str(&format!("auto takes {}{}\n", told.auto, reason(&told.list)));
    for offer in &told.offers {
        let command = offer.command.map(|command| format!("  $ {command}")).unwrap_or_default();
        out.push_str(&format!("to be had: {}{command}\n", offer.words));
    }
    out
}

/// What is to be said of a kernel that looks as if `auto` could take it.
fn remark(kernel: &StoredKernel) -> &'static str {
    match kernel.kind {
        StoredKind::Lean { is_current: false } => " (of another smolvm's configuration: not taken)",
        StoredKind::Image => " (taken where the file names it)",
        _ => "",
    }
}

/// Why `auto` takes what it takes, where there is a choice.
fn reason(list: &KernelList) -> &'static str {
    let taken = list.kernels.iter().find(|kernel| kernel.is_auto).map(|kernel| kernel.kind);
    let leans = list.kernels.iter().filter(|kernel| kernel.kind == StoredKind::Lean { is_current: true }).count();
    match taken {
        Some(StoredKind::Lean { .. }) if leans > 1 => ": the lean kernel that was built last comes first",
        Some(StoredKind::Lean { .. }) if list.kernels.len() > 1 => ": a lean kernel comes first",
        Some(StoredKind::Package) => ": there is no lean kernel of this smolvm's configuration",
        _ => "",
    }
}

fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

fn date(time: SystemTime, zone: &TimeZone) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    kernels: Vec<Entry<'a>>,
    auto: String,
    bytes: u64,
    available: &'a [Offer],
}

#[derive(Serialize)]
struct Entry<'a> {
    version: Option<&'a str>,
    kind: &'static str,
    origin: &'a str,
    bytes: u64,
    since: String,
    auto: bool,
    /// Whether `auto` could take it.
    usable: bool,
}

impl<'a> From<&'a StoredKernel> for Entry<'a> {
    fn from(kernel: &'a StoredKernel) -> Self {
        let (kind, usable) = match kernel.kind {
            StoredKind::Lean { is_current } => ("lean", is_current),
            StoredKind::Package => ("package", true),
            StoredKind::Image => ("image", false),
        };
        let since = jiff::Timestamp::try_from(kernel.since).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Self {
            version: kernel.version.as_deref(),
            kind,
            origin: &kernel.origin,
            bytes: kernel.bytes,
            since: since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            auto: kernel.is_auto,
            usable,
        }
    }
}

fn render_json(told: &Told) -> String {
    let report = Report {
        version: JSON_VERSION,
        kernels: told.list.kernels.iter().map(Entry::from).collect(),
        auto: told.auto.to_string(),
        bytes: told.list.bytes(),
        available: &told.offers,
    };
    let mut text = serde_json::to_string(&report).expect("text and numbers serialize");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::time::Duration;

    fn kernel(kind: StoredKind, version: &str, is_auto: bool) -> StoredKernel {
        StoredKernel {
            folder: PathBuf::from("/cache"),
            kind,
            version: Some(version.to_owned()),
            origin: format!("made {version}"),
            bytes: 25 << 20,
            since: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            is_auto,
        }
    }

    fn told(kernels: Vec<StoredKernel>, auto: AutoChoice) -> Told {
        let list = KernelList { kernels, ..KernelList::default() };
        Told { offers: offers(&list, Err("not to be read".to_owned())), auto, list }
    }

    #[test]
    fn list_says_which_one_is_taken_why_and_what_could_be_had() {
        let kernels = vec![
            kernel(StoredKind::Lean { is_current: true }, "6.12.1-smolvm", true),
            kernel(StoredKind::Package, "6.1.0-56-cloud-amd64", false),
            kernel(StoredKind::Lean { is_current: false }, "6.11.0-smolvm", false),
        ];
        let told = told(kernels, AutoChoice::Cached { origin: "made 6.12.1-smolvm".to_owned() });
        assert_eq!(
            render_text(&told, &TimeZone::UTC),
            "  VERSION                            SIZE  SINCE             ORIGIN
* 6.12.1-smolvm                  25.0 MiB  2027-01-15 08:00  made 6.12.1-smolvm
  6.1.0-56-cloud-amd64           25.0 MiB  2027-01-15 08:00  made 6.1.0-56-cloud-amd64
  6.11.0-smolvm                  25.0 MiB  2027-01-15 08:00  made 6.11.0-smolvm (of another smolvm's configuration: not taken)
auto takes made 6.12.1-smolvm, from the cache: a lean kernel comes first
to be had: a newer kernel of the distribution, where there is one  $ smolvm kernel pull
"
        );
        assert_eq!(
            render_json(&told).split("\"available\"").next().unwrap().split("},{").next().unwrap(),
            "{\"version\":1,\"kernels\":[{\"version\":\"6.12.1-smolvm\",\"kind\":\"lean\",\"origin\":\"made \
             6.12.1-smolvm\",\"bytes\":26214400,\"since\":\"2027-01-15T08:00:00Z\",\"auto\":true,\"usable\":true"
        );
    }

    #[test]
    fn empty_cache_has_no_table_and_says_what_to_type() {
        let told = told(Vec::new(), AutoChoice::Download { program: "apt-get".to_owned() });
        assert_eq!(
            render_text(&told, &TimeZone::UTC),
            "auto takes the distribution's kernel, to be downloaded by apt-get without being installed
to be had: a lean kernel, made here from the distribution's source: it boots soonest  $ smolvm kernel build
to be had: the distribution's kernel  $ smolvm kernel pull
"
        );
    }
}
