//! Walking a history by committer time.
//!
//! Invariant: the order is that of `git rev-list` without options: of the commits whose children were all passed or
//! never seen, the newest is next, and of equally new ones the one that was met first. Each commit comes once. It
//! depends on the commits alone, not on which of them a commit-graph knows.
//!
//! Commits are small numbers here: positions in the commit-graph, and above those the places in a table of the commits
//! that the graph does not know. A graph is closed (it holds the parents of all its commits), so once a line of
//! history has reached it, no object is read any more.

use std::collections::BinaryHeap;
use std::sync::Arc;

use ::gix::ObjectId;
use ::gix::commitgraph::{Graph, Position};
use ::gix::hashtable::HashMap;
use forge_core::objects::Kind;
use forge_core::{Error, Result};

use super::objects::check_size;
use super::{Reader, fault};
use crate::decode::{self, Links};

/// A commit: a position in the graph, or a place in the table plus the number of commits in the graph.
pub(super) type Node = u32;

/// Which commit each node is.
pub(super) struct Nodes {
    graph: Option<Arc<Graph>>,
    /// How many nodes are positions in the graph.
    known: u32,
    /// The others.
    table: Vec<ObjectId>,
}

impl Nodes {
    fn new(graph: Option<Arc<Graph>>) -> Self {
        Self {
            known: graph.as_ref().map_or(0, |graph| graph.num_commits()),
            graph,
            table: Vec::new(),
        }
    }

    pub(super) fn id(&self, node: Node) -> Option<ObjectId> {
        match (&self.graph, node.checked_sub(self.known)) {
            (_, Some(place)) => self.table.get(place as usize).copied(),
            (Some(graph), None) => Some(graph.id_at(Position(node)).to_owned()),
            (None, None) => None,
        }
    }

    /// The node of a commit, whether or not it was walked over.
    pub(super) fn node(&self, id: &ObjectId) -> Option<Node> {
        if let Some(position) = self.graph.as_ref().and_then(|graph| graph.lookup(id)) {
            return Some(position.0);
        }
        let place = self.table.iter().position(|found| found == id)?;
        Some(self.known + u32::try_from(place).ok()?)
    }

    /// About how much memory the table takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.table.capacity() * size_of::<ObjectId>()
    }
}

/// A commit that was met and not yet passed. The greatest is next.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Met {
    /// The time, and below it the turn, counted down: one comparison, since a walk does little else.
    key: u64,
    node: Node,
    /// Its parents in the graph, which are read along with its time; [`MANY`] first if it is to be asked for them.
    parents: [Node; 2],
}

/// How many bits of a key tell the turn; a commit-graph holds 34 of the time.
const TURN_BITS: u32 = 30;
/// In the place of the first parent if there are more than two, or none of them is a position.
const MANY: Node = u32::MAX - 1;
/// In the place of a parent that there is none of.
const NO_PARENT: Node = u32::MAX;

/// A walk that has got somewhere.
pub(super) struct Walker<'a> {
    reader: &'a Reader<'a>,
    nodes: Nodes,
    ahead: BinaryHeap<Met>,
    turn: u32,
    /// A bit for each commit of the graph.
    seen: Vec<u64>,
    /// The places of the others, and the parents of those that are ahead.
    places: HashMap<ObjectId, Node>,
    parents: Vec<Vec<ObjectId>>,
    buffer: Vec<u8>,
}

impl<'a> Walker<'a> {
    /// A walk that starts with a commit, which must exist.
    pub(super) fn start(reader: &'a Reader<'a>, tip: &ObjectId) -> Result<Self> {
        let nodes = Nodes::new(reader.handle.graph.get());
        let mut walker = Self {
            reader,
            seen: vec![0; nodes.known.div_ceil(u64::BITS) as usize],
            nodes,
            ahead: BinaryHeap::new(),
            turn: 0,
            places: HashMap::default(),
            parents: Vec::new(),
            buffer: Vec::new(),
        };
        walker.meet(tip)?;
        Ok(walker)
    }

    /// The next commit.
    pub(super) fn step(&mut self) -> Result<Option<Node>> {
        let Some(Met { node, parents, .. }) = self.ahead.pop() else {
            return Ok(None);
        };
        match node.checked_sub(self.nodes.known) {
            None => {
                // Counting another holder of the graph for each commit would cost as much as the rest of the step.
                let graph = self.nodes.graph.take();
                let met = match &graph {
                    Some(graph) => self.meet_parents_in_graph(graph, node, parents),
                    None => Ok(()),
                };
                self.nodes.graph = graph;
                met?;
            }
            Some(place) => {
                let parents = self.parents.get_mut(place as usize);
                for parent in parents.map(std::mem::take).unwrap_or_default() {
                    self.meet(&parent)?;
                }
            }
        }
        Ok(Some(node))
    }

    pub(super) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    pub(super) fn into_nodes(self) -> Nodes {
        self.nodes
    }

    fn meet(&mut self, id: &ObjectId) -> Result<()> {
        if let Some(graph) = self.nodes.graph.clone()
            && let Some(position) = graph.lookup(id)
        {
            return self.meet_in_graph(&graph, position);
        }
        if self.places.contains_key(id) {
            return Ok(());
        }
        let Links { parents, time } = self.links(id)?;
        let place = u32::try_from(self.nodes.table.len()).ok();
        let node = place.and_then(|place| self.nodes.known.checked_add(place));
        let node = node.ok_or_else(|| Error::internal("a history with too many commits"))?;
        let parents = parents.into_iter().map(|id| self.reader.id(id));
        let parents: Option<Vec<_>> = parents.collect();
        self.parents
            .push(parents.ok_or_else(|| Error::internal("a parent of another hash's id"))?);
        self.nodes.table.push(*id);
        self.places.insert(*id, node);
        self.push(time, node, [MANY; 2])
    }

    fn links(&mut self, id: &ObjectId) -> Result<Links> {
        match self.reader.read(id, &mut self.buffer)? {
            Some(Kind::Commit) => {
                check_size(Kind::Commit, self.buffer.len() as u64)?;
                decode::links(&self.buffer)
            }
            _ => Err(Error::internal(format!(
                "a history without its commit {id}"
            ))),
        }
    }

    fn meet_parents_in_graph(
        &mut self,
        graph: &Graph,
        node: Node,
        parents: [Node; 2],
    ) -> Result<()> {
        if parents[0] != MANY {
            for parent in parents.into_iter().filter(|parent| *parent != NO_PARENT) {
                self.meet_in_graph(graph, Position(parent))?;
            }
            return Ok(());
        }
        for parent in graph.commit_at(Position(node)).iter_parents() {
            self.meet_in_graph(graph, parent.map_err(fault)?)?;
        }
        Ok(())
    }

    fn meet_in_graph(&mut self, graph: &Graph, position: Position) -> Result<()> {
        let (word, bit) = (position.0 / u64::BITS, 1 << (position.0 % u64::BITS));
        let word = self.seen.get_mut(word as usize);
        // The last word has bits for positions that do not exist, too.
        let word = word.filter(|_| position.0 < self.nodes.known);
        let word = word.ok_or_else(|| Error::internal("a commit-graph names what it has not"))?;
        if *word & bit == 0 {
            *word |= bit;
            let commit = graph.commit_at(position);
            let time = commit.committer_timestamp();
            let mut parents = [NO_PARENT; 2];
            for (which, parent) in commit.iter_parents().enumerate() {
                match parents.get_mut(which) {
                    Some(place) => *place = parent.map_err(fault)?.0,
                    // So many are rare enough to be read again.
                    None => {
                        parents[0] = MANY;
                        break;
                    }
                }
            }
            self.push(time, position.0, parents)?;
        }
        Ok(())
    }

    fn push(&mut self, time: u64, node: Node, parents: [Node; 2]) -> Result<()> {
        let left = (1 << TURN_BITS) - 1 - u64::from(self.turn);
        if left == 0 {
            return Err(Error::internal("a history with too many commits"));
        }
        self.turn += 1;
        let newest = u64::MAX >> TURN_BITS;
        let key = time.min(newest) << TURN_BITS | left;
        self.ahead.push(Met { key, node, parents });
        Ok(())
    }
}
