//! Three functions of the C library for mathematics, in Rust.
//! Promises what that promises, to the last digit but one. Without them the program would load `libm.so`, whose tables and
//! choices by processor are half a MiB of resident memory on every host.
//! Leaves everything else to the C library.

#![expect(
    unsafe_code,
    reason = "A symbol of a well-known name is how the compiler and the C library find a function, and sound: each takes \
              and returns numbers, as the function of the same name in C does, and calls nothing else."
)]

#[cfg(target_env = "gnu")]
mod symbols {
    // SAFETY: see the reason above; the signature is that of C.
    #[unsafe(no_mangle)]
    extern "C" fn exp(x: f64) -> f64 {
        libm::exp(x)
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    extern "C" fn log(x: f64) -> f64 {
        libm::log(x)
    }

    // SAFETY: as above.
    #[unsafe(no_mangle)]
    extern "C" fn pow(x: f64, y: f64) -> f64 {
        libm::pow(x, y)
    }

    /// The compiler calls them only after it has thrown out what nobody calls.
    #[used]
    static KEPT: (extern "C" fn(f64) -> f64, extern "C" fn(f64) -> f64, extern "C" fn(f64, f64) -> f64) =
        (exp, log, pow);
}

#[cfg(test)]
mod tests {
    use std::f64::consts::{E, LN_2};
    use std::hint::black_box;

    #[test]
    fn the_functions_answer_as_those_of_c_at_their_edges_and_between() {
        let (exp, log, pow) =
            (|x| f64::exp(black_box(x)), |x| f64::ln(black_box(x)), |x, y| f64::powf(black_box(x), y));
        let near = |a: f64, b: f64| (a - b).abs() <= b.abs() * 4.0 * f64::EPSILON;
        assert!(near(exp(1.0), E) && near(exp(-LN_2), 0.5) && near(log(E), 1.0) && near(log(2.0), LN_2));
        assert!(near(pow(2.0, 10.0), 1024.0) && near(pow(10.0, -0.5), 0.1_f64.sqrt()) && near(pow(0.3, 4.0), 0.0081));
        assert_eq!((exp(f64::NEG_INFINITY), exp(800.0), pow(0.0, 0.0)), (0.0, f64::INFINITY, 1.0));
        assert!(log(0.0) == f64::NEG_INFINITY && log(-1.0).is_nan() && pow(-8.0, 0.5).is_nan());
    }
}
