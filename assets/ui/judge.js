// Judging by keyboard: buttons that name a key, and grades on cards that are marked before the server has answered.
(() => {
  let pressing = false; // what comes next has not been seen yet, so keys wait for it

  // True where some button or field of the page wants this key.
  function press(event, act) {
    const wanted = [...document.querySelectorAll('#tp-main [data-hotkey]')].find((element) => element.dataset.hotkey === event.key && !element.disabled);
    if (!wanted || event.target.closest?.('#tp-side')) return false;
    event.preventDefault();
    if (wanted.matches('textarea, input')) { wanted.focus(); return true; }
    if (pressing || event.repeat) return true;
    pressing = true;
    Promise.resolve(act(wanted.dataset.action, wanted)).finally(() => { pressing = false; });
    return true;
  }

  function mark(doc, rating) {
    for (const group of document.querySelectorAll('[data-grades]')) {
      if (group.dataset.grades !== doc) continue;
      for (const button of group.querySelectorAll('[data-grade]')) {
        const on = button.dataset.grade === rating;
        button.setAttribute('aria-pressed', String(on));
        button.tabIndex = on || (rating === '' && button.dataset.grade === '0') ? 0 : -1;
      }
    }
    for (const shown of document.querySelectorAll('[data-rated]')) {
      if (shown.dataset.rated !== doc) continue;
      shown.hidden = rating === '';
      shown.querySelector('b').textContent = rating;
      shown.className = `rated ${Number(rating) > 0 ? 'rated-yes' : 'rated-no'}`;
    }
  }

  const listed = () => {
    const columns = [...document.querySelectorAll('[data-column]')];
    return (columns.length ? columns : [...document.querySelectorAll('#tp-results [data-hits]:not([data-hits="below"])')])
      .map((list) => [...list.querySelectorAll('[data-hit]')].filter((hit) => !hit.closest('[data-below]')).map((hit) => hit.dataset.doc));
  };

  // The pressed grade again takes the judgment back.
  async function grade(button, call) {
    const {doc, rank} = button.dataset;
    const before = button.parentElement.querySelector('[aria-pressed=true]')?.dataset.grade ?? '';
    const wanted = button.dataset.grade === before ? '' : button.dataset.grade;
    const column = button.closest('[data-column]')?.dataset.column ?? '';
    mark(doc, wanted);
    const reply = await call('grade', {doc, grade: wanted, rank, column, lists: JSON.stringify(listed())});
    if (!reply || reply.failed) mark(doc, before);
  }

  window.TriptychJudge = {press, grade};
})();
