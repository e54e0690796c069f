//! Bars and what turns, in the signs that the terminal has. Deliberately not here: what they measure.

use std::time::Duration;

use super::line::{Line, Tint};

/// How long one picture of the turning sign stays.
pub(super) const TURN: Duration = Duration::from_millis(100);

/// A full bar.
pub(super) const FULL: u64 = 1000;

/// The signs that a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signs {
    /// All of Unicode.
    Unicode,
    /// Those of ASCII, as on the console of a Linux host.
    Ascii,
}

impl Signs {
    /// The turning sign, at this time.
    pub(super) fn turning(self, now: Duration) -> char {
        let pictures: &[char] = match self {
            Self::Unicode => &['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'],
            Self::Ascii => &['|', '/', '-', '\\'],
        };
        let turns = now.as_millis() / TURN.as_millis();
        let place = turns % (pictures.len() as u128);
        usize::try_from(place).ok().and_then(|place| pictures.get(place)).copied().unwrap_or('-')
    }

    /// Something that waits.
    pub(super) fn waiting(self) -> char {
        match self {
            Self::Unicode => '·',
            Self::Ascii => '.',
        }
    }

    /// Something that passed.
    pub(super) fn passed(self) -> char {
        match self {
            Self::Unicode => '✓',
            Self::Ascii => '+',
        }
    }

    /// Something that failed.
    pub(super) fn failed(self) -> char {
        match self {
            Self::Unicode => '✗',
            Self::Ascii => 'x',
        }
    }

    /// Something that is up.
    pub(super) fn up(self) -> char {
        match self {
            Self::Unicode => '●',
            Self::Ascii => '*',
        }
    }

    /// What stands before a line of output.
    pub(super) fn margin(self) -> char {
        match self {
            Self::Unicode => '│',
            Self::Ascii => '|',
        }
    }

    /// A bar of so many columns, filled by so many parts of [`FULL`].
    pub(super) fn bar(self, columns: usize, part: u64) -> Line {
        let half_columns = u64::try_from(columns).unwrap_or(u64::MAX).saturating_mul(2);
        let halves = half_columns.saturating_mul(part.min(FULL)) / FULL;
        let filled = usize::try_from(halves / 2).unwrap_or(columns).min(columns);
        let has_half = halves % 2 == 1 && filled < columns;
        let empty = columns - filled - usize::from(has_half);
        let (full, half, rest) = match self {
            Self::Unicode => ("━", "╸", "─"),
            Self::Ascii => ("=", ">", "-"),
        };
        let head = format!("{}{}", full.repeat(filled), if has_half { half } else { "" });
        Line::of(Tint::Live, head).with(Tint::Dim, rest.repeat(empty))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::style::Style;

    #[test]
    fn a_bar_fills_by_halves_and_keeps_its_width() {
        let bar = |part| Signs::Unicode.bar(6, part).paint(Style::plain());
        assert_eq!(bar(0), "──────");
        assert_eq!(bar(100), "╸─────");
        assert_eq!(bar(500), "━━━───");
        assert_eq!(bar(999), "━━━━━╸");
        assert_eq!(bar(5000), "━━━━━━");
        assert_eq!(Signs::Ascii.bar(4, 700).paint(Style::plain()), "==>-");
        assert_eq!(Signs::Ascii.bar(0, 700).paint(Style::plain()), "");
    }

    #[test]
    fn the_sign_turns_ten_times_a_second() {
        let at = |millis| Signs::Unicode.turning(Duration::from_millis(millis));
        assert_eq!([at(0), at(99), at(100), at(1000)], ['⠋', '⠋', '⠙', '⠋']);
    }
}
