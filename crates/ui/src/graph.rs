//! Where the nodes of a graph lie, from left to right in the order of what they need. Pure numbers; no markup.
//!
//! A node's column is the longest way to it. Inside a column the order is by the mean place of the neighbours, a few
//! sweeps there and back. Edges over more than one column pass through places of their own, so that they cross no
//! node. An edge that a longer way says already is not drawn.

pub const NODE_WIDTH: i32 = 180;
pub const NODE_HEIGHT: i32 = 44;
const ROW_GAP: i32 = 16;
/// What a passing edge takes of a column.
const PASS_HEIGHT: i32 = 12;
/// As wide as a page lets it be, between these.
const COLUMN_GAP: (i32, i32) = (56, 78);
const PAGE_WIDTH: i32 = 1214;
const SWEEPS: usize = 4;
/// Beyond so many passing places, long edges go straight.
const PASSES_MAX: usize = 4000;

/// What is to be laid out: what it needs directly, by index, and how long it took.
#[derive(Clone, Debug, Default)]
pub struct Node {
    pub needs: Vec<usize>,
    pub weight: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    pub width: i32,
    pub height: i32,
    /// The upper left corner of each node.
    pub places: Vec<(i32, i32)>,
    /// Nodes as they are read: column by column, from above.
    pub order: Vec<usize>,
    pub edges: Vec<Edge>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
    /// From the node's right side to the other's left side.
    pub points: Vec<(i32, i32)>,
    /// On the way that took longest.
    pub longest: bool,
}

impl Edge {
    /// As the path of an SVG, of cubic curves.
    #[must_use]
    pub fn path(&self) -> String {
        let mut text = String::new();
        let mut last: Option<(i32, i32)> = None;
        for &(x, y) in &self.points {
            match last {
                None => text = format!("M{x} {y}"),
                Some((_, from)) if from == y => text.push_str(&format!("H{x}")),
                Some((from, at)) => {
                    let middle = i32::midpoint(from, x);
                    text.push_str(&format!("C{middle} {at} {middle} {y} {x} {y}"));
                }
            }
            last = Some((x, y));
        }
        text
    }
}

/// Lays the nodes out. What a node needs that is not there, or that needs the node itself, is left out.
#[must_use]
pub fn layout(nodes: &[Node]) -> Layout {
    let needs = reduced(nodes);
    let ranks = ranks(&needs);
    let mut columns = Columns::new(&needs, &ranks);
    columns.sort();
    let longest = longest(nodes, &needs);
    columns.place(nodes.len(), &longest)
}

/// In an order in which each comes behind all that it needs; what is in a circle is not in it.
fn topological(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (node, list) in needs.iter().enumerate() {
        for &need in list {
            if let Some(users) = users.get_mut(need) {
                users.push(node);
            }
        }
    }
    let mut order: Vec<usize> = (0..needs.len())
        .filter(|&node| open.get(node) == Some(&0))
        .collect();
    let mut next = 0;
    while let Some(&node) = order.get(next) {
        next += 1;
        for &user in users.get(node).into_iter().flatten() {
            if let Some(left) = open.get_mut(user) {
                *left -= 1;
                if *left == 0 {
                    order.push(user);
                }
            }
        }
    }
    order
}

/// Direct needs without those that another need has already, and without circles.
fn reduced(nodes: &[Node]) -> Vec<Vec<usize>> {
    let count = nodes.len();
    let mut needs: Vec<Vec<usize>> = Vec::with_capacity(count);
    for (index, node) in nodes.iter().enumerate() {
        let mut list: Vec<usize> = node
            .needs
            .iter()
            .copied()
            .filter(|&n| n < count && n != index)
            .collect();
        list.sort_unstable();
        list.dedup();
        needs.push(list);
    }
    let order = topological(&needs);
    if order.len() < count {
        return vec![Vec::new(); count];
    }
    let words = count.div_ceil(64);
    let has = |set: &[u64], node: usize| {
        set.get(node / 64)
            .is_some_and(|word| word >> (node % 64) & 1 == 1)
    };
    // All that stands before a node, as bits.
    let mut before: Vec<Vec<u64>> = vec![Vec::new(); count];
    for node in order {
        let list = needs.get(node).cloned().unwrap_or_default();
        let kept: Vec<usize> = list
            .iter()
            .copied()
            .filter(|&need| {
                !list
                    .iter()
                    .any(|other| before.get(*other).is_some_and(|set| has(set, need)))
            })
            .collect();
        let mut set = vec![0_u64; words];
        for need in &list {
            for (word, theirs) in set.iter_mut().zip(before.get(*need).into_iter().flatten()) {
                *word |= theirs;
            }
            if let Some(word) = set.get_mut(need / 64) {
                *word |= 1 << (need % 64);
            }
        }
        if let (Some(place), Some(needs)) = (before.get_mut(node), needs.get_mut(node)) {
            *place = set;
            *needs = kept;
        }
    }
    needs
}

fn ranks(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut ranks = vec![0; needs.len()];
    for node in topological(needs) {
        let behind = needs
            .get(node)
            .into_iter()
            .flatten()
            .filter_map(|&need| ranks.get(need));
        let rank = behind.map(|rank| rank + 1).max().unwrap_or(0);
        if let Some(place) = ranks.get_mut(node) {
            *place = rank;
        }
    }
    ranks
}

/// The edges of the way that took longest, by the node at their end.
fn longest(nodes: &[Node], needs: &[Vec<usize>]) -> Vec<Option<usize>> {
    let mut sums = vec![0_i64; nodes.len()];
    let mut from: Vec<Option<usize>> = vec![None; nodes.len()];
    for node in topological(needs) {
        let mut best: Option<(i64, usize)> = None;
        for &need in needs.get(node).into_iter().flatten() {
            let sum = sums.get(need).copied().unwrap_or_default();
            if best.is_none_or(|(most, _)| sum > most) {
                best = Some((sum, need));
            }
        }
        let own = nodes.get(node).map_or(0, |node| node.weight.max(0));
        if let (Some(sum), Some(from)) = (sums.get_mut(node), from.get_mut(node)) {
            *sum = own.saturating_add(best.map_or(0, |(sum, _)| sum));
            *from = best.map(|(_, need)| need);
        }
    }
    let mut way = vec![None; nodes.len()];
    let most = sums.iter().copied().max().unwrap_or_default();
    // What has not run yet is on no longest way.
    let mut at = (most > 0)
        .then(|| sums.iter().position(|&sum| sum == most))
        .flatten();
    while let Some(node) = at {
        at = from.get(node).copied().flatten();
        if let Some(place) = way.get_mut(node) {
            *place = at;
        }
    }
    way
}

/// A node, or a place where an edge passes a column.
struct Slot {
    node: Option<usize>,
    left: Vec<usize>,
    right: Vec<usize>,
    /// Its place in the column, from above.
    at: usize,
}

struct Columns {
    slots: Vec<Slot>,
    columns: Vec<Vec<usize>>,
    /// Of each edge: its ends, and the slots that it goes through.
    ways: Vec<(usize, usize, Vec<usize>)>,
}

impl Columns {
    fn new(needs: &[Vec<usize>], ranks: &[usize]) -> Self {
        let depth = ranks.iter().max().map_or(0, |rank| rank + 1);
        let mut this = Self {
            slots: Vec::new(),
            columns: vec![Vec::new(); depth],
            ways: Vec::new(),
        };
        for (node, &rank) in ranks.iter().enumerate() {
            this.slot(Some(node), rank);
        }
        let mut passes = 0;
        for (node, list) in needs.iter().enumerate() {
            let to = ranks.get(node).copied().unwrap_or_default();
            for &need in list {
                let from = ranks.get(need).copied().unwrap_or_default();
                let mut way = vec![need];
                if passes + (to - from) <= PASSES_MAX {
                    for rank in from + 1..to {
                        way.push(this.slot(None, rank));
                        passes += 1;
                    }
                }
                way.push(node);
                for (&left, &right) in way.iter().zip(way.iter().skip(1)) {
                    if let Some(slot) = this.slots.get_mut(left) {
                        slot.right.push(right);
                    }
                    if let Some(slot) = this.slots.get_mut(right) {
                        slot.left.push(left);
                    }
                }
                this.ways.push((need, node, way));
            }
        }
        this
    }

    fn slot(&mut self, node: Option<usize>, rank: usize) -> usize {
        let index = self.slots.len();
        let column = self.columns.get_mut(rank);
        let at = column.as_ref().map_or(0, |column| column.len());
        if let Some(column) = column {
            column.push(index);
        }
        self.slots.push(Slot {
            node,
            left: Vec::new(),
            right: Vec::new(),
            at,
        });
        index
    }

    fn sort(&mut self) {
        for sweep in 0..SWEEPS {
            let forward = sweep % 2 == 0;
            let count = self.columns.len();
            for step in 1..count {
                let column = if forward { step } else { count - 1 - step };
                self.sort_column(column, forward);
            }
        }
    }

    fn sort_column(&mut self, column: usize, by_left: bool) {
        let Some(order) = self.columns.get(column).cloned() else {
            return;
        };
        let mut keyed: Vec<(usize, usize, usize)> = order
            .iter()
            .filter_map(|&index| {
                let slot = self.slots.get(index)?;
                let others = if by_left { &slot.left } else { &slot.right };
                let places = others.iter().filter_map(|&other| Some(self.slots.get(other)?.at));
                let sum: usize = places.map(|place| place * 1024).sum();
                let mean = sum.checked_div(others.len()).unwrap_or(slot.at * 1024);
                Some((mean, slot.at, index))
            })
            .collect();
        keyed.sort_unstable();
        let sorted: Vec<usize> = keyed.into_iter().map(|(_, _, index)| index).collect();
        for (at, &index) in sorted.iter().enumerate() {
            if let Some(slot) = self.slots.get_mut(index) {
                slot.at = at;
            }
        }
        if let Some(place) = self.columns.get_mut(column) {
            *place = sorted;
        }
    }

    fn height(&self, slot: usize) -> i32 {
        match self.slots.get(slot).and_then(|slot| slot.node) {
            Some(_) => NODE_HEIGHT,
            None => PASS_HEIGHT,
        }
    }

    fn place(&self, nodes: usize, longest: &[Option<usize>]) -> Layout {
        let tall = |column: &Vec<usize>| {
            let heights: i32 = column.iter().map(|&slot| self.height(slot) + ROW_GAP).sum();
            (heights - ROW_GAP).max(0)
        };
        let height = self.columns.iter().map(tall).max().unwrap_or_default();
        let count = i32::try_from(self.columns.len()).unwrap_or(i32::MAX / 1024);
        let left = PAGE_WIDTH.saturating_sub(count.saturating_mul(NODE_WIDTH));
        let gap = (left / (count - 1).max(1)).clamp(COLUMN_GAP.0, COLUMN_GAP.1);
        let mut corners = vec![(0, 0); self.slots.len()];
        let mut order = Vec::new();
        let mut x = 0;
        for column in &self.columns {
            let mut y = (height - tall(column)) / 2;
            for &slot in column {
                if let Some(corner) = corners.get_mut(slot) {
                    *corner = (x, y);
                }
                order.extend(self.slots.get(slot).and_then(|slot| slot.node));
                y += self.height(slot) + ROW_GAP;
            }
            x += NODE_WIDTH + gap;
        }
        let edges = self.ways.iter().map(|(from, to, way)| Edge {
            from: *from,
            to: *to,
            points: self.points(way, &corners),
            longest: longest.get(*to).copied().flatten() == Some(*from),
        });
        let mut edges: Vec<Edge> = edges.collect();
        // The longest way lies above the others.
        edges.sort_by_key(|edge| edge.longest);
        Layout {
            width: (x - gap).max(0),
            height,
            edges,
            places: corners.into_iter().take(nodes).collect(),
            order,
        }
    }

    fn points(&self, way: &[usize], corners: &[(i32, i32)]) -> Vec<(i32, i32)> {
        let mut points = Vec::new();
        for (index, &slot) in way.iter().enumerate() {
            let (x, y) = corners.get(slot).copied().unwrap_or_default();
            let middle = y + self.height(slot) / 2;
            if index > 0 {
                points.push((x, middle));
            }
            if index + 1 < way.len() {
                points.push((x + NODE_WIDTH, middle));
            }
        }
        points
    }
}

#[cfg(test)]
mod tests;
