//! Fetches: what the client asks for, and `git upload-pack` behind it.

use forge_core::access::Objects;
use forge_core::{Error, Result};

use crate::permits::Client;
use crate::transport::{Input, Output, Transport, Version};

/// Writes what `info/refs` answers.
pub(crate) async fn advertise(
    _transport: &Transport,
    _objects: &Objects,
    _version: Version,
    _output: Output,
) -> Result<()> {
    Err(Error::internal("not built yet"))
}

/// Answers one stateless request.
pub(crate) async fn request(
    _transport: &Transport,
    _objects: &Objects,
    _client: Client,
    _version: Version,
    _input: Input,
    _output: Output,
) -> Result<()> {
    Err(Error::internal("not built yet"))
}

/// Serves a connection to its end; the exit code for the client.
pub(crate) async fn session(
    _transport: &Transport,
    _objects: &Objects,
    _client: Client,
    _version: Version,
    _input: Input,
    _output: Output,
    _messages: Output,
) -> Result<u32> {
    Err(Error::internal("not built yet"))
}

/// `git archive --remote`; the exit code for the client.
pub(crate) async fn archive(
    _transport: &Transport,
    _objects: &Objects,
    _client: Client,
    _input: Input,
    _output: Output,
    _messages: Output,
) -> Result<u32> {
    Err(Error::internal("not built yet"))
}
