//! The pages of `docs/rules`, shown to a person: the little Markdown that they use, wrapped and with colours.
//!
//! A page is `# CODE: TITLE`, a line `*LEVEL*`, paragraphs, `##` sections and fenced examples. Comments belong to the
//! tests of the examples and are not shown.

use super::code::Code;
use super::diagnostic::Severity;

/// How to draw a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageStyle {
    /// Columns that a paragraph may take.
    pub width: usize,
    /// Whether escape sequences for colours may be used.
    pub is_color: bool,
}

/// A page taken apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    pub(super) level: &'a str,
    body: &'a str,
}

/// What follows one another in a page.
#[derive(Debug, PartialEq, Eq)]
enum Block<'a> {
    Heading(&'a str),
    Paragraph(Vec<&'a str>),
    Example { language: &'a str, lines: Vec<&'a str> },
}

impl<'a> Page<'a> {
    pub(super) fn split(text: &'a str) -> Self {
        let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
        let (level, body) = rest.split_once('\n').unwrap_or((rest, ""));
        let title = first.split_once(": ").map_or(first, |(_, title)| title);
        Self { title, level: level.trim_matches('*'), body }
    }

    fn blocks(&self) -> Vec<Block<'a>> {
        let mut blocks = Vec::new();
        let mut lines = self.body.lines();
        let mut paragraph = Vec::new();
        while let Some(line) = lines.next() {
            let is_prose = !line.is_empty() && !line.starts_with("```") && !line.starts_with("## ");
            if is_prose && !line.starts_with("<!--") {
                paragraph.push(line);
                continue;
            }
            if !paragraph.is_empty() {
                blocks.push(Block::Paragraph(std::mem::take(&mut paragraph)));
            }
            if let Some(heading) = line.strip_prefix("## ") {
                blocks.push(Block::Heading(heading));
            } else if let Some(language) = line.strip_prefix("```") {
                let lines = lines.by_ref().take_while(|line| *line != "```").collect();
                blocks.push(Block::Example { language, lines });
            }
        }
        if !paragraph.is_empty() {
            blocks.push(Block::Paragraph(paragraph));
        }
        blocks
    }
}

/// The page without its title and without comments.
pub(super) fn markdown(page: &Page<'_>) -> String {
    let lines = page.body.lines().filter(|line| !line.starts_with("<!--"));
    let mut text = String::new();
    for line in lines.skip_while(|line| line.is_empty()) {
        if !(line.is_empty() && text.ends_with("\n\n")) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// The first paragraph.
pub(super) fn summary(page: &Page<'_>) -> String {
    let first = page.blocks().into_iter().find_map(|block| match block {
        Block::Paragraph(lines) => Some(lines.join(" ")),
        _ => None,
    });
    first.unwrap_or_default()
}

/// The page for a person.
pub(super) fn render(code: Code, severity: Severity, page: &Page<'_>, style: &PageStyle) -> String {
    let paint = |sequence: &str, text: &str| {
        if style.is_color { format!("\x1b[{sequence}m{text}\x1b[0m") } else { text.to_owned() }
    };
    let level = match severity {
        Severity::Error => "31",
        Severity::Warning => "33",
        Severity::Note => "36",
    };
    let mut out = format!("{}\n{}\n", paint("1", &format!("{code}: {}", page.title)), paint(level, page.level));
    for block in page.blocks() {
        out.push('\n');
        match block {
            Block::Heading(heading) => out.push_str(&format!("{}\n", paint("1", heading))),
            Block::Paragraph(lines) => {
                // What follows a heading stands below it, without an empty line.
                if is_after_heading(&out, style) {
                    out.pop();
                }
                out.push_str(&wrap(&lines.join(" "), style.width));
            }
            Block::Example { language, lines } => {
                if is_after_heading(&out, style) {
                    out.pop();
                }
                if language == "dotenv" {
                    out.push_str("  .env:\n");
                }
                for line in lines {
                    if !line.is_empty() {
                        out.push_str(&format!("    {}", paint("2", line)));
                    }
                    out.push('\n');
                }
            }
        }
    }
    out
}

/// Whether what was drawn ends with a heading and an empty line.
fn is_after_heading(out: &str, style: &PageStyle) -> bool {
    let last = out.trim_end_matches('\n').rsplit('\n').next().unwrap_or_default();
    let bare = if style.is_color { last.trim_start_matches("\x1b[1m").trim_end_matches("\x1b[0m") } else { last };
    matches!(bare, "Why" | "Wrong" | "Right")
}

/// Breaks a paragraph at spaces; what stands in backticks stays together where it fits a line.
fn wrap(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for word in words(text) {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            out.push('\n');
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out.push('\n');
    out
}

/// The words of a text; a text in backticks is one.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut start = 0;
    let mut is_code = false;
    for (at, character) in text.char_indices() {
        match character {
            '`' => is_code = !is_code,
            ' ' if !is_code => {
                words.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&text[start..]);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# SMOL0101: two at one place\n*error*\n\n<!-- world: folder /x -->\n\nTwo mounts have\n`the \
        same place`.\n\n## Why\nOne hides the other.\n\n## Wrong\n```yaml\na: 1\n\nb: 2\n```\n\n## Right\n```dotenv\n\
        A=1\n```\n";

    fn draw(width: usize, is_color: bool) -> String {
        render(Code(101), Severity::Error, &Page::split(PAGE), &PageStyle { width, is_color })
    }

    #[test]
    fn a_page_is_drawn_without_comments_and_fences() {
        assert_eq!(
            draw(100, false),
            "SMOL0101: two at one place\nerror\n\nTwo mounts have `the same place`.\n\nWhy\nOne hides the other.\n\n\
             Wrong\n    a: 1\n\n    b: 2\n\nRight\n  .env:\n    A=1\n"
        );
    }

    #[test]
    fn paragraphs_follow_the_width_and_keep_what_is_in_backticks_together() {
        let text = draw(20, false);
        assert!(text.contains("Two mounts have\n`the same place`.\n"), "{text}");
        assert!(draw(1, false).contains("\n`the same place`.\n"));
    }

    #[test]
    fn colours_change_nothing_else() {
        let colored = draw(40, true);
        assert!(colored.contains("\x1b[1mWhy\x1b[0m"));
        let mut plain = colored;
        for sequence in ["\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[0m"] {
            plain = plain.replace(sequence, "");
        }
        assert_eq!(plain, draw(40, false));
    }

    #[test]
    fn markdown_and_summary_leave_the_comments_out() {
        let page = Page::split(PAGE);
        assert_eq!(summary(&page), "Two mounts have `the same place`.");
        assert!(markdown(&page).starts_with("Two mounts have\n`the same place`.\n\n## Why\n"));
    }
}
