//! Git's own client, and the stock `ssh`, against a forge on real sockets.
//!
//! Every row of the transports' checklists that a client can show is shown by one: clones and fetches over each way and
//! each version of the protocol, what HTTP and SSH look like on the wire, and who gets in where.
//!
//! Invariant: what is expected comes from git and from the sheets, never from the code under test.

mod access;
mod clone;
mod fetch;
mod hostile;
mod http;
mod oracle;
mod plugins;
mod push;
mod ssh;
