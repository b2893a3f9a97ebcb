#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| datalake_archive::fuzz::archive(bytes));
