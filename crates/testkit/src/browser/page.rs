//! One page: what a person does with it, and what it shows. Waits are events of the page or of the protocol.

use super::connection::{Connection, Session};
use super::{BOUND, Scheme, keys};
use base64::Engine as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Dropped, it is closed, and its cookies are forgotten.
pub struct Page {
    connection: Arc<Connection>,
    session: String,
    target: String,
    context: String,
    /// A tab beside another page, whose cookies it knows.
    beside: bool,
    events: Arc<Session>,
    /// Without scripts a page cannot be waited for: promises stand still too. It does not change either.
    scripts: AtomicBool,
}

/// What can be operated, as assistive technology is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    pub role: String,
    pub name: String,
    /// The beginning of its markup, where it has no name.
    pub html: String,
}

/// Finds by selector, or else by what a control is called: exactly, at its beginning, or anywhere.
const FIND: &str = include_str!("find.js");

impl Page {
    pub(super) fn open(connection: Arc<Connection>) -> Self {
        let ask = |session: Option<&str>, method: &str, parameters: Value| {
            let answer = connection.call(session, method, parameters, BOUND);
            answer.unwrap_or_else(|error| panic!("a new page: {method}: {error}"))
        };
        let context = ask(
            None,
            "Target.createBrowserContext",
            json!({ "disposeOnDetach": true }),
        );
        Self::within(connection.clone(), text(&context["browserContextId"]), false)
    }

    /// Another tab of the same person. It is to be dropped before the page is.
    pub fn tab(&self) -> Self {
        let page = Self::within(Arc::clone(&self.connection), self.context.clone(), true);
        page.resize(1280, 900);
        page
    }

    fn within(connection: Arc<Connection>, context: String, beside: bool) -> Self {
        let ask = |session: Option<&str>, method: &str, parameters: Value| {
            let answer = connection.call(session, method, parameters, BOUND);
            answer.unwrap_or_else(|error| panic!("a new page: {method}: {error}"))
        };
        let made = json!({ "url": "about:blank", "browserContextId": context, "newWindow": true });
        let target = text(&ask(None, "Target.createTarget", made)["targetId"]);
        let attached = ask(
            None,
            "Target.attachToTarget",
            json!({ "targetId": target, "flatten": true }),
        );
        let session = text(&attached["sessionId"]);
        let page = Self {
            events: connection.session(&session),
            connection,
            session,
            target,
            context,
            beside,
            scripts: AtomicBool::new(true),
        };
        for domain in [
            "Page",
            "Runtime",
            "Log",
            "Network",
            "Audits",
            "Inspector",
            "DOM",
            "Accessibility",
        ] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        page.call("Page.setLifecycleEventsEnabled", json!({ "enabled": true }));
        // As if each page were the one in front.
        page.call("Emulation.setFocusEmulationEnabled", json!({ "enabled": true }));
        page
    }

    pub fn resize(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Motion is reduced, so that what is looked at stands still.
    pub fn scheme(&self, scheme: Scheme) {
        let scheme = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Switches scripts off or on, and loads what is open anew. A page whose scripts are switched off while they run
    /// is none that people meet.
    #[track_caller]
    pub fn javascript(&self, on: bool) {
        let open: String = self.eval("location.href");
        self.goto("about:blank");
        self.scripts.store(on, Ordering::Relaxed);
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": !on }));
        self.goto(&open);
    }

    /// No request of this page gets anywhere, and open streams end.
    pub fn offline(&self, offline: bool) {
        let network = json!({
            "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1
        });
        self.call("Network.emulateNetworkConditions", network);
    }

    /// Returns when the document and all that belongs to it are there.
    #[track_caller]
    pub fn goto(&self, url: &str) {
        let answer = self.call("Page.navigate", json!({ "url": url }));
        if let Some(error) = answer["errorText"].as_str() {
            panic!("{url}: {error}");
        }
        // A change of the fragment alone loads nothing.
        let Some(loader) = answer["loaderId"].as_str().map(str::to_owned) else {
            return;
        };
        let there = self.events.wait(BOUND, |seen| seen.loaded.contains(&loader));
        assert!(there, "{url} is not loaded after {BOUND:?}{}", self.shown());
    }

    #[track_caller]
    pub fn reload(&self) {
        self.loading(|| {
            self.call("Page.reload", json!({}));
        });
    }

    /// Does what makes another document load, and returns when that is there.
    #[track_caller]
    pub fn loading(&self, what: impl FnOnce()) {
        let before = self.events.seen().loaded.len();
        what();
        let there = self.events.wait(BOUND, |seen| seen.loaded.len() > before);
        assert!(there, "no other page is loaded after {BOUND:?}{}", self.shown());
    }

    /// Clicks what loads another document.
    #[track_caller]
    pub fn follow(&self, target: &str) {
        self.loading(|| self.click(target));
    }

    /// Presses and releases the mouse in the middle of it, when it stands still and nothing covers it; again, as
    /// people do, where it moved away just before.
    #[track_caller]
    pub fn click(&self, target: &str) {
        for _ in 0..5 {
            let point = self.point(target, true);
            for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
                let mut event = json!({ "type": kind, "x": point["x"], "y": point["y"] });
                if kind != "mouseMoved" {
                    event["button"] = json!("left");
                    event["clickCount"] = json!(1);
                }
                self.call("Input.dispatchMouseEvent", event);
            }
            // A page that is left by it knows nothing of it.
            if self.evaluate("globalThis.missed", BOUND) != Ok(json!(true)) {
                return;
            }
        }
        panic!("cannot click {target}: it moves away each time{}", self.shown());
    }

    #[track_caller]
    pub fn hover(&self, target: &str) {
        let point = self.point(target, false);
        let event = json!({ "type": "mouseMoved", "x": point["x"], "y": point["y"] });
        self.call("Input.dispatchMouseEvent", event);
    }

    #[track_caller]
    fn point(&self, target: &str, presses: bool) -> Value {
        let (target_json, bound) = (json!(target), BOUND.as_millis());
        let script = match self.scripts.load(Ordering::Relaxed) {
            true => format!("({FIND}).point({target_json}, {bound}, {presses})"),
            false => format!("({FIND}).spot({target_json})"),
        };
        let point = self.evaluated(&script);
        if let Some(reason) = point["fault"].as_str() {
            panic!("cannot click {target}: {reason}{}", self.shown());
        }
        point
    }

    /// A key by its name, as in `Control+k`.
    pub fn press(&self, name: &str) {
        let mut event = keys::key(name);
        event["type"] = json!(if event.get("text").is_some() {
            "keyDown"
        } else {
            "rawKeyDown"
        });
        self.call("Input.dispatchKeyEvent", event.clone());
        event["type"] = json!("keyUp");
        if let Some(event) = event.as_object_mut() {
            event.remove("text");
        }
        self.call("Input.dispatchKeyEvent", event);
    }

    /// Key by key, where the focus is.
    pub fn type_text(&self, words: &str) {
        for character in words.chars() {
            match character {
                '\n' => self.press("Enter"),
                c if c.is_ascii() => self.press(&c.to_string()),
                c => {
                    self.call("Input.insertText", json!({ "text": c.to_string() }));
                }
            }
        }
    }

    /// Clicks into a field and puts this in the place of what stands there.
    #[track_caller]
    pub fn fill(&self, target: &str, words: &str) {
        self.click(target);
        self.eval::<Value>("document.activeElement.select?.()");
        if words.is_empty() {
            self.press("Delete");
        } else {
            self.call("Input.insertText", json!({ "text": words }));
        }
    }

    /// Waits until a visible element is there.
    #[track_caller]
    pub fn wait_for(&self, selector: &str) {
        self.wait_until(&format!("({FIND}).shown({})", json!(selector)), selector);
    }

    /// Waits until no visible element is there.
    #[track_caller]
    pub fn wait_gone(&self, selector: &str) {
        self.wait_until(
            &format!("!({FIND}).shown({})", json!(selector)),
            &format!("no {selector}"),
        );
    }

    /// Waits until the text of an element has these words in it.
    #[track_caller]
    pub fn wait_for_text(&self, selector: &str, words: &str) {
        let holds = format!("({FIND}).text({}).includes({})", json!(selector), json!(words));
        self.wait_until(&holds, &format!("`{words}` in {selector}"));
    }

    /// Waits until an expression holds; it is asked again whenever the document changes, through navigations too.
    #[track_caller]
    pub fn wait_until(&self, expression: &str, what: &str) {
        let end = Instant::now() + BOUND;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let script = match self.scripts.load(Ordering::Relaxed) {
                true => format!("({FIND}).until(() => ({expression}), {})", left.as_millis()),
                false => format!("Boolean({expression})"),
            };
            match self.evaluate(&script, left + Duration::from_secs(2)) {
                Ok(Value::Bool(true)) => return,
                Err(error) if is_navigation(&error) && !left.is_zero() => {}
                Ok(_) => panic!("not there after {BOUND:?}: {what}{}", self.shown()),
                Err(error) => panic!("{what}: {error}{}", self.shown()),
            }
        }
    }

    /// What an expression of JavaScript is, or what its promise becomes.
    #[track_caller]
    pub fn eval<T: DeserializeOwned>(&self, script: &str) -> T {
        let value = self.evaluated(script);
        serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{script}: {value}: {error}"))
    }

    #[track_caller]
    fn evaluated(&self, script: &str) -> Value {
        self.evaluate(script, BOUND * 2)
            .unwrap_or_else(|error| panic!("{error} in {}{}", head(script, 300), self.shown()))
    }

    fn evaluate(&self, script: &str, bound: Duration) -> Result<Value, String> {
        let parameters =
            json!({ "expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let answer = self
            .connection
            .call(Some(&self.session), "Runtime.evaluate", parameters, bound)?;
        match answer.get("exceptionDetails") {
            None => Ok(answer["result"]["value"].clone()),
            Some(details) => Err(match details["exception"]["description"].as_str() {
                Some(what) => what.to_owned(),
                None => details.to_string(),
            }),
        }
    }

    /// The visible text of the first such element.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let script = format!("document.querySelector({}) !== null", json!(selector));
        assert!(
            self.eval::<bool>(&script),
            "there is no {selector}{}",
            self.shown()
        );
        self.eval(&format!("({FIND}).text({})", json!(selector)))
    }

    /// How many such elements there are, seen or not.
    pub fn count(&self, selector: &str) -> usize {
        self.eval(&format!("document.querySelectorAll({}).length", json!(selector)))
    }

    /// The path, the query and the fragment of its address.
    pub fn path(&self) -> String {
        self.eval("location.pathname + location.search + location.hash")
    }

    /// The document as the server sent it, before scripts changed it.
    #[track_caller]
    pub fn source(&self) -> String {
        let last = self.events.seen().loaded.last().cloned().unwrap_or_default();
        text(&self.call("Network.getResponseBody", json!({ "requestId": last }))["body"])
    }

    pub fn set_cookie(&self, url: &str, name: &str, value: &str) {
        self.call(
            "Network.setCookie",
            json!({ "url": url, "name": name, "value": value }),
        );
    }

    pub fn forget_cookies(&self) {
        self.call("Network.clearBrowserCookies", json!({}));
    }

    /// All that has gone wrong since this was asked last: errors of scripts and of the console, requests that failed,
    /// violations of the content security policy, dialogs.
    pub fn console(&self) -> Vec<String> {
        // What the page reported before this answer has been read then.
        let _ = self.evaluate("0", BOUND);
        std::mem::take(&mut self.events.seen().faults)
    }

    /// Fails with what has gone wrong since it was asked last, if anything has.
    #[track_caller]
    pub fn assert_quiet(&self) {
        let faults = self.console();
        assert!(faults.is_empty(), "{}\n{}", self.path(), faults.join("\n"));
    }

    /// All that can be operated, with the names that assistive technology is given.
    pub fn controls(&self) -> Vec<Control> {
        let tree = self.call("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().cloned().unwrap_or_default();
        let operated = nodes.iter().filter(|node| {
            node["ignored"] != true && CONTROLS.iter().any(|role| node["role"]["value"] == *role)
        });
        operated
            .map(|node| {
                let name = node["name"]["value"]
                    .as_str()
                    .unwrap_or_default()
                    .trim()
                    .to_owned();
                let html = if name.is_empty() {
                    let asked = json!({ "backendNodeId": node["backendDOMNodeId"] });
                    head(&text(&self.call("DOM.getOuterHTML", asked)["outerHTML"]), 200).to_owned()
                } else {
                    String::new()
                };
                Control {
                    role: text(&node["role"]["value"]),
                    name,
                    html,
                }
            })
            .collect()
    }

    /// The whole page, also what one has to scroll to.
    pub fn screenshot(&self, path: impl AsRef<Path>) {
        let size = self.call("Page.getLayoutMetrics", json!({}))["cssContentSize"].clone();
        let clip = json!({
            "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1
        });
        let asked = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        self.capture(asked, path.as_ref());
    }

    /// What is on the screen.
    pub fn screenshot_of_view(&self, path: impl AsRef<Path>) {
        self.capture(json!({ "format": "png" }), path.as_ref());
    }

    fn capture(&self, asked: Value, path: &Path) {
        let data = text(&self.call("Page.captureScreenshot", asked)["data"]);
        let bytes = base64::engine::general_purpose::STANDARD.decode(data);
        let bytes = bytes.expect("a picture in base64");
        std::fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    #[track_caller]
    fn call(&self, method: &str, parameters: Value) -> Value {
        let answer = self
            .connection
            .call(Some(&self.session), method, parameters, BOUND * 2);
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// For messages: where it is, what one reads on it, and what went wrong there.
    fn shown(&self) -> String {
        let script = "location.href + '\\n' + document.title + '\\n' + (document.body?.innerText ?? '')";
        let page = match self.evaluate(script, BOUND) {
            Ok(page) => text(&page),
            Err(error) => error,
        };
        let faults = self.events.seen().faults.join("\n");
        format!(
            "\n--- on the page\n{}\n--- its faults\n{faults}\n---",
            head(&page, 2500)
        )
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let closed = json!({ "targetId": self.target });
        let _ = self.connection.call(None, "Target.closeTarget", closed, BOUND);
        if !self.beside {
            let disposed = json!({ "browserContextId": self.context });
            let _ = self
                .connection
                .call(None, "Target.disposeBrowserContext", disposed, BOUND);
        }
        self.connection.forget(&self.session);
    }
}

const CONTROLS: &[&str] = &[
    "button",
    "link",
    "textbox",
    "searchbox",
    "checkbox",
    "radio",
    "combobox",
    "listbox",
    "option",
    "menuitem",
    "tab",
    "switch",
    "slider",
    "spinbutton",
    "DisclosureTriangle",
];

/// The document went away while it was asked.
fn is_navigation(error: &str) -> bool {
    [
        "context was destroyed",
        "find context",
        "navigated or closed",
        "Promise was collected",
    ]
    .iter()
    .any(|known| error.contains(known))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn head(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
