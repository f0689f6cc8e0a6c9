//! Text into tokens. Knows nothing of what may follow what, but for the few places where GitHub's lexer does.

use super::{ExprError, ExprErrorKind, number};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    /// Byte offsets in the expression.
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    Null,
    Bool(bool),
    Number(f64),
    String(Arc<str>),
    /// A name that stands after a point.
    Property,
    /// A name of a context.
    Context,
    /// A name before a `(`.
    Function,
    Point,
    Wildcard,
    Comma,
    Open,
    Close,
    OpenIndex,
    CloseIndex,
    Not,
    Binary(Binary),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ExprError> {
    let mut lexer = Lexer {
        text,
        at: 0,
        tokens: Vec::new(),
    };
    while let Some(c) = lexer.skip_space() {
        lexer.read(c)?;
    }
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) -> Option<char> {
        self.at = self.text.len() - self.rest().trim_start().len();
        self.rest().chars().next()
    }

    fn read(&mut self, c: char) -> Result<(), ExprError> {
        let single = match c {
            '(' => TokenKind::Open,
            ')' => TokenKind::Close,
            '[' => TokenKind::OpenIndex,
            ']' => TokenKind::CloseIndex,
            ',' => TokenKind::Comma,
            '*' => TokenKind::Wildcard,
            '.' if !self.begins_number() => TokenKind::Point,
            '\'' => return self.read_string(),
            '!' | '=' | '<' | '>' | '&' | '|' => return self.read_operator(),
            '.' | '+' | '-' | '0'..='9' => return self.read_number(),
            _ => return self.read_name(),
        };
        self.push(single, c.len_utf8());
        Ok(())
    }

    /// Whether a point here begins a number: only where a value may begin.
    fn begins_number(&self) -> bool {
        self.tokens.last().is_none_or(|last| {
            matches!(
                last.kind,
                TokenKind::Comma
                    | TokenKind::Open
                    | TokenKind::OpenIndex
                    | TokenKind::Not
                    | TokenKind::Binary(_)
            )
        })
    }

    fn read_string(&mut self) -> Result<(), ExprError> {
        let mut value = String::new();
        let mut characters = self.rest().char_indices().skip(1).peekable();
        while let Some((i, c)) = characters.next() {
            if c != '\'' {
                value.push(c);
            } else if characters.next_if(|(_, next)| *next == '\'').is_some() {
                value.push('\'');
            } else {
                self.push(TokenKind::String(value.into()), i + 1);
                return Ok(());
            }
        }
        Err(self.unexpected(self.rest().len()))
    }

    fn read_operator(&mut self) -> Result<(), ExprError> {
        const OPERATORS: &[(&str, TokenKind)] = &[
            ("!=", TokenKind::Binary(Binary::NotEqual)),
            ("==", TokenKind::Binary(Binary::Equal)),
            ("<=", TokenKind::Binary(Binary::LessOrEqual)),
            (">=", TokenKind::Binary(Binary::GreaterOrEqual)),
            ("&&", TokenKind::Binary(Binary::And)),
            ("||", TokenKind::Binary(Binary::Or)),
            ("!", TokenKind::Not),
            ("<", TokenKind::Binary(Binary::Less)),
            (">", TokenKind::Binary(Binary::Greater)),
        ];
        match OPERATORS.iter().find(|(sign, _)| self.rest().starts_with(sign)) {
            Some((sign, kind)) => {
                self.push(kind.clone(), sign.len());
                Ok(())
            }
            None => Err(self.unexpected(self.word_length(is_boundary))),
        }
    }

    fn read_number(&mut self) -> Result<(), ExprError> {
        let length = self.word_length(|c| is_boundary(c) && c != '.');
        let value = number::parse(self.rest().get(..length).unwrap_or_default());
        if value.is_nan() {
            return Err(self.unexpected(length));
        }
        self.push(TokenKind::Number(value), length);
        Ok(())
    }

    fn read_name(&mut self) -> Result<(), ExprError> {
        let length = self.word_length(is_boundary);
        let name = self.rest().get(..length).unwrap_or_default();
        if !is_name(name) {
            return Err(self.unexpected(length));
        }
        let after_point = self
            .tokens
            .last()
            .is_some_and(|last| last.kind == TokenKind::Point);
        let kind = match name {
            _ if after_point => TokenKind::Property,
            "null" => TokenKind::Null,
            "true" => TokenKind::Bool(true),
            "false" => TokenKind::Bool(false),
            "NaN" => TokenKind::Number(f64::NAN),
            "Infinity" => TokenKind::Number(f64::INFINITY),
            _ if self
                .rest()
                .get(length..)
                .unwrap_or_default()
                .trim_start()
                .starts_with('(') =>
            {
                TokenKind::Function
            }
            _ => TokenKind::Context,
        };
        self.push(kind, length);
        Ok(())
    }

    /// The length of the word here in bytes; its first character always belongs to it.
    fn word_length(&self, ends: impl Fn(char) -> bool) -> usize {
        let mut characters = self.rest().char_indices().skip(1);
        characters
            .find(|(_, c)| ends(*c))
            .map_or(self.rest().len(), |(i, _)| i)
    }

    fn push(&mut self, kind: TokenKind, length: usize) {
        self.tokens.push(Token {
            kind,
            start: self.at,
            end: self.at + length,
        });
        self.at += length;
    }

    fn unexpected(&self, length: usize) -> ExprError {
        ExprError::unexpected(ExprErrorKind::Lexing, self.text, self.at..self.at + length)
    }
}

fn is_boundary(c: char) -> bool {
    matches!(
        c,
        '(' | '[' | ')' | ']' | ',' | '.' | '!' | '>' | '<' | '=' | '&' | '|'
    ) || c.is_whitespace()
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
