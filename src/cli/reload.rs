//! `datalake-agent reload`: asks the running agent to read its configuration again, waits, and says what became of it.
//! Promises an exit code for each outcome, and to signal nobody but an agent of the state folder's owner. Leaves the reload
//! to the agent.

use super::complain;
use crate::app::{Outcome, Record};
use crate::checkpoint;
use crate::config;
use crate::exit::Exit;
use datalake_base::shown::shown;
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the outcome is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Asks, and waits for the outcome as long as `patience`.
#[must_use]
pub fn reload(config: &Path, patience: Duration, out: &mut dyn Write) -> Exit {
    let plan = match config::load(config) {
        Ok(plan) => plan,
        Err(report) => {
            complain(&format!("{report}datalake-agent: the running agent was not asked, and goes on as before\n"));
            return Exit::Configuration;
        }
    };
    let state = &plan.state_directory;
    let holder = match checkpoint::holder(state) {
        Ok(holder) => holder,
        Err(error) => {
            complain(&format!(
                "datalake-agent: the state folder {} cannot be read: {error}; run this as the user of the agent or as root\n",
                shown(state)
            ));
            return Exit::InputOutput;
        }
    };
    let Some(pid) = holder else {
        complain(&format!(
            "datalake-agent: no agent runs with the state folder {}; start it, or, if `stateDirectory` was changed, restart it\n",
            shown(state)
        ));
        return Exit::NotDelivered;
    };
    let known = Record::read(state);
    let before = if known.pid == pid { known.begun } else { 0 };
    let asked = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH);
    if let Err(error) = asked.and_then(|pid| kill_process(pid, Signal::HUP)) {
        complain(&format!(
            "datalake-agent: the agent (pid {pid}) cannot be asked: {error}; run this as its user or as root\n"
        ));
        return Exit::NotDelivered;
    }
    let deadline = Instant::now() + patience;
    loop {
        let record = Record::read(state);
        if record.pid == pid
            && record.ended > before
            && let Some(outcome) = &record.outcome
        {
            return said(outcome, out);
        }
        if checkpoint::holder(state).ok().flatten() != Some(pid) {
            complain("datalake-agent: the agent ended meanwhile; its log says why\n");
            return Exit::NotDelivered;
        }
        if Instant::now() > deadline {
            complain(&format!(
                "datalake-agent: no outcome within {} s; the log of the agent says how it goes on\n",
                patience.as_secs()
            ));
            return Exit::NotDelivered;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn said(outcome: &Outcome, out: &mut dyn Write) -> Exit {
    if !outcome.applied {
        complain(&format!("{}\n", outcome.reason.trim_end()));
        complain("datalake-agent: the new configuration is not applied, and the agent goes on with the one it has\n");
        return if outcome.exit == Exit::Configuration.code() { Exit::Configuration } else { Exit::NotDelivered };
    }
    let mut text = String::from("the new configuration is applied\n");
    for (what, flows) in [
        ("added", &outcome.added),
        ("removed", &outcome.removed),
        ("changed", &outcome.changed),
        ("restarted", &outcome.restarted),
    ] {
        for flow in flows {
            text.push_str(&format!("{what:<10} {}\n", shown(flow.as_str())));
        }
    }
    text.push_str(&format!("unchanged  {}\n", outcome.unchanged));
    out.write_all(text.as_bytes()).ok();
    Exit::Success
}
