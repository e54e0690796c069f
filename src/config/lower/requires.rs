//! `requires`: which versions of smolvm may run the file; rule 0009.

use semver::{BuildMetadata, Prerelease, Version, VersionReq};

use super::reader::{Reader, TextForm, Value, shown};

impl Reader<'_> {
    /// Checks what the root of one file says: each file may require something.
    pub(in crate::config) fn check_requires_of(&mut self, root: Value) {
        if let Some(value) = self.value_of(root, "requires") {
            self.check_requires(value);
        }
    }

    fn check_requires(&mut self, value: Value) {
        let Some(text) = self.text(value, "`requires`", TextForm::Loose) else { return };
        let Ok(range) = VersionReq::parse(&text.value) else {
            let diagnostic =
                self.error(5, value, format!("{} is not a range of versions", shown(&text.value)), "not a range");
            self.report(diagnostic.help("write it as `\">=0.1\"` or `\">=0.1, <2\"`"));
            return;
        };
        let own = own_version();
        if !range.matches(&own) {
            let message = format!("this file requires smolvm `{}`, and this is {own}", text.value);
            let diagnostic = self.error(9, value, message, "not met");
            self.report(diagnostic.help("install another version of smolvm, or change the range"));
        }
    }
}

/// The running version; a pre-release counts as its release.
fn own_version() -> Version {
    let mut version = Version::parse(env!("CARGO_PKG_VERSION")).expect("cargo accepts only semantic versions");
    version.pre = Prerelease::EMPTY;
    version.build = BuildMetadata::EMPTY;
    version
}
