// Keys for what stands on the page: each belongs to a link, a button or a field that names it (`aria-keyshortcuts`),
// so that nothing can be done by a key alone. `?` shows which there are.
import { parse } from "./live.js";

const shown = (e) => e.checkVisibility({ visibilityProperty: true });
const first = (selector, root = document) => [...root.querySelectorAll(selector)].find(shown);
const ROWS = "main :is(.rows > li, tbody > tr, .ex > li)";
let begun = 0;

// What a key is written as on the page: `n`, `Shift+N`, `/`.
function named(event) {
  const { key } = event;
  const [small, large] = [key.toLowerCase(), key.toUpperCase()];
  if (key.length !== 1 || small === large) return key;
  return (key === large) !== event.getModifierState("CapsLock") ? `Shift+${large}` : small;
}

// The link in a row, down or up from the one that has the focus.
function row(step) {
  const rows = [...document.querySelectorAll(ROWS)].filter((row) => shown(row) && first("a[href], button", row));
  const at = rows.indexOf(document.activeElement?.closest(ROWS));
  const to = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + step))];
  first("a[href], button", to ?? document.createElement("p"))?.focus({ focusVisible: true });
}

// The menu of the row that has the focus, or of the page.
function menu() {
  const summary = first("summary", document.activeElement?.closest(ROWS) ?? document.querySelector("main"));
  summary?.click();
  summary?.focus({ focusVisible: true });
}

// `g`, then the place.
function place(key) {
  const end = { d: "/", r: "/runs", w: "/workflows", e: "/environments", n: "/runners", a: "/audit", s: "/settings" }[key];
  if (end) (end === "/" ? document.querySelector(".mark") : first(`header nav a[href$="${end}"]`))?.click();
}

async function help() {
  const open = document.getElementById("help");
  if (open) return open.showModal();
  const answer = await fetch("/help/keys", { redirect: "error" });
  const table = answer.ok && parse(await answer.text()).getElementById("keys");
  if (!table) return location.assign("/help/keys");
  const dialog = document.createElement("dialog");
  dialog.id = "help";
  dialog.setAttribute("aria-label", "Keys");
  const close = document.createElement("button");
  close.className = "btn";
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  dialog.append(table, close);
  document.body.append(dialog);
  dialog.showModal();
}

function press(event) {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  if (target.matches("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]")) {
    if (key === "Escape") target.blur();
    return;
  }
  const after = Date.now() - begun < 1500;
  begun = 0;
  const act = after ? () => place(key) : { g: () => (begun = Date.now()), j: () => row(1), k: () => row(-1), ".": menu, "?": help }[key];
  const control = act ? null : first(`[aria-keyshortcuts~="${CSS.escape(named(event))}"]`) ?? (key === "/" ? first("main input[type=search]") : null);
  if (act) act();
  else if (!control) return;
  else if (control.matches("input:not([type=checkbox]), textarea")) control.select();
  else control.click();
  // What a menu asks is answered by the next key.
  if (control?.localName === "summary") control.parentElement.querySelector("button, a")?.focus({ focusVisible: true });
  event.preventDefault();
}

addEventListener("keydown", press);
