//! What `-e` takes: a variable of a command. Not here: where its value comes from.

/// Takes `NAME` and `NAME=VALUE`, for clap.
pub(crate) fn variable(text: &str) -> Result<String, String> {
    match text.split('=').next() {
        None | Some("") => Err("a variable has a name: write `NAME` or `NAME=VALUE`".to_owned()),
        Some(_) => Ok(text.to_owned()),
    }
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
