// Files on their way to the server, with progress.
(() => {
  let upload = null;

  // Sent straight to Gradio's upload address, because only that way the progress is known. The field that took the files says who
  // reads them (data-upload), where the progress stands (data-line) and where errors go (data-alert).
  async function send(files, call, field, args = {}) {
    const {upload: action, line: where, alert} = field.dataset;
    const line = document.getElementById(where);
    if (!files.length || !line) return;
    upload?.abort();
    const total = files.reduce((sum, file) => sum + file.size, 0);
    const shown = document.createElement('div');
    shown.className = 'upload';
    const words = document.createElement('span');
    const meter = document.createElement('span');
    meter.className = 'meter';
    const bar = document.createElement('i');
    meter.append(bar);
    shown.append(words, meter);
    line.replaceChildren(shown);
    const tell = (sent) => {
      const share = total ? Math.min(100, 100 * sent / total) : 100;
      words.textContent = `${files.length === 1 ? files[0].name : `${files.length} files`}: ${share.toFixed(0)}%`;
      bar.style.width = `${share}%`;
    };
    tell(0);
    const body = new FormData();
    for (const file of files) body.append('files', file, file.name);
    try {
      const paths = await post(body, tell);
      words.textContent = 'Reading…';
      await call(action, {...args, paths}, alert);
      line.replaceChildren();
    } catch (error) {
      const box = document.createElement('div');
      box.className = 'box box-error';
      box.setAttribute('role', 'alert');
      box.textContent = error.message;
      line.replaceChildren(box);
    }
  }

  function post(body, tell) {
    return new Promise((done, fail) => {
      upload = new XMLHttpRequest();
      upload.upload.addEventListener('progress', (event) => tell(event.loaded));
      upload.addEventListener('load', () => {
        if (upload.status === 200) { done(JSON.parse(upload.responseText)); return; }
        const why = {413: 'The file is larger than this server takes. Add it by its path instead, or split it.', 403: 'This server does not take files.'}[upload.status];
        fail(new Error(why ?? `The file could not be sent (${upload.status}). Try again.`));
      });
      upload.addEventListener('error', () => fail(new Error('The connection broke while the file was sent. Try again.')));
      upload.open('POST', new URL('gradio_api/upload', location.href));
      upload.send(body);
    });
  }

  function drag(event, call, argsOf) {
    const drop = document.querySelector('#tp-side [data-drop]') ?? document.querySelector('[data-drop]');
    if (!drop || !event.dataTransfer?.types.includes('Files')) return;
    event.preventDefault();
    drop.classList.toggle('is-over', event.type === 'dragover');
    if (event.type === 'drop') {
      const field = drop.querySelector('[data-upload]');
      send([...event.dataTransfer.files], call, field, argsOf(field));
    }
  }

  window.TriptychUploads = {send, drag};
})();
