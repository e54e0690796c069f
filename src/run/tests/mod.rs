//! Tests of whole runs. `sim` plays the world against the dispatcher in virtual time; `live` drives [`super::run`]
//! with a fake engine and a fake agent that speaks the real protocol over sockets.

mod asked;
mod faults;
mod held;
mod left_out;
mod lines;
mod live;
mod order;
mod pause;
pub(crate) mod plans;
mod random;
mod retry;
mod rounds;
mod script;
mod service_world;
mod services;
mod signals;
mod sim;
mod world;
