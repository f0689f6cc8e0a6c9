// The page stays true by events: each patch replaces one element by its id. A patch that is older than what stands
// is dropped; focus, open parts and scroll inside the element survive it.
import { localise } from "./time.js";

// All markup from events comes from our own server, already escaped there.
const policy = window.trustedTypes?.createPolicy("pilotage", { createHTML: (html) => html });
const trusted = (html) => (policy ? policy.createHTML(html) : html);

export function element(html) {
  const template = document.createElement("template");
  template.innerHTML = trusted(html);
  return template.content.firstElementChild;
}

export function patch({ id, rev, html }) {
  const old = document.getElementById(id);
  if (!old || Number(old.dataset.rev ?? 0) >= rev) return;
  const fresh = element(html);
  if (!fresh) return;
  fresh.dataset.rev = rev;
  localise(fresh);
  keep(old, fresh);
  const focus = old.contains(document.activeElement) ? document.activeElement : null;
  const selection = focus && "selectionStart" in focus ? [focus.selectionStart, focus.selectionEnd] : null;
  const scroll = [...old.querySelectorAll("[id]")].filter((e) => e.scrollTop || e.scrollLeft).map((e) => [e.id, e.scrollTop, e.scrollLeft]);
  old.replaceWith(fresh);
  for (const [inner, top, left] of scroll) document.getElementById(inner)?.scrollTo(left, top);
  if (focus) {
    const again = focus.id ? document.getElementById(focus.id) : fresh.querySelector(same(focus));
    again?.focus({ preventScroll: true });
    if (again && selection) again.setSelectionRange(...selection);
  }
  document.dispatchEvent(new CustomEvent("patched", { detail: { element: fresh } }));
}

// What the reader did to the element: open parts, and what is written in its fields.
function keep(old, fresh) {
  for (const open of old.querySelectorAll("details[id][open]")) {
    fresh.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
  }
  for (const field of old.querySelectorAll("input[id], textarea[id], select[id]")) {
    const again = fresh.querySelector(`#${CSS.escape(field.id)}`);
    if (!again || field.type === "hidden") continue;
    if (field.type === "checkbox") again.checked = field.checked;
    else if (field.value !== field.defaultValue) again.value = field.value;
  }
}

function same(e) {
  const href = e.getAttribute("href");
  const name = e.getAttribute("name");
  return e.localName + (href ? `[href="${CSS.escape(href)}"]` : "") + (name ? `[name="${CSS.escape(name)}"]` : "");
}

// While a button is pressed nothing is replaced: a click counts only where it began and ended on one element.
let held = null;

function take(change) {
  if (held) held.push(change);
  else patch(change);
}

function release() {
  const changes = held ?? [];
  held = null;
  changes.forEach(patch);
}

addEventListener("pointerdown", () => (held ??= []), true);
for (const end of ["pointerup", "pointercancel", "blur"]) addEventListener(end, () => setTimeout(release), true);

const waits = [200, 500, 1000, 2000, 5000, 10000];
let source = null;
let tries = 0;
let timer = 0;

function connect() {
  const topics = document.body.dataset.topics;
  if (!topics || source) return;
  source = new EventSource(`/-/events?topics=${encodeURIComponent(topics)}`);
  source.addEventListener("open", () => {
    tries = 0;
    document.getElementById("offline").replaceChildren();
  });
  source.addEventListener("patch", (event) => take(JSON.parse(event.data)));
  source.addEventListener("reload", () => location.reload());
  source.addEventListener("error", () => {
    close();
    offline();
    timer = setTimeout(connect, waits[Math.min(tries++, waits.length - 1)] * (0.8 + Math.random() * 0.4));
  });
}

function close() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

function offline() {
  const bar = document.getElementById("offline");
  if (bar.firstChild || tries < 1) return;
  const note = document.createElement("p");
  note.className = "note";
  const at = new Date().toLocaleTimeString();
  note.textContent = `Offline since ${at}. What you see is from then. Trying again.`;
  bar.replaceChildren(note);
}

// A page in the back/forward cache must hold no connection, and is right again at once when it comes back.
addEventListener("pagehide", close);
addEventListener("pageshow", (event) => event.persisted && connect());
connect();
