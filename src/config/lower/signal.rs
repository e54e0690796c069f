//! Signals by name or number, as docker reads them.

use super::super::model::{Signal, Spanned};
use super::super::suggest::nearest;
use super::reader::{Reader, TextForm, Value, shown};

/// Names of the signals 1 to 31, in order, as on x86-64 and arm64.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];
/// Other names of some.
const ALIASES: [(&str, u8); 3] = [("IOT", 6), ("POLL", 29), ("CLD", 17)];
/// The first and the last signal without a name of its own.
const REAL_TIME: (u8, u8) = (34, 64);

impl Signal {
    /// Names that a file may say without `SIG`, but for the real-time ones.
    pub(in crate::config) fn names() -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().chain(ALIASES.into_iter().map(|(name, _)| name))
    }

    /// Reads a signal as docker does: a name with or without `SIG`, in any case, or a number.
    pub fn parse(text: &str) -> Option<Self> {
        parse_signal(text)
    }

    /// The name as the file says it, `SIGTERM`; the number where it has none.
    pub fn name(self) -> String {
        match NAMES.get(usize::from(self.0).wrapping_sub(1)) {
            Some(name) => format!("SIG{name}"),
            None => self.0.to_string(),
        }
    }
}

impl Reader<'_> {
    /// `stop_signal`: a name with or without `SIG`, or a number.
    pub(super) fn signal(&mut self, value: Value) -> Option<Spanned<Signal>> {
        let text = self.text(value, "`stop_signal`", TextForm::Loose)?;
        if let Some(signal) = parse_signal(&text.value) {
            return Some(Spanned { value: signal, span: value.span });
        }
        let mut diagnostic =
            self.error(5, value, format!("{} is not a signal", shown(&text.value)), "no signal has this name");
        let folded = text.value.to_ascii_uppercase();
        let bare = folded.strip_prefix("SIG").unwrap_or(&folded);
        diagnostic = match nearest(bare, NAMES) {
            Some(near) => {
                let instead = format!("SIG{near}");
                let help = diagnostic.help(format!("did you mean `{instead}`?"));
                self.replace(help, false, value, instead)
            }
            None => diagnostic.help("write a name, as `SIGINT`, or a number from 1 to 64"),
        };
        self.report(diagnostic);
        None
    }
}

fn parse_signal(text: &str) -> Option<Signal> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|number| (1..=REAL_TIME.1).contains(number)).map(Signal);
    }
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    let named = NAMES.iter().zip(1..).find(|(name, _)| **name == bare).map(|(_, number)| number);
    let alias = || ALIASES.iter().find(|(name, _)| *name == bare).map(|(_, number)| *number);
    named.or_else(alias).or_else(|| real_time(bare)).map(Signal)
}

/// `RTMIN`, `RTMIN+3`, `RTMAX-2`, `RTMAX`.
fn real_time(bare: &str) -> Option<u8> {
    let (first, last) = REAL_TIME;
    let offset = |text: &str| text.is_empty().then_some(0).or_else(|| text.get(1..)?.parse::<u8>().ok());
    let number = if let Some(rest) = bare.strip_prefix("RTMIN").filter(|rest| rest.is_empty() || rest.starts_with('+'))
    {
        first.checked_add(offset(rest)?)?
    } else {
        let rest = bare.strip_prefix("RTMAX").filter(|rest| rest.is_empty() || rest.starts_with('-'))?;
        last.checked_sub(offset(rest)?)?
    };
    (first..=last).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_names_in_any_case_or_numbers() {
        let number = |text| parse_signal(text).map(|signal| signal.0);
        assert_eq!([number("SIGTERM"), number("term"), number("15"), number("SIGTerm")], [Some(15); 4]);
        assert_eq!([number("SIGRTMIN+3"), number("RTMAX-27"), number("37")], [Some(37); 3]);
        assert_eq!([number("POLL"), number("SYS"), number("RTMAX")], [Some(29), Some(31), Some(64)]);
        for text in ["", "0", "65", "-9", "SIG", "TERMINATE", "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN+", "999"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn a_signal_is_written_by_its_name() {
        assert_eq!([Signal(9).name(), Signal(2).name(), Signal(37).name()], ["SIGKILL", "SIGINT", "37"]);
    }
}
