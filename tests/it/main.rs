//! Tests of the program through its command line, and of the rules of the tree. One binary, a module an area.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agent;
mod cases;
mod chown;
mod cli_check;
mod cli_explain;
mod cli_plan;
mod cli_up;
mod cli_usage;
mod docs;
mod events;
mod examples;
mod exit_codes;
mod faults;
mod files;
mod files_host;
mod full;
mod guest;
mod hurt;
mod invoker;
mod isolation;
mod killed;
mod layers;
mod leftovers;
mod machine;
mod mount_kinds;
mod ownership;
mod plans;
mod probe;
mod real_files;
mod rules;
mod running;
mod scale;
mod schema;
mod share;
mod share_guest;
mod signals;
mod single_file;
mod support;
mod terminal;
mod tidy;
mod vanish;
mod world;
