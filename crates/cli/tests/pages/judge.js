// What has to hold on every page, at the present size and scheme: a list of what does not.
(() => {
  const faults = [];
  const shown = (element) => element.cloneNode(false).outerHTML.slice(0, 200);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const seen = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });

  // Nothing is wider than the screen.
  if (document.documentElement.scrollWidth > innerWidth) {
    const wide = all("body *").filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5 && seen(e));
    faults.push(`scrolls sideways, ${document.documentElement.scrollWidth} > ${innerWidth}: ${wide.slice(-3).map(shown).join(" | ")}`);
  }

  // Structure, as readers with assistive technology are told of it.
  const count = (selector, least, most) => {
    const found = all(selector).length;
    if (found < least || found > most) faults.push(`${found} × ${selector}`);
  };
  count("h1", 1, 1);
  count("main", 1, 1);
  count("body > header", 1, 1);
  if (!document.documentElement.lang) faults.push("no language");
  if (!document.title.includes(" · ")) faults.push(`the title says no place: ${document.title}`);
  const levels = all("h1, h2, h3, h4, h5, h6").filter(seen).map((e) => Number(e.localName[1]));
  levels.forEach((level, at) => at && level > levels[at - 1] + 1 && faults.push(`h${levels[at - 1]} is followed by h${level}: ${all("h1, h2, h3, h4, h5, h6").filter(seen)[at].textContent}`));
  const navigations = all("nav").map((e) => e.getAttribute("aria-label") ?? "");
  if (new Set(navigations).size < navigations.length || navigations.includes("")) faults.push(`navigations are not told apart: ${navigations}`);

  // Ids name one thing, and what is named is there.
  const ids = all("[id]").map((e) => e.id);
  const twice = ids.filter((id, at) => ids.indexOf(id) !== at);
  if (twice.length) faults.push(`ids twice: ${[...new Set(twice)].join(", ")}`);
  for (const name of ["for", "aria-labelledby", "aria-describedby", "aria-controls", "aria-owns", "list", "form"]) {
    for (const e of all(`[${name}]`)) {
      for (const id of e.getAttribute(name).split(/\s+/)) {
        if (!document.getElementById(id)) faults.push(`${name} names nothing: ${shown(e)}`);
      }
    }
  }
  for (const e of all("svg use")) {
    const href = e.getAttribute("href") ?? "";
    if (href.startsWith("#") && !document.getElementById(href.slice(1))) faults.push(`a drawing is missing: ${href}`);
  }
  // What is drawn inside of a drawing is named with it.
  for (const e of all("svg").filter((e) => !e.parentElement.closest("svg"))) {
    const named = e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.querySelector(":scope > title");
    if (e.getAttribute("aria-hidden") !== "true" && !e.closest("[aria-hidden=true]") && !named) faults.push(`a drawing without a name: ${shown(e)}`);
  }
  for (const e of all("img:not([alt]), a:not([href]), [tabindex]:not([tabindex='0'], [tabindex='-1'])")) faults.push(`not for everybody: ${shown(e)}`);
  for (const e of all("a a, a button, button a, button button, label label")) faults.push(`a control in a control: ${shown(e)}`);

  // Data stays text: no element or attribute comes from it, and no address that runs.
  for (const e of all("pwn, iframe, object, embed, base, script:not([src]), style, [style]")) {
    if (!e.closest("#palette")) faults.push(`nobody should have made this: ${shown(e)}`);
  }
  for (const e of all("*")) {
    for (const { name, value } of e.attributes) {
      const runs = /^(href|src|action|formaction|xlink:href)$/.test(name) && /^\s*(javascript|data|vbscript):/i.test(value);
      if (name.startsWith("on") || runs && !(e.localName === "link" && value.startsWith("data:image/svg+xml"))) faults.push(`this runs: ${shown(e)}`);
    }
  }
  for (const e of all("a[href^=http]")) {
    if (new URL(e.href).origin !== location.origin && !/noopener|noreferrer/.test(e.rel)) faults.push(`another site can reach back: ${shown(e)}`);
  }

  // Text can be read on what it stands on.
  const parts = (color) => {
    const numbers = (color.match(/[\d.]+(e-?\d+)?/g) ?? []).map(Number);
    const scale = color.startsWith("color(") ? 255 : 1;
    const [r, g, b, a = 1] = color.startsWith("color(") ? numbers.slice(-4).length === 4 && color.includes("/") ? numbers.slice(-4) : numbers.slice(-3) : numbers;
    return [r * scale, g * scale, b * scale, a];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  // In a drawing a text stands on the last shape before it that reaches around its middle.
  const shapes = (element) => {
    const box = element.getBoundingClientRect();
    const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
    const under = (shape) => {
      const { left, right, top, bottom } = shape.getBoundingClientRect();
      return left <= x && x <= right && top <= y && y <= bottom && shape.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING;
    };
    const fills = [...(element.closest("svg")?.querySelectorAll("rect, circle") ?? [])].filter(under).map((shape) => {
      const { fill, fillOpacity, opacity } = getComputedStyle(shape);
      const [r, g, b, a] = parts(fill);
      return [r, g, b, fill === "none" ? 0 : a * fillOpacity * opacity];
    });
    return fills.reverse().filter((fill) => fill[3] > 0);
  };
  const ground = (element) => {
    const layers = shapes(element);
    for (let e = element; e; e = e.parentElement) {
      const layer = parts(getComputedStyle(e).backgroundColor);
      if (layer[3] > 0) layers.push(layer);
      if (layer[3] === 1) break;
    }
    const paper = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
    return layers.reduceRight((below, layer) => over(layer, below), paper);
  };
  const light = (color) => {
    const [r, g, b] = color.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const pale = new Map();
  while (words.nextNode()) {
    const element = words.currentNode.parentElement;
    if (!words.currentNode.data.trim() || !seen(element) || element.closest("[disabled], noscript, title, desc, option")) continue;
    const box = element.getBoundingClientRect();
    if (box.width <= 1 || box.height <= 1) continue;
    const style = getComputedStyle(element);
    const below = ground(element);
    let color = over(parts(element.closest("svg") ? style.fill : style.color), below);
    for (let e = element; e; e = e.parentElement) {
      const opacity = Number(getComputedStyle(e).opacity);
      if (opacity < 1) color = over([...color.slice(0, 3), opacity], below);
    }
    const [a, b] = [light(color), light(below)].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.495) pale.set(`${contrast.toFixed(2)} ${shown(element)}`, words.currentNode.data.trim().slice(0, 40));
  }
  for (const [what, text] of [...pale].slice(0, 5)) faults.push(`contrast ${what} "${text}"`);
  return faults;
})()
