// The page: one call to the server per event, and the regions it answers with are put in place. No region carries code of its own.
(() => {
  const REGION = /^[\w-]{1,80}$/;
  const local = {};
  let server = null;
  let root = null;
  let running = 0;
  let slow = 0;
  let pollTimer = 0;
  let returning = false; // a step back or forward: what is in a focused field is of another time

  const $ = (id) => document.getElementById(id);
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));

  // ------------------------------------------------------------------ calls
  // Calls run one after another, each from the address that the one before left behind, and every answer is put in place: a facet
  // chosen while a slow search runs is added to that search. Of calls that wholly replace each other (ten steps through a list) only
  // the last is asked and shown; a step back or forward leaves behind whatever was asked before it.
  // What an action is says the server, once, on the frame (`learn`).
  let pages = {};
  let waiting = '';
  let replaces, moves, quiet, top, lists;
  let chain = Promise.resolve();
  let latest = {};
  let returns = 0; // steps back and forward
  let turns = 0; // answers put in place

  // `own`: the page asks by itself. What the person asked goes before it, and is not replaced by it.
  function call(action, args = {}, alert = '', own = false) {
    if (!own) latest[action] = (latest[action] ?? 0) + 1;
    const [ticket, step, turn] = [latest[action], returns, turns];
    const current = () => (step === returns || !moves.has(action)) && (latest[action] === ticket || !replaces.has(action)) && (turn === turns || action !== 'jobs');
    if (quiet.has(action)) return ask(action, args, alert, current);
    busy(1);
    chain = chain.then(() => (current() ? ask(action, args, alert, current) : null)).catch((error) => { console.error(error); return null; }).finally(() => busy(-1));
    return chain;
  }

  async function ask(action, args, alert, current) {
    let reply = null;
    try {
      reply = await server.call({action, url: location.search, args, alert});
      if (!reply?.regions) reply = null;
    } catch { /* no answer: said below */ }
    if (!current()) return null;
    if (reply === null) {
      if (!quiet.has(action)) offline();
      return null;
    }
    offline(false);
    if (!quiet.has(action)) turns += 1;
    apply(reply, action);
    return reply;
  }

  // The bar appears after 150 ms, so quick answers never flicker.
  function busy(step) {
    running += step;
    clearTimeout(slow);
    if (running > 0) slow = setTimeout(() => { root.classList.add('is-busy'); root.setAttribute('aria-busy', 'true'); }, 150);
    else { root.classList.remove('is-busy'); root.removeAttribute('aria-busy'); }
  }

  function offline(on = true) {
    const box = $('tp-alert');
    if (!on) { box.querySelector('.is-offline')?.remove(); return; }
    if (box.querySelector('.is-offline')) return;
    const made = document.createElement('div');
    made.className = 'box box-error is-offline';
    made.setAttribute('role', 'alert');
    made.textContent = 'The server does not answer. If Triptych was stopped, start it again and open the address that it prints; what was committed is safe.';
    box.append(made);
  }

  // ---------------------------------------------------------------- regions
  function apply(reply, action) {
    for (const [id, html] of Object.entries(reply.regions)) {
      const region = REGION.test(id) ? $(id) : null;
      if (!region) continue;
      if (id === 'tp-yaml') { if (region !== document.activeElement) setYaml(region, html); continue; }
      const scrolled = remember(region);
      TriptychMorph.fill(region, html, returning);
      restore(scrolled);
      if (id === 'tp-side') { region.hidden = html === ''; root.classList.toggle('has-side', html !== ''); }
    }
    if (reply.url !== null && reply.url !== location.search) {
      history[reply.push ? 'pushState' : 'replaceState'](null, '', reply.url);
    }
    if (reply.dialog !== null) openDialog(reply.dialog);
    if (reply.closeDialog) $('tp-dialog').close();
    if (reply.download) save(reply.download);
    if (reply.say) { $('tp-live').textContent = ''; $('tp-live').textContent = reply.say; }
    if (reply.focus) document.querySelector(reply.focus)?.focus();
    settle(action);
    if (reply.poll) poll(700);
  }

  function remember(region) {
    return [...region.querySelectorAll('[data-scroll]')].map((node) => [node.dataset.scroll, node.scrollTop]);
  }

  function restore(saved) {
    for (const [key, top] of saved) {
      const node = [...document.querySelectorAll('[data-scroll]')].find((item) => item.dataset.scroll === key);
      if (node) node.scrollTop = top;
    }
    for (const node of document.querySelectorAll('[data-scroll]')) {
      if (node.dataset.scroll !== node.dataset.shown) { if (node.dataset.shown) node.scrollTop = 0; node.dataset.shown = node.dataset.scroll; }
    }
  }

  function setYaml(area, html) {
    const holder = document.createElement('div');
    holder.innerHTML = html;
    area.value = holder.querySelector('textarea')?.value ?? '';
  }

  // After every answer: which card is open, which column a card stands in, lines, title of the window.
  function settle(action) {
    const address = new URLSearchParams(location.search);
    const doc = address.get('doc') ?? '';
    for (const hit of document.querySelectorAll('[data-hit]')) {
      const open = doc !== '' && hit.dataset.doc === doc;
      hit.classList.toggle('is-open', open);
      if (open) hit.setAttribute('aria-current', 'true'); else hit.removeAttribute('aria-current');
    }
    const page = address.get('tab') ?? 'search';
    root.dataset.page = page;
    root.dataset.address = location.search || '?';
    const query = address.get('q');
    document.title = [query && pages[page]?.asked ? query : '', pages[page]?.title, 'Triptych'].filter(Boolean).join(' · ');
    if (top.has(action)) $('tp-main').scrollTop = 0;
    if (lists.has(action)) document.querySelector('[data-hit]')?.setAttribute('tabindex', '0');
    window.TriptychThreshold.settle();
    window.TriptychFlow.watch();
  }

  function save({name, mime, text, base64}) {
    const content = base64 === undefined ? text : Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const address = URL.createObjectURL(new Blob([content], {type: mime}));
    const link = document.createElement('a');
    link.href = address;
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }

  // ---------------------------------------------------------------- dialogs
  function openDialog(html) {
    const dialog = $('tp-dialog');
    TriptychMorph.fill(dialog, html, true);
    if (!dialog.open) dialog.showModal();
    dialog.querySelector('[autofocus], input')?.focus();
    dialog.querySelector('input[type=text]')?.select();
  }

  local.keys = () => $('tp-keys').showModal();
  local['close-dialog'] = (element) => element.closest('dialog').close();
  local.theme = () => window.TriptychTheme.toggle();
  local.uncut = () => window.TriptychThreshold.reset();
  local.facets = () => root.classList.toggle('show-facets');
  local.collections = () => showCollections(!root.classList.contains('show-collections'));

  // In a narrow window the sidebar is a rail, and the collections open beside it.
  function showCollections(on) {
    root.classList.toggle('show-collections', on);
    document.querySelector('#tp-sidebar .only-rail')?.setAttribute('aria-expanded', String(on));
    if (on) document.querySelector('#tp-collections .is-current, #tp-collections button')?.focus();
  }

  // ------------------------------------------------------------------ events
  const RESERVED = new Set(['action', 'change', 'input', 'field', 'form', 'main', 'alert', 'key', 'toggle', 'hit', 'running', 'upload', 'line', 'tip', 'rove', 'hotkey', 'grades']);

  function dataOf(element) {
    const args = {};
    for (const [key, value] of Object.entries(element.dataset)) if (!RESERVED.has(key)) args[key] = value;
    return args;
  }

  function fieldsOf(form) {
    const args = {};
    for (const field of form.querySelectorAll('[data-field]')) args[field.dataset.field] = field.type === 'checkbox' ? field.checked : field.value;
    return args;
  }

  function argsOf(element) {
    const form = element.closest('[data-form]');
    return {...(form ? fieldsOf(form) : {}), ...dataOf(element)};
  }

  const alertOf = (element) => element.closest('[data-alert]')?.dataset.alert ?? '';

  async function act(action, element) {
    if (action === 'copy-link') return copy(element, location.href, 'Link copied', 'The link is in the address bar');
    if (action === 'copy-text') return copy(element, element.dataset.text, 'Copied', 'Select the text to copy it');
    if (action === 'next' || action === 'previous') return step(action === 'next' ? 1 : -1, true);
    const args = argsOf(element);
    if (action === 'star') return star(args.doc, args.state);
    if (action === 'grade') return TriptychJudge.grade(element, call);
    if (action === 'read') {
      const column = element.closest('[data-column]');
      if (column) args.column = column.dataset.column;
    }
    return call(action, args, alertOf(element));
  }

  function onClick(event) {
    const element = event.target.closest('[data-action], [data-local]');
    if (root.classList.contains('show-collections') && element?.dataset.local !== 'collections' && (element || !event.target.closest('#tp-collections'))) showCollections(false);
    if (element && element.tagName !== 'FORM' && root.contains(element)) {
      if (element.dataset.local) local[element.dataset.local]?.(element);
      else act(element.dataset.action, element);
      return;
    }
    const hit = event.target.closest('[data-hit]');
    if (hit && !event.target.closest('button, a, input, summary') && !String(getSelection())) {
      select(hit);
      act('read', hit.querySelector('.hit-title'));
    }
  }

  function onSubmit(event) {
    event.preventDefault();
    const form = event.target.closest('form[data-action]');
    if (!form) return;
    call(form.dataset.action, {...fieldsOf(form), ...dataOf(form)}, form.dataset.alert ?? '');
  }

  function onChange(event) {
    const element = event.target;
    if (element.matches('[data-upload]')) { TriptychUploads.send([...element.files], call, element, argsOf(element)); element.value = ''; return; }
    const action = element.dataset?.change;
    if (!action) return;
    const args = argsOf(element);
    if (element.type === 'checkbox' && action === 'editor-edit') args.value = element.checked ? 'true' : 'false';
    else if (!('value' in element.dataset)) args.value = element.value;
    if (action === 'editor-edit') args.yaml = $('tp-yaml').value;
    call(action, args, alertOf(element));
  }

  let typing = 0;
  function onInput(event) {
    const action = event.target.dataset?.input;
    if (!action) return;
    clearTimeout(typing);
    typing = setTimeout(() => call(action, {...argsOf(event.target), value: event.target.value}, alertOf(event.target)), 250);
  }

  function onToggle(event) {
    const details = event.target;
    if (details.open && details.dataset?.toggle) call(details.dataset.toggle, {job: details.dataset.job});
    window.TriptychFlow.redraw();
  }

  async function star(doc, wanted) {
    const mark = (on) => {
      for (const button of document.querySelectorAll('.star')) {
        if (button.dataset.doc !== doc) continue;
        button.dataset.state = on ? 'off' : 'on';
        button.setAttribute('aria-pressed', String(on));
        const label = on ? 'Remove from the shortlist' : 'Add to the shortlist';
        button.title = label;
        button.setAttribute('aria-label', label);
      }
    };
    mark(wanted === 'on');
    const reply = await call('star', {doc, state: wanted});
    if (!reply || reply.failed) mark(wanted !== 'on');
  }

  async function copy(element, text, done, otherwise) {
    try {
      await navigator.clipboard.writeText(text);
      element.classList.add('is-done');
      $('tp-live').textContent = done;
      await wait(1200);
      element.classList.remove('is-done');
    } catch {
      $('tp-live').textContent = otherwise;
    }
  }

  // ---------------------------------------------------------------- keyboard
  const hitsOf = (hit) => [...(hit?.closest('[data-hits]') ?? document.querySelector('[data-hits]') ?? root).querySelectorAll(':scope > [data-hit]')];
  const current = () => document.activeElement?.closest?.('[data-hit]') ?? document.querySelector('[data-hit].is-selected') ?? document.querySelector('[data-hit].is-open');

  function select(hit, focus = false) {
    for (const other of document.querySelectorAll('[data-hit].is-selected')) other.classList.remove('is-selected');
    for (const other of document.querySelectorAll('[data-hit][tabindex="0"]')) other.tabIndex = -1;
    hit.classList.add('is-selected');
    hit.tabIndex = 0;
    if (focus) { hit.focus({preventScroll: true}); hit.scrollIntoView({block: 'nearest'}); }
    window.TriptychFlow.follow(hit.dataset.doc);
  }

  function step(by, open = false) {
    const here = current();
    const list = hitsOf(here);
    if (!list.length) return;
    const next = here ? list[Math.min(list.length - 1, Math.max(0, list.indexOf(here) + by))] : list[0];
    select(next, true);
    if (open || (root.classList.contains('has-side') && new URLSearchParams(location.search).get('doc'))) act('read', next.querySelector('.hit-title'));
  }

  function sideways(by) {
    const here = current();
    const columns = [...document.querySelectorAll('[data-column]')];
    const at = columns.indexOf(here?.closest('[data-column]'));
    if (at < 0) return false;
    const target = columns[at + by];
    if (!target) return true;
    const seen = [...target.querySelectorAll('[data-hit]')].filter((hit) => hit.checkVisibility());
    const next = seen.find((hit) => hit.dataset.doc === here.dataset.doc) ?? seen[hitsOf(here).indexOf(here)] ?? seen[0];
    if (next) select(next, true);
    return true;
  }

  let prefix = -Infinity;
  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const typingIn = event.target.closest?.('input:not([type=checkbox]), textarea, select, [contenteditable]');
    const dialog = document.querySelector('dialog[open]');
    if (event.key === 'Escape' && !dialog) return escape(event, typingIn);
    if (typingIn || dialog) {
      if (typingIn?.id === 'tp-query' && event.key === 'ArrowDown') { step(0); event.preventDefault(); }
      return;
    }
    if (performance.now() - prefix < 900) {
      prefix = -Infinity;
      const page = Object.keys(pages).find((name) => pages[name].key === event.key);
      if (page) { event.preventDefault(); call('go', {page}); return; }
    }
    if (event.key !== '?' && TriptychJudge.press(event, act)) return;
    const here = current();
    const inHit = event.target.closest?.('[data-hit]');
    const keys = {
      '/': () => { const query = $('tp-query'); query?.focus(); query?.select(); },
      '?': () => local.keys(),
      g: () => { prefix = performance.now(); },
      j: () => step(1), ArrowDown: () => step(here ? 1 : 0),
      k: () => step(-1), ArrowUp: () => step(-1),
      o: () => here && act('read', here.querySelector('.hit-title')),
      Enter: () => (inHit && event.target === inHit ? act('read', inHit.querySelector('.hit-title')) : 'pass'),
      s: () => { const button = (here ?? $('tp-side'))?.querySelector('.star'); if (button) star(button.dataset.doc, button.dataset.state); },
      w: () => { const button = here?.querySelector('[data-action=why]'); if (button) act('why', button); },
      ArrowLeft: () => (sideways(-1) ? null : 'pass'),
      ArrowRight: () => (sideways(1) ? null : 'pass'),
    };
    if (/^[0-3]$/.test(event.key)) { const button = here?.querySelector(`[data-grade="${event.key}"]`); if (button) { event.preventDefault(); TriptychJudge.grade(button, call); } return; }
    if ((event.key === 'ArrowDown' || event.key === 'ArrowUp') && !document.querySelector('[data-hit]')) return;
    if ((event.key === 'ArrowDown' || event.key === 'ArrowUp') && event.target.closest?.('#tp-side')) return;
    const run = keys[event.key];
    if (run && run() !== 'pass') event.preventDefault();
  }

  function escape(event, typingIn) {
    if (typingIn) { event.preventDefault(); typingIn.blur(); return; }  // a search field would empty itself
    if (root.classList.contains('show-collections')) { showCollections(false); document.querySelector('#tp-sidebar .only-rail')?.focus(); return; }
    if (root.classList.contains('show-facets')) { root.classList.remove('show-facets'); return; }
    if (root.classList.contains('has-side')) {
      event.preventDefault();
      const open = document.querySelector('[data-hit].is-open') ?? document.querySelector('[data-hit].is-selected');
      call('close').then(() => open?.isConnected && open.focus({preventScroll: true}));
    }
  }

  // --------------------------------------------------------------------- jobs
  const runningJobs = () => (document.querySelector('#tp-jobline [data-running]')?.dataset.running ?? '').split(',').filter(Boolean);
  let known = [];

  function poll(after) {
    clearTimeout(pollTimer);
    pollTimer = setTimeout(async () => {
      if (document.hidden) { poll(2000); return; }
      known = [...new Set([...known, ...runningJobs()])];
      // A search that waited for an index can be answered now, and an evaluation that is over has something to show. Noted before the
      // answer, which takes away the job that has ended.
      const waits = waiting && document.querySelector(waiting);
      const turn = turns;
      const reply = await call('jobs', {running: known.join(',')});
      if (!reply && turn !== turns) { poll(200); return; } // the answer was of a page that has changed since
      const ended = known.some((job) => !runningJobs().includes(job));
      known = runningJobs();
      if (reply && ended && waits) call('open', {}, '', true);
      if (reply && !reply.poll && !known.length) return;
      poll(reply ? 1000 : 5000);
    }, after);
  }

  // ------------------------------------------------------------------- start
  // The pages and their keys, which actions are of which kind, and what on a page waits for jobs.
  function learn(known) {
    ({pages, waiting} = known);
    [replaces, quiet, top, lists] = ['replaces', 'quiet', 'top', 'lists'].map((kind) => new Set(known.actions[kind]));
    moves = new Set([...replaces, ...known.actions.moves]);
  }

  function attach(element, functions) {
    root = element.querySelector('#tp-app');
    server = functions;
    if (!root) return;
    learn(JSON.parse(root.dataset.known));
    document.addEventListener('click', onClick);
    document.addEventListener('submit', onSubmit);
    document.addEventListener('change', onChange);
    document.addEventListener('input', onInput);
    document.addEventListener('toggle', onToggle, true);
    document.addEventListener('keydown', onKey);
    for (const kind of ['dragover', 'dragleave', 'drop']) document.addEventListener(kind, (event) => TriptychUploads.drag(event, call, argsOf));
    root.addEventListener('mouseover', (event) => window.TriptychFlow.follow(event.target.closest('[data-columns] [data-hit], .ledger [data-doc], [data-dot]')?.dataset.doc ?? null));
    root.addEventListener('focusin', (event) => { const hit = event.target.closest('[data-hit]'); if (hit) select(hit); });
    window.TriptychYears.attach(root, call);
    window.addEventListener('popstate', () => { returning = true; returns += 1; call('open').finally(() => { returning = false; }); });
    call('open').then(() => document.documentElement.classList.add('is-ready'));
  }

  window.Triptych = {attach};
  window.dispatchEvent(new Event('triptych-ready'));
})();
