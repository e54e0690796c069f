//! A point in time as people write it: `10m`, `2026-03-01T12:00:00Z`, `2026-03-01 12:00`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Reads it; a time without a zone is of this host, a duration goes back from now.
pub(super) fn parse(text: &str) -> Result<SystemTime, String> {
    read(text, Timestamp::now(), &TimeZone::system())
        .ok_or_else(|| "write a duration, as `10m` or `1h30m`, or a time, as `2026-03-01T12:00:00Z`".to_owned())
}

fn read(text: &str, now: Timestamp, zone: &TimeZone) -> Option<SystemTime> {
    if let Ok(seconds) = text.parse::<u64>() {
        return UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    }
    let timestamp = if let Ok(back) = text.parse::<SignedDuration>() {
        now.checked_sub(back.abs()).ok()?
    } else if let Ok(time) = text.parse::<Timestamp>() {
        time
    } else if let Ok(time) = text.parse::<DateTime>() {
        zone.to_timestamp(time).ok()?
    } else {
        zone.to_timestamp(text.parse::<Date>().ok()?.at(0, 0, 0, 0)).ok()?
    };
    Some(timestamp.into())
}

/// A time as a line of a log shows it: RFC 3339 with milliseconds, in UTC.
pub(super) fn render(time: SystemTime) -> String {
    Timestamp::try_from(time)
        .map_or_else(|_| "-".to_owned(), |time| format!("{}", time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let shown = |text: &str| read(text, now, &zone).map(render);
        let cases = [
            ("10m", "2026-03-01T11:50:00.000Z"),
            ("1h30m", "2026-03-01T10:30:00.000Z"),
            ("2026-02-28T01:02:03.5Z", "2026-02-28T01:02:03.500Z"),
            ("2026-02-28T01:02:03+02:00", "2026-02-27T23:02:03.000Z"),
            ("2026-02-28 01:02", "2026-02-28T00:02:00.000Z"),
            ("2026-02-28", "2026-02-27T23:00:00.000Z"),
            ("1764358500", "2025-11-28T19:35:00.000Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "soon", "10 parsecs"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
