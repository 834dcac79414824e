// The large picture, what it says of itself, and where attention looks.

import {$, h} from './dom.js';
import {lookText} from './state.js';

const HEAT = [[24, 16, 40], [110, 16, 70], [205, 45, 30], [252, 140, 20], [255, 225, 90], [255, 255, 235]];
const REGULAR = 'rgb(70, 190, 255)', SHIFTED = 'rgb(255, 105, 205)';
const PIXELATED_SIDE = 128; // smaller pictures show their pixels

export class Picture {
  constructor(store, link) {
    this.store = store;
    this.link = link;
    this.model = null;
    this.attending = false;
    this.point = null;
    this.layer = null;
    this.group = 0;
    this.found = null;
    this.shown = '';
    this.heardText = null; // called with what is known of the look's text
    this.large = $('large');
    $('frame').addEventListener('click', (event) => this.click(event));
    $('frame').addEventListener('keydown', (event) => this.move(event));
    $('look').addEventListener('click', () => this.attend(!this.attending));
    store.addEventListener('change', () => this.refresh());
    link.addEventListener('open', () => { this.shown = ''; this.refresh(); });
  }

  open(model) {
    this.model = model;
    this.layers = model.attention.layers;
    if (!this.layers.includes(this.layer)) this.layer = model.attention.first;
    $('look').disabled = !this.layers.length;
    if ($('look').disabled) this.attend(false);
    $('look').title = $('look').disabled ? 'This model has no window attention' : 'See where attention looks (a)';
    $('frame').classList.toggle('pixelated', model.size <= PIXELATED_SIDE);
    this.shown = '';
    this.refresh();
  }

  refresh() {
    if (!this.model) return;
    const text = lookText(this.store.state.look);
    if (text === this.shown) return;
    this.shown = text;
    this.ask({kind: 'picture', look: text});
    this.caption();
    if (this.attending) this.attention();
  }

  // Ask for a picture of the slot of the large one: a look, or a frame of a walk.
  ask(request, drawn = null) {
    const busy = setTimeout(() => $('frame').classList.add('busy'), 250);
    this.link.ask('picture', request, async (answer, [blob]) => {
      clearTimeout(busy);
      if (!answer.preview) $('frame').classList.remove('busy');
      if (answer.error) {
        this.say(answer);
        return;
      }
      await this.draw(blob);
      $('frame').dataset.look = request.look ?? '';
      $('frame').dataset.preview = answer.preview;
      $('timing').textContent = `${Math.round(answer.milliseconds)} ms${answer.preview ? ', preview' : ''}`;
      if ('text' in answer) this.heardText?.(answer.text);
      drawn?.(answer);
    });
  }

  say(error) {
    $('caption').textContent = [error.error, error.hint].filter(Boolean).join('. ');
    $('timing').textContent = '';
  }

  async draw(blob) {
    const bitmap = await createImageBitmap(blob);
    if (this.large.width !== bitmap.width || this.large.height !== bitmap.height) {
      this.large.width = bitmap.width;
      this.large.height = bitmap.height;
    }
    this.large.getContext('2d').drawImage(bitmap, 0, 0);
    bitmap.close();
  }

  caption() {
    const {look} = this.store.state;
    const parts = [look.code ? 'Projected or loaded picture' : `Seed ${look.seed}`];
    if (look.cls !== '') parts.push(`class ${look.cls}`);
    for (const [name, value] of Object.entries(look.labels)) if (value !== '') parts.push(`${name} ${value}`);
    if (look.text !== '') parts.push(`“${look.text}”`);
    if (look.guidance !== 1) parts.push(`guidance ${look.guidance}`);
    if (look.truncation !== 1) parts.push(`truncation ${look.truncation}`);
    const mixed = Object.keys(look.shares).filter((level) => look.shares[level] > 0).map((level) => this.model.levels[level]).filter(Boolean);
    if (look.mixSeed !== null && mixed.length) parts.push(`mixed with seed ${look.mixSeed} at ${mixed.join(', ')} px`);
    const edits = Object.entries(look.edits).filter(([, amount]) => amount);
    parts.push(...(edits.length > 2 ? [`${edits.length} directions`] : edits.map(([key, amount]) => `${directionName(key)} ${amount > 0 ? '+' : '−'}${Math.abs(amount)}`)));
    const text = parts.join(' · ');
    $('caption').textContent = text;
    $('frame').setAttribute('aria-label', `${text}, ${this.model.size} by ${this.model.size} pixels`);
  }

  // Attention

  attend(on) {
    this.attending = on && !$('look').disabled;
    $('look').setAttribute('aria-pressed', this.attending);
    $('frame').classList.toggle('aiming', this.attending);
    if (this.attending) {
      const half = Math.floor(this.model.size / 2);
      this.point ??= [half, half];
      this.attention();
    } else {
      this.found = null;
      $('attention').hidden = true;
      this.paint();
    }
  }

  click(event) {
    if (!this.model || $('look').disabled) return;
    const box = this.large.getBoundingClientRect();
    const place = (at, start, length) =>
      Math.max(0, Math.min(this.model.size - 1, Math.floor(((at - start) / length) * this.model.size)));
    this.point = [place(event.clientX, box.left, box.width), place(event.clientY, box.top, box.height)];
    if (this.attending) this.attention();
    else this.attend(true);
  }

  move(event) {
    const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    if (!this.attending || !step) return;
    event.preventDefault();
    event.stopPropagation();
    const by = Math.max(1, this.model.size / 32) * (event.shiftKey ? 4 : 1);
    this.point = this.point.map((at, axis) => Math.max(0, Math.min(this.model.size - 1, Math.round(at + by * step[axis]))));
    this.attention();
  }

  attention() {
    const look = lookText(this.store.state.look);
    this.link.ask('attention', {kind: 'attention', look, point: this.point, layer: this.layer}, (answer) => {
      if (!this.attending) return;
      if (answer.error) {
        this.say(answer);
        return;
      }
      this.found = answer;
      this.group = Math.min(this.group, answer.maps.length - 1);
      this.panel();
      this.paint();
    });
  }

  panel() {
    const box = $('attention');
    const layer = h('select', {id: 'attention-layer', onchange: (event) => { this.layer = event.target.value; this.attention(); }},
      this.layers.map((name) => h('option', {value: name, selected: name === this.layer}, this.words(name))));
    const groups = h('select', {id: 'attention-heads', onchange: (event) => { this.group = +event.target.value; this.panel(); this.paint(); }},
      this.found.maps.map((map, index) => h('option', {value: index, selected: index === this.group}, this.groupWords(map))));
    const [x, y] = this.found.point;
    const map = this.found.maps[this.group];
    const [left, top, right, bottom] = map.window;
    const even = 1 / ((right - left) * (bottom - top));
    box.replaceChildren(
      h('div', {class: 'choices'}, h('label', {}, 'Layer', layer), h('label', {}, 'Heads', groups)),
      h('div', {class: 'row'},
        h('p', {class: 'quiet', 'aria-live': 'polite'},
          `From pixel ${x}, ${y}: at most ${(100 * map.highest).toFixed(1)}% on one place; an even spread would be ${(100 * even).toFixed(2)}%. `
          + 'Click another place, or move with the arrow keys.'),
        h('button', {onclick: () => this.attend(false)}, 'Close')));
    box.hidden = false;
  }

  words(name) {
    const [side, block] = name.split('.');
    return `${side} px, block ${block}`;
  }

  groupWords(map) {
    const [first, last] = map.heads;
    const heads = first === last ? `head ${first}` : `heads ${first}–${last}`;
    if (map.side >= this.found.resolution) return `${heads}, whole map`;
    return `${heads}, ${map.shift ? 'shifted' : 'regular'} windows`;
  }

  // The heat map inside the window, all else dimmed, over the picture.
  paint() {
    const overlay = $('overlay'), context = overlay.getContext('2d');
    const side = 512;
    overlay.width = overlay.height = side;
    if (!this.found) return;
    const map = this.found.maps[this.group], resolution = this.found.resolution, cell = side / resolution;
    const weights = Uint8Array.from(atob(map.weights), (letter) => letter.charCodeAt(0));
    const [left, top, right, bottom] = map.window;
    context.fillStyle = 'rgba(8, 8, 12, 0.62)';
    context.fillRect(0, 0, side, side);
    context.clearRect(left * cell, top * cell, (right - left) * cell, (bottom - top) * cell);
    for (let row = top; row < bottom; row += 1) {
      for (let column = left; column < right; column += 1) {
        const value = weights[row * resolution + column] / 255;
        context.fillStyle = `rgba(${heat(value).join(',')}, ${(0.45 + 0.45 * value).toFixed(3)})`;
        context.fillRect(column * cell, row * cell, cell, cell);
      }
    }
    context.lineWidth = 3;
    context.strokeStyle = map.shift ? SHIFTED : REGULAR;
    context.strokeRect(left * cell + 1.5, top * cell + 1.5, (right - left) * cell - 3, (bottom - top) * cell - 3);
    const centre = this.found.point.map((at) => ((at + 0.5) / this.model.size) * side);
    for (const [radius, width, colour] of [[11, 5, 'black'], [11, 2.5, 'white']]) {
      context.beginPath();
      context.arc(...centre, radius, 0, 2 * Math.PI);
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.stroke();
    }
  }
}

function heat(value) {
  const at = value * (HEAT.length - 1), first = Math.min(HEAT.length - 2, Math.floor(at)), share = at - first;
  return HEAT[first].map((one, channel) => Math.round(one + share * (HEAT[first + 1][channel] - one)));
}

// pca:1@coarse -> PCA 1 (coarse)
function directionName(key) {
  const [, family, name, layers] = /^([a-z]+):(.*)@([^@]*)$/.exec(key) ?? [null, '', key, 'all'];
  const title = {pca: 'PCA ', sefa: 'SeFa '}[family] ?? '';
  return `${title}${name}${layers === 'all' ? '' : ` (${layers})`}`;
}
