//! `matrix` of a machine.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::scalars::{IGNORED_PATTERN, Text};

/// Keys of a matrix: names, but for `id`, whose variable is that of the combination.
const KEY_PATTERN: &str = "^(?!x-|id$)[a-z0-9][a-z0-9_-]{0,62}$";

/// Lists of values by name.
#[derive(Debug)]
pub(super) struct Matrix;

impl JsonSchema for Matrix {
    fn schema_name() -> Cow<'static, str> {
        "Matrix".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<Text>();
        json_schema!({
            "type": "object",
            "minProperties": 1,
            "patternProperties": {
                KEY_PATTERN: { "type": "array", "minItems": 1, "uniqueItems": true, "items": value },
                IGNORED_PATTERN: true
            },
            "additionalProperties": false,
            "errorMessage": "Expected lists of values by name: lower-case letters, digits, `_` and `-`."
        })
    }
}
