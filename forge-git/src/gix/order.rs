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
use super::{Reader, object_id, oid};

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

    pub(super) fn len(&self) -> usize {
        self.order.len()
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

    /// The order of a commit's history, computed once whoever asks at the same time.
    pub(super) fn get(&self, reader: &Reader<'_>, tip: &ObjectId) -> Result<Arc<Order>> {
        let key = (reader.handle.serial, *tip);
        let compute = || Order::compute(reader, tip).map(Arc::new);
        let order = self.0.try_get_with(key, compute);
        order.map_err(|e| (*e).clone())
    }

    fn peek(&self, reader: &Reader<'_>, tip: &ObjectId) -> Option<Arc<Order>> {
        self.0.get(&(reader.handle.serial, *tip))
    }
}

impl Reader<'_> {
    /// The id, if it is that of a commit.
    pub(super) fn tip(&self, id: Oid) -> Result<Option<ObjectId>> {
        let Some(id) = object_id(id) else {
            return Ok(None);
        };
        let header = self.header(&id)?;
        Ok(header.filter(|(kind, _)| *kind == Kind::Commit).map(|_| id))
    }

    pub(super) fn walk(&self, orders: &Orders, walk: &Walk) -> Result<Option<WalkPage>> {
        let Some(tip) = self.tip(walk.tip)? else {
            return Ok(None);
        };
        let start = walk.start.filter(|start| *start != walk.tip);
        if start.is_none() && orders.peek(self, &tip).is_none() {
            return self.first_page(&tip, walk.count).map(Some);
        }
        let order = orders.get(self, &tip)?;
        let start = match start {
            None => Some(0),
            Some(start) => object_id(start).and_then(|start| order.position(&start)),
        };
        let Some(rest) = start.and_then(|start| order.order.get(start..)) else {
            return Ok(None);
        };
        self.page(&order.nodes, rest, walk.count).map(Some)
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
        let mut buffer = Vec::new();
        let commits = order.iter().take(count).map(|node| {
            let commit = self.commit(&id(node)?, &mut buffer)?;
            Ok(Arc::new(commit))
        });
        Ok(WalkPage {
            commits: commits.collect::<Result<Vec<Arc<Commit>>>>()?.into(),
            next: order.get(count).map(|n| oid(&id(n)?)).transpose()?,
        })
    }
}
