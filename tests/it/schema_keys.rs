//! Every key of the schema: what an editor shows of it, and that it is a key of the language.
//!
//! Deliberately not here: which files the schema accepts (`schema`), what an editor makes of it (`editor`).

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// The keys of the language, by the shape of the schema that holds them.
const LANGUAGE: &[(&str, &str)] = &[
    ("File", "name requires include env env_file machines steps finally volumes"),
    (
        "Machine",
        "image kernel modules cpus memory env env_file working_dir user hostname shell mounts workspace \
         network ports links depends_on command healthcheck restart stop_signal stop_grace matrix profiles",
    ),
    ("Bind", "type target create source readonly owner guest_owner cache"),
    ("Overlay", "type target create source guest_owner"),
    ("VolumeMount", "type target create source readonly"),
    ("Tmpfs", "type target create size"),
    ("MountOfAnyType", "type target create source readonly owner guest_owner cache size"),
    (
        "Step",
        "id name machine run shell env env_file working_dir user needs inputs outputs timeout retry \
         continue_on_error if chown profiles",
    ),
    (
        "FinallyStep",
        "id name machine run shell env env_file working_dir user outputs timeout continue_on_error if chown \
         profiles",
    ),
    ("Healthcheck", "test interval timeout retries start_period start_interval log_line"),
    ("Volume", "size"),
    ("Retry", "attempts delay"),
    ("Dependency", "condition"),
    ("NetworkLong", "mode allow"),
    ("EnvFileLong", "path required"),
];

fn schema() -> Value {
    serde_json::from_str(&smolvm::config::schema::render()).expect("the schema is JSON")
}

/// A key: the shape that holds it, its name, its schema, and whether it must be there.
struct Key {
    name: String,
    schema: Value,
    is_required: bool,
}

/// Shapes that have keys, by name; the root is `File`.
fn shapes(schema: &Value) -> Vec<(String, &Value)> {
    let definitions = schema["$defs"].as_object().expect("definitions").iter();
    let all = definitions.map(|(name, shape)| (name.clone(), shape)).chain([("File".to_owned(), schema)]);
    all.filter(|(_, shape)| shape["properties"].is_object()).collect()
}

fn keys(schema: &Value) -> Vec<Key> {
    let mut keys = Vec::new();
    for (shape_name, shape) in shapes(schema) {
        let required = shape["required"].as_array().cloned().unwrap_or_default();
        for (key, property) in shape["properties"].as_object().expect("keys") {
            let is_required = required.contains(&json!(key));
            keys.push(Key { name: format!("{shape_name}.{key}"), schema: property.clone(), is_required });
        }
    }
    keys
}

/// The shape that a property is made of.
fn target<'s>(schema: &'s Value, property: &Value) -> Option<&'s Value> {
    schema["$defs"].get(property["$ref"].as_str()?.strip_prefix("#/$defs/")?)
}

/// A part of the schema with all that it may refer to.
fn validator(schema: &Value, part: &Value) -> jsonschema::Validator {
    let mut part = part.clone();
    part["$defs"] = schema["$defs"].clone();
    jsonschema::draft202012::new(&part).expect("a part of a schema is a schema")
}

#[test]
fn the_schema_has_every_key_of_the_language_and_no_other() {
    let schema = schema();
    let found: BTreeSet<String> = keys(&schema).into_iter().map(|key| key.name).collect();
    let wanted: BTreeSet<String> = LANGUAGE
        .iter()
        .flat_map(|(shape, keys)| keys.split_whitespace().map(move |key| format!("{shape}.{key}")))
        .collect();
    let missing: Vec<_> = wanted.difference(&found).collect();
    let unknown: Vec<_> = found.difference(&wanted).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing: {missing:?}, not of the language: {unknown:?}");
}

#[test]
fn every_map_with_keys_is_closed_but_for_extension_keys() {
    let schema = schema();
    for (name, shape) in shapes(&schema) {
        assert_eq!(shape["additionalProperties"], json!(false), "{name} takes any key");
        assert_eq!(shape["patternProperties"]["^x-"], json!(true), "{name} takes no extension key");
    }
}

#[test]
fn every_key_says_what_it_means_and_what_holds_without_it() {
    let schema = schema();
    for key in keys(&schema) {
        let name = &key.name;
        let description = key.schema["description"].as_str().unwrap_or_default();
        assert!(description.ends_with(['.', ')']), "{name}: the description is no sentence: `{description}`");
        let says_default = key.schema.get("default").is_some() || description.contains("Default: ");
        assert!(key.is_required || says_default, "{name}: no word on what holds without it");
        assert!(!(key.is_required && says_default), "{name}: must be there, and yet has a default");
    }
}

#[test]
fn every_key_has_examples_and_they_and_the_default_are_of_its_form() {
    let schema = schema();
    for key in keys(&schema) {
        let examples = |part: &Value| part["examples"].as_array().cloned().unwrap_or_default();
        let mut values = examples(&key.schema);
        values.extend(target(&schema, &key.schema).into_iter().flat_map(examples));
        assert!(!values.is_empty(), "{}: no example", key.name);
        let validator = validator(&schema, &key.schema);
        for value in values.iter().chain(key.schema.get("default")) {
            assert!(validator.is_valid(value), "{}: `{value}` is not of its form", key.name);
        }
    }
}

#[test]
fn a_variable_may_stand_wherever_one_value_stands() {
    let schema = schema();
    let scalars =
        [json!("x"), json!("/x"), json!("1"), json!(1), json!(true), json!("auto"), json!("1s"), json!("a:/b")];
    let words = ["none", "nat", "no", "started", "bind", "always"].map(Value::from);
    let mut parts: Vec<(String, Value)> = keys(&schema).into_iter().map(|key| (key.name, key.schema)).collect();
    let definitions = schema["$defs"].as_object().expect("definitions").iter();
    parts.extend(definitions.map(|(name, shape)| (name.clone(), shape.clone())));
    for (name, part) in parts {
        let validator = validator(&schema, &part);
        if scalars.iter().chain(&words).any(|value| validator.is_valid(value)) {
            assert!(validator.is_valid(&json!("${VALUE}")), "{name}: takes no variable");
            assert!(validator.is_valid(&json!("${VALUE:-1}")), "{name}: takes no variable with a default");
        }
    }
}

#[test]
fn every_shape_is_used() {
    let text = smolvm::config::schema::render();
    for name in schema()["$defs"].as_object().expect("definitions").keys() {
        assert!(text.contains(&format!("\"#/$defs/{name}\"")), "nothing is a {name}");
    }
}
