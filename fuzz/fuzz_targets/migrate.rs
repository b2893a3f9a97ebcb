#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    datalake_agent::migrate::checkpoints::fuzz(folder.path(), bytes);
});
