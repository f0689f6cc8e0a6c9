// The header's "Find or do" in place of its page: the same list, searched as it is written. Ctrl/Cmd-K opens it.
const link = document.querySelector("a[data-palette]");
let all = [];
let tag = "";
let shown = [];
let at = 0;
let box = null;

function make(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  e.append(...children);
  return e;
}

async function load() {
  const answer = await fetch("/-/palette", { headers: tag ? { "if-none-match": tag } : {}, redirect: "error" });
  if (answer.status === 304) return;
  if (!answer.ok) throw new Error(answer.statusText);
  all = await answer.json();
  tag = answer.headers.get("etag") ?? "";
}

function draw() {
  const words = box.field.value.toLowerCase().split(/\s+/).filter(Boolean);
  shown = all.filter((e) => words.every((word) => `${e.kind} ${e.title}`.toLowerCase().includes(word))).slice(0, 12);
  at = Math.min(at, Math.max(0, shown.length - 1));
  box.list.replaceChildren(
    ...shown.map((e, i) => {
      const option = make("li", { id: `palette-${i}`, role: "option", "aria-selected": String(i === at) });
      option.append(make("span", { class: "t1" }, e.title), make("span", { class: "m end nw" }, e.kind));
      option.addEventListener("click", () => choose(e));
      return option;
    }),
  );
  box.none.hidden = shown.length > 0;
  if (shown.length) box.field.setAttribute("aria-activedescendant", `palette-${at}`);
  else box.field.removeAttribute("aria-activedescendant");
}

// Goes there, or sends the form that does it.
function choose({ href, form }) {
  if (!form) {
    box.dialog.close();
    return location.assign(href);
  }
  const fields = [...form, ["csrf", document.body.dataset.csrf]];
  const sent = make("form", { method: "post", action: href, hidden: "" }, ...fields.map(([name, value]) => make("input", { name, value })));
  document.body.append(sent);
  sent.submit();
}

function key(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && shown.length) at = (at + step + shown.length) % shown.length;
  else if (event.key === "Enter" && shown[at]) choose(shown[at]);
  else return;
  event.preventDefault();
  draw();
}

function build() {
  const attributes = { type: "search", role: "combobox", "aria-label": "Find or do", "aria-expanded": "true" };
  const field = make("input", { ...attributes, "aria-controls": "palette-list", autocomplete: "off", maxlength: "200" });
  const list = make("ul", { id: "palette-list", role: "listbox", "aria-label": "Found" });
  const none = make("p", { class: "m s", role: "status", hidden: "" }, "Nothing fits.");
  const dialog = make("dialog", { class: "palette", "aria-label": "Find or do" }, field, list, none);
  field.addEventListener("input", () => {
    at = 0;
    draw();
  });
  field.addEventListener("keydown", key);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  return { dialog, field, list, none };
}

async function open() {
  box ??= build();
  if (!box.dialog.open) box.dialog.showModal();
  box.field.select();
  try {
    await load();
  } catch {
    // The page says what is wrong.
    if (!all.length) return location.assign(link.href);
  }
  draw();
}

link?.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  open();
});
if (link) {
  addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      open();
    }
  });
}
