//! What stands before a line of output: whose it is, in a colour that is always the same.
//!
//! The colour of a name follows from the name, so that it is the same in every run and in `logs`; where two names of one
//! run would have the same, the second one takes the next that is free. Red means a failure and is nobody's. Deliberately
//! not here: the line itself.

use std::collections::HashMap;

use super::readable::{readable, width};
use super::style::Style;

/// Codes of colours that are told apart well, on dark and on light screens.
const COLORS: [&str; 10] = ["36", "33", "32", "35", "34", "96", "93", "92", "95", "94"];

/// Names are not made wider than this to be under one another.
const PAD_MOST: usize = 32;

/// Names with their colours.
#[derive(Debug, Clone, Default)]
pub struct Names {
    places: HashMap<String, usize>,
    /// Columns of a name.
    columns: usize,
}

impl Names {
    /// The names of a run, all of them known at the start: each is as wide as the widest.
    pub fn padded<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut known = Self::default();
        for name in names {
            known.add(name);
            known.columns = known.columns.max(width(&readable(name.as_bytes())).min(PAD_MOST));
        }
        known
    }

    /// The names of a run whose lines are not put under one another.
    pub fn loose<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { columns: 0, ..Self::padded(names) }
    }

    fn add(&mut self, name: &str) {
        if self.places.contains_key(name) {
            return;
        }
        let wanted = hash(name) % COLORS.len();
        let is_taken = |place: &usize| self.places.values().any(|other| other == place);
        let place = (0..COLORS.len()).map(|step| (wanted + step) % COLORS.len()).find(|place| !is_taken(place));
        self.places.insert(name.to_owned(), place.unwrap_or(wanted));
    }

    /// The name and a margin: `db   │ `.
    pub fn prefix(&self, name: &str, margin: char, style: Style) -> String {
        let text = readable(name.as_bytes());
        let pad = " ".repeat(self.columns.saturating_sub(width(&text)));
        let place = self.places.get(name).copied().unwrap_or_else(|| hash(name) % COLORS.len());
        format!("{}{pad} {} ", style.code(COLORS[place], &text), style.dim(&margin.to_string()))
    }
}

/// FNV-1a: small, and the same for ever.
fn hash(name: &str) -> usize {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    usize::try_from(hash).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_stand_under_one_another() {
        let names = Names::padded(["db", "frontend", "漢"]);
        let shown = ["db", "frontend", "漢", "later\x1b[2J"].map(|name| names.prefix(name, '│', Style::plain()));
        assert_eq!(shown, ["db       │ ", "frontend │ ", "漢       │ ", "later    │ "]);
        assert_eq!(Names::loose(["db", "frontend"]).prefix("db", '|', Style::plain()), "db | ");
    }

    #[test]
    fn a_name_keeps_its_colour_and_no_two_share_one() {
        let text: Vec<String> = (0..10).map(|number| format!("service-{number}")).collect();
        let all = Names::padded(text.iter().map(String::as_str));
        let colour = |names: &Names, name: &str| {
            let prefix = names.prefix(name, '│', Style::new(true));
            prefix.split('m').next().unwrap_or_default().to_owned()
        };
        let colours: HashSet<String> = text.iter().map(|name| colour(&all, name)).collect();
        assert_eq!(colours.len(), 10);
        assert!(!colours.iter().any(|colour| colour.ends_with("31")));
        assert_eq!(colour(&all, "service-0"), colour(&Names::padded(["service-0"]), "service-0"));
    }
}
