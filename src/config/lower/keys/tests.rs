//! What is read and what an editor is told are the same keys.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::super::schema;
use super::*;

fn keys_of(shape: &Value) -> BTreeSet<String> {
    shape["properties"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn every_key_that_is_read_is_in_the_schema_and_no_other() {
    let schema: Value = serde_json::from_str(&schema::render()).unwrap();
    let shapes = &schema["$defs"];
    for (table, shape) in [
        (&FILE, &schema),
        (&MACHINE, &shapes["Machine"]),
        (&MOUNT, &shapes["MountOfAnyType"]),
        (&STEP, &shapes["Step"]),
        (&FINALLY, &shapes["FinallyStep"]),
        (&VOLUME, &shapes["Volume"]),
        (&HEALTHCHECK, &shapes["Healthcheck"]),
        (&DEPENDENCY, &shapes["Dependency"]),
        (&NETWORK, &shapes["NetworkLong"]),
        (&RETRY, &shapes["Retry"]),
    ] {
        let read: BTreeSet<String> = table.keys.iter().chain(table.later).map(|key| (*key).to_owned()).collect();
        assert_eq!(read, keys_of(shape), "keys of {}", table.place);
    }
}
