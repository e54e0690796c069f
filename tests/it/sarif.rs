//! `check --format sarif` is what the schema of SARIF 2.1.0 asks for, and says what the other forms say.
//!
//! `tests/schemas/sarif-2.1.0.json` is the schema of the OASIS standard, as the crate `serde-sarif` 0.8.0 carries it.

use jsonschema::Validator;
use serde_json::{Value, json};
use smolvm::config::Mode;
use smolvm::diag::{Diagnostics, Rule, Sources, render_sarif};

use crate::cases::{cases, run};
use crate::support::{Case, repository};

fn validator() -> Validator {
    let text = std::fs::read_to_string(repository().join("tests/schemas/sarif-2.1.0.json")).unwrap();
    jsonschema::draft7::new(&serde_json::from_str(&text).unwrap()).unwrap()
}

fn check(validator: &Validator, log: &Value, what: &str) {
    let problems: Vec<String> =
        validator.iter_errors(log).map(|error| format!("{}: {error}", error.instance_path)).collect();
    assert!(problems.is_empty(), "{what}:\n{}", problems.join("\n"));
}

#[test]
fn every_bad_file_gives_a_log_that_the_schema_accepts() {
    let validator = validator();
    assert!(validator.iter_errors(&json!({ "version": "2.1.0", "runs": [{}] })).next().is_some());
    for path in cases("invalid") {
        let loaded = run(&path, Mode::Check);
        let log: Value = serde_json::from_str(&render_sarif(&loaded.diagnostics, &loaded.sources, 0)).unwrap();
        check(&validator, &log, &path.display().to_string());
        let results = log["runs"][0]["results"].as_array().unwrap();
        assert_eq!(results.len(), loaded.diagnostics.len());
        for (result, diagnostic) in results.iter().zip(loaded.diagnostics.iter()) {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][index]["id"], diagnostic.code.to_string());
        }
    }
    let empty: Value = serde_json::from_str(&render_sarif(&Diagnostics::default(), &Sources::default(), 0)).unwrap();
    check(&validator, &empty, "no mistakes");
    assert_eq!(empty["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap().len(), Rule::all().len());
}

#[test]
fn a_result_has_the_places_and_the_fix() {
    let text =
        "machines: { größe: , build: { memory: 64 } }\nsteps:\n  - { id: a, machine: build, run: x, timeout: 60 }\n";
    let output =
        Case::new().file("ci/my file.yaml", text).args(["check", "--format", "sarif", "-f", "ci/my file.yaml"]).run();
    assert_eq!(output.status.code(), Some(78));
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    check(&validator(), &log, "the program");
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results[0]["ruleId"], "SMOL0005");
    let place = &results[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"], json!({ "uri": "ci/my%20file.yaml", "uriBaseId": "%SRCROOT%" }));
    let region = json!({
        "startLine": 1, "startColumn": 13, "endLine": 1, "endColumn": 18, "byteOffset": 12, "byteLength": 7
    });
    assert_eq!(place["region"], region);
    let fix = &results[1]["fixes"][0];
    assert_eq!(fix["description"]["text"], "write `60s`");
    assert_eq!(fix["artifactChanges"][0]["replacements"][0]["insertedContent"]["text"], "60s");
}
