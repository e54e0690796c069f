//! The rules that look at a whole project: one file a family, each adds diagnostics and changes nothing.

use super::files::Files;
use super::model::Project;
use crate::diag::Diagnostics;

/// Runs every family over the project.
pub(crate) fn check_all(_project: &Project, _files: &dyn Files, _out: &mut Diagnostics) {}
