// The endless grid of seeds: only what is visible exists, and small pictures are kept.

import {$, clamp, h} from './dom.js';
import {LARGEST_SEED, lookText} from './state.js';

const KEPT = 1500; // small pictures
const ROWS = 40000; // of the scrolled area; near its end it is moved on
const IDLE = 220; // milliseconds after the last change before all small pictures are drawn anew

export class Grid {
  constructor(store, link) {
    this.store = store;
    this.link = link;
    this.first = 0; // seed of the first row
    this.kept = new Map();
    this.cells = new Map();
    this.base = '';
    this.box = $('grid');
    this.inner = h('div', {class: 'inner'});
    this.box.append(this.inner);
    this.box.addEventListener('scroll', () => this.layout());
    this.box.addEventListener('keydown', (event) => this.key(event));
    new ResizeObserver(() => this.measure()).observe(this.box);
    $('jump').addEventListener('submit', (event) => {
      event.preventDefault();
      this.jump(clamp(Math.floor(+$('first-seed').value) || 0, 0, LARGEST_SEED));
    });
    store.addEventListener('change', () => this.changed());
    link.addEventListener('open', () => this.fetch());
  }

  open() {
    this.kept.clear();
    this.base = null;
    this.measure();
    this.changed();
  }

  measure() {
    const width = this.box.clientWidth;
    if (!width) return;
    const wanted = width < 420 ? 64 : 84;
    this.columns = Math.max(3, Math.floor(width / wanted));
    this.size = Math.floor(width / this.columns);
    const rows = Math.ceil((LARGEST_SEED + 1 - this.first) / this.columns);
    this.inner.style.height = `${Math.min(ROWS, rows) * this.size}px`;
    for (const cell of this.cells.values()) cell.remove();
    this.cells.clear();
    this.layout();
  }

  changed() {
    const {look} = this.store.state;
    const base = lookText({...look, seed: 0, code: null});
    if (base !== this.base) {
      this.base = base;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.fetch(), this.kept.size ? IDLE : 0);
    }
    this.mark();
  }

  mark() {
    const {look} = this.store.state;
    for (const [seed, cell] of this.cells) {
      cell.setAttribute('aria-selected', !look.code && seed === look.seed);
    }
    const chosen = this.cells.get(look.seed);
    if (chosen) this.box.setAttribute('aria-activedescendant', chosen.id);
    else this.box.removeAttribute('aria-activedescendant');
  }

  jump(seed) {
    this.first = Math.floor(seed / this.columns) * this.columns;
    $('first-seed').value = seed;
    this.box.scrollTop = 0;
    this.measure();
  }

  reveal(seed) {
    const row = Math.floor((seed - this.first) / this.columns);
    if (seed < this.first || row >= ROWS) {
      this.jump(seed);
      return;
    }
    const top = row * this.size;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    if (top + this.size > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + this.size - this.box.clientHeight;
  }

  visible() {
    const start = Math.max(0, Math.floor(this.box.scrollTop / this.size) - 1);
    const end = Math.ceil((this.box.scrollTop + this.box.clientHeight) / this.size) + 1;
    const seeds = [];
    for (let index = start * this.columns; index < end * this.columns; index += 1) {
      if (this.first + index <= LARGEST_SEED) seeds.push(this.first + index);
    }
    return seeds;
  }

  layout() {
    if (!this.size || !this.box.clientHeight) return;
    if (this.box.scrollTop > 0.8 * ROWS * this.size) { // move on, without an end
      const rows = Math.floor(this.box.scrollTop / this.size) - 1000;
      this.first += rows * this.columns;
      this.box.scrollTop -= rows * this.size;
      this.cells.forEach((cell) => cell.remove());
      this.cells.clear();
    }
    const seeds = this.visible(), wanted = new Set(seeds);
    for (const [seed, cell] of this.cells) {
      if (!wanted.has(seed)) {
        cell.remove();
        this.cells.delete(seed);
      }
    }
    for (const seed of seeds) if (!this.cells.has(seed)) this.add(seed);
    this.mark();
    this.fetch();
  }

  add(seed) {
    const index = seed - this.first;
    const canvas = h('canvas', {'aria-hidden': 'true', width: '2', height: '2'});
    const cell = h('div', {
      class: 'tile', role: 'option', id: `seed-${seed}`, 'aria-label': `Seed ${seed}`, 'aria-selected': 'false',
      title: `Seed ${seed}`, onclick: () => this.choose(seed),
    }, canvas);
    Object.assign(cell.style, {
      left: `${(index % this.columns) * this.size}px`, top: `${Math.floor(index / this.columns) * this.size}px`,
      width: `${this.size}px`, height: `${this.size}px`,
    });
    this.cells.set(seed, cell);
    this.inner.append(cell);
    this.paint(seed);
  }

  paint(seed) {
    const found = this.kept.get(seed), canvas = this.cells.get(seed)?.firstChild;
    if (!found || !canvas) return;
    canvas.width = found.bitmap.width;
    canvas.height = found.bitmap.height;
    canvas.getContext('2d').drawImage(found.bitmap, 0, 0);
    canvas.parentElement.classList.add('drawn');
  }

  fetch() {
    if (!this.link.isOpen || this.base === null || !this.size || this.box.offsetParent === null) return;
    const base = this.base;
    const missing = this.visible().filter((seed) => this.kept.get(seed)?.base !== base);
    const key = `${base} ${missing.join()}`;
    if (!missing.length || key === this.asked) return;
    this.asked = key;
    this.link.ask('grid', {kind: 'tiles', look: base, seeds: missing}, async (answer, blobs) => {
      if (answer.error) {
        this.asked = '';
        return;
      }
      const bitmaps = await Promise.all(blobs.map((blob) => createImageBitmap(blob)));
      answer.seeds.forEach((seed, index) => {
        this.kept.delete(seed);
        this.kept.set(seed, {base, bitmap: bitmaps[index]});
        this.paint(seed);
      });
      for (const seed of [...this.kept.keys()].slice(0, Math.max(0, this.kept.size - KEPT))) this.kept.delete(seed);
      if (answer.last) this.asked = '';
    });
  }

  choose(seed) {
    this.store.look({seed: clamp(seed, 0, LARGEST_SEED), code: null});
    this.store.commit();
    this.reveal(this.store.state.look.seed);
  }

  key(event) {
    const steps = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns,
      PageUp: -4 * this.columns, PageDown: 4 * this.columns,
    };
    if (event.key in steps && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      this.choose(this.store.state.look.seed + steps[event.key]);
    }
    if (event.key === 'Home') {
      event.preventDefault();
      this.choose(0);
    }
  }
}
