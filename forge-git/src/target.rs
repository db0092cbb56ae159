//! Which repository a client means: a path may stand for two names, with `.git` at its end or without.
//!
//! Invariant: the access decision is [`Caller::objects`] or [`Caller::push_to`], made for each name anew, and what there is
//! goes before what could be made. How a refusal is worded is the transports' affair.

use forge_core::{Caller, Error, Objects, PushTarget, RepoPath};

/// Why somebody gets nothing.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is called so now.
    Moved(RepoPath),
    By(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::By(error)
    }
}

/// What may be fetched.
pub(crate) async fn to_fetch(caller: &Caller, names: &[RepoPath]) -> Result<Objects, Refused> {
    for name in names {
        match caller.objects(name).await {
            Ok(objects) => return Ok(objects),
            Err(Error::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(missing(caller, names).await)
}

/// What may be pushed to.
pub(crate) async fn to_push(caller: &Caller, names: &[RepoPath]) -> Result<PushTarget, Refused> {
    let (mut new, mut is_missing) = (None, false);
    for name in names {
        match caller.push_to(name).await {
            Ok(target @ PushTarget::Repo(_)) => return Ok(target),
            // What there is goes before what could be made; and that is called by the last of the names, the one
            // without `.git`.
            Ok(target @ PushTarget::New(_)) => new = Some(target),
            // Another name may be there; but nothing is made where one leads elsewhere.
            Err(Error::NotFound) => is_missing = true,
            Err(error) => return Err(error.into()),
        }
    }
    match new.filter(|_| !is_missing) {
        Some(target) => Ok(target),
        None => Err(missing(caller, names).await),
    }
}

/// What is said of a repository that is not there, or not for this caller.
async fn missing(caller: &Caller, names: &[RepoPath]) -> Refused {
    for name in names {
        match caller.moved(name).await {
            Ok(Some(to)) => return Refused::Moved(to),
            Ok(None) => {}
            Err(error) => return error.into(),
        }
    }
    Error::NotFound.into()
}
