//! What `-e` takes: a variable of a command. Not here: where its value comes from.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::builder::{OsStringValueParser, TypedValueParser};

const NO_NAME: &str = "a variable has a name: write `NAME` or `NAME=VALUE`";

/// Takes `NAME` and `NAME=VALUE`, for clap.
pub(crate) fn variable(text: &str) -> Result<String, String> {
    match text.split('=').next() {
        None | Some("") => Err(NO_NAME.to_owned()),
        Some(_) => Ok(text.to_owned()),
    }
}

/// The same where its value goes to the command as it is: bytes, which need not be text.
pub(crate) fn variable_bytes() -> impl TypedValueParser<Value = OsString> {
    OsStringValueParser::new().try_map(|text| match text.as_bytes().first() {
        None | Some(b'=') => Err(NO_NAME),
        Some(_) => Ok(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_a_name() {
        assert_eq!(variable("A=1=2"), Ok("A=1=2".to_owned()));
        assert_eq!(variable("A"), Ok("A".to_owned()));
        assert!(variable("=1").is_err() && variable("").is_err());
    }
}
