// A photograph, dropped or chosen, and its projection; and files of codes.

import {$, api, failed, h, lines, notice} from './dom.js';
import {lookText} from './state.js';

export class Photo {
  constructor(store) {
    this.store = store;
    this.dialog = $('photo');
    this.dialog.addEventListener('close', () => this.stop?.abort());
    $('file').addEventListener('change', (event) => {
      this.take(event.target.files[0]);
      event.target.value = '';
    });
    $('open-photo').addEventListener('click', () => $('file').click());
    let inside = 0;
    const isFile = (event) => [...(event.dataTransfer?.types ?? [])].includes('Files');
    addEventListener('dragenter', (event) => { if (isFile(event)) { inside += 1; $('drop').hidden = false; } });
    addEventListener('dragleave', (event) => { if (isFile(event)) { inside -= 1; $('drop').hidden = inside > 0 ? false : true; } });
    addEventListener('dragover', (event) => { if (isFile(event)) event.preventDefault(); });
    addEventListener('drop', (event) => {
      if (!isFile(event)) return;
      event.preventDefault();
      inside = 0;
      $('drop').hidden = true;
      this.take(event.dataTransfer.files[0]);
    });
    addEventListener('paste', (event) => { if (event.clipboardData?.files[0]) this.take(event.clipboardData.files[0]); });
  }

  open(model) { this.model = model; }

  take(file) {
    if (!file) return;
    if (!this.model) {
      failed({error: 'There is no model yet, so nothing can be projected.', hint: 'Open one of a run.'});
      return;
    }
    if (file.name.endsWith('.npz')) this.codes(file);
    else this.ask(file);
  }

  async codes(file) {
    try {
      const {codes} = await api(`/api/codes?name=${encodeURIComponent(file.name)}`, {method: 'POST', body: file});
      const looks = codes.map((code) => lookText({...this.store.state.look, seed: 0, code, mixSeed: null, shares: {}, edits: {}, truncation: 1}));
      this.store.state.look = {...this.store.state.look, seed: 0, code: codes[0], mixSeed: null, shares: {}, edits: {}, truncation: 1};
      this.store.update({tab: 'explore', kept: codes.length > 1 ? [...this.store.state.kept, ...looks].slice(0, 200) : this.store.state.kept});
      notice('codes', `${file.name}: ${codes.length} code${codes.length > 1 ? 's, kept below' : ''}.`, {seconds: 5});
    } catch (error) {
      failed(error);
    }
  }

  ask(file) {
    const url = URL.createObjectURL(file);
    const original = h('img', {src: url, alt: 'The photograph', onerror: () => original.replaceWith(h('p', {class: 'quiet'}, 'No preview of this format.'))});
    this.canvas = h('canvas', {width: '2', height: '2', role: 'img', 'aria-label': 'Its projection so far'});
    this.words = h('p', {class: 'quiet', 'aria-live': 'polite'},
      'The model is searched for the code whose picture comes closest. The largest central square is used.');
    this.bar = h('progress', {max: 1, value: 0, 'aria-label': 'Projection', hidden: true});
    const space = h('select', {id: 'space'}, h('option', {value: 'w+'}, 'w+, closer'), h('option', {value: 'w'}, 'w, more typical'));
    const steps = h('select', {id: 'steps'}, [[60, 'quick, 60 steps'], [200, 'better, 200 steps'], [1000, 'best, 1,000 steps']].map(
      ([value, words]) => h('option', {value: String(value)}, words)));
    this.go = h('button', {class: 'main', id: 'project', onclick: () => this.project(file, space.value, steps.value)}, 'Project');
    this.dialog.replaceChildren(
      h('h2', {id: 'photo-title'}, file.name || 'Photograph'),
      h('div', {class: 'pair'}, h('figure', {}, original, h('figcaption', {}, 'Photograph')), h('figure', {class: 'pixelated'}, this.canvas, h('figcaption', {}, 'Projection'))),
      h('div', {class: 'row'}, h('label', {for: 'space'}, 'Codes'), space, h('label', {for: 'steps'}, 'Search'), steps),
      this.bar, this.words,
      h('div', {class: 'row end'}, h('button', {onclick: () => this.dialog.close()}, 'Cancel'), this.go));
    this.dialog.addEventListener('close', () => URL.revokeObjectURL(url), {once: true});
    this.dialog.showModal();
  }

  async project(file, space, steps) {
    this.stop = new AbortController();
    this.go.disabled = true;
    this.bar.hidden = false;
    this.words.textContent = 'Looking for a start …';
    try {
      const query = new URLSearchParams({name: file.name, space, steps});
      const answer = await api(`/api/project?${query}`, {method: 'POST', body: file, signal: this.stop.signal});
      for await (const line of lines(answer)) {
        if (line.error) throw Object.assign(new Error(line.error), line);
        if (line.progress) await this.progress(line.progress);
        if (line.done) this.finished(line.done);
      }
    } catch (error) {
      if (error.name !== 'AbortError') {
        this.words.textContent = `${error.message}. ${error.hint ?? ''}`;
        this.words.className = 'bad';
      }
      this.go.disabled = false;
      this.bar.hidden = true;
    }
  }

  async progress({step, steps, loss, picture}) {
    this.bar.value = step / steps;
    this.words.textContent = `Step ${step} of ${steps}, loss ${loss.toFixed(3)}`;
    const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes]));
    this.canvas.width = bitmap.width;
    this.canvas.height = bitmap.height;
    this.canvas.getContext('2d').drawImage(bitmap, 0, 0);
  }

  finished({code, warnings}) {
    const look = {...this.store.state.look, seed: 0, code, truncation: 1, mixSeed: null, shares: {}, edits: {}};
    this.store.update({tab: 'explore', look});
    this.dialog.close();
    notice('projected', ['Projected. All sliders work on it; keep it to save its codes.', ...warnings].join(' '), {seconds: 8});
  }
}
