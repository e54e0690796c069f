//! From lines to the bytes of one frame: what moves the cursor is here and nowhere else.
//!
//! ```text
//! permanent lines     written once, wrapped by the terminal where they are long, and never touched again
//! █lock, line 1       the cursor rests here, at the start of the block
//! block, line 2       erased and written again by every frame
//! ```
//!
//! The cursor rests at the start of the block, not below it. So a frame erases from the cursor to the end of the screen
//! and needs to know neither how high the last block was nor what a terminal made of its lines when it was resized
//! (some wrap them anew, some cut them). Modes of the terminal are left alone, but for two that a frame sets and takes
//! back in one write: synchronised output, so that no half frame is seen, and no wrapping, so that a line whose width a
//! terminal sees otherwise is cut by it. A process that is killed between two frames leaves nothing to repair.
//! Deliberately not here: when a frame is painted.

use super::line::Line;
use crate::report::style::Style;

/// Synchronised output; terminals that do not know it pass over it.
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";
const TO_LINE_START: &str = "\x1b[G";
const TO_NEXT_LINE: &str = "\x1b[E";
const ERASE_BELOW: &str = "\x1b[J";
const ERASE_LINE: &str = "\x1b[K";
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// What takes a block off the screen.
pub const LEAVE: &str = "\x1b[G\x1b[?7h\x1b[J";

/// One frame: these permanent lines, and below them the block. The cursor must be, and is left, at its start.
///
/// A line's end is written only where a block needs rows below it that may not be there, before anything of it. All of
/// the block comes to the terminal as one piece then: the kernel treats line ends one by one, and throws away what is
/// on its way when Ctrl-C or Ctrl-Z is typed.
pub(super) fn frame(permanent: &str, block: &[Line], has_rows: bool, style: Style) -> String {
    let mut out = format!("{BEGIN}{TO_LINE_START}");
    if !permanent.is_empty() || block.is_empty() {
        out.push_str(WRAP);
        out.push_str(ERASE_BELOW);
        out.push_str(permanent);
    }
    if !block.is_empty() {
        let below = block.len() - 1;
        if below > 0 && !(has_rows && permanent.is_empty()) {
            out.push_str(&"\n".repeat(below));
            out.push_str(&up(below));
        }
        out.push_str(NO_WRAP);
        for (number, line) in block.iter().enumerate() {
            if number > 0 {
                out.push_str(TO_NEXT_LINE);
            }
            out.push_str(&line.paint(style));
            out.push_str(if number == below { ERASE_BELOW } else { ERASE_LINE });
        }
        out.push_str(WRAP);
        out.push_str(TO_LINE_START);
        out.push_str(&up(below));
    }
    out.push_str(END);
    out
}

/// Moves the cursor up; by none at all it would by one.
fn up(rows: usize) -> String {
    if rows > 0 { format!("\x1b[{rows}A") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::super::line::Tint;
    use super::*;

    fn block(lines: &[&str]) -> Vec<Line> {
        lines.iter().map(|line| Line::of(Tint::Plain, *line)).collect()
    }

    fn screen(rows: u16, columns: u16) -> vt100::Parser {
        vt100::Parser::new(NonZeroU16::new(rows).unwrap(), NonZeroU16::new(columns).unwrap(), 100)
    }

    fn paint(screen: &mut vt100::Parser, permanent: &str, lines: &[&str]) {
        screen.process(frame(permanent, &block(lines), false, Style::plain()).as_bytes());
    }

    fn contents(screen: &vt100::Parser) -> String {
        screen.screen().contents()
    }

    #[test]
    fn a_smaller_block_leaves_nothing_of_a_larger_one() {
        let mut screen = screen(6, 20);
        paint(&mut screen, "", &["one long line", "two", "three"]);
        assert_eq!(contents(&screen), "one long line\ntwo\nthree");
        assert_eq!(screen.screen().cursor_position(), (0, 0));
        paint(&mut screen, "", &["1", "2"]);
        assert_eq!(contents(&screen), "1\n2");
        paint(&mut screen, "done\r\n", &[]);
        assert_eq!(contents(&screen), "done");
        assert_eq!(screen.screen().cursor_position(), (1, 0));
    }

    #[test]
    fn permanent_lines_go_above_the_block_and_may_wrap() {
        let mut screen = screen(6, 10);
        paint(&mut screen, "", &["block", "below"]);
        paint(&mut screen, "0123456789abc\r\n", &["block", "below"]);
        assert_eq!(contents(&screen), "0123456789abc\nblock\nbelow");
        // A line as wide as the screen is whole too.
        paint(&mut screen, "0123456789\r\n", &["block", "below"]);
        assert_eq!(contents(&screen), "0123456789abc\n0123456789\nblock\nbelow");
    }

    #[test]
    fn a_block_as_high_as_the_screen_stays_where_it_is() {
        let mut screen = screen(3, 10);
        for number in 0..5 {
            paint(&mut screen, &format!("line {number}\r\n"), &["a", "b", "c"]);
            assert_eq!(contents(&screen), "a\nb\nc");
        }
        screen.screen_mut().set_scrollback(3);
        assert_eq!(contents(&screen), "line 2\nline 3\nline 4");
        screen.screen_mut().set_scrollback(5);
        assert_eq!(contents(&screen), "line 0\nline 1\nline 2");
    }

    #[test]
    fn a_block_that_has_its_rows_comes_in_one_piece() {
        let bytes = frame("", &block(&["a", "b", "c"]), true, Style::new(true));
        assert!(!bytes.contains(['\r', '\n', '\t']), "{bytes:?}");
        let mut screen = screen(3, 10);
        paint(&mut screen, "", &["1", "2", "3"]);
        screen.process(bytes.as_bytes());
        assert_eq!(contents(&screen), "a\nb\nc");
    }

    #[test]
    fn a_frame_ends_in_the_modes_in_which_it_began() {
        for lines in [&["a", "b"][..], &[]] {
            let bytes = frame("x\r\n", &block(lines), false, Style::new(true));
            assert!(bytes.rfind(NO_WRAP) < bytes.rfind(WRAP), "{bytes:?}");
            assert!(bytes.starts_with("\x1b[?2026h") && bytes.ends_with("\x1b[?2026l"));
        }
    }
}
