//! A line of the block as data: pieces of text with a meaning each, cut and joined by the columns that they take.
//!
//! Deliberately not here: what a line says (`render`), where it is written (`painter`).

use crate::report::readable::{cut, width};
use crate::report::style::Style;

/// What a piece means, and so how it is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tint {
    /// Nothing more than it says.
    Plain,
    /// Something that failed.
    Bad,
    /// Something that is as it should be.
    Good,
    /// Something that goes on.
    Live,
    /// Something that may be overlooked.
    Dim,
    /// Something that stands out.
    Bold,
}

/// A line that never holds a control character and is as wide as it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    pieces: Vec<(Tint, String)>,
}

impl Line {
    /// A line of one piece.
    pub(super) fn of(tint: Tint, text: impl Into<String>) -> Self {
        Self::default().with(tint, text)
    }

    /// The line with a piece more.
    pub(super) fn with(mut self, tint: Tint, text: impl Into<String>) -> Self {
        let text = text.into();
        if !text.is_empty() {
            self.pieces.push((tint, text));
        }
        self
    }

    /// The line and then another one.
    pub(super) fn then(mut self, other: Line) -> Self {
        self.pieces.extend(other.pieces);
        self
    }

    /// Columns that it takes.
    pub(super) fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| width(text)).sum()
    }

    /// The line in at most so many columns.
    pub(super) fn fit(self, columns: usize) -> Self {
        if self.width() <= columns {
            return self;
        }
        let mut left = columns;
        let mut out = Self::default();
        let mut rest = self.pieces.into_iter().peekable();
        while let Some((tint, text)) = rest.next() {
            let own = width(&text);
            // A piece that fits exactly is cut too where more follows, so that the cut is seen.
            if own < left || (own == left && rest.peek().is_none()) {
                left -= own;
                out = out.with(tint, text);
                continue;
            }
            let cut_text = if own == left { cut(&format!("{text} "), left) } else { cut(&text, left) };
            return out.with(tint, cut_text);
        }
        out
    }

    /// This line at the left and another one at the right end of so many columns. Where both do not fit, the left one
    /// is cut, but to no fewer than `least` columns: then the right one is left out.
    pub(super) fn beside(self, right: Line, columns: usize, least: usize) -> Self {
        let right_width = right.width();
        let room = columns.saturating_sub(right_width + 1);
        if right_width == 0 || room < least {
            return self.fit(columns);
        }
        let left = self.fit(room);
        let gap = columns.saturating_sub(left.width() + right_width);
        left.with(Tint::Plain, " ".repeat(gap)).then(right)
    }

    /// The text with colours, where the style has them.
    pub(super) fn paint(&self, style: Style) -> String {
        let paint = |(tint, text): &(Tint, String)| match tint {
            Tint::Plain => text.clone(),
            Tint::Bad => style.bad(text),
            Tint::Good => style.good(text),
            Tint::Live => style.live(text),
            Tint::Dim => style.dim(text),
            Tint::Bold => style.bold(text),
        };
        self.pieces.iter().map(paint).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &Line) -> String {
        line.paint(Style::plain())
    }

    fn line(pieces: &[&str]) -> Line {
        pieces.iter().fold(Line::default(), |line, piece| line.with(Tint::Plain, *piece))
    }

    #[test]
    fn a_line_is_cut_within_its_pieces() {
        assert_eq!(text(&line(&["one", "two"]).fit(6)), "onetwo");
        assert_eq!(text(&line(&["one", "two"]).fit(5)), "onet…");
        assert_eq!(text(&line(&["one", "two"]).fit(3)), "on…");
        assert_eq!(text(&line(&["one", "two"]).fit(1)), "…");
        assert_eq!(text(&line(&["one", "two"]).fit(0)), "");
        assert_eq!(text(&line(&["漢字", "x"]).fit(4)), "漢…");
    }

    #[test]
    fn the_right_end_stays_while_there_is_room_for_the_left() {
        assert_eq!(text(&line(&["compile"]).beside(line(&["1.2s"]), 14, 4)), "compile   1.2s");
        assert_eq!(text(&line(&["compile"]).beside(line(&["1.2s"]), 10, 4)), "comp… 1.2s");
        assert_eq!(text(&line(&["compile"]).beside(line(&["1.2s"]), 8, 4)), "compile");
        assert_eq!(text(&line(&["漢字漢字"]).beside(line(&["1s"]), 9, 4)), "漢字…  1s");
    }

    #[test]
    fn colours_take_no_columns() {
        let line = Line::of(Tint::Bad, "no").with(Tint::Plain, "!");
        assert_eq!(line.width(), 3);
        assert_eq!(line.paint(Style::new(true)), "\x1b[1;31mno\x1b[0m!");
    }
}
