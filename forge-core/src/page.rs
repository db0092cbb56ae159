//! Pages of lists that are ordered by row number, newest first (seed 000, "Lists").
//!
//! Invariant: walking `next` from page to page visits each row that exists all the while exactly once.
//! It does not page git history: see [`crate::objects::Walk`].

/// How many entries a page of the REST API holds.
pub const PAGE_SIZE: u64 = 50;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The highest row number to include; `None` starts with the newest.
    pub start: Option<i64>,
    /// The most entries to return.
    pub size: u64,
}

impl Page {
    /// No entries: how many there are is all that is wanted.
    pub const COUNT: Self = Self {
        start: None,
        size: 0,
    };
}

impl Default for Page {
    fn default() -> Self {
        Self {
            start: None,
            size: PAGE_SIZE,
        }
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paged<T> {
    /// The entries, newest first.
    pub results: Vec<T>,
    /// The row number with which the next page starts; `None` on the last page.
    pub next: Option<i64>,
    /// How many entries the whole list has, wherever this page starts.
    pub total: u64,
}

impl<T> Paged<T> {
    /// Makes a page of rows read newest first, one more than the page's size if there are more.
    pub fn of(mut rows: Vec<T>, page: Page, total: u64, id: impl Fn(&T) -> i64) -> Self {
        let size = usize::try_from(page.size).unwrap_or(usize::MAX);
        let next = rows.get(size).map(id);
        rows.truncate(size);
        Self {
            results: rows,
            next,
            total,
        }
    }

    /// The same page with each entry translated.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Paged<U> {
        Paged {
            results: self.results.into_iter().map(f).collect(),
            next: self.next,
            total: self.total,
        }
    }
}
