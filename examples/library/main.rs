//! Builds and tests a C program in a machine that sees its sources but cannot change them, and says what happens as it
//! happens. `cargo run --example library`

#![expect(clippy::print_stdout, reason = "a program tells what it does")]

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use smolvm::{ExecSpec, Machine, MachineConfig, MountSpec};

const SOURCE: &str = "#include <stdio.h>\nint main(void) { int sum = 0, n; while (scanf(\"%d\", &n) == 1) sum += n; printf(\"%d\\n\", sum); return 0; }\n";

fn main() -> ExitCode {
    // First of all: shares and disks of a machine are served by children that are this program.
    if let Some(code) = smolvm::serve_child() {
        return code;
    }
    let folder = std::env::temp_dir().join(format!("library-example-{}", std::process::id()));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be had");
    let outcome = runtime.block_on(build(&folder));
    // What cannot be removed is left: there is nothing more to do about it.
    drop(std::fs::remove_dir_all(&folder));
    match outcome {
        Ok(sum) => {
            println!("the machine says {sum}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Builds a program that adds numbers, from a source that is made in this folder, and gives what it says.
pub(crate) async fn build(folder: &Path) -> Result<String, Box<dyn Error>> {
    let (sources, output) = (folder.join("src"), folder.join("out"));
    std::fs::create_dir_all(&sources)?;
    std::fs::create_dir_all(&output)?;
    std::fs::write(sources.join("sum.c"), SOURCE)?;

    let machine = Machine::create(MachineConfig {
        mounts: vec![MountSpec::new(&sources, "/code").read_only(), MountSpec::new(&output, "/output")],
        memory_mib: Some(512),
        working_dir: Some("/code".to_owned()),
        ..MachineConfig::new("library-example")
    })
    .await?;
    machine.start().await?;

    // A command whose output is shown as it comes.
    let mut compiler = machine.spawn(["sh", "-c", "echo compiling; cc -Wall -o /output/sum sum.c"]).await?;
    while let Some(piece) = compiler.next().await {
        std::io::stdout().write_all(&piece.bytes)?;
    }
    let exit_code = compiler.wait().await?;
    assert_eq!(exit_code, 0, "the compiler failed");

    // One that is given input, and not more than ten seconds.
    let sum = machine
        .exec(ExecSpec {
            stdin: Some(b"20 21 1\n".to_vec()),
            timeout: Some(Duration::from_secs(10)),
            ..ExecSpec::from(["/output/sum"])
        })
        .await?;
    // And one that cannot do what it tries.
    let refused = machine.exec(["sh", "-c", "echo '' > /code/sum.c"]).await?;
    println!("writing to the sources: {}", refused.stderr_text().trim());
    assert!(!refused.success(), "the sources cannot be written");
    machine.stop().await?;
    Ok(sum.stdout_text().trim().to_owned())
}
