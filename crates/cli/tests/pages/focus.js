// After a key was pressed: what can have the focus and does not show it.
(() => {
  const before = document.activeElement;
  const style = (e) => {
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(e);
    return { ring: outlineStyle !== "none" && parseFloat(outlineWidth) >= 1, boxShadow };
  };
  const hidden = [];
  for (const element of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")) {
    if (!element.checkVisibility({ visibilityProperty: true }) || element.disabled) continue;
    element.blur();
    const without = style(element).boxShadow;
    element.focus({ preventScroll: true, focusVisible: true });
    if (document.activeElement !== element) continue;
    const now = style(element);
    if (!now.ring && now.boxShadow === without) hidden.push(element.cloneNode(false).outerHTML.slice(0, 200));
  }
  before?.focus?.({ preventScroll: true });
  return hidden.slice(0, 5);
})()
