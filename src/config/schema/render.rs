//! From shapes to the text that is checked in.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::Value;

use super::file::File;

/// Renders the schema: JSON Schema 2020-12, two spaces, a newline at the end.
pub fn render() -> String {
    let mut settings = SchemaSettings::draft2020_12();
    settings.transforms.push(Box::new(RecursiveTransform(KeysAreNotNull)));
    settings.transforms.push(Box::new(RecursiveTransform(ChoicesSayTheMistake)));
    settings.transforms.push(Box::new(RecursiveTransform(TypesInTheWordsOfYaml)));
    let schema = settings.into_generator().into_root_schema_for::<File>();
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain data");
    text.push('\n');
    text
}

/// A key that may be left out may still not be null, as `Option` would have it.
#[derive(Debug, Clone)]
struct KeysAreNotNull;

impl Transform for KeysAreNotNull {
    fn transform(&mut self, schema: &mut Schema) {
        let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
        for property in properties.values_mut().filter_map(Value::as_object_mut) {
            if let Some(Value::Array(kinds)) = property.get_mut("type") {
                kinds.retain(|kind| kind != "null");
                if let [only] = kinds.as_slice() {
                    let only = only.clone();
                    property.insert("type".to_owned(), only);
                }
            }
            let Some(Value::Array(options)) = property.get_mut("anyOf") else { continue };
            options.retain(|option| option != &serde_json::json!({ "type": "null" }));
            if let [Value::Object(only)] = options.as_slice() {
                let only = only.clone();
                property.remove("anyOf");
                property.extend(only);
            }
        }
    }
}

/// What is said of a value that fits none of several forms is said of each: an editor takes its words from the form
/// that fits best.
#[derive(Debug, Clone)]
struct ChoicesSayTheMistake;

impl Transform for ChoicesSayTheMistake {
    fn transform(&mut self, schema: &mut Schema) {
        let Some(words) = schema.get("errorMessage").cloned() else { return };
        let Some(Value::Array(choices)) = schema.get_mut("anyOf") else { return };
        schema_objects(choices).for_each(|choice| drop(choice.insert("errorMessage".to_owned(), words.clone())));
        schema.remove("errorMessage");
    }
}

/// YAML's users write lists, maps and text, not arrays, objects and strings.
#[derive(Debug, Clone)]
struct TypesInTheWordsOfYaml;

impl Transform for TypesInTheWordsOfYaml {
    fn transform(&mut self, schema: &mut Schema) {
        let words = match schema.get("type").and_then(Value::as_str) {
            Some("array") => "Expected a list.",
            // Of a map with keys of its own the editor says which key is wrong or missing.
            Some("object") if schema.get("properties").is_none() => "Expected a map.",
            Some("string") => "Expected text.",
            _ => return,
        };
        if schema.get("errorMessage").is_none() && schema.get("const").is_none() {
            schema.insert("errorMessage".to_owned(), words.into());
        }
    }
}

fn schema_objects(choices: &mut [Value]) -> impl Iterator<Item = &mut serde_json::Map<String, Value>> {
    choices.iter_mut().filter_map(Value::as_object_mut)
}
