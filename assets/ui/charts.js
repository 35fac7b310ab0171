// What drawings have in common: facts beside the pointer or the focus, arrow keys from mark to mark, menus that close.
(() => {
  const MARK = '[data-tip]';
  let tip = null;
  let shownFor = null;

  function box() {
    const app = document.getElementById('tp-app');
    if (!tip?.isConnected && app) {
      tip = document.createElement('div');
      tip.id = 'tp-tip';
      tip.className = 'tip';
      tip.hidden = true;
      tip.setAttribute('aria-hidden', 'true'); // the same words are the mark's own label
      app.append(tip);
    }
    return tip;
  }

  // Above the mark, or below where there is no room, and never outside the window.
  function show(mark) {
    const shown = box();
    if (!shown || mark === shownFor) return;
    shownFor = mark;
    shown.textContent = mark.dataset.tip;
    shown.hidden = false;
    const at = mark.getBoundingClientRect();
    const size = shown.getBoundingClientRect();
    const left = Math.min(innerWidth - size.width - 8, Math.max(8, at.left + at.width / 2 - size.width / 2));
    const above = at.top - size.height - 8;
    shown.style.left = `${left}px`;
    shown.style.top = `${above > 8 ? above : Math.min(innerHeight - size.height - 8, at.bottom + 8)}px`;
  }

  function hide() {
    shownFor = null;
    if (tip) tip.hidden = true;
  }

  function walk(event) {
    const group = event.target.closest?.('[data-rove]');
    if (!group || event.ctrlKey || event.metaKey || event.altKey) return;
    const marks = [...group.querySelectorAll('[data-action]')];
    const here = marks.indexOf(event.target.closest('[data-rove] [data-action]'));
    if ((event.key === 'Enter' || event.key === ' ') && here >= 0) {
      event.preventDefault();
      event.stopPropagation();
      marks[here].click();
      return;
    }
    const to = {ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: marks.length - 1, PageDown: here + 20, PageUp: here - 20}[event.key];
    if (to === undefined || !marks.length) return;
    event.preventDefault();
    event.stopPropagation();
    const next = marks[Math.min(marks.length - 1, Math.max(0, to))];
    next.focus({preventScroll: true});
    next.scrollIntoView({block: 'nearest', inline: 'nearest'});
    show(next);
  }

  function menus(event) {
    for (const menu of document.querySelectorAll('details[data-menu][open]')) {
      const inside = menu.contains(event.target);
      if (event.type === 'keydown' ? event.key === 'Escape' : !inside || event.target.closest('[data-action]')) {
        menu.open = false;
        if (event.type === 'keydown') { event.preventDefault(); event.stopPropagation(); menu.querySelector('summary').focus(); }
      }
    }
  }

  document.addEventListener('mouseover', (event) => { const mark = event.target.closest?.(MARK); if (mark) show(mark); else hide(); });
  document.addEventListener('focusin', (event) => { const mark = event.target.matches(':focus-visible') && event.target.closest(MARK); if (mark) show(mark); else hide(); });
  document.addEventListener('scroll', hide, true);
  document.addEventListener('keydown', (event) => { if (event.key === 'Escape') hide(); menus(event); walk(event); }, true);
  document.addEventListener('click', (event) => { hide(); menus(event); });
})();
