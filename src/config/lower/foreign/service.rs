//! Words for how a service is tested and waited for.

use super::{Foreign, likely, other, same};

const PROBE: &str = "write `test:` with a command that ends with 0 when the service is ready";
const NO_TEST: &str = "take `healthcheck` out: an image's own healthcheck is not run by itself";

pub(in super::super) const HEALTHCHECK: &[Foreign] = &[
    same("failurethreshold", "retries"),
    likely("command", "test"),
    likely("cmd", "test"),
    likely("run", "test"),
    likely("check", "test"),
    likely("every", "interval"),
    likely("period", "interval"),
    likely("attempts", "retries"),
    likely("wait_for_log", "log_line"),
    likely("log", "log_line"),
    likely("log_message", "log_line"),
    other("disable", "test", NO_TEST),
    other("disabled", "test", NO_TEST),
    other("enabled", "test", "take it out; without a healthcheck, take `healthcheck` out"),
    other("periodseconds", "interval", "write the unit too: `interval: 10s`"),
    other("timeoutseconds", "timeout", "write the unit too: `timeout: 1s`"),
    other("initialdelayseconds", "start_period", "write the unit too: `start_period: 5s`"),
    other("successthreshold", "retries", "take it out: one test that passes is enough"),
    other("exec", "test", PROBE),
    other("httpget", "test", PROBE),
    other("http", "test", PROBE),
    other("url", "test", PROBE),
    other("tcpsocket", "test", PROBE),
    other("tcp", "test", PROBE),
    other("port", "test", PROBE),
];

pub(in super::super) const DEPENDENCY: &[Foreign] = &[
    likely("state", "condition"),
    likely("status", "condition"),
    likely("when", "condition"),
    likely("wait_for", "condition"),
    other("restart", "condition", "take it out: machines are not started again for one another"),
    other("required", "condition", "take it out: a machine that is waited for is always there"),
];
