//! Whole histories in their order, remembered, so that any page of one is found at once.
//!
//! Invariant: a remembered order belongs to one tip and never changes, whatever becomes of the commit-graph it was
//! computed with, which it keeps. The commits themselves are not kept.

use std::sync::Arc;

use ::gix::ObjectId;
use forge_core::objects::{Commit, Kind, Oid, Walk, WalkPage};
use forge_core::{Error, Result};
use moka::sync::Cache;

use super::walk::{Node, Nodes, Walker};
use super::{Reader, oid};

/// The commits of a page end before they weigh more than this together, in bytes.
const MAX_PAGE: usize = 8 << 20;

/// What reading a history came to.
pub(super) enum Answer<T> {
    Done(T),
    /// The whole history has to be computed for it.
    Costly,
}

/// A whole history.
pub(super) struct Order {
    nodes: Nodes,
    order: Vec<Node>,
}

impl Order {
    fn compute(reader: &Reader<'_>, tip: &ObjectId) -> Result<Self> {
        let mut walker = Walker::start(reader, tip)?;
        let mut order = Vec::new();
        while let Some(node) = walker.step()? {
            order.push(node);
        }
        order.shrink_to_fit();
        Ok(Self {
            nodes: walker.into_nodes(),
            order,
        })
    }

    fn weight(&self) -> u32 {
        let bytes = self.order.len() * size_of::<Node>() + self.nodes.weight() + size_of::<Self>();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    fn position(&self, id: &ObjectId) -> Option<usize> {
        let node = self.nodes.node(id)?;
        self.order.iter().position(|found| *found == node)
    }
}

/// The orders that are remembered, by handle and tip.
pub(super) struct Orders(Cache<(u64, ObjectId), Arc<Order>>);

impl Orders {
    pub(super) fn new(bytes: u64) -> Self {
        let cache = Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, order: &Arc<Order>| order.weight());
        Self(cache.build())
    }

    /// The order of a commit's history. If it may be computed, that is done once whoever asks at the same time.
    fn get(
        &self,
        reader: &Reader<'_>,
        tip: &ObjectId,
        compute: bool,
    ) -> Result<Answer<Arc<Order>>> {
        if !compute {
            return Ok(self.peek(reader, tip).map_or(Answer::Costly, Answer::Done));
        }
        let key = (reader.handle.serial, *tip);
        let compute = || Order::compute(reader, tip).map(Arc::new);
        let order = self.0.try_get_with(key, compute);
        order.map(Answer::Done).map_err(|e| (*e).clone())
    }

    fn peek(&self, reader: &Reader<'_>, tip: &ObjectId) -> Option<Arc<Order>> {
        self.0.get(&(reader.handle.serial, *tip))
    }
}

impl Reader<'_> {
    /// The id, if it is that of a commit.
    pub(super) fn tip(&self, id: Oid) -> Result<Option<ObjectId>> {
        let Some(id) = self.id(id) else {
            return Ok(None);
        };
        let header = self.header(&id)?;
        Ok(header.filter(|(kind, _)| *kind == Kind::Commit).map(|_| id))
    }

    /// How many commits the history has.
    pub(super) fn count(
        &self,
        orders: &Orders,
        tip: Oid,
        compute: bool,
    ) -> Result<Answer<Option<usize>>> {
        let Some(tip) = self.tip(tip)? else {
            return Ok(Answer::Done(None));
        };
        Ok(match orders.get(self, &tip, compute)? {
            Answer::Done(order) => Answer::Done(Some(order.order.len())),
            Answer::Costly => Answer::Costly,
        })
    }

    /// A page of the history.
    pub(super) fn walk(
        &self,
        orders: &Orders,
        walk: &Walk,
        compute: bool,
    ) -> Result<Answer<Option<WalkPage>>> {
        let Some(tip) = self.tip(walk.tip)? else {
            return Ok(Answer::Done(None));
        };
        let start = walk.start.filter(|start| *start != walk.tip);
        if start.is_none() && orders.peek(self, &tip).is_none() {
            let page = self.first_page(&tip, walk.count)?;
            return Ok(Answer::Done(Some(page)));
        }
        let Answer::Done(order) = orders.get(self, &tip, compute)? else {
            return Ok(Answer::Costly);
        };
        let start = match start {
            None => Some(0),
            Some(start) => self.id(start).and_then(|start| order.position(&start)),
        };
        let Some(rest) = start.and_then(|start| order.order.get(start..)) else {
            return Ok(Answer::Done(None));
        };
        let page = self.page(&order.nodes, rest, walk.count)?;
        Ok(Answer::Done(Some(page)))
    }

    /// Walks no further than the page needs.
    fn first_page(&self, tip: &ObjectId, count: usize) -> Result<WalkPage> {
        let mut walker = Walker::start(self, tip)?;
        let mut order = Vec::new();
        while order.len() <= count
            && let Some(node) = walker.step()?
        {
            order.push(node);
        }
        self.page(walker.nodes(), &order, count)
    }

    fn page(&self, nodes: &Nodes, order: &[Node], count: usize) -> Result<WalkPage> {
        let lost = || Error::internal("a node without a commit");
        let id = |node: &Node| nodes.id(*node).ok_or_else(lost);
        let (mut commits, mut weight) = (Vec::new(), 0);
        let mut buffer = Vec::new();
        for node in order.iter().take(count) {
            let commit: Commit = self.commit(&id(node)?, &mut buffer)?;
            weight += commit.weight();
            // The reader gets the rest on further pages; one commit it gets anyway, or it would not get on.
            if weight > MAX_PAGE && !commits.is_empty() {
                break;
            }
            commits.push(Arc::new(commit));
        }
        let next = order.get(commits.len());
        Ok(WalkPage {
            next: next.map(|node| oid(&id(node)?)).transpose()?,
            commits: commits.into(),
        })
    }
}
