#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| datalake_core::framing::fuzz(bytes, std::time::Instant::now()));
