//! From pieces of output to the lines that are shown: names before them, only the last ones, only those of a time.
//!
//! Deliberately not here: where the pieces come from, where the lines go.

use std::collections::{HashMap, VecDeque};
use std::time::SystemTime;

use super::time;
use crate::event::OutputOf;
use crate::report::{Names, OutputLines, Style, readable};
use crate::run::LogPiece;

/// How lines are shown.
#[derive(Debug)]
pub(super) struct LineForm {
    /// What stands before them; none where nothing does.
    pub(super) names: Option<Names>,
    /// Whether their time does too.
    pub(super) has_times: bool,
    /// Colours.
    pub(super) style: Style,
    /// Whether a person's terminal shows them, which guests must not drive.
    pub(super) is_terminal: bool,
    /// Only what came since then.
    pub(super) since: Option<SystemTime>,
    /// Only what came before then.
    pub(super) until: Option<SystemTime>,
}

/// Takes pieces and gives lines.
#[derive(Debug)]
pub(super) struct LogLines {
    form: LineForm,
    open: OutputLines,
    /// How many of each name are kept until all of the past was seen; none once it was.
    tail: Option<Tail>,
}

#[derive(Debug)]
struct Tail {
    count: usize,
    taken: u64,
    kept: HashMap<OutputOf, VecDeque<(u64, Vec<u8>)>>,
}

impl LogLines {
    /// Shows all lines, or of each name only the last `tail` ones of the past.
    pub(super) fn new(form: LineForm, tail: Option<usize>) -> Self {
        let tail = tail.map(|count| Tail { count, taken: 0, kept: HashMap::new() });
        Self { form, open: OutputLines::default(), tail }
    }

    /// Takes a piece; the lines to be shown now are added to `out`.
    pub(super) fn push(&mut self, piece: &LogPiece, out: &mut Vec<u8>) {
        let is_early = self.form.since.is_some_and(|since| piece.at < since);
        if is_early || self.form.until.is_some_and(|until| piece.at >= until) {
            return;
        }
        let Self { form, open, tail } = self;
        let of = &piece.source.of;
        open.push(of, piece.source.stream, &piece.bytes, |line| add(form, tail, of, Some(piece.at), line, out));
    }

    /// All of the past was given: what was kept of it is shown, in its order, and what comes is shown at once.
    pub(super) fn end_past(&mut self, out: &mut Vec<u8>) {
        let Some(tail) = self.tail.take() else { return };
        let mut lines: Vec<(u64, Vec<u8>)> = tail.kept.into_values().flatten().collect();
        lines.sort_by_key(|(number, _)| *number);
        lines.iter().for_each(|(_, line)| out.extend_from_slice(line));
    }

    /// Nothing more comes: lines without an end are shown.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        let Self { form, open, tail } = self;
        open.end_all(|of, _, line| add(form, tail, of, None, line, out));
        self.end_past(out);
    }
}

fn add(
    form: &LineForm,
    tail: &mut Option<Tail>,
    of: &OutputOf,
    at: Option<SystemTime>,
    text: &[u8],
    out: &mut Vec<u8>,
) {
    let line = render(form, of, at, text);
    let Some(tail) = tail else {
        out.extend_from_slice(&line);
        return;
    };
    tail.taken += 1;
    let kept = tail.kept.entry(of.clone()).or_default();
    kept.push_back((tail.taken, line));
    if kept.len() > tail.count {
        kept.pop_front();
    }
}

fn render(form: &LineForm, of: &OutputOf, at: Option<SystemTime>, text: &[u8]) -> Vec<u8> {
    let (OutputOf::Step(name) | OutputOf::Machine(name)) = of;
    let mut line =
        form.names.as_ref().map(|names| names.prefix(name, '│', form.style)).unwrap_or_default().into_bytes();
    if form.has_times {
        let time = at.map_or_else(|| "-".to_owned(), time::render);
        line.extend_from_slice(format!("{} ", form.style.dim(&time)).as_bytes());
    }
    if form.is_terminal {
        line.extend_from_slice(readable(text).as_bytes());
    } else {
        line.extend_from_slice(text);
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::event::Stream;
    use crate::run::LogSource;

    fn piece(second: u64, name: &str, text: &str) -> LogPiece {
        let source = LogSource { of: OutputOf::Machine(name.to_owned()), stream: Stream::Stdout };
        LogPiece { at: UNIX_EPOCH + Duration::from_secs(second), source, bytes: text.as_bytes().to_vec() }
    }

    fn form() -> LineForm {
        let names = Some(Names::padded(["db", "front"]));
        LineForm { names, has_times: false, style: Style::plain(), is_terminal: true, since: None, until: None }
    }

    fn shown(form: LineForm, tail: Option<usize>) -> String {
        let mut lines = LogLines::new(form, tail);
        let mut out = Vec::new();
        for (second, name, text) in
            [(1, "db", "1\n2\n"), (2, "front", "3\x1b[2J\nha"), (3, "db", "4\n"), (4, "front", "lf\n")]
        {
            lines.push(&piece(second, name, text), &mut out);
        }
        lines.end_past(&mut out);
        lines.push(&piece(5, "db", "new\nrest"), &mut out);
        lines.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_come_in_their_order_under_one_another() {
        assert_eq!(
            shown(form(), None),
            "db    │ 1\ndb    │ 2\nfront │ 3\ndb    │ 4\nfront │ half\ndb    │ new\ndb    │ rest\n"
        );
    }

    #[test]
    fn the_last_lines_of_each_name_are_shown_and_then_what_comes() {
        assert_eq!(shown(form(), Some(1)), "db    │ 4\nfront │ half\ndb    │ new\ndb    │ rest\n");
        assert_eq!(shown(form(), Some(0)), "db    │ new\ndb    │ rest\n");
    }

    #[test]
    fn what_came_at_another_time_is_left_out_and_names_may_be() {
        let at = |second| Some(UNIX_EPOCH + Duration::from_secs(second));
        let form = LineForm { names: None, has_times: true, since: at(2), until: at(4), ..form() };
        assert_eq!(shown(form, None), "1970-01-01T00:00:02.000Z 3\n1970-01-01T00:00:03.000Z 4\n- ha\n");
    }

    #[test]
    fn a_pipe_gets_the_bytes_as_they_are() {
        assert!(shown(LineForm { is_terminal: false, ..form() }, None).contains("front │ 3\x1b[2J\n"));
    }
}
