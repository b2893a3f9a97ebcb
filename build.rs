//! What `--version` says about the build: commit, its date, target, features.
//! Promises the same text for the same sources. Leaves builds of a package without Git, and builds for development, at
//! "unknown": there the text must not make each commit a reason to build again.

use std::process::Command;

fn main() {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let is_release = variable("PROFILE").is_some_and(|profile| profile == "release");
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|text| !text.is_empty())
    };
    let asked = |given: &str, arguments: &[&str]| {
        variable(given).or_else(|| is_release.then(|| git(arguments)).flatten()).unwrap_or_else(|| "unknown".to_owned())
    };
    let features: Vec<&str> =
        [("CARGO_FEATURE_JQ", "jq")].into_iter().filter_map(|(given, name)| variable(given).map(|_| name)).collect();
    let features = if features.is_empty() { "none".to_owned() } else { features.join(", ") };
    for (name, value) in [
        ("DATALAKE_COMMIT", asked("DATALAKE_BUILD_COMMIT", &["rev-parse", "--short=12", "HEAD"])),
        ("DATALAKE_DATE", asked("DATALAKE_BUILD_DATE", &["log", "-1", "--format=%cs"])),
        ("DATALAKE_TARGET", variable("TARGET").unwrap_or_default()),
        ("DATALAKE_FEATURES", features),
    ] {
        println!("cargo::rustc-env={name}={value}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=DATALAKE_BUILD_COMMIT");
    println!("cargo::rerun-if-env-changed=DATALAKE_BUILD_DATE");
    if is_release && let Some(head) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={head}");
    }
}
