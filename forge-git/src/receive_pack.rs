//! Pushes.

use forge_core::{Error, PushTarget, Result, Stop};

use crate::permits::Client;
use crate::transport::{Input, Output, Transport};

/// Writes what may be pushed to.
pub(crate) async fn advertise(
    _transport: &Transport,
    _target: &PushTarget,
    _output: &mut Output,
) -> Result<()> {
    Err(Error::internal("not built yet"))
}

/// Does a push, from its commands to its report.
pub(crate) async fn receive(
    _transport: &Transport,
    _target: PushTarget,
    _client: Client,
    _input: Input,
    _output: Output,
    _gone: Stop,
) -> Result<()> {
    Err(Error::internal("not built yet"))
}
