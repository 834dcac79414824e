// The sliders: truncation, class, style mixing by level, and directions.

import {$, clamp, h} from './dom.js';
import {labelCard} from './labels.js';
import {LARGEST_SEED, freshLook} from './state.js';

const LISTED = 8; // directions of a family before "More"
const REACH = 4; // of a direction's slider, in its units

export class Controls {
  constructor(store, link) {
    this.store = store;
    this.link = link;
    this.model = null;
    this.families = [];
    this.family = 0;
    this.layers = 'all';
    this.more = false;
    this.rows = [];
    store.addEventListener('change', () => this.show());
    link.addEventListener('open', () => { if (this.model) this.fetchDirections(); });
  }

  open(model) {
    this.model = model;
    this.families = [];
    this.build();
    this.fetchDirections();
  }

  fetchDirections() {
    this.link.ask('directions', {kind: 'directions', layers: this.layers}, (answer) => {
      if (answer.error) {
        this.directionBox.replaceChildren(h('p', {class: 'quiet'}, answer.error));
        return;
      }
      this.families = answer.families;
      this.buildDirections();
    });
  }

  build() {
    this.rows = [];
    const labels = labelCard(this.model, this.store, (settings) => this.slider(settings));
    this.labelShows = labels.shows;
    this.heardText = labels.heardText;
    this.directionBox = h('div', {class: 'directions'}, h('p', {class: 'quiet'}, 'Finding directions …'));
    $('controls').replaceChildren(
      h('div', {class: 'card'}, h('h2', {}, 'Picture'), this.seedRow(), this.classRow(),
        this.slider({
          label: 'Truncation', low: 0, high: 1.5, step: 0.01, start: 1, title: 'Below 1: more typical, less varied',
          get: (look) => look.truncation, set: (look, value) => { look.truncation = value; },
        })),
      ...(labels.card ? [labels.card] : []),
      h('div', {class: 'card'}, h('h2', {}, 'Style mixing'), this.mixRow(),
        this.model.levels.map((side, level) => this.slider({
          label: `${side} px`, low: 0, high: 1, step: 0.01, start: 0,
          title: `Share of the second seed in the codes of ${side} px`,
          get: (look) => look.shares[level] ?? 0,
          set: (look, value) => {
            look.shares = {...look.shares, [level]: value};
            if (look.mixSeed === null) look.mixSeed = +this.mixSeed.value || 0;
          },
        }))),
      h('div', {class: 'card'}, h('h2', {}, 'Directions'), this.directionBox),
      h('button', {class: 'wide', onclick: () => this.reset()}, 'Reset all settings'));
    this.show();
  }

  seedRow() {
    this.seed = h('input', {
      id: 'seed', type: 'text', inputmode: 'numeric', autocomplete: 'off',
      onchange: (event) => {
        this.store.look({seed: clamp(Math.floor(+event.target.value) || 0, 0, LARGEST_SEED), code: null});
        this.store.commit();
      },
    });
    return h('div', {class: 'row'}, h('label', {for: 'seed'}, 'Seed'), this.seed,
      h('button', {class: 'small', 'aria-label': 'Seed before', onclick: () => this.shift(-1)}, '−'),
      h('button', {class: 'small', 'aria-label': 'Next seed', onclick: () => this.shift(1)}, '+'));
  }

  shift(by) {
    this.store.look({seed: clamp(this.store.state.look.seed + by, 0, LARGEST_SEED), code: null});
    this.store.commit();
  }

  // The class of a conditional model. Attributes have a card of their own.
  classRow() {
    if (!this.model.classes) return null;
    this.cls = h('select', {
      id: 'class', onchange: (event) => { this.store.look({cls: event.target.value}); this.store.commit(); },
    }, h('option', {value: ''}, 'drawn by the seed'),
      this.model.classes.map((name, label) => h('option', {value: this.classText(name, label)}, name)));
    return h('div', {class: 'row'}, h('label', {for: 'class'}, 'Class'), this.cls);
  }

  classText(name, label) {
    return name.includes(',') ? String(label) : name;
  }

  mixRow() {
    this.mixSeed = h('input', {
      id: 'mix-seed', type: 'text', inputmode: 'numeric', autocomplete: 'off', value: '1',
      onchange: (event) => {
        this.store.look({mixSeed: clamp(Math.floor(+event.target.value) || 0, 0, LARGEST_SEED)});
        this.store.commit();
      },
    });
    return h('div', {class: 'row'}, h('label', {for: 'mix-seed'}, 'Second seed'), this.mixSeed,
      h('button', {
        class: 'small', 'aria-label': 'Another second seed',
        onclick: () => { this.store.look({mixSeed: Math.floor(Math.random() * 100000)}); this.store.commit(); },
      }, '↻'));
  }

  // `start` null: without a value until it is moved.
  slider({label, low, high, step, start, title, get, set, words: spell}) {
    const input = h('input', {
      type: 'range', min: String(low), max: String(high), step: String(step), title, 'aria-label': title ? `${label}: ${title}` : label,
      oninput: () => {
        set(this.store.state.look, +input.value);
        this.store.changed();
      },
      onchange: () => this.store.commit(),
    });
    const output = h('button', {
      class: 'value', title: 'Reset',
      onclick: () => { set(this.store.state.look, start); this.store.commit(); },
    });
    const row = {
      show: () => {
        const value = get(this.store.state.look), from = start ?? (low + high) / 2, at = value ?? from;
        input.value = String(at);
        const words = spell ? spell(value) : Number.isInteger(value) && step >= 0.1 ? String(value) : value.toFixed(2);
        output.textContent = words;
        output.setAttribute('aria-label', `${words}, reset ${label}`);
        input.setAttribute('aria-valuetext', words);
        line.classList.toggle('moved', start === null ? value !== null : Math.abs(value - start) > 1e-9);
        input.style.setProperty('--at', `${(100 * (clamp(at, low, high) - low)) / (high - low)}%`);
        input.style.setProperty('--from', `${(100 * (from - low)) / (high - low)}%`);
      },
    };
    const line = h('div', {class: 'slider'}, h('span', {class: 'name', 'aria-hidden': 'true', title}, label), input, output);
    this.rows.push(row);
    line.show = row.show;
    return line;
  }

  buildDirections() {
    const family = this.families[this.family] ?? this.families[0];
    if (!family) return;
    const layers = h('select', {
      id: 'layers', onchange: (event) => { this.layers = event.target.value; this.fetchDirections(); },
    }, this.layerChoices().map((name) => h('option', {value: name, selected: name === this.layers}, name)));
    const tabs = h('div', {class: 'segments', role: 'group', 'aria-label': 'Kind of direction'},
      this.families.map((one, index) => h('button', {
        'aria-pressed': String(index === this.families.indexOf(family)), title: one.unit,
        onclick: () => { this.family = index; this.buildDirections(); },
      }, one.title)));
    const shown = this.more ? family.directions : family.directions.slice(0, LISTED);
    this.rows = this.rows.filter((row) => !row.isDirection);
    const before = this.rows.length;
    const sliders = shown.map(({name, label, share}) => {
      const key = `${name}@${this.layers}`;
      return this.slider({
        label, low: -REACH, high: REACH, step: 0.05, start: 0,
        title: share === null ? family.unit : `${(100 * share).toFixed(1)}% of the ${family.name === 'pca' ? 'variance' : 'weights'}; ${family.unit}`,
        get: (look) => look.edits[key] ?? 0,
        set: (look, value) => {
          look.edits = {...look.edits, [key]: value};
          if (!value) delete look.edits[key];
        },
      });
    });
    for (const row of this.rows.slice(before)) row.isDirection = true;
    const rest = family.directions.length - LISTED;
    this.directionBox.replaceChildren(
      h('div', {class: 'row'}, tabs),
      h('div', {class: 'row'}, h('label', {for: 'layers'}, 'Layers'), layers),
      ...sliders,
      ...(family.reason ? [h('p', {class: 'quiet'}, family.reason)] : []),
      ...(rest > 0 ? [h('button', {class: 'quiet link', onclick: () => { this.more = !this.more; this.buildDirections(); }},
        this.more ? 'Show fewer' : `Show ${rest} more`)] : []),
      this.elsewhere = h('p', {class: 'quiet'}));
    this.show();
  }

  layerChoices() {
    const named = ['all', 'coarse'];
    if (this.model.num_ws > 4) named.push('middle');
    if (this.model.num_ws > 8) named.push('fine');
    return named;
  }

  // Say which directions are moved that no visible slider shows.
  others() {
    const family = this.families[this.family];
    if (!this.elsewhere || !family) return;
    const visible = new Set((this.more ? family.directions : family.directions.slice(0, LISTED)).map(({name}) => `${name}@${this.layers}`));
    const hidden = Object.entries(this.store.state.look.edits).filter(([key, amount]) => amount && !visible.has(key));
    this.elsewhere.textContent = hidden.length
      ? `Also moved: ${hidden.map(([key, amount]) => `${key} ${amount > 0 ? '+' : ''}${amount}`).join(', ')}.` : '';
  }

  show() {
    if (!this.model) return;
    const {look} = this.store.state;
    if (document.activeElement !== this.seed) this.seed.value = look.code ? '' : look.seed;
    this.seed.placeholder = look.code ? 'from a picture' : '';
    if (this.cls) this.cls.value = look.cls;
    if (look.mixSeed !== null && document.activeElement !== this.mixSeed) this.mixSeed.value = look.mixSeed;
    for (const row of this.rows) row.show();
    for (const show of this.labelShows) show(look);
    this.others();
  }

  reset() {
    const {seed, code} = this.store.state.look;
    this.store.update({look: {...freshLook(), seed, code}});
  }
}
