//! Aligned columns, one line per thing: numbers right, units always, nothing wider than the window.

use super::page::Page;
use super::style::{Sign, fit};

/// One cell. Texts come from people and are made harmless here.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    Text(String),
    /// Shown on the right of its column.
    Number(String),
    /// A sign and its word.
    State(Sign, String),
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Cell::Text(text.into())
    }

    pub(crate) fn number(text: impl ToString) -> Self {
        Cell::Number(text.to_string())
    }

    pub(crate) fn state(sign: Sign, word: impl Into<String>) -> Self {
        Cell::State(sign, word.into())
    }

    fn content(&self) -> &str {
        match self {
            Cell::Text(text) | Cell::Number(text) | Cell::State(_, text) => text,
        }
    }

    fn width(&self) -> usize {
        let sign = if matches!(self, Cell::State(..)) { 2 } else { 0 };
        self.content().chars().count() + sign
    }

    fn show(&self, page: &Page, width: usize) -> String {
        match self {
            Cell::Text(text) => format!("{:<width$}", fit(text, width)),
            Cell::Number(text) => format!("{:>width$}", fit(text, width)),
            Cell::State(sign, word) => {
                let room = width.saturating_sub(2);
                format!("{} {:<room$}", page.style.sign(*sign), fit(word, room))
            }
        }
    }
}

const GAP: usize = 2;

/// Rows with the same number of cells. Where the window is too narrow, the widest texts are cut first.
pub(crate) fn table(page: &Page, rows: &[Vec<Cell>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(Cell::width)
                .max()
                .unwrap_or(0)
        })
        .collect();
    let gaps = columns.saturating_sub(1) * GAP;
    while widths.iter().sum::<usize>() + gaps > page.width {
        match widths.iter_mut().max() {
            Some(widest) if *widest > 7 => *widest -= 1,
            _ => break,
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
        let cells: Vec<String> = cells.map(|(cell, width)| cell.show(page, *width)).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Names and their values, one a line: what `view` begins with. Empty values are left out.
pub(crate) fn facts(page: &Page, facts: &[(&str, String)]) -> String {
    let facts = facts.iter().filter(|(_, value)| !value.is_empty());
    let rows: Vec<Vec<Cell>> = facts
        .map(|(name, value)| vec![Cell::text(*name), Cell::text(value.clone())])
        .collect();
    table(page, &rows)
}
