// The page behind a link is asked for when the pointer rests on it, or it has the focus, for a moment.
const REST_MS = 65;
const asked = new Set();
let timer = 0;

function begin(event) {
  clearTimeout(timer);
  const link = event.target.closest?.("main a[href], header a[href]");
  if (!link || link.origin !== location.origin || link.hasAttribute("download")) return;
  const path = link.pathname + link.search;
  // Files, streams and the page itself are no pages to come.
  if (asked.has(path) || path === location.pathname + location.search || /^\/(-|api)\/|\.(txt|zip|git)$|\/raw$/.test(link.pathname)) return;
  timer = setTimeout(() => {
    asked.add(path);
    const hint = document.createElement("link");
    hint.rel = "prefetch";
    hint.href = path;
    document.head.append(hint);
  }, REST_MS);
}

if (!navigator.connection?.saveData) {
  for (const kind of ["pointerover", "focusin"]) addEventListener(kind, begin, { passive: true });
  addEventListener("pointerout", () => clearTimeout(timer), { passive: true });
}
