//! Tests of the program through its command line, and of the rules of the tree. One binary, a module an area.

mod cases;
mod scale;
mod schema;
