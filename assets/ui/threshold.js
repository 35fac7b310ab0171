// The threshold of Compare, and that of Calibrate's hits: counts and greys without asking the server; the address keeps where it stands.
(() => {
  let timer = 0;
  let frame = 0;

  const percent = (t) => `${Number((100 * t).toFixed(1))}%`;
  const numbers = (text) => (text ? text.split(' ').map(Number) : []);
  const slider = () => document.querySelector('[data-cut="slider"]');
  const grouped = (n) => n.toLocaleString('en-US');

  // The threshold that is tried; null as long as every column has its own.
  function asked() {
    const text = new URLSearchParams(location.search).get('o.t');
    const value = text === null || text.trim() === '' ? NaN : Number(text);
    return value >= 0 && value <= 1 ? value : null;
  }

  function tell(column, name, text) {
    for (const place of column.querySelectorAll(`[data-cut="${name}"]`)) if (place.textContent !== text) place.textContent = text;
  }

  // True where cards have moved, so that lines must be drawn anew.
  function cut(column, t) {
    const all = numbers(column.dataset.probabilities);
    const relevant = numbers(column.dataset.relevant);
    const kept = t === null ? Number(column.dataset.kept) : all.filter((p) => p >= t).length;
    const lost = t === null ? Number(column.dataset.lost) : relevant.filter((p) => p < t).length;
    tell(column, 'kept', grouped(kept));
    tell(column, 'dropped', grouped(all.length - kept));
    tell(column, 'lost', grouped(lost));
    column.querySelector('.cut-lost')?.classList.toggle('is-some', lost > 0);
    const none = column.querySelector('[data-cut="none"]');
    const moved = none !== null && none.hidden !== kept > 0;
    if (none) none.hidden = kept > 0;
    const folded = column.querySelector('details[data-below]');
    let back = false; // a hit that the pipeline dropped is kept at this threshold
    for (const hit of column.querySelectorAll('[data-p]')) {
      const inside = folded?.contains(hit) ?? false;
      const dropped = t === null ? inside : Number(hit.dataset.p) < t;
      hit.classList.toggle('is-dropped', dropped);
      back ||= inside && !dropped;
    }
    const opens = back && !folded.open;
    if (opens) folded.open = true;
    return moved || opens;
  }

  function apply(t) {
    const bar = document.querySelector('.cut-bar');
    if (!bar) return;
    const range = slider();
    bar.classList.toggle('is-tried', t !== null);
    bar.querySelector('[data-local="uncut"]').disabled = t === null;
    const said = t === null ? range.dataset.said : percent(t);
    bar.querySelector('[data-cut="value"]').textContent = said;
    range.setAttribute('aria-valuetext', said);
    const board = document.querySelector('[data-columns]');
    board?.classList.toggle('is-cut', t !== null);
    const moved = [...document.querySelectorAll('[data-probabilities]')].map((column) => cut(column, t));
    if (moved.includes(true)) window.TriptychFlow.redraw();
  }

  function keep(t) {
    const address = new URLSearchParams(location.search);
    if (t === null) address.delete('o.t'); else address.set('o.t', String(t));
    const text = `?${address}`;
    if (text !== location.search) history.replaceState(null, '', text);
  }

  // On Calibrate the hits grey at once; the rest of what a threshold does comes from the server when it rests.
  function grey(t) {
    for (const hit of document.querySelectorAll('.cal-hit[data-p]')) hit.classList.toggle('is-dropped', Number(hit.dataset.p) < t);
  }

  // While it moves nothing but the cards changes; the address follows when it rests.
  function onInput(event) {
    if (event.target.matches?.('.cal-slider')) grey(Number(event.target.value));
    if (event.target !== slider()) return;
    const t = Number(event.target.value);
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => apply(t));
    clearTimeout(timer);
    timer = setTimeout(() => { timer = 0; keep(t); }, 250);
  }

  function reset() {
    const range = slider();
    if (!range) return;
    clearTimeout(timer);
    timer = 0;
    range.value = range.dataset.own;
    keep(null);
    apply(null);
    range.focus();
  }

  // New cards have come. A slide that the address does not know yet holds on.
  function settle() {
    const range = slider();
    if (!range) return;
    if (timer) { apply(Number(range.value)); return; }
    const t = asked();
    range.value = t ?? range.dataset.own;
    apply(t);
  }

  document.addEventListener('input', onInput);
  window.TriptychThreshold = {settle, reset};
})();
