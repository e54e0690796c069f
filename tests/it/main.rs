//! Tests of the program through its command line, and of the rules of the tree. One binary, a module an area.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agent;
mod cases;
mod cli_check;
mod cli_plan;
mod cli_up;
mod cli_usage;
mod docs;
mod examples;
mod exit_codes;
mod layers;
mod leftovers;
mod live;
mod machine;
mod plans;
mod real_files;
mod scale;
mod schema;
mod share;
mod share_guest;
mod signals;
mod support;
mod tidy;
