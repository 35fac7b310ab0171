// The histogram of years: press on a bar, drag to another, let go, and that span is chosen.
(() => {
  function attach(root, call) {
    let from = null;
    const barAt = (event) => document.elementFromPoint(event.clientX, event.clientY)?.closest?.('[data-years] .bar');
    const span = (a, b) => [Math.min(a.dataset.low, b.dataset.low), Math.max(a.dataset.high, b.dataset.high)];
    root.addEventListener('pointerdown', (event) => {
      from = event.target.closest('[data-years] .bar');
      if (from) event.preventDefault();
    });
    document.addEventListener('pointermove', (event) => {
      const to = from && barAt(event);
      if (!to) return;
      const [low, high] = span(from, to);
      for (const bar of from.parentElement.children) bar.classList.toggle('picked', bar.dataset.low >= low && bar.dataset.high <= high);
    });
    document.addEventListener('pointerup', (event) => {
      if (!from) return;
      const [low, high] = span(from, barAt(event) ?? from);
      for (const bar of from.parentElement.children) bar.classList.remove('picked');
      from = null;
      call('years', {low, high});
    });
  }

  window.TriptychYears = {attach};
})();
