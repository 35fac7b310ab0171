// The lines of Compare: the same document joined across columns, drawn from where the cards stand.
(() => {
  let marked = null;
  const NS = 'http://www.w3.org/2000/svg';
  const node = (name, attributes) => {
    const made = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  function cardsOf(column) {
    const found = new Map();
    for (const hit of column.querySelectorAll('[data-hit]')) if (hit.checkVisibility()) found.set(hit.dataset.doc, hit);
    return found;
  }

  // A curve from the right edge of a card to the left edge of the same document's next one, and a stub where it goes no further. Next is
  // the neighboring column; where columns may be skipped (the stages of a pipeline) it is the nearest one to the right that holds it.
  function draw() {
    const board = document.querySelector('[data-columns]');
    const svg = board?.querySelector('[data-flow]');
    if (!svg) return;
    const frame = board.getBoundingClientRect();
    const columns = [...board.querySelectorAll('[data-column]')];
    const skip = board.dataset.skip !== undefined;
    const cards = columns.map(cardsOf);
    const parts = [];
    const defs = node('defs', {});
    const shades = new Map();
    const shade = (i, to) => {
      const id = `tp-flow-${i}-${to}`;
      if (shades.has(id)) return id;
      const gradient = node('linearGradient', {id, gradientUnits: 'userSpaceOnUse'});
      gradient.setAttribute('x1', columns[i].getBoundingClientRect().right - frame.left);
      gradient.setAttribute('x2', columns[to].getBoundingClientRect().left - frame.left);
      gradient.append(node('stop', {offset: 0, class: `flow-stop s${i % 4}`}), node('stop', {offset: 1, class: `flow-stop s${to % 4}`}));
      defs.append(gradient);
      shades.set(id, gradient);
      return id;
    };
    for (let i = 0; i + 1 < columns.length; i += 1) {
      for (const [doc, hit] of cards[i]) {
        let to = i + 1;
        while (skip && to + 1 < columns.length && !cards[to].has(doc)) to += 1;
        const other = cards[to].get(doc);
        const a = hit.getBoundingClientRect();
        const x1 = a.right - frame.left;
        const y1 = a.top + a.height / 2 - frame.top;
        if (!other) {
          parts.push(node('path', {d: `M${x1} ${y1}h9`, class: `flow-end s${i % 4}`, 'data-line': doc}));
          continue;
        }
        const b = other.getBoundingClientRect();
        const x2 = b.left - frame.left;
        const y2 = b.top + b.height / 2 - frame.top;
        const bend = (x2 - x1) * 0.55;
        // A perfectly level curve has an empty box and would lose its gradient.
        const level = Math.abs(y2 - y1) < 0.1 ? 0.1 : 0;
        const d = `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2 + level} ${x2} ${y2 + level}`;
        const same = hit.dataset.rank === other.dataset.rank;
        parts.push(node('path', {d, class: same ? 'flow-line is-same' : 'flow-line', stroke: `url(#${shade(i, to)})`, 'data-line': doc}));
      }
    }
    svg.setAttribute('width', board.scrollWidth);
    svg.setAttribute('height', board.scrollHeight);
    if (marked !== null) for (const part of parts) part.classList.toggle('is-followed', part.dataset.line === marked);
    svg.replaceChildren(defs, ...parts);
  }

  let due = 0;
  const redraw = () => {
    cancelAnimationFrame(due);
    due = requestAnimationFrame(draw);
  };

  // Hovering or focusing a card follows its document through every column.
  function follow(doc) {
    if (doc === marked) return;
    marked = doc;
    const board = document.querySelector('[data-columns]');
    if (!board) return;
    board.classList.toggle('is-following', doc !== null);
    const items = [...board.querySelectorAll('[data-hit], [data-line]'), ...document.querySelectorAll('[data-dot]')];
    for (const item of items) item.classList.toggle('is-followed', doc !== null && (item.dataset.doc ?? item.dataset.line) === doc);
  }

  const sizes = new ResizeObserver(redraw);
  let watched = null;
  function watch() {
    const board = document.querySelector('[data-columns]');
    if (board !== watched) {
      sizes.disconnect();
      watched = board;
      if (board) sizes.observe(board);
    }
    marked = null;
    redraw();
  }

  window.addEventListener('resize', redraw);
  document.fonts?.ready.then(redraw);
  window.TriptychFlow = {draw, redraw, follow, watch};
})();
