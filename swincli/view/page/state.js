// The state of the page: the picture's look, the kept pictures, what is shown; undo, and the address that holds it all.

export const LARGEST_SEED = 2 ** 32 - 1;

export const freshLook = () => ({
  seed: 0, code: null, cls: '', labels: {}, text: '', guidance: 1, truncation: 1, mixSeed: null, shares: {}, edits: {},
});

const number = (value) => String(+Number(value).toFixed(4));

// The text of a look, as swincli/view/look.py reads it.
export function lookText(look) {
  const parts = [look.code ? `code=${look.code}` : `seed=${look.seed}`];
  if (look.code && look.seed) parts.push(`seed=${look.seed}`);
  if (look.cls !== '') parts.push(`class=${encodeURIComponent(look.cls)}`);
  for (const [name, value] of Object.entries(look.labels)) {
    if (value !== '') parts.push(`label=${encodeURIComponent(`${name}=${value}`)}`);
  }
  if (look.text !== '') parts.push(`text=${encodeURIComponent(look.text)}`);
  if (look.guidance !== 1) parts.push(`guidance=${number(look.guidance)}`);
  if (look.truncation !== 1) parts.push(`truncation=${number(look.truncation)}`);
  const shares = Object.entries(look.shares).filter(([, share]) => share > 0);
  if (look.mixSeed !== null && shares.length) {
    parts.push(`mix=${look.mixSeed}@${shares.map(([level, share]) => `${level}:${number(share)}`).join(',')}`);
  }
  for (const [name, amount] of Object.entries(look.edits)) {
    if (amount) parts.push(`edit=${encodeURIComponent(`${name}=${number(amount)}`)}`);
  }
  return parts.join('&');
}

export function parseLook(text) {
  const look = freshLook();
  const seed = (value) => (/^\d{1,10}$/.test(value) && +value <= LARGEST_SEED ? +value : 0);
  for (const [name, value] of new URLSearchParams(text)) {
    if (name === 'seed') look.seed = seed(value);
    if (name === 'code' && /^[0-9a-f]{12}$/.test(value)) look.code = value;
    if (name === 'class') look.cls = value;
    if (name === 'text') look.text = value;
    if (name === 'label' && value.indexOf('=') > 0) look.labels[value.slice(0, value.indexOf('='))] = value.slice(value.indexOf('=') + 1);
    if (name === 'guidance' && Number.isFinite(+value)) look.guidance = +value;
    if (name === 'truncation' && Number.isFinite(+value)) look.truncation = +value;
    if (name === 'mix') {
      const [first, rest = ''] = value.split('@');
      look.mixSeed = seed(first);
      for (const part of rest.split(',')) {
        const [level, share] = part.split(':').map(Number);
        if (Number.isInteger(level) && share > 0 && share <= 1) look.shares[level] = share;
      }
    }
    if (name === 'edit') {
      const at = value.lastIndexOf('=');
      if (at > 0 && Number.isFinite(+value.slice(at + 1))) look.edits[value.slice(0, at)] = +value.slice(at + 1);
    }
  }
  return look;
}

const fresh = () => ({tab: 'explore', look: freshLook(), kept: [], run: '', other: '', walk: {}});

export class Store extends EventTarget {
  constructor() {
    super();
    this.state = fresh();
    this.past = [];
    this.future = [];
    this.identity = null; // of the open model
    this.linked = null; // identity of the model that a link was made with
    this.read();
    this.committed = this.text();
    window.addEventListener('hashchange', () => {
      if (location.hash.slice(1) === this.text()) return;
      this.read();
      this.remember();
      this.changed();
      this.dispatchEvent(new Event('link'));
    });
  }

  // The open model, which links name.
  know(identity) {
    this.identity = identity;
    this.committed = this.text();
  }

  text() {
    const {tab, look, kept, run, other, walk} = this.state;
    const found = new URLSearchParams();
    if (tab !== 'explore') found.set('tab', tab);
    found.set('look', lookText(look));
    for (const key of kept) found.append('key', key);
    if (run) found.set('run', run);
    if (other) found.set('other', other);
    for (const [name, value] of Object.entries(walk)) found.set(`walk-${name}`, value);
    if (this.identity) found.set('model', this.identity);
    return found.toString();
  }

  read() {
    const given = new URLSearchParams(location.hash.slice(1));
    const state = fresh();
    if (given.get('tab') === 'runs') state.tab = 'runs';
    state.look = parseLook(given.get('look') ?? '');
    state.kept = given.getAll('key').slice(0, 200).map((key) => lookText(parseLook(key)));
    state.run = given.get('run') ?? '';
    state.other = given.get('other') ?? '';
    for (const name of ['curve', 'easing', 'frames', 'fps', 'loop', 'enlarge']) {
      if (given.has(`walk-${name}`)) state.walk[name] = given.get(`walk-${name}`);
    }
    this.state = state;
    this.linked = given.get('model');
  }

  // Change the look while a slider is dragged; `commit` ends the drag.
  look(changes) {
    Object.assign(this.state.look, changes);
    this.changed();
  }

  update(changes) {
    Object.assign(this.state, changes);
    this.commit();
  }

  commit() {
    this.remember();
    this.changed();
  }

  remember() {
    const now = this.text();
    if (now === this.committed) return;
    this.past.push(this.committed);
    if (this.past.length > 300) this.past.shift();
    this.future = [];
    this.committed = now;
    history.replaceState(null, '', `#${now}`);
  }

  step(from, to) {
    if (!from.length) return;
    to.push(this.committed);
    this.committed = from.pop();
    history.replaceState(null, '', `#${this.committed}`);
    this.read();
    this.changed();
  }

  undo() { this.step(this.past, this.future); }
  redo() { this.step(this.future, this.past); }
  changed() { this.dispatchEvent(new Event('change')); }
}
