use super::{Edge, Layout, NODE_HEIGHT, NODE_WIDTH, Node, layout};
use std::fmt::Write as _;

fn nodes(needs: &[&[usize]]) -> Vec<Node> {
    let node = |list: &&[usize]| Node {
        needs: list.to_vec(),
        weight: 10,
    };
    needs.iter().map(node).collect()
}

/// Layers of so many nodes; each needs two of the layer before.
fn layered(layers: usize, wide: usize) -> Vec<Node> {
    let needs = |index: usize| match index.checked_sub(wide) {
        None => Vec::new(),
        Some(_) => {
            let base = (index / wide - 1) * wide;
            vec![base + index % wide, base + (index * 7 + 3) % wide]
        }
    };
    let node = |index| Node {
        needs: needs(index),
        weight: 1 + index as i64 % 5,
    };
    (0..layers * wide).map(node).collect()
}

/// A line a node, `!` before edges of the longest way; and that no node lies on another or outside.
fn drawn(nodes: &[Node]) -> String {
    let layout = layout(nodes);
    within(&layout);
    let mut text = format!("{} x {}\n", layout.width, layout.height);
    for &node in &layout.order {
        let (x, y) = layout.places[node];
        write!(text, "{node} at {x},{y}").expect("text");
        for edge in layout.edges.iter().filter(|edge: &&Edge| edge.to == node) {
            write!(text, " {}{}", if edge.longest { "!" } else { "" }, edge.from).expect("text");
        }
        text.push('\n');
    }
    text
}

fn within(layout: &Layout) {
    for (index, &(x, y)) in layout.places.iter().enumerate() {
        assert!(x >= 0 && y >= 0 && x + NODE_WIDTH <= layout.width && y + NODE_HEIGHT <= layout.height);
        for &(other_x, other_y) in &layout.places[index + 1..] {
            assert!(
                x != other_x || (y - other_y).abs() >= NODE_HEIGHT,
                "two nodes at {x},{y}"
            );
        }
    }
}

#[test]
fn small_graphs_lie_as_people_draw_them() {
    insta::assert_snapshot!(drawn(&nodes(&[&[]])), @r"
    180 x 44
    0 at 0,0
    ");
    insta::assert_snapshot!(drawn(&nodes(&[&[], &[0]])), @r"
    438 x 44
    0 at 0,0
    1 at 258,0 !0
    ");
    insta::assert_snapshot!(drawn(&nodes(&[&[], &[0], &[0], &[1, 2]])), @r"
    696 x 104
    0 at 0,30
    1 at 258,0 !0
    2 at 258,60 0
    3 at 516,30 2 !1
    ");
    insta::assert_snapshot!(drawn(&nodes(&[&[], &[0], &[0], &[0], &[0]])), @r"
    438 x 224
    0 at 0,90
    1 at 258,0 !0
    2 at 258,60 0
    3 at 258,120 0
    4 at 258,180 0
    ");
    insta::assert_snapshot!(drawn(&nodes(&[&[], &[0], &[1], &[2], &[3], &[4], &[5]])), @r"
    1596 x 44
    0 at 0,0
    1 at 236,0 !0
    2 at 472,0 !1
    3 at 708,0 !2
    4 at 944,0 !3
    5 at 1180,0 !4
    6 at 1416,0 !5
    ");
    assert_eq!(layout(&[]), Layout::default());
}

#[test]
fn an_edge_that_a_longer_way_says_is_not_drawn_and_crossings_are_undone() {
    insta::assert_snapshot!(drawn(&nodes(&[&[], &[0], &[0, 1]])), @r"
    696 x 44
    0 at 0,0
    1 at 258,0 !0
    2 at 516,0 !1
    ");
    insta::assert_snapshot!(drawn(&nodes(&[&[], &[], &[1], &[0]])), @r"
    438 x 104
    0 at 0,0
    1 at 0,60
    3 at 258,0 0
    2 at 258,60 !1
    ");
    // Two needs of different depth: the long edge has a place of its own.
    let long = layout(&nodes(&[&[], &[], &[0], &[2], &[3, 1]]));
    let edge = long
        .edges
        .iter()
        .find(|edge| edge.from == 1)
        .expect("the long edge");
    insta::assert_snapshot!(edge.path(), @"M180 82H258H438H516H696C735 82 735 52 774 52");
}

#[test]
fn ten_and_a_hundred() {
    insta::assert_snapshot!(drawn(&layered(2, 5)), @r"
    438 x 284
    0 at 0,0
    1 at 0,60
    2 at 0,120
    3 at 0,180
    4 at 0,240
    6 at 258,0 0 1
    5 at 258,60 0 3
    7 at 258,120 2
    9 at 258,180 1 !4
    8 at 258,240 3 4
    ");
    insta::assert_snapshot!("graph_100", drawn(&layered(10, 10)));
}

#[test]
fn five_hundred_whatever_they_need() {
    for wide in [1, 5, 50, 500] {
        within(&layout(&layered(500 / wide, wide)));
    }
    let all: Vec<Node> = (0..500)
        .map(|index| Node {
            needs: (0..index).collect(),
            weight: 1,
        })
        .collect();
    let all = layout(&all);
    assert_eq!(all.edges.len(), 499, "only the chain is left");
    within(&all);
    // Long edges without end: they go straight when there are too many.
    let mut wide: Vec<Node> = (0..250_usize)
        .map(|index| Node {
            needs: index.checked_sub(1).into_iter().collect(),
            weight: 1,
        })
        .collect();
    wide.extend((0..249).map(|_| Node::default()));
    wide.push(Node {
        needs: (249..499).collect(),
        weight: 1,
    });
    within(&layout(&wide));
}

#[test]
fn circles_and_what_is_not_there_do_no_harm() {
    within(&layout(&nodes(&[&[1], &[0], &[0, 99]])));
    within(&layout(&nodes(&[&[0], &[7]])));
}
