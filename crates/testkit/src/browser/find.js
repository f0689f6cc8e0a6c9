(() => {
  // What people see and operate; an element without a box is not there.
  const visible = (element) => element.getClientRects().length > 0 && getComputedStyle(element).visibility === "visible";
  const all = (selector) => {
    try {
      return [...document.querySelectorAll(selector)];
    } catch {
      return [];
    }
  };
  const name = (element) =>
    (element.getAttribute("aria-label") || element.innerText || element.value || "").replace(/\s+/g, " ").trim();
  const controls = "a, button, summary, label, option, input[type=submit], [role=button], [role=option], [role=menuitem]";
  const find = (target) => {
    const selected = all(target).find(visible);
    if (selected) return selected;
    const shown = all(controls).filter(visible);
    return (
      shown.find((element) => name(element) === target) ??
      shown.find((element) => name(element).startsWith(target)) ??
      shown.find((element) => name(element).includes(target))
    );
  };
  const described = (element) => (element ? element.cloneNode(false).outerHTML : "nothing");
  const middle = (element) => {
    const box = [...element.getClientRects()].find((box) => box.width > 0 && box.height > 0);
    return box && { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  };
  const takes = (element, { x, y }) => {
    const hit = document.elementFromPoint(x, y);
    return hit && (element.contains(hit) || (hit.contains(element) && hit.tagName === "LABEL") || hit.closest("label")?.control === element);
  };
  // What moves away between the look and the press is not pressed, nor is what came in its place.
  const guard = (target, point) => {
    const kinds = ["pointerdown", "mousedown", "pointerup", "mouseup", "click"];
    const end = () => kinds.forEach((kind) => removeEventListener(kind, check, true));
    const check = (event) => {
      if (event.type === "pointerdown") {
        const element = find(target);
        globalThis.missed = !element || !takes(element, point);
        if (!missed) return end();
      }
      event.preventDefault();
      event.stopImmediatePropagation();
    };
    globalThis.unguard?.();
    globalThis.unguard = end;
    globalThis.missed = false;
    kinds.forEach((kind) => addEventListener(kind, check, true));
  };
  // Where to click it now, or why one cannot.
  const spot = (target) => {
    const element = find(target);
    if (!element) return { fault: "there is no such thing" };
    if (element.disabled) return { fault: "it is disabled" };
    const point = middle(element);
    if (!point) return { fault: "it has no size" };
    // What is on the screen is not scrolled to: people do not either.
    if (takes(element, point)) return point;
    element.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
    const scrolled = middle(element);
    if (takes(element, scrolled)) return scrolled;
    return { fault: "it is covered by " + described(document.elementFromPoint(scrolled.x, scrolled.y)) };
  };
  return {
    shown: (selector) => all(selector).some(visible),
    text: (selector) => all(selector)[0]?.innerText ?? "",
    spot,
    // Twice at the same place, one frame apart: it stands still. What is there but covered is not waited for as long as
    // what is not there yet.
    point: async (target, bound, presses) => {
      const end = performance.now() + bound;
      let before = spot(target);
      let there;
      for (;;) {
        await new Promise((next) => requestAnimationFrame(next));
        const now = spot(target);
        if (!now.fault && now.x === before.x && now.y === before.y) {
          if (presses) guard(target, now);
          return now;
        }
        if (find(target)) there ??= performance.now();
        if (performance.now() > Math.min(end, (there ?? end) + bound / 5)) return now.fault ? now : { fault: "it does not stand still" };
        before = now;
      }
    },
    until: (holds, bound) =>
      new Promise((done) => {
        const held = () => {
          try {
            return Boolean(holds());
          } catch {
            return false;
          }
        };
        if (held()) return done(true);
        const events = ["focusin", "scroll", "input", "toggle", "hashchange", "popstate", "load"];
        const end = (result) => {
          watch.disconnect();
          clearTimeout(timer);
          for (const event of events) removeEventListener(event, check, true);
          done(result);
        };
        const check = () => held() && end(true);
        const watch = new MutationObserver(check);
        const timer = setTimeout(() => end(held()), bound);
        watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
        for (const event of events) addEventListener(event, check, true);
      }),
  };
})()
