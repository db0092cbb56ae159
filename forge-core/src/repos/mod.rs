//! Repositories: what they are called, whose they are, who may see them.
//!
//! Invariant: a repository is its row number. Its name may change at any time, and its objects lie where the number
//! says, so a rename is one row. What is inside is [`crate::objects`].

mod ops;
mod store;

use serde::{Deserialize, Serialize};

pub use ops::Progress;
pub(crate) use ops::{Purpose, to_its_end};
pub use store::{Listing, RepoReads, RepoWrites};

use crate::clock::Timestamp;
use crate::ids::{RepoId, UserId};
use crate::names::{RepoName, RepoPath, UserName};
use crate::{Error, FieldError, Result};

/// Who can see a repository without being named in its access list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Everybody, and it is listed.
    Public,
    /// Everybody who knows its name.
    Unlisted,
    /// Nobody.
    Private,
}

impl Visibility {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Unlisted => "unlisted",
            Self::Private => "private",
        }
    }
}

impl std::str::FromStr for Visibility {
    type Err = Error;

    /// Reads the word on the wire, in any case.
    fn from_str(text: &str) -> Result<Self> {
        [Self::Public, Self::Unlisted, Self::Private]
            .into_iter()
            .find(|v| v.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| {
                Error::invalid(
                    "visibility",
                    "visibility must be public, unlisted or private",
                )
            })
    }
}

/// A user as others name one: number and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Row number.
    pub id: UserId,
    /// The name, without tilde.
    pub name: UserName,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// Row number.
    pub id: RepoId,
    /// When it was made.
    pub created: Timestamp,
    /// When its description, name, visibility, README or refs last changed.
    pub updated: Timestamp,
    /// Whose it is.
    pub owner: Owner,
    /// Its name, unique for the owner.
    pub name: RepoName,
    /// What it is for, in Markdown.
    pub description: Option<String>,
    /// Who can see it.
    pub visibility: Visibility,
}

impl Repository {
    /// Where it is found now.
    #[must_use]
    pub fn path(&self) -> RepoPath {
        RepoPath {
            owner: self.owner.name.clone(),
            name: self.name.clone(),
        }
    }
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepoOrRedirect {
    /// The repository of that name.
    Repository(Repository),
    /// A repository that had that name once, and where it is now.
    Moved(RepoPath),
}

/// A repository to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRepo {
    /// Its name.
    pub name: RepoName,
    /// What it is for; at most [`MAX_DESCRIPTION`] characters.
    pub description: Option<String>,
    /// Who can see it.
    pub visibility: Visibility,
}

/// A change of a repository; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepoChange {
    /// A new name; the old one keeps leading here until it is given to another repository.
    pub name: Option<RepoName>,
    /// A new description, or `Some(None)` for none.
    pub description: Option<Option<String>>,
    /// Who can see it from now on.
    pub visibility: Option<Visibility>,
    /// HTML to show instead of the README file, or `Some(None)` for the file again.
    pub readme: Option<Option<String>>,
}

/// The longest description, in characters.
pub const MAX_DESCRIPTION: usize = 1024;
/// The longest custom README, in bytes.
pub const MAX_README: usize = 1024 * 1024;

impl NewRepo {
    fn check(&self) -> Result<()> {
        check_description(self.description.as_deref())
    }
}

impl RepoChange {
    fn check(&self) -> Result<()> {
        check_description(self.description.iter().flatten().next().map(String::as_str))?;
        match self.readme.iter().flatten().next() {
            Some(readme) if readme.len() > MAX_README => Err(Error::Limit { what: "body" }),
            Some(readme) if readme.contains('\0') => {
                Err(Error::invalid("body", "body may not hold NUL characters"))
            }
            _ => Ok(()),
        }
    }
}

fn check_description(text: Option<&str>) -> Result<()> {
    let text = text.unwrap_or_default();
    let mut errors = Vec::new();
    let mut fault = |reason: &str| {
        errors.push(FieldError {
            field: Some("description"),
            reason: reason.to_owned(),
        });
    };
    if text.chars().count() > MAX_DESCRIPTION {
        fault("description must have at most 1024 characters");
    }
    // PostgreSQL cannot store it, and no terminal should see it.
    if text.contains('\0') {
        fault("description may not hold NUL characters");
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Error::Invalid(errors))
    }
}
