//! `datalake serve`: the page about the lake, on loopback.
//! Promises that the first line on the standard output is its address.
//! Leaves the page to `serve`.

use super::{print, say};
use crate::Exit;
use crate::config::Lake;
use crate::schema::protos;
use crate::serve::Server;
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 8380)]
    port: u16,
}

pub(super) fn run(command: &Serve, lake: &Lake) -> Result<(), Exit> {
    let schema = protos::compile(lake)?;
    let server = Server::bind(lake, &schema, command.port)?;
    print(format!("http://127.0.0.1:{}\n", server.port()).as_bytes())?;
    say("the page about the lake; Ctrl-C stops");
    server.run();
    Ok(())
}
