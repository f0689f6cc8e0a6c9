use super::*;
use proptest::prelude::*;

/// Lines of one step in, markup out.
fn check(lines: &[&[u8]], expected: &[&str]) {
    let mut ansi = Ansi::default();
    let out: Vec<String> = lines.iter().map(|line| ansi.markup(line).into_string()).collect();
    assert_eq!(
        out,
        expected,
        "{:?}",
        lines
            .iter()
            .map(|l| String::from_utf8_lossy(l))
            .collect::<Vec<_>>()
    );
}

#[test]
fn colours_and_weights_become_classes() {
    check(&[b"plain <b> & \"x\""], &["plain &lt;b&gt; &amp; &quot;x&quot;"]);
    check(
        &[b"\x1b[31mred\x1b[0m plain"],
        &["<span class=\"f1\">red</span> plain"],
    );
    check(&[b"\x1b[1;32mok\x1b[m."], &["<span class=\"f2 fb\">ok</span>."]);
    check(
        &[b"\x1b[3mi\x1b[23m\x1b[4mu\x1b[24m\x1b[9ms\x1b[29m\x1b[2md"],
        &[
            "<span class=\"fi\">i</span><span class=\"fu\">u</span><span class=\"fs\">s</span><span class=\"fd\">d</span>",
        ],
    );
    check(
        &[b"\x1b[7;31m FAIL \x1b[27m x"],
        &["<span class=\"f1 fr\"> FAIL </span><span class=\"f1\"> x</span>"],
    );
    check(
        &[b"\x1b[41mg\x1b[49m\x1b[90mgrey\x1b[97mown"],
        &["<span class=\"g1\">g</span><span class=\"f8\">grey</span>own"],
    );
    // 256 and RGB, with semicolons and with colons.
    for red in [
        "38;5;196",
        "38;2;255;40;40",
        "38:5:196",
        "38:2::255:40:40",
        "38:2:255:40:40",
        "38;5;9",
    ] {
        check(
            &[format!("\x1b[{red}mr").as_bytes()],
            &["<span class=\"f1\">r</span>"],
        );
    }
    for (colour, class) in [
        ("208", "f3"),
        ("46", "f2"),
        ("51", "f6"),
        ("27", "f4"),
        ("201", "f5"),
        ("240", "f8"),
    ] {
        check(
            &[format!("\x1b[38;5;{colour}mx").as_bytes()],
            &[&format!("<span class=\"{class}\">x</span>")],
        );
    }
    check(&[b"\x1b[38;5;255mwhite"], &["white"]);
    // A colour that is not said whole changes nothing.
    check(&[b"\x1b[38;2;1mx\x1b[38mx\x1b[38;9mx\x1b[999mx"], &["xxxx"]);
}

#[test]
fn the_look_goes_on_in_the_next_line() {
    check(
        &[b"\x1b[32ma", b"b", b"c\x1b[0md", b"e"],
        &[
            "<span class=\"f2\">a</span>",
            "<span class=\"f2\">b</span>",
            "<span class=\"f2\">c</span>d",
            "e",
        ],
    );
}

#[test]
fn a_line_is_written_over_as_on_a_terminal() {
    check(&[b" 10%\r 20%\r100%"], &["100%"]);
    check(&[b"long text\rx"], &["xong text"]);
    check(&[b"long text\r\x1b[Kx"], &["x"]);
    check(&[b"abc\x08\x08X"], &["aXc"]);
    check(&[b"\x08\x08a"], &["a"]);
    check(&[b"abc\x1b[2K\rx"], &["x  "]);
    check(&[b"abc\r\x1b[1Kx"], &["xbc"]);
    check(&[b"a\tb"], &["a\tb"]);
}

#[test]
fn links_lead_to_the_web_and_nowhere_else() {
    let rel = "rel=\"noopener noreferrer nofollow\"";
    check(
        &[b"\x1b]8;;https://a.example/x;y?a=1&b=2\x1b\\here\x1b]8;;\x1b\\ end"],
        &[&format!(
            "<a class=\"il2 \" href=\"https://a.example/x;y?a=1&amp;b=2\" {rel}>here</a> end"
        )],
    );
    check(
        &[b"\x1b]8;id=1;HTTP://a.example\x07here"],
        &[&format!(
            "<a class=\"il2 \" href=\"HTTP://a.example\" {rel}>here</a>"
        )],
    );
    for address in [
        "javascript:alert(1)",
        "javascript://%0aalert(1)",
        "data:text/html,x",
        "//a.example",
        "/x",
        "file:///etc",
        "vbscript:x",
        "https:x",
        " https://a.example",
    ] {
        check(&[format!("\x1b]8;;{address}\x07x").as_bytes()], &["x"]);
    }
    // A link ends with its line.
    check(
        &[b"\x1b]8;;http://a.example\x07x", b"y"],
        &[
            &format!("<a class=\"il2 \" href=\"http://a.example\" {rel}>x</a>"),
            "y",
        ],
    );
}

#[test]
fn all_else_is_dropped() {
    check(&[b"a\x1b[2Jb\x1b[10;10Hc\x1b[?25ld\x1b[5A"], &["abcd"]);
    check(&[b"a\x1b]0;title\x07b\x1b]1337;File=x:AAAA\x07c"], &["abc"]);
    check(&[b"a\x1bPq#0;2\x1b\\b\x1b_x\x1b\\c\x1b^x\x1b\\d"], &["abcd"]);
    check(&[b"a\0b\x07c\x0bd\x7fe"], &["abcde"]);
    check(&["a\u{9b}31mb".as_bytes()], &["a31mb"]);
    check(
        &[b"a\xff\xfe\x1b[31mb"],
        &["a\u{fffd}\u{fffd}<span class=\"f1\">b</span>"],
    );
    check(&[b"a\xffb"], &["a\u{fffd}b"]);
    check(
        &[b"", b"\x1b", b"\x1b[", b"\x1b[31", b"\x1b]8;;http://x"],
        &["", "", "", "", ""],
    );
}

#[test]
fn what_would_be_markup_stays_text() {
    for attack in [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\"><svg/onload=alert(1)>",
        "</span></li><script>alert(1)</script>",
        "\x1b[31m<script>\x1b[0malert(1)</script>",
        "\x1b]8;;https://x\"onmouseover=\"alert(1)\x07x\x1b]8;;\x07",
        "\x1b]8;;https://x'><script>alert(1)</script>\x07x",
        "&lt;script&gt;",
        "<!--",
        "]]>",
        "{{constructor}}",
        "\x1b[38;5;<b>m",
        "\x1b[31\"m onclick=x",
        "<scr\x1b[1mipt>alert(1)</scr\x08\x08ipt>",
    ] {
        is_harmless(&Ansi::default().markup(attack.as_bytes()).into_string(), attack);
    }
}

/// Only tags of ours, with attributes of ours; all other angle brackets and quotes are escaped.
fn is_harmless(html: &str, from: &str) {
    let mut rest = html;
    while let Some(at) = rest.find(['<', '>']) {
        let tag = &rest[at..];
        let end = tag.find('>').unwrap_or_else(|| panic!("{from:?} gave {html:?}"));
        let known = match &tag[..=end] {
            "</span>" | "</a>" => true,
            open if open.starts_with("<span class=\"") => {
                let class = &open[13..open.len() - 2];
                class.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ')
            }
            open if open.starts_with("<a class=\"il2 ") => {
                let after = open.split(" href=\"").nth(1).unwrap_or_default();
                let (href, rel) = after.split_once('"').unwrap_or_default();
                let lower = href.to_ascii_lowercase();
                (lower.starts_with("http://") || lower.starts_with("https://"))
                    && rel == " rel=\"noopener noreferrer nofollow\">"
            }
            _ => false,
        };
        assert!(known, "{from:?} gave {html:?}");
        rest = &tag[end + 1..];
    }
}

#[test]
fn a_part_of_the_text_is_marked_across_looks() {
    let spans = Ansi::default().line(b"one \x1b[31mtwo\x1b[0m three");
    for (ranges, expected) in [
        (vec![], "one <span class=\"f1\">two</span> three"),
        (
            vec![(0, 3)],
            "<mark>one</mark> <span class=\"f1\">two</span> three",
        ),
        (
            vec![(2, 5), (8, 9)],
            "on<mark>e </mark><mark><span class=\"f1\">t</span></mark><span class=\"f1\">wo</span> <mark>t</mark>hree",
        ),
        (
            vec![(0, 99)],
            "<mark>one </mark><mark><span class=\"f1\">two</span></mark><mark> three</mark>",
        ),
    ] {
        let ranges: Vec<_> = ranges.into_iter().map(|(from, until)| from..until).collect();
        assert_eq!(marked(&spans, &ranges).into_string(), expected);
    }
}

proptest! {
    #[test]
    fn a_line_that_is_passed_over_leaves_the_look_that_it_leaves_when_it_is_read(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let (mut read, mut passed) = (Ansi::default(), Ansi::default());
        let line = String::from_utf8_lossy(&line).into_owned();
        read.line(line.as_bytes());
        passed.pass(line.as_bytes());
        prop_assert_eq!(read, passed);
    }

    #[test]
    fn any_bytes_give_harmless_markup(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..4)) {
        let mut ansi = Ansi::default();
        for line in &lines {
            is_harmless(&ansi.markup(line).into_string(), &String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn pieces_of_sequences_give_harmless_markup(pieces in prop::collection::vec(
        prop::sample::select(vec!["\x1b", "[", "]", "8;;", "https://", "31", ";", "m", "K", "\r", "\x08", "\x07", "<", ">", "\"", "'", "&", "a", "\t", "\u{202e}", "\x1b\\", "38;5;", "2K", ":"]),
        0..60,
    )) {
        let text: String = pieces.concat();
        is_harmless(&Ansi::default().markup(text.as_bytes()).into_string(), &text);
    }

    #[test]
    fn text_without_controls_is_kept(text in "[^\\p{Cc}]{0,80}") {
        prop_assert_eq!(plain(text.as_bytes()), text);
    }
}
