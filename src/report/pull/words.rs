//! The words of all forms: sizes, rates, digests, ends.

use std::time::Duration;

use super::fact::PullOutcome;
use super::state::ImageView;
use crate::report::readable::readable;
use crate::report::words::{first_line, render_seconds};

/// Digits of a digest that people read.
const SHORT: usize = 12;

/// `3.1 MiB`, `512 KiB`, `13 B`.
pub(in crate::report) fn image_size(bytes: u64) -> String {
    let (unit, name) = unit_of(bytes);
    format!("{} {name}", in_unit(bytes, unit))
}

/// `3.1 of 8.2 MiB`.
pub(in crate::report) fn progress_of(done: u64, total: u64) -> String {
    let (unit, name) = unit_of(total);
    format!("{} of {} {name}", in_unit(done, unit), in_unit(total, unit))
}

fn unit_of(bytes: u64) -> (u64, &'static str) {
    match bytes {
        0..1024 => (1, "B"),
        1024..0x10_0000 => (1 << 10, "KiB"),
        0x10_0000..0x4000_0000 => (1 << 20, "MiB"),
        _ => (1 << 30, "GiB"),
    }
}

/// Two digits at least, one of them behind the point where there is room.
fn in_unit(bytes: u64, unit: u64) -> String {
    let tenths = u128::from(bytes) * 10 / u128::from(unit);
    if unit == 1 || tenths >= 100 { format!("{}", tenths / 10) } else { format!("{}.{}", tenths / 10, tenths % 10) }
}

/// The digits by which people tell digests apart.
pub(in crate::report) fn short_digest(digest: &str) -> String {
    let hex = digest.rsplit(':').next().unwrap_or(digest);
    readable(hex.as_bytes()).chars().take(SHORT).collect()
}

/// What came of an image, without its name.
pub(in crate::report) fn end_of_image(view: &ImageView, took: Duration) -> String {
    match &view.outcome {
        Some(PullOutcome::Failed { cause }) => readable(first_line(Some(cause)).as_bytes()),
        Some(PullOutcome::Here { digest, is_asked }) => {
            let short = short_digest(digest);
            let new = view.fetched();
            match (new, view.was_unpacked(), is_asked) {
                (0, true, _) => format!("unpacked in {} ({short})", render_seconds(took.as_secs_f64())),
                (0, false, true) => format!("up to date ({short})"),
                (0, false, false) => format!("here already ({short})"),
                (new, ..) => {
                    let size = image_size(new);
                    format!("pulled {size} in {} ({short})", render_seconds(took.as_secs_f64()))
                }
            }
        }
        None => "not finished".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_digits_and_one_unit() {
        let sizes = [0, 1023, 1536, 20 << 10, 3_250_586, 50 << 20, 5 << 30].map(image_size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.5 KiB", "20 KiB", "3.1 MiB", "50 MiB", "5.0 GiB"]);
        assert_eq!(progress_of(1 << 20, 30 << 20), "1.0 of 30 MiB");
        assert_eq!(progress_of(0, 300), "0 of 300 B");
    }

    #[test]
    fn digests_are_short_and_hold_nothing_odd() {
        assert_eq!(short_digest("sha256:1e42bbe2508154c9126d48c2b8a75420"), "1e42bbe25081");
        assert!(!short_digest("sha256:\x1b[2J").contains('\x1b'));
    }
}
