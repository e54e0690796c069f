//! `smolvm doctor`.

use super::args::DoctorArgs;
use super::exit::{ExitCode, Failure};
use super::printer::Printer;

pub(crate) fn run(_args: &DoctorArgs, _printer: &Printer) -> Result<ExitCode, Failure> {
    Ok(ExitCode::HostUnfit)
}
