//! The tree of an expression, kept flat: nodes name their children by index, so that dropping or cloning a tree
//! never recurses, however deep a hostile expression is.

use super::functions::Function;
use super::lexer::Binary;
use super::value::Value;
use std::ops::Range;

pub(super) type NodeId = usize;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    /// Byte offsets in the expression's text.
    pub(super) range: Range<usize>,
    /// 1 for a leaf, one more than the deepest child else; bounded by the parser.
    pub(super) depth: usize,
}

#[derive(Clone, Debug)]
pub(super) enum NodeKind {
    Literal(Value),
    /// In lower case.
    Context(String),
    /// `*`, only as an index.
    Wildcard,
    Index(NodeId, NodeId),
    Not(NodeId),
    /// `a && b && c` is one node, as is `a || b || c`.
    And(Vec<NodeId>),
    Or(Vec<NodeId>),
    /// Any operator but `&&` and `||`.
    Compare(Binary, NodeId, NodeId),
    Call(Function, Vec<NodeId>),
}

impl NodeKind {
    pub(super) fn children(&self) -> Vec<NodeId> {
        match self {
            NodeKind::Literal(_) | NodeKind::Context(_) | NodeKind::Wildcard => Vec::new(),
            NodeKind::Not(operand) => vec![*operand],
            NodeKind::Index(left, right) | NodeKind::Compare(_, left, right) => vec![*left, *right],
            NodeKind::And(operands) | NodeKind::Or(operands) | NodeKind::Call(_, operands) => {
                operands.clone()
            }
        }
    }
}

/// All nodes of one expression; the last one is its root.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    pub(super) root: NodeId,
}

impl Tree {
    /// An id that this tree does not hold (there is none from its own parser) reads as null.
    pub(super) fn node(&self, id: NodeId) -> &Node {
        const NOTHING: &Node = &Node {
            kind: NodeKind::Literal(Value::Null),
            range: 0..0,
            depth: 1,
        };
        self.nodes.get(id).unwrap_or(NOTHING)
    }
}
