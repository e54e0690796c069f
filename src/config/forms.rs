//! Single forms for those who show a file rather than run it: what a size or a duration comes to, what an env file sets.

use super::dotenv::parse_dotenv;
use super::scalars::{parse_duration, parse_size_mib, show_duration};
use crate::diag::{Diagnostics, FileId};

/// What a size comes to, in words: `2048 MiB`.
pub fn exact_size(text: &str) -> Option<String> {
    parse_size_mib(text).ok().map(|mib| format!("{mib} MiB"))
}

/// What a duration comes to, in words: `90s` is `1m30s`.
pub fn exact_duration(text: &str) -> Option<String> {
    let duration = parse_duration(text).ok()?;
    let shown = u64::try_from(duration.as_millis()).map(show_duration).ok()?;
    Some(if shown == text { format!("{} seconds", duration.as_secs_f64()) } else { shown })
}

/// The variables that an env file sets, by name; lines that cannot be read are passed over.
pub fn env_file_variables(bytes: &[u8]) -> Vec<(String, String)> {
    let parsed = parse_dotenv(FileId(0), bytes, &mut Diagnostics::default());
    parsed.variables.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_shown_as_what_they_come_to() {
        assert_eq!(exact_size("2GiB").as_deref(), Some("2048 MiB"));
        assert_eq!(exact_size("2G"), None);
        assert_eq!(exact_duration("90s").as_deref(), Some("1m30s"));
        assert_eq!(exact_duration("10m").as_deref(), Some("600 seconds"));
        assert_eq!(exact_duration("soon"), None);
        assert_eq!(env_file_variables(b"B=2\n???\nA='1'\n"), [("A".into(), "1".into()), ("B".into(), "2".into())]);
    }
}
