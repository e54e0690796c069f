//! `smolvm config`: what it prints, and that it can be read again.

use std::path::PathBuf;

use smolvm::config::{FileRequest, LoadRequest, Loaded, Mode, load, resolved_json, resolved_yaml};
use smolvm::diag::render_concise;

use crate::cases::{cases, run, world};
use crate::support::Case;

const FILE: &str = "name: acme
x-base: &base { memory: 2048, env: { CI: \"${CI:-no}\" } }
machines:
  build:
    <<: *base
    mounts: [./src:/code:ro, { source: dist, target: /dist/, create: true }]
steps:
  - run: |
      echo $HOME
      make
  - { id: test, run: [make, test], timeout: 90s, env: { PRICE: $$5 } }
finally:
  - run: echo done
";

const YAML: &str = "name: acme
machines:
  build:
    image: host
    kernel: auto
    memory: 2GiB
    env:
      CI: \"no\"
    mounts:
      - source: [PROJECT]/src
        target: /code
        readonly: true
      - source: [PROJECT]/dist
        target: /dist
        create: true
steps:
  - id: step-1
    machine: build
    run: |
      echo $HOME
      make
    needs: []
  - id: test
    machine: build
    run: [make, test]
    env:
      PRICE: $$5
    needs: [step-1]
    timeout: 1m30s
finally:
  - id: finally-1
    machine: build
    run: echo done
";

#[test]
fn everything_is_written_out() {
    let case = || Case::new().file("smolvm.yaml", FILE).folder("src").env("CI", "");
    case().args(["config"]).stdout(YAML).exit(0);
    let output = case().args(["config", "--format", "json"]).run();
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["machines"]["build"]["memory"], "2GiB");
    assert_eq!(object["steps"][0]["run"], "echo $HOME\nmake\n");
}

#[test]
fn a_file_that_is_wrong_gives_the_mistakes_only() {
    let output = Case::new().file("smolvm.yaml", "machines: { a: { memry: 1 } }\n").args(["config"]).run();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("SMOL0003"));
}

fn load_text(lines: &str, text: &str) -> Loaded {
    let files = world(lines.lines()).file("/project/smolvm.yaml", text);
    let request = LoadRequest {
        files: vec![FileRequest::Path(PathBuf::from("/project/smolvm.yaml"))],
        current_folder: PathBuf::from("/project"),
        mode: Mode::Run,
        ..LoadRequest::default()
    };
    load(request, &files)
}

#[test]
fn every_valid_file_is_written_so_that_it_is_read_the_same() {
    for path in cases("valid") {
        let name = path.display();
        let lines = std::fs::read_to_string(path.with_extension("world")).unwrap_or_default();
        let project = run(&path, Mode::Run).project.unwrap();
        let yaml = resolved_yaml(&project);
        for text in [&yaml, &resolved_json(&project)] {
            let loaded = load_text(&lines, text);
            let words = render_concise(&loaded.diagnostics, &loaded.sources, 0);
            assert!(loaded.diagnostics.is_empty(), "{name}:\n{words}\n{text}");
            assert_eq!(resolved_yaml(&loaded.project.unwrap()), yaml, "{name}");
        }
    }
}
