//! Tokens into a tree: operator precedence with stacks of its own, so that no nesting exhausts the program's.

use super::ast::{Node, NodeId, NodeKind, Tree};
use super::functions::{self, Function};
use super::lexer::{self, Binary, Token, TokenKind};
use super::value::Value;
use super::{Allowed, ExprError, ExprErrorKind, Fault};
use std::ops::Range;

const CHARACTERS_MAX: usize = 21_000;
const DEPTH_MAX: usize = 50;

/// Every name that is not allowed is an error of its own; the first fault of syntax ends the list.
pub(super) fn parse(text: &str, allowed: Option<&Allowed>) -> Result<Tree, Vec<ExprError>> {
    if text.chars().count() > CHARACTERS_MAX {
        let message = "Exceeded max expression length 21,000";
        return Err(vec![ExprError::new(ExprErrorKind::Parsing, message)]);
    }
    let tokens = lexer::tokens(text).map_err(|error| vec![error])?;
    let mut parser = Parser {
        text,
        allowed,
        tree: Tree::default(),
        operands: Vec::new(),
        operators: Vec::new(),
        expects: Expects::Value,
        errors: Vec::new(),
    };
    match parser.run(&tokens) {
        Ok(root) if parser.errors.is_empty() => Ok(Tree { root, ..parser.tree }),
        Ok(_) => Err(parser.errors),
        Err(error) => {
            parser.errors.push(error);
            Err(parser.errors)
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    allowed: Option<&'a Allowed<'a>>,
    tree: Tree,
    operands: Vec<Operand>,
    operators: Vec<Operator>,
    expects: Expects,
    errors: Vec<ExprError>,
}

struct Operand {
    id: NodeId,
    /// With the parentheses around it.
    range: Range<usize>,
}

enum Operator {
    Not(usize),
    Binary(Binary),
    Group(usize),
    Index,
    Call {
        function: Function,
        name: Range<usize>,
        arguments: usize,
    },
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expects {
    Value,
    /// A value or the `)` of a call without arguments.
    FirstArgument,
    /// A value or `*`.
    Index,
    /// A name or `*`.
    Property,
    /// The `(` after a function's name.
    Parameters,
    /// The `]` after `[*`.
    IndexEnd,
    /// An operator, after something that an index can follow.
    Continuation,
    /// An operator, after a literal.
    Operator,
}

impl Parser<'_> {
    fn run(&mut self, tokens: &[Token]) -> Result<NodeId, ExprError> {
        for token in tokens {
            self.push(token)?;
        }
        let Some(last) = tokens.last() else {
            return Err(ExprError::new(
                ExprErrorKind::Parsing,
                "An expression was expected",
            ));
        };
        let complete = matches!(self.expects, Expects::Continuation | Expects::Operator);
        if !complete || self.operators.iter().any(is_open) {
            let range = last.start..last.end;
            let what = "Unexpected end of expression";
            return Err(ExprError::located(ExprErrorKind::Parsing, what, self.text, range));
        }
        self.reduce(0);
        let root = self.operands.pop().map(|operand| operand.id).unwrap_or_default();
        if self.tree.node(root).depth > DEPTH_MAX {
            return Err(ExprError::new(
                ExprErrorKind::Parsing,
                "Exceeded max expression depth 50",
            ));
        }
        Ok(root)
    }

    fn push(&mut self, token: &Token) -> Result<(), ExprError> {
        use Expects as E;
        let range = token.start..token.end;
        let literal = |value| NodeKind::Literal(value);
        match (&token.kind, self.expects) {
            (TokenKind::Null, E::Value | E::FirstArgument | E::Index) => {
                self.operand(literal(Value::Null), range, E::Operator);
            }
            (TokenKind::Bool(b), E::Value | E::FirstArgument | E::Index) => {
                self.operand(literal(Value::Bool(*b)), range, E::Operator);
            }
            (TokenKind::Number(n), E::Value | E::FirstArgument | E::Index) => {
                self.operand(literal(Value::Number(*n)), range, E::Operator);
            }
            (TokenKind::String(s), E::Value | E::FirstArgument | E::Index) => {
                self.operand(literal(Value::String(s.clone())), range, E::Operator);
            }
            (TokenKind::Context, E::Value | E::FirstArgument | E::Index) => self.context(range),
            (TokenKind::Function, E::Value | E::FirstArgument | E::Index) => self.function(range)?,
            (TokenKind::Not, E::Value | E::FirstArgument | E::Index) => {
                self.operators.push(Operator::Not(token.start));
                self.expects = E::Value;
            }
            (TokenKind::Open, E::Value | E::FirstArgument | E::Index) => {
                self.operators.push(Operator::Group(token.start));
                self.expects = E::Value;
            }
            (TokenKind::Open, E::Parameters) => self.expects = E::FirstArgument,
            (TokenKind::Wildcard, E::Index) => self.operand(NodeKind::Wildcard, range, E::IndexEnd),
            (TokenKind::Wildcard, E::Property) => self.property(NodeKind::Wildcard, range),
            (TokenKind::Property, E::Property) => {
                let name = Value::from(self.text.get(range.clone()).unwrap_or_default());
                self.property(literal(name), range);
            }
            (TokenKind::Point, E::Continuation) => self.expects = E::Property,
            (TokenKind::OpenIndex, E::Continuation) => {
                self.operators.push(Operator::Index);
                self.expects = E::Index;
            }
            (TokenKind::Binary(operator), E::Continuation | E::Operator) => {
                self.reduce(precedence(*operator));
                self.operators.push(Operator::Binary(*operator));
                self.expects = E::Value;
            }
            (TokenKind::Comma, E::Continuation | E::Operator) => self.comma(range)?,
            (TokenKind::Close, E::Continuation | E::Operator | E::FirstArgument) => self.close(range)?,
            (TokenKind::CloseIndex, E::Continuation | E::Operator | E::IndexEnd) => {
                self.close_index(range)?;
            }
            _ => return Err(self.unexpected(range)),
        }
        Ok(())
    }

    fn context(&mut self, range: Range<usize>) {
        let name = self.text.get(range.clone()).unwrap_or_default();
        if self
            .allowed
            .is_some_and(|allowed| !listed(allowed.contexts, name))
        {
            let what = "Unrecognized named-value";
            let error = ExprError::located(ExprErrorKind::Parsing, what, self.text, range.clone());
            self.errors.push(ExprError {
                fault: Fault::Context(name.to_owned()),
                ..error
            });
        }
        self.operand(
            NodeKind::Context(name.to_ascii_lowercase()),
            range,
            Expects::Continuation,
        );
    }

    fn function(&mut self, range: Range<usize>) -> Result<(), ExprError> {
        let name = self.text.get(range.clone()).unwrap_or_default();
        let known = functions::find(name);
        let refused = known.is_none_or(|function| {
            let world = functions::needs_world(function);
            world
                && self
                    .allowed
                    .is_some_and(|allowed| !listed(allowed.functions, name))
        });
        if refused {
            let what = "Unrecognized function";
            let error = ExprError::located(ExprErrorKind::Parsing, what, self.text, range.clone());
            self.errors.push(ExprError {
                fault: Fault::Function(name.to_owned()),
                ..error
            });
        }
        match known {
            Some(function) => {
                self.operators.push(Operator::Call {
                    function,
                    name: range,
                    arguments: 0,
                });
                self.expects = Expects::Parameters;
                Ok(())
            }
            // What its arguments mean is unknown; the error that was just noted ends the list.
            None => Err(self.errors.pop().unwrap_or_else(|| self.unexpected(range))),
        }
    }

    fn property(&mut self, kind: NodeKind, range: Range<usize>) {
        self.operand(kind, range, Expects::Continuation);
        self.index(0);
    }

    fn comma(&mut self, range: Range<usize>) -> Result<(), ExprError> {
        self.reduce(0);
        match self.operators.last_mut() {
            Some(Operator::Call { arguments, .. }) => *arguments += 1,
            _ => return Err(self.unexpected(range)),
        }
        self.expects = Expects::Value;
        Ok(())
    }

    fn close(&mut self, range: Range<usize>) -> Result<(), ExprError> {
        self.reduce(0);
        match self.operators.pop() {
            Some(Operator::Group(start)) => {
                if let Some(operand) = self.operands.last_mut() {
                    operand.range = start..range.end;
                }
            }
            Some(Operator::Call {
                function,
                name,
                arguments,
            }) => {
                let arguments = if self.expects == Expects::FirstArgument {
                    0
                } else {
                    arguments + 1
                };
                if let Some(fault) = functions::arity_fault(function, arguments) {
                    return Err(ExprError::located(ExprErrorKind::Parsing, fault, self.text, name));
                }
                let first = self.operands.len().saturating_sub(arguments);
                let arguments = self.operands.drain(first..).map(|operand| operand.id).collect();
                let call = NodeKind::Call(function, arguments);
                self.operand(call, name.start..range.end, Expects::Continuation);
            }
            _ => return Err(self.unexpected(range)),
        }
        self.expects = Expects::Continuation;
        Ok(())
    }

    fn close_index(&mut self, range: Range<usize>) -> Result<(), ExprError> {
        self.reduce(0);
        match self.operators.pop() {
            Some(Operator::Index) => self.index(range.end),
            _ => return Err(self.unexpected(range)),
        }
        self.expects = Expects::Continuation;
        Ok(())
    }

    /// Makes an index of the two topmost operands; it ends at `end` or where its second operand does.
    fn index(&mut self, end: usize) {
        if let (Some(index), Some(left)) = (self.operands.pop(), self.operands.pop()) {
            let range = left.range.start..index.range.end.max(end);
            self.add(NodeKind::Index(left.id, index.id), range);
        }
    }

    /// Applies the operators that bind at least as tight as `precedence`, down to the innermost bracket.
    fn reduce(&mut self, precedence_min: u8) {
        while let Some(operator) = self.operators.last() {
            match *operator {
                Operator::Not(start) => {
                    if let Some(operand) = self.operands.pop() {
                        self.add(NodeKind::Not(operand.id), start..operand.range.end);
                    }
                }
                Operator::Binary(binary) if precedence(binary) >= precedence_min => self.binary(binary),
                _ => return,
            }
            self.operators.pop();
        }
    }

    fn binary(&mut self, binary: Binary) {
        let (Some(right), Some(left)) = (self.operands.pop(), self.operands.pop()) else {
            return;
        };
        let range = left.range.start..right.range.end;
        let kind = match binary {
            Binary::And => NodeKind::And(self.flattened(binary, left.id, right.id)),
            Binary::Or => NodeKind::Or(self.flattened(binary, left.id, right.id)),
            _ => NodeKind::Compare(binary, left.id, right.id),
        };
        self.add(kind, range);
    }

    /// The operands of `a && (b && c)` side by side, as GitHub has them: its depth is then that of `a && b`.
    fn flattened(&mut self, binary: Binary, left: NodeId, right: NodeId) -> Vec<NodeId> {
        let mut operands = match (binary, self.tree.nodes.get_mut(left).map(|node| &mut node.kind)) {
            (Binary::And, Some(NodeKind::And(inner))) | (Binary::Or, Some(NodeKind::Or(inner))) => {
                std::mem::take(inner)
            }
            _ => vec![left],
        };
        match (binary, &self.tree.node(right).kind) {
            (Binary::And, NodeKind::And(inner)) | (Binary::Or, NodeKind::Or(inner)) => operands.extend(inner),
            _ => operands.push(right),
        }
        operands
    }

    fn operand(&mut self, kind: NodeKind, range: Range<usize>, expects: Expects) {
        self.add(kind, range);
        self.expects = expects;
    }

    fn add(&mut self, kind: NodeKind, range: Range<usize>) {
        let deepest = kind
            .children()
            .into_iter()
            .map(|id| self.tree.node(id).depth)
            .max();
        let depth = deepest.unwrap_or(0) + 1;
        let id = self.tree.nodes.len();
        self.tree.nodes.push(Node {
            kind,
            range: range.clone(),
            depth,
        });
        self.operands.push(Operand { id, range });
    }

    fn unexpected(&self, range: Range<usize>) -> ExprError {
        ExprError::unexpected(ExprErrorKind::Parsing, self.text, range)
    }
}

fn is_open(operator: &Operator) -> bool {
    !matches!(operator, Operator::Not(_) | Operator::Binary(_))
}

/// How tight it binds. `!` binds tighter than all of them.
fn precedence(binary: Binary) -> u8 {
    match binary {
        Binary::Or => 1,
        Binary::And => 2,
        Binary::Equal | Binary::NotEqual => 3,
        Binary::Less | Binary::LessOrEqual | Binary::Greater | Binary::GreaterOrEqual => 4,
    }
}

fn listed(names: &[&str], name: &str) -> bool {
    names.iter().any(|listed| listed.eq_ignore_ascii_case(name))
}
