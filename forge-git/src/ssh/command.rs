//! What a client's command does, and what it is told if that is nothing.
//!
//! Invariant: the access decision is [`Caller::objects`] or [`Caller::push_to`], and no byte of a repository is read
//! before it. When the future of a command is dropped, its client is gone: a fetch ends there and then, a push in a task
//! of its own, at the next point where it can. Connections are not known here; neither is how a client proved who it is.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use forge_core::{Caller, Error, Objects, PushTarget, RepoPath, Result, Stop};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::exec::{Exec, Program};
use super::pipes::{Cut, Messages, Pipes};
use crate::permits::Client;
use crate::target::{self, Refused};
use crate::transport::{Input, Output, Transport, Version};
use crate::upload_pack::Source;
use crate::{receive_pack, words};

/// The exit code of what was not done: git's own for a fatal error.
pub(super) const REFUSED: u32 = 128;

impl Transport {
    /// Does what an SSH client asks for, on behalf of an SSH server that is not this one: OpenSSH with a forced
    /// command, for example. `command` is its `SSH_ORIGINAL_COMMAND`, `git_protocol` its `GIT_PROTOCOL`; the answer is
    /// the exit code. Dropping the future says that the client is gone.
    pub async fn serve_command(
        &self,
        caller: Caller,
        command: &str,
        git_protocol: Option<&str>,
        stdin: impl AsyncRead + Send + Unpin + 'static,
        stdout: impl AsyncWrite + Send + Unpin + 'static,
        stderr: impl AsyncWrite + Send + Unpin + 'static,
    ) -> u32 {
        let pipes = Pipes {
            input: Box::new(stdin),
            output: Box::new(stdout),
            messages: Messages::new(stderr),
        };
        let guest = Guest {
            transport: self.clone(),
            caller,
            address: None,
            url: None,
            working: None,
        };
        let version = git_protocol.map(Version::parse).unwrap_or_default();
        guest.run(command.as_bytes(), version, pipes).await
    }
}

/// Somebody who was let in to this server, but not yet to any repository.
pub(super) struct Guest {
    pub(super) transport: Transport,
    pub(super) caller: Caller,
    pub(super) address: Option<IpAddr>,
    /// Where this server is reached, for notices.
    pub(super) url: Option<Arc<str>>,
    /// Held by what outlives its connection, for as long as it runs.
    pub(super) working: Option<mpsc::Sender<Infallible>>,
}

impl Guest {
    /// Runs a command to its end; its exit code.
    pub(super) async fn run(self, command: &[u8], version: Version, pipes: Pipes) -> u32 {
        let messages = pipes.messages.clone();
        match self.serve(command, version, pipes).await {
            Ok(code) => code,
            Err(why) => {
                tell(messages, &why).await;
                REFUSED
            }
        }
    }

    /// The exit code, or the line that says why there is nothing.
    async fn serve(self, command: &[u8], version: Version, pipes: Pipes) -> Result<u32, String> {
        if command.trim_ascii().is_empty() {
            return Err(self.greeting());
        }
        let Some(Exec { program, names }) = Exec::parse(command) else {
            return Err("this command is not offered here; git fetch, push and archive are".into());
        };
        let Pipes {
            input,
            output,
            messages,
        } = pipes;
        let transport = &self.transport;
        let done = match program {
            Program::UploadPack => {
                let (objects, client) = self.objects(&names).await?;
                let messages = Box::new(messages);
                let source = Source::new(transport, &objects, client);
                let source = source.map_err(|error| words::of(&error))?;
                source.session(version, input, output, messages).await
            }
            Program::UploadArchive => {
                let (objects, client) = self.objects(&names).await?;
                let messages = Some(Box::new(messages) as Output);
                let source = Source::new(transport, &objects, client);
                let source = source.map_err(|error| words::of(&error))?;
                source.archive(input, output, messages).await
            }
            Program::ReceivePack => {
                let target = self.target(&names).await?;
                self.receive(target, input, output).await.map(|()| 0)
            }
        };
        done.map_err(|error| words::of(&error))
    }

    fn greeting(&self) -> String {
        let name = match self.caller.user() {
            Ok(user) => format!(" {}", user.name.canonical()),
            Err(_) => String::new(),
        };
        format!("Hi{name}! You are authenticated, but this forge offers no shell.")
    }

    /// What may be fetched, and for whom.
    async fn objects(&self, names: &[RepoPath]) -> Result<(Objects, Client), String> {
        let found = target::to_fetch(&self.caller, names).await;
        let objects = found.map_err(|refused| self.worded(&refused))?;
        objects.note_key_use().await;
        let client = Client::of(objects.actor(), self.address);
        Ok((objects, client))
    }

    /// What may be pushed to.
    async fn target(&self, names: &[RepoPath]) -> Result<PushTarget, String> {
        let found = target::to_push(&self.caller, names).await;
        let target = found.map_err(|refused| self.worded(&refused))?;
        if let PushTarget::Repo(repo) = &target {
            repo.note_key_use().await;
        }
        Ok(target)
    }

    async fn receive(&self, target: PushTarget, input: Input, output: Output) -> Result<()> {
        let gone = Stop::new();
        let _ends = Ends(gone.clone());
        let (transport, working) = (self.transport.clone(), self.working.clone());
        let client = Client::of(target.actor(), self.address);
        let push = tokio::spawn(async move {
            let input = Box::new(Cut::new(input, &gone));
            let mut output: Output = Box::new(Cut::new(output, &gone));
            receive_pack::advertise(&transport, &target, &mut output).await?;
            let done = receive_pack::receive(&transport, target, client, input, output, gone).await;
            drop(working);
            done
        });
        push.await.map_err(Error::internal)?
    }

    /// What a client is told that gets nothing.
    fn worded(&self, refused: &Refused) -> String {
        match refused {
            Refused::Moved(to) => words::line(self.moved(to).as_bytes()),
            Refused::By(error) => words::of(error),
        }
    }

    fn moved(&self, to: &RepoPath) -> String {
        match &self.url {
            Some(url) => words::moved(&format!("{url}{to}"), to),
            None => words::moved(&to.to_string(), to),
        }
    }
}

/// Gives its signal when it is dropped.
struct Ends(Stop);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Says one line. Who does not listen any more is not told.
pub(super) async fn tell(mut messages: Messages, line: &str) {
    let told = async {
        messages.write_all(format!("{line}\n").as_bytes()).await?;
        messages.flush().await
    };
    if let Err(error) = told.await {
        tracing::debug!(%error, "a client left before it was told why");
    }
}
