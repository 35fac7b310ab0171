// Puts new HTML into a region by changing only what differs.
(() => {
  let force = false; // a step back or forward: what is in a focused field is of another time

  // Keep what stays, change what changed: focus, open details, scroll positions and hover survive.
  function fill(region, html, returning = false) {
    force = returning;
    const next = region.cloneNode(false);
    next.innerHTML = html;
    morph(region, next);
  }

  const keyOf = (node) => (node.nodeType === 1 ? node.dataset?.key || node.id || '' : '');

  function morph(now, next) {
    const keyed = new Map();
    for (const child of now.childNodes) if (keyOf(child)) keyed.set(keyOf(child), child);
    let at = now.firstChild;
    for (const wanted of [...next.childNodes]) {
      const key = keyOf(wanted);
      let match = key ? keyed.get(key) : at && !keyOf(at) && at.nodeType === wanted.nodeType && at.nodeName === wanted.nodeName ? at : null;
      if (match && match.nodeName !== wanted.nodeName) match = null;
      if (!match) { now.insertBefore(wanted, at); continue; }
      if (match === at) at = at.nextSibling;
      else now.insertBefore(match, at);
      update(match, wanted);
    }
    while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
  }

  function update(now, next) {
    if (now.nodeType !== 1) { if (now.nodeValue !== next.nodeValue) now.nodeValue = next.nodeValue; return; }
    if (now.dataset.keep !== undefined && next.dataset.keep !== undefined) return;
    for (const {name} of [...now.attributes]) if (!next.hasAttribute(name) && name !== 'open' && name !== 'style') now.removeAttribute(name);
    if (!next.hasAttribute('style')) now.removeAttribute('style');
    for (const {name, value} of [...next.attributes]) if (now.getAttribute(name) !== value && !(name === 'tabindex' && now.dataset.hit !== undefined)) now.setAttribute(name, value);
    if (now instanceof HTMLInputElement && (now !== document.activeElement || force)) {
      if (now.type === 'checkbox') now.checked = next.hasAttribute('checked');
      else if (now.type !== 'file') now.value = next.getAttribute('value') ?? '';
    }
    if (now instanceof HTMLTextAreaElement) { if (now !== document.activeElement) now.value = next.value; return; }
    if (now instanceof HTMLSelectElement) {
      const value = next.value; // read first: new options move from one to the other
      morph(now, next);
      now.value = value;
      return;
    }
    morph(now, next);
  }

  window.TriptychMorph = {fill};
})();
