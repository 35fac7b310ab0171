// Runs before anything is painted, so that a dark page never flashes white.
(() => {
  const root = document.documentElement;
  const system = window.matchMedia('(prefers-color-scheme: dark)');
  const apply = () => {
    let chosen = null;
    try { chosen = localStorage.getItem('triptych.theme'); } catch { /* private windows have no storage */ }
    const name = chosen === 'light' || chosen === 'dark' ? chosen : system.matches ? 'dark' : 'light';
    root.dataset.theme = name;
    root.style.colorScheme = name;
  };
  system.addEventListener('change', apply);
  window.addEventListener('storage', apply);
  apply();
  window.TriptychTheme = {
    toggle() {
      const name = root.dataset.theme === 'dark' ? 'light' : 'dark';
      try { localStorage.setItem('triptych.theme', name); } catch { /* as above */ }
      root.dataset.theme = name;
      root.style.colorScheme = name;
    },
  };
})();
