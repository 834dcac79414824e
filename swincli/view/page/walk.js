// Kept pictures: their codes as a file, and a walk through them, played here or written as a video.

import {$, api, clamp, failed, h, lines, nameOf, notice, save} from './dom.js';
import {lookText, parseLook} from './state.js';

const DEFAULTS = {frames: '60', fps: '30', curve: 'linear', easing: 'none', loop: '1', enlarge: ''};

export class Walk {
  constructor(store, link, picture) {
    this.store = store;
    this.link = link;
    this.picture = picture;
    this.playing = false;
    this.frame = 0;
    this.thumbs = new Map();
    this.built = null;
    store.addEventListener('change', () => this.show());
    link.addEventListener('open', () => this.show());
  }

  open(model) {
    this.model = model;
    this.thumbs.clear();
    this.built = null;
    this.show();
  }

  keep() {
    const text = lookText(this.store.state.look);
    if (this.store.state.kept.includes(text)) {
      notice('kept', 'This picture is kept already.', {seconds: 3});
      return;
    }
    this.store.update({kept: [...this.store.state.kept, text]});
    notice('kept', `Kept. ${this.store.state.kept.length} picture${this.store.state.kept.length > 1 ? 's' : ''} in the walk.`, {seconds: 3});
  }

  setting(name) {
    if (name === 'enlarge') return this.store.state.walk.enlarge ?? String(clamp(Math.floor(256 / this.model.size), 1, 16));
    return this.store.state.walk[name] ?? DEFAULTS[name];
  }

  settings() {
    return {
      keys: this.store.state.kept, curve: this.setting('curve'), easing: this.setting('easing'), loop: this.setting('loop') === '1',
      frames: clamp(Math.round(+this.setting('frames')) || 60, 1, 3600), fps: clamp(+this.setting('fps') || 30, 1, 120),
      enlarge: clamp(Math.round(+this.setting('enlarge')) || 1, 1, 64),
    };
  }

  get total() {
    const {keys, loop, frames} = this.settings();
    return Math.max(1, (loop ? keys.length : keys.length - 1) * frames);
  }

  show() {
    if (!this.model) return;
    const {kept} = this.store.state, text = JSON.stringify([kept, this.store.state.walk]);
    if (text !== this.built) {
      this.built = text;
      this.build(kept);
    }
    this.fetch();
  }

  build(kept) {
    if (kept.length < 2) this.stop();
    const strip = h('ol', {class: 'strip', 'aria-label': 'Kept pictures'}, kept.map((key, index) => this.thumb(key, index, kept.length)));
    const parts = kept.length ? [strip] : [h('p', {class: 'quiet'}, 'Keep pictures (k) to walk from one to the next, or to save their codes.')];
    if (kept.length) parts.push(this.tools(kept.length));
    $('walk').replaceChildren(...parts);
    for (const key of kept) this.paint(key);
  }

  thumb(key, index, length) {
    const look = parseLook(key), name = look.code ? 'projected picture' : `seed ${look.seed}`;
    const move = (to) => {
      const keys = [...this.store.state.kept];
      keys.splice(to, 0, ...keys.splice(index, 1));
      this.store.update({kept: keys});
    };
    return h('li', {},
      h('button', {class: 'thumb', 'aria-label': `Show kept picture ${index + 1}, ${name}`, title: name, 'data-key': key,
        onclick: () => this.store.update({look: parseLook(key)})}, h('canvas', {'aria-hidden': 'true', width: '2', height: '2'})),
      h('span', {class: 'thumb-tools'},
        h('button', {class: 'icon', 'aria-label': `Move kept picture ${index + 1} left`, disabled: index === 0, onclick: () => move(index - 1)}, '‹'),
        h('button', {class: 'icon', 'aria-label': `Remove kept picture ${index + 1}`,
          onclick: () => this.store.update({kept: this.store.state.kept.filter((_, other) => other !== index)})}, '×'),
        h('button', {class: 'icon', 'aria-label': `Move kept picture ${index + 1} right`, disabled: index === length - 1, onclick: () => move(index + 1)}, '›')));
  }

  tools(length) {
    const choice = (name, label, values) => h('label', {}, label, h('select', {
      'data-walk': name, onchange: (event) => this.change(name, event.target.value),
    }, values.map(([value, words]) => h('option', {value, selected: value === this.setting(name)}, words))));
    const field = (name, label) => h('label', {}, label, h('input', {
      type: 'number', min: '1', max: '3600', value: this.setting(name), 'data-walk': name, onchange: (event) => this.change(name, event.target.value),
    }));
    const codes = h('button', {onclick: () => this.codes(), title: 'For swincli sample --latents and swincli interpolate --latents'}, 'Codes (.npz)');
    const clear = h('button', {onclick: () => this.store.update({kept: []})}, 'Clear');
    if (length < 2) return h('div', {class: 'row'}, codes, clear, h('span', {class: 'quiet'}, 'One more picture makes a walk.'));
    this.play = h('button', {id: 'play', class: 'main', onclick: () => this.toggle()}, this.playing ? 'Pause' : 'Play');
    this.scrub = h('input', {
      id: 'scrub', type: 'range', min: '0', max: String(this.total - 1), value: String(this.frame % this.total), 'aria-label': 'Frame of the walk',
      oninput: () => { this.stop(); this.frame = +this.scrub.value; this.draw(); },
    });
    this.state = h('div', {class: 'render', 'aria-live': 'polite'});
    return h('div', {class: 'walk-tools'},
      h('div', {class: 'row'}, this.play, this.scrub, h('button', {id: 'render', onclick: () => this.render()}, 'Make video')),
      h('div', {class: 'choices fields'},
        choice('curve', 'Path', [['linear', 'straight'], ['spline', 'smooth']]),
        choice('easing', 'Pace', [['none', 'even'], ['smooth', 'slow at pictures'], ['smoother', 'slower at pictures']]),
        choice('loop', 'End', [['1', 'back to the first'], ['0', 'at the last']]),
        field('frames', 'Frames a step'), field('fps', 'Frames a second'), field('enlarge', 'Enlarge')),
      h('div', {class: 'row'}, codes, clear), this.state);
  }

  change(name, value) {
    this.store.update({walk: {...this.store.state.walk, [name]: value}});
  }

  // Small pictures of kept looks, one request after another.
  fetch() {
    const missing = this.store.state.kept.find((key) => !this.thumbs.has(key));
    if (!missing || !this.link.isOpen || !this.model) return;
    this.link.ask('thumb', {kind: 'picture', look: missing}, async (answer, [blob]) => {
      if (answer.preview) return;
      this.thumbs.set(missing, answer.error ? null : await createImageBitmap(blob));
      this.paint(missing);
      this.fetch();
    });
  }

  paint(key) {
    const bitmap = this.thumbs.get(key);
    for (const button of $('walk').querySelectorAll('.thumb')) {
      if (button.dataset.key !== key || bitmap === undefined) continue;
      if (bitmap === null) {
        button.classList.add('gone');
        button.title = 'Its code is gone: drop the photograph or its codes again';
        continue;
      }
      const canvas = button.firstChild;
      canvas.width = Math.min(128, bitmap.width);
      canvas.height = Math.min(128, bitmap.height);
      canvas.getContext('2d').drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    }
  }

  toggle() {
    if (this.playing) this.stop();
    else if (this.store.state.kept.length > 1) {
      this.playing = true;
      this.play.textContent = 'Pause';
      this.started = performance.now() - (1000 * this.frame) / this.settings().fps;
      this.next();
    }
  }

  stop() {
    this.playing = false;
    if (this.play) this.play.textContent = 'Play';
  }

  // The frame that is due now: what is too slow is left out.
  next() {
    if (!this.playing) return;
    const due = Math.floor(((performance.now() - this.started) * this.settings().fps) / 1000);
    this.frame = due % this.total;
    if (this.scrub) this.scrub.value = String(this.frame);
    this.draw(() => requestAnimationFrame(() => this.next()));
  }

  draw(drawn = null) {
    this.picture.shown = '';
    let told = false; // a preview is enough to go on
    this.picture.ask({kind: 'walk', walk: this.settings(), frame: this.frame}, () => {
      if (!told) drawn?.();
      told = true;
    });
    $('caption').textContent = `Frame ${this.frame + 1} of ${this.total}`;
  }

  async codes() {
    try {
      const answer = await api('/api/latents', {method: 'POST', body: JSON.stringify({looks: this.store.state.kept})});
      save(await answer.blob(), nameOf(answer) ?? 'codes.npz');
    } catch (error) {
      failed(error);
    }
  }

  async render() {
    const stop = new AbortController(), state = this.state;
    const bar = h('progress', {max: 1, value: 0, 'aria-label': 'Video'}), words = h('span', {class: 'quiet'}, 'Waiting …');
    state.replaceChildren(h('div', {class: 'row'}, bar, words, h('button', {onclick: () => stop.abort()}, 'Cancel')));
    try {
      const answer = await api('/api/render', {method: 'POST', body: JSON.stringify({walk: this.settings()}), signal: stop.signal});
      for await (const line of lines(answer)) {
        if (line.error) throw Object.assign(new Error(line.error), line);
        if (line.progress) {
          bar.value = line.progress.step / line.progress.steps;
          words.textContent = `Frame ${line.progress.step} of ${line.progress.steps}`;
        }
        if (line.done) this.finished(state, `/api/file/${line.done.file}`);
      }
    } catch (error) {
      state.replaceChildren(h('p', {class: error.name === 'AbortError' ? 'quiet' : 'bad'},
        error.name === 'AbortError' ? 'Cancelled.' : `${error.message}. ${error.hint ?? ''}`));
    }
  }

  finished(state, url) {
    state.replaceChildren(
      h('video', {src: url, controls: true, loop: true, muted: true, playsinline: true, 'aria-label': 'The walk as a video'}),
      h('a', {class: 'button main', id: 'download-walk', href: url, download: 'walk.mp4'}, 'Download walk.mp4'));
  }
}
