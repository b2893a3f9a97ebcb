//! An external program whose answer is kept in memory, up to a limit.
//! Promises that a program which writes more is stopped instead of read, and that input and output never wait for each
//! other.
//! Leaves what is run, and why, to the caller.

use std::io::{self, Read, Write};
use std::process::{Command, Output, Stdio};

/// This much of what a program says of itself is kept.
const MOST_WORDS: u64 = 64 << 10;

/// Runs it with the input; nothing when it wrote more than `most` bytes.
///
/// # Errors
/// When it cannot be run.
pub fn run(command: &mut Command, input: &str, most: u64) -> io::Result<Option<Output>> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(mut stdout), Some(mut stderr)) = pipes else {
        return Err(io::Error::other("the program has no pipes"));
    };
    let (mut answer, mut words) = (Vec::new(), Vec::new());
    let read = std::thread::scope(|scope| {
        // A program that ended early says why itself.
        scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
        let words = &mut words;
        scope.spawn(move || {
            drop(stderr.by_ref().take(MOST_WORDS).read_to_end(words));
            // It would stand still with a full pipe.
            drop(io::copy(&mut stderr, &mut io::sink()));
        });
        let read = stdout.by_ref().take(most + 1).read_to_end(&mut answer);
        if answer.len() as u64 > most {
            // It may have ended just now.
            drop(child.kill());
        }
        drop(stdout);
        read
    });
    let status = child.wait()?;
    read?;
    let is_whole = answer.len() as u64 <= most;
    Ok(is_whole.then_some(Output { status, stdout: answer, stderr: words }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        command
    }

    #[test]
    fn a_program_that_writes_without_end_is_stopped() {
        assert!(run(&mut shell("yes"), "", 1 << 20).unwrap().is_none());
        assert!(run(&mut shell("head -c 1000000 /dev/zero >&2; echo a"), "", 2).unwrap().is_some());
    }

    #[test]
    fn an_answer_as_long_as_the_limit_is_whole_and_input_longer_than_a_pipe_is_taken() {
        let input = "x".repeat(1 << 20);
        let output = run(&mut shell("cat"), &input, 1 << 20).unwrap().unwrap();
        assert!(output.stdout == input.as_bytes() && output.status.success());
        assert!(run(&mut shell("cat"), &input, (1 << 20) - 1).unwrap().is_none());
        assert!(run(&mut shell("exit 3"), &input, 10).unwrap().is_some_and(|output| output.status.code() == Some(3)));
    }
}
