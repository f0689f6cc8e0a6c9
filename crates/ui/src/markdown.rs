//! Markdown that others wrote, as markup of ours: a strict list of what it may become.
//!
//! Nothing of the text is ever markup: HTML in it is shown as text, links lead to `http` and `https` only and say
//! nothing of where they come from, images are links and are not fetched. What is large or deep is cut.

use maud::{Markup, html};
use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// More of a text is not read.
pub const BYTES_MAX: usize = 64 * 1024;
/// Elements and texts; more are left out.
const NODES_MAX: usize = 4_000;
/// Deeper ones stand in the element above them.
const DEPTH_MAX: usize = 16;
const LINK_BYTES_MAX: usize = 2_000;

enum Node {
    Text(String),
    Code(String),
    Break,
    Rule,
    Ticked(bool),
    Element(Kind, Vec<Node>),
}

enum Kind {
    Paragraph,
    /// From 1.
    Heading(u8),
    Quote,
    Pre,
    Bullets,
    Numbers(u64),
    Item,
    Table,
    Head,
    Row,
    Cell(bool),
    Emphasis,
    Strong,
    Struck,
    /// Where it leads; none where it may lead nowhere.
    Link(Option<String>),
    /// What has no element of its own.
    Plain,
}

/// The text as markup.
#[must_use]
pub fn markup(text: &str) -> Markup {
    let mut end = text.len().min(BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let shown = text.get(..end).unwrap_or_default();
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut reader = Reader {
        open: vec![(Kind::Plain, Vec::new())],
        deeper: 0,
        nodes: 0,
    };
    for event in Parser::new_ext(shown, options) {
        if reader.nodes >= NODES_MAX {
            break;
        }
        reader.take(event);
    }
    let cut = end < text.len() || reader.nodes >= NODES_MAX;
    let nodes = reader.finish();
    html! {
        @for node in &nodes { (node.markup()) }
        @if cut { p class="m s" { "The rest is too long to be shown here." } }
    }
}

struct Reader {
    /// From the outside in, with what stands in each.
    open: Vec<(Kind, Vec<Node>)>,
    /// How many are open below the deepest.
    deeper: usize,
    nodes: usize,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.begin(tag),
            Event::End(end) => self.end(end),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => {
                self.add(Node::Text(text.into_string()));
            }
            Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.add(Node::Code(text.into_string()));
            }
            Event::FootnoteReference(name) => self.add(Node::Text(format!("[{name}]"))),
            Event::SoftBreak => self.add(Node::Text("\n".to_owned())),
            Event::HardBreak => self.add(Node::Break),
            Event::Rule => self.add(Node::Rule),
            Event::TaskListMarker(done) => self.add(Node::Ticked(done)),
        }
    }

    fn add(&mut self, node: Node) {
        self.nodes += 1;
        if let Some((_, children)) = self.open.last_mut() {
            children.push(node);
        }
    }

    fn begin(&mut self, tag: Tag<'_>) {
        if self.deeper > 0 || self.open.len() > DEPTH_MAX {
            self.deeper += 1;
            return;
        }
        let kind = match tag {
            Tag::Paragraph => Kind::Paragraph,
            Tag::Heading { level, .. } => Kind::Heading(level_of(level)),
            Tag::BlockQuote(_) => Kind::Quote,
            Tag::CodeBlock(CodeBlockKind::Indented | CodeBlockKind::Fenced(_)) => Kind::Pre,
            Tag::List(None) => Kind::Bullets,
            Tag::List(Some(first)) => Kind::Numbers(first),
            Tag::Item => Kind::Item,
            Tag::Table(_) => Kind::Table,
            Tag::TableHead => Kind::Head,
            Tag::TableRow => Kind::Row,
            Tag::TableCell => Kind::Cell(self.in_head()),
            Tag::Emphasis => Kind::Emphasis,
            Tag::Strong => Kind::Strong,
            Tag::Strikethrough => Kind::Struck,
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => Kind::Link(address(&dest_url)),
            _ => Kind::Plain,
        };
        self.open.push((kind, Vec::new()));
    }

    fn in_head(&self) -> bool {
        matches!(self.open.last(), Some((Kind::Head, _)))
    }

    fn end(&mut self, _end: TagEnd) {
        if self.deeper > 0 {
            self.deeper -= 1;
        } else {
            self.close();
        }
    }

    /// The outermost stays open.
    fn close(&mut self) {
        if self.open.len() > 1
            && let Some((kind, children)) = self.open.pop()
        {
            self.add(Node::Element(kind, children));
        }
    }

    fn finish(mut self) -> Vec<Node> {
        while self.open.len() > 1 {
            self.close();
        }
        self.open.pop().map(|(_, children)| children).unwrap_or_default()
    }
}

fn level_of(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        _ => 3,
    }
}

/// Only what leads to a page somewhere, whole.
fn address(url: &str) -> Option<String> {
    let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
    let web = lower.starts_with("http://") || lower.starts_with("https://");
    let plain = url.bytes().all(|byte| byte.is_ascii_graphic());
    (web && plain && url.len() <= LINK_BYTES_MAX).then(|| url.to_owned())
}

impl Node {
    fn markup(&self) -> Markup {
        match self {
            Node::Text(text) => html! { (text) },
            Node::Code(text) => html! { code { (text) } },
            Node::Break => html! { br; },
            Node::Rule => html! { hr; },
            Node::Ticked(done) => html! { (if *done { "☑ " } else { "☐ " }) },
            Node::Element(kind, children) => kind.markup(children),
        }
    }
}

impl Kind {
    fn markup(&self, children: &[Node]) -> Markup {
        let inner = html! { @for child in children { (child.markup()) } };
        match self {
            Kind::Paragraph => html! { p { (inner) } },
            // One level for all: the page's own headings are above it.
            Kind::Heading(level) => html! { h3 class={ "h" (level) } { (inner) } },
            Kind::Quote => html! { blockquote { (inner) } },
            Kind::Pre => html! { pre tabindex="0" { code { (inner) } } },
            Kind::Bullets => html! { ul { (inner) } },
            Kind::Numbers(first) => html! { ol start=(first) { (inner) } },
            Kind::Item => html! { li { (inner) } },
            Kind::Table => {
                html! { div class="mdt" tabindex="0" role="group" aria-label="Table" { table class="keep" { (inner) } } }
            }
            Kind::Head => html! { thead { tr { (inner) } } },
            Kind::Row => html! { tr { (inner) } },
            Kind::Cell(true) => html! { th scope="col" { (inner) } },
            Kind::Cell(false) => html! { td { (inner) } },
            Kind::Emphasis => html! { em { (inner) } },
            Kind::Strong => html! { b { (inner) } },
            Kind::Struck => html! { s { (inner) } },
            Kind::Link(Some(url)) => {
                html! { a class="a" href=(url) rel="nofollow noopener noreferrer" { (inner) } }
            }
            Kind::Link(None) | Kind::Plain => inner,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(markup(text).into_string(), expected, "{text}");
    }

    #[test]
    fn what_people_write_is_shown() {
        check("# A *b*", "<h3 class=\"h1\">A <em>b</em></h3>");
        check(
            "- [x] done\n- ~~no~~ **yes**",
            "<ul><li>☑ done</li><li><s>no</s> <b>yes</b></li></ul>",
        );
        check("3. c\n4. d", "<ol start=\"3\"><li>c</li><li>d</li></ol>");
        check(
            "```sh\na < b\n```",
            "<pre tabindex=\"0\"><code>a &lt; b\n</code></pre>",
        );
        check(
            "|a|b|\n|-|-|\n|1|`2`|",
            "<div class=\"mdt\" tabindex=\"0\" role=\"group\" aria-label=\"Table\"><table class=\"keep\"><thead><tr>\
             <th scope=\"col\">a</th><th scope=\"col\">b</th></tr></thead><tr><td>1</td><td><code>2</code></td></tr></table></div>",
        );
        check(
            "[x](https://example.com/a?b&c)",
            "<p><a class=\"a\" href=\"https://example.com/a?b&amp;c\" rel=\"nofollow noopener noreferrer\">x</a></p>",
        );
        check(
            "![alt](http://example.com/i.png)",
            "<p><a class=\"a\" href=\"http://example.com/i.png\" rel=\"nofollow noopener noreferrer\">alt</a></p>",
        );
    }

    /// Whatever is written, no element, attribute or address comes of it but those of the list.
    #[test]
    fn nothing_of_it_is_markup() {
        let corpus = [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "a <b onclick=alert(1)>b</b>",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](java\tscript:alert(1))",
            "[x](&#106;avascript:alert(1))",
            "[x](data:text/html;base64,PHNjcmlwdD4=)",
            "[x](vbscript:x)",
            "[x](//evil.example)",
            "[x](/logout)",
            "[x](https://a\"onmouseover=alert(1))",
            "[x](<https://a\" onmouseover=\"alert(1)>)",
            "![x](x\"onerror=alert(1))",
            "![\"onerror=alert(1)](javascript:x)",
            "[x]: javascript:alert(1)\n[x]",
            "<javascript:alert(1)>",
            "<https://a.example/\"onclick=alert(1)>",
            "```\"><script>alert(1)</script>\nx\n```",
            "| <script> |\n|-|\n| <img onerror=x> |",
            "<!-- --><svg/onload=alert(1)>",
            "<style>*{display:none}</style>",
            "# <iframe src=javascript:x>",
            "<a href=\"javascript:x\">y</a>",
            "</section></main><form action=//evil>",
            "\u{202e}<b>\u{0}",
            "[^1]\n\n[^1]: <script>",
            "&lt;script&gt;alert(1)&lt;/script&gt;",
        ];
        let allowed = [
            "p",
            "h3",
            "ul",
            "ol",
            "li",
            "blockquote",
            "pre",
            "code",
            "em",
            "b",
            "s",
            "a",
            "br",
            "hr",
            "div",
            "table",
            "thead",
            "tr",
            "th",
            "td",
        ];
        for text in corpus {
            let html = markup(text).into_string();
            for tag in html.split('<').skip(1) {
                let (tag, _) = tag.split_once('>').expect("each element is closed");
                let name = tag.trim_start_matches('/').split(' ').next().unwrap_or_default();
                assert!(allowed.contains(&name), "{text}: {html}");
                assert!(!tag.contains(" on") && !tag.contains("style="), "{text}: {html}");
                if let Some((_, rest)) = tag.split_once("href=\"") {
                    assert!(rest.starts_with("http"), "{text}: {html}");
                    let (url, rest) = rest.split_once('"').expect("an end");
                    assert!(
                        url.starts_with("https://") || url.starts_with("http://"),
                        "{text}: {html}"
                    );
                    assert_eq!(rest, " rel=\"nofollow noopener noreferrer\"", "{text}: {html}");
                }
            }
        }
    }

    #[test]
    fn what_is_large_or_deep_is_cut() {
        let long = markup(&"é".repeat(BYTES_MAX)).into_string();
        assert!(long.len() < BYTES_MAX + 200 && long.contains("too long"));
        let many = markup(&"*a* ".repeat(10_000)).into_string();
        assert!(many.contains("too long"));
        let deep = markup(&format!("{}x", "> ".repeat(5_000))).into_string();
        assert!(deep.matches("<blockquote>").count() <= DEPTH_MAX && deep.contains('x'));
        let open = markup(&"[".repeat(20_000)).into_string();
        assert!(open.len() < 100_000);
    }
}
