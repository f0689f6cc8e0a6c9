// The values of a chart under the pointer, or by the arrow keys: they stand in its table, which everybody can open.
// A chart's plots share one time, so one line stands in all of them.
const charts = "[data-chart]";
let at = null;

const all = () => [...document.querySelectorAll(charts)];

function rows(chart) {
  const table = chart.querySelector(".tbl") ?? document.querySelector(`.tbl[data-for="${CSS.escape(chart.id)}"]`);
  return [...(table?.querySelectorAll("tr[data-x]") ?? [])];
}

// Where curves are drawn: a figure's box, or the figure itself less its margin.
function places(chart) {
  return chart.localName === "figure" ? [chart] : [...chart.querySelectorAll("figure > div")];
}

function show(chart, row) {
  hide();
  at = { chart, row, nth: all().indexOf(chart) };
  const cells = [...row.cells].map((cell) => cell.textContent.trim());
  for (const place of places(chart)) {
    const svg = place.querySelector("svg");
    const line = document.createElement("div");
    line.className = "cur";
    line.style.height = `${svg.clientHeight || svg.getBoundingClientRect().height}px`;
    line.style.top = `${svg.getBoundingClientRect().top - place.getBoundingClientRect().top}px`;
    line.style.left = `${svg.getBoundingClientRect().left - place.getBoundingClientRect().left + (row.dataset.x / 1000) * svg.getBoundingClientRect().width}px`;
    place.append(line);
  }
  const figures = [...chart.querySelectorAll("[data-now]")];
  figures.forEach((b, i) => {
    b.dataset.now ||= b.textContent;
    b.textContent = cells[i + 1] ?? "";
  });
  const said = document.createElement("output");
  said.className = figures.length ? "vh" : "tip";
  const heads = [...row.closest("table").tHead.rows[0].cells].map((cell) => cell.textContent.trim());
  said.textContent = cells.map((text, i) => `${heads[i]} ${text}`).join(", ");
  chart.append(said);
}

function hide() {
  if (!at) return;
  at.chart.querySelectorAll(".cur, :scope > output").forEach((e) => e.remove());
  for (const b of at.chart.querySelectorAll("[data-now]")) {
    if (b.dataset.now) b.textContent = b.dataset.now;
    b.dataset.now = "";
  }
  at = null;
}

function nearest(chart, x) {
  const far = (row) => Math.abs(row.dataset.x - x);
  return rows(chart).reduce((best, row) => (!best || far(row) < far(best) ? row : best), null);
}

document.addEventListener("pointermove", (event) => {
  const chart = event.target.closest?.(charts);
  const svg = event.target.closest?.("svg");
  if (!chart || !svg) return hide();
  const box = svg.ownerSVGElement?.getBoundingClientRect() ?? svg.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * 1000;
  const near = nearest(chart, x);
  if (near && near !== at?.row) show(chart, near);
});
document.addEventListener("pointerleave", hide);

document.addEventListener("keydown", (event) => {
  const chart = event.target.closest?.(charts);
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.target !== chart || !chart) return;
  if (event.key === "Escape") return hide();
  if (!step) return;
  const points = rows(chart);
  const now = at?.chart === chart ? points.indexOf(at.row) : step < 0 ? points.length : -1;
  const next = points[Math.min(Math.max(now + step, 0), points.length - 1)];
  if (next) show(chart, next);
  event.preventDefault();
});
// An element that is replaced loses the focus too, and its successor has it a moment later.
document.addEventListener("focusout", ({ target }) => target.matches?.(charts) && queueMicrotask(() => target.isConnected && hide()));
// What was shown is gone with the element; its successor shows what lies at the same place.
document.addEventListener("patched", () => {
  if (!at || at.chart.isConnected) return;
  const chart = all()[at.nth];
  const row = chart && nearest(chart, at.row.dataset.x);
  at = null;
  if (row) show(chart, row);
});

// Charts can be reached by the keyboard only where there is something to do with it.
function reach() {
  for (const chart of document.querySelectorAll(charts)) {
    chart.tabIndex = 0;
    if (!chart.hasAttribute("role") && chart.localName !== "figure") chart.setAttribute("role", "group");
    chart.setAttribute("aria-label", "Chart: left and right go through its values");
  }
}
document.addEventListener("patched", reach);
reach();
