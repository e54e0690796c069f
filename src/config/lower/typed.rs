//! Booleans and whole numbers: plain words of the file, or variables that hold them.
//!
//! What is written in another form (`yes`, `"2"`, `1.5`) is told with what to write instead.

use std::ops::RangeInclusive;

use super::super::model::Spanned;
use super::super::tree::{Content, Scalar, ScalarForm, plain_form};
use super::reader::{Reader, Value};

impl<'a> Reader<'a> {
    /// A boolean: `true` or `false`, or a variable that holds one.
    pub(super) fn boolean(&mut self, value: Value, what: &str) -> Option<Spanned<bool>> {
        let scalar = self.scalar(value, what, "`true` or `false`")?;
        let text = self.interpolated(value, scalar)?;
        let is_typed = scalar.is_plain() || text != scalar.text;
        if let ScalarForm::Boolean(boolean) = plain_form(&text)
            && is_typed
        {
            return Some(Spanned { value: boolean, span: value.span });
        }
        let mut diagnostic = self.wrong_type(value, what, "`true` or `false`");
        let meant = match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" | "1" | "true" => Some(true),
            "no" | "off" | "n" | "0" | "false" => Some(false),
            _ => None,
        };
        if let Some(meant) = meant {
            diagnostic = diagnostic.help(format!("write `{meant}`"));
            diagnostic = self.replace(diagnostic, true, value, meant.to_string());
        }
        self.report(diagnostic);
        // Read as what was meant, so that nothing is said twice: `readonly: yes` is no writable mount.
        meant.map(|value_meant| Spanned { value: value_meant, span: value.span })
    }

    /// A whole number in a range, or a variable that holds one.
    pub(super) fn integer(&mut self, value: Value, what: &str, range: &RangeInclusive<u32>) -> Option<Spanned<u32>> {
        let scalar = self.scalar(value, what, "a whole number")?;
        let text = self.interpolated(value, scalar)?;
        let is_typed = scalar.is_plain() || text != scalar.text;
        let is_number = plain_form(&text) == ScalarForm::Number;
        let number = parse_integer(&text).filter(|number| is_number && range.contains(number));
        if is_number && number.is_none() {
            let (low, high) = (range.start(), range.end());
            let message = format!("{what} must be a whole number from {low} to {high}");
            let mut diagnostic = self.error(5, value, message, format!("`{text}` is not such a number"));
            if let Some(next) = next_whole(&text, range) {
                diagnostic = diagnostic.help(format!("write `{next}`"));
                diagnostic = self.replace(diagnostic, false, value, next.to_string());
            } else {
                let nearest = if parse_integer(&text).is_some_and(|number| number > *low) { high } else { low };
                diagnostic = diagnostic.help(format!("write a number of this range, as `{nearest}`"));
            }
            self.report(diagnostic);
        } else if number.is_none() || !is_typed {
            let mut diagnostic = self.wrong_type(value, what, "a whole number");
            if number.is_some() {
                diagnostic = diagnostic.help(format!("write `{text}`, without quotes"));
                diagnostic = self.replace(diagnostic, true, value, text);
            } else {
                diagnostic = diagnostic.help(format!("write a number from {} to {}", range.start(), range.end()));
            }
            self.report(diagnostic);
            return None;
        }
        number.map(|number| Spanned { value: number, span: value.span })
    }

    fn scalar(&mut self, value: Value, what: &str, expected: &str) -> Option<&'a Scalar> {
        match self.content(value) {
            Content::Scalar(scalar) if scalar.form() != ScalarForm::Null => Some(scalar),
            Content::Poison => None,
            _ => {
                let diagnostic = self.wrong_type(value, what, expected);
                self.report(diagnostic);
                None
            }
        }
    }
}

fn parse_integer(text: &str) -> Option<u32> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u32::from_str_radix(digits, 16).ok();
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u32::from_str_radix(digits, 8).ok();
    }
    text.parse().ok()
}

/// The next whole number of the range, for what is written with a point, as `1.5` of compose.
fn next_whole(text: &str, range: &RangeInclusive<u32>) -> Option<u32> {
    let (whole, part) = text.split_once('.')?;
    let whole: u32 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    if !part.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let is_whole = part.bytes().all(|byte| byte == b'0');
    let next = if is_whole { whole } else { whole.checked_add(1)? };
    range.contains(&next).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_whole_number_is_taken_of_decimals_only() {
        let next = |text| next_whole(text, &(1..=255));
        assert_eq!([next("0.5"), next("1.50"), next("2.0"), next(".25")], [Some(1), Some(2), Some(2), Some(1)]);
        assert_eq!([next("0"), next("0.0"), next("-1.5"), next("255.1"), next("1.5e3"), next(".inf")], [None; 6]);
    }
}
