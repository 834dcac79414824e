// Runs: how they stand, their curves while they train, grids through time, recipes; two side by side.

import {$, api, count, failed, h, notice, short} from './dom.js';
import {chart} from './chart.js';

const LOOK = 3000; // milliseconds between two looks at the folder
const FIRST = [/^fid/, /^kid \(/, /^loss\/g$/, /^loss\/d$/, /real_sign/, /fake_logit/, /real_logit/, /diversity/, /^sec_per_kimg/, /^grad/];
const STATES = {running: 'runs', starting: 'starts', silent: 'silent', killed: 'killed', stopped: 'stopped', finished: 'finished', unreadable: 'unreadable'};

export class Runs {
  constructor(store, openModel) {
    this.store = store;
    this.openModel = openModel;
    this.rows = [];
    this.data = new Map();
    this.more = false;
    this.at = null;
    this.list = h('div', {class: 'run-list', role: 'list', 'aria-label': 'Runs'});
    this.detail = h('div', {class: 'run-detail'});
    $('runs').append(h('aside', {class: 'pane', 'aria-label': 'All runs'}, this.list), this.detail);
    store.addEventListener('change', () => this.show());
  }

  open(root) {
    this.root = root;
    if (!root) $('runs').replaceChildren(h('p', {class: 'empty'}, 'A single model was opened. Start swincli view with a folder of runs to see them here.'));
    this.look();
  }

  get chosen() { return [this.store.state.run, this.store.state.other].filter(Boolean); }

  async look() {
    clearTimeout(this.timer);
    if (this.root && this.store.state.tab === 'runs' && !document.hidden) {
      try {
        const {runs} = await api('/api/runs');
        notice('runs', null);
        this.rows = runs;
        if (!this.store.state.run && runs.length) this.store.state.run = runs[0].name;
        this.showList();
        await this.fetch();
      } catch (error) {
        failed(error, 'runs');
      }
    }
    this.timer = setTimeout(() => this.look(), LOOK);
  }

  show() {
    if (this.store.state.tab !== 'runs' || !this.root) return;
    const key = this.chosen.join('\n');
    if (key !== this.key) this.look();
  }

  // Curves and grids of the chosen runs, as far as they have changed.
  async fetch() {
    let changed = this.key !== this.chosen.join('\n');
    this.key = this.chosen.join('\n');
    for (const name of this.chosen) {
      const query = new URLSearchParams({run: name}), before = this.data.get(name);
      if (before) query.set('mark', before.mark);
      const found = await api(`/api/curves?${query}`);
      if (!found) continue;
      const {grids} = await api(`/api/grids?${new URLSearchParams({run: name})}`);
      this.data.set(name, {...found, grids});
      changed = true;
    }
    if (changed) await this.showDetail();
  }

  showList() {
    const {run, other} = this.store.state;
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
    this.list.replaceChildren(...this.rows.map((row) => h('div', {class: `run ${row.name === run ? 'first' : row.name === other ? 'second' : ''}`, role: 'listitem'},
      h('button', {class: 'run-name', 'aria-pressed': String(row.name === run), 'data-focus': `a ${row.name}`, onclick: () => this.choose(row.name)},
        h('strong', {}, row.name), h('span', {class: `state ${row.state}`}, STATES[row.state]),
        h('span', {class: 'quiet', title: row.words}, row.total ? `${count(row.images_seen)} of ${count(row.total)} images` : row.words),
        h('span', {class: 'bar-line'}, h('progress', {max: row.total || 1, value: Math.min(row.images_seen ?? 0, row.total || 1), 'aria-label': `${row.name}: share of images`}))),
      h('button', {class: 'small', 'aria-pressed': String(row.name === other), disabled: row.name === run, 'data-focus': `b ${row.name}`,
        'aria-label': row.name === other ? `Beside: ${row.name}` : `Compare with ${row.name}`, onclick: () => this.compare(row.name)}, row.name === other ? 'Beside' : 'Compare'))));
    if (!this.rows.length) this.list.replaceChildren(h('p', {class: 'empty'}, `No run in ${this.root} yet.`));
    if (focused) this.list.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
  }

  choose(name) {
    const other = this.store.state.other === name ? '' : this.store.state.other;
    this.at = null;
    this.store.update({run: name, other});
    this.showList();
  }

  compare(name) {
    this.store.update({other: this.store.state.other === name ? '' : name});
    this.showList();
  }

  async showDetail() {
    const {run, other} = this.store.state, names = this.chosen;
    if (!run || !this.data.has(run)) return;
    const recipe = await api(`/api/recipe?${new URLSearchParams(other ? {run, other} : {run})}`).catch((error) => ({text: error.message}));
    const keepScroll = this.detail.scrollTop;
    this.detail.replaceChildren(
      h('div', {class: 'heads'}, names.map((name, index) => this.head(name, index))),
      this.grids(names), this.plots(names),
      h('section', {class: 'card'}, h('h2', {}, other ? 'Differences of the recipes' : 'Recipe'), other ? this.difference(recipe, run, other) : h('pre', {tabindex: '0', 'aria-label': 'Recipe'}, recipe.text)));
    this.detail.scrollTop = keepScroll;
  }

  head(name, index) {
    const row = this.rows.find((one) => one.name === name) ?? {best: {}, models: []};
    const best = Object.entries(row.best ?? {}).map(([metric, {value, images_seen: at}]) => `best ${metric.toUpperCase()} ${short(value)} at ${count(at)}`);
    const models = row.models ?? [];
    const choice = h('select', {'aria-label': `Model of ${name}`}, [...models].reverse().map((at) => h('option', {value: String(at)}, `${count(at)} images`)));
    return h('section', {class: `card head head-${index}`},
      h('h2', {}, name), h('p', {}, row.words ?? ''), best.length ? h('p', {class: 'quiet'}, best.join(', ')) : null,
      row.sec_per_kimg ? h('p', {class: 'quiet'}, `${short(row.sec_per_kimg)} s per 1,000 images`) : null,
      models.length ? h('div', {class: 'row'}, choice, h('button', {onclick: () => this.openModel({run: name, images_seen: +choice.value})}, 'Explore this model')) : null);
  }

  grids(names) {
    const all = [...new Set(names.flatMap((name) => this.data.get(name).grids))].sort((a, b) => a - b);
    if (!all.length) return h('p', {class: 'quiet'}, 'No sample grid yet.');
    const at = this.at === null ? all.length - 1 : Math.max(0, all.findIndex((seen) => seen >= this.at));
    const words = h('output', {class: 'quiet'});
    const pictures = names.map((name) => h('img', {class: 'time', alt: ''}));
    const slider = h('input', {
      type: 'range', min: '0', max: String(all.length - 1), value: String(at), id: 'time', 'aria-label': 'Grid after so many images',
      oninput: () => { this.at = +slider.value === all.length - 1 ? null : all[+slider.value]; draw(); },
    });
    const draw = () => {
      const wanted = all[+slider.value];
      names.forEach((name, index) => {
        const {grids} = this.data.get(name);
        const seen = grids.filter((each) => each <= wanted).at(-1) ?? grids[0];
        if (seen === undefined) return;
        const url = `/api/grid.png?${new URLSearchParams({run: name, at: seen})}`;
        if (pictures[index].getAttribute('src') !== url) pictures[index].src = url;
        pictures[index].alt = `Sample grid of ${name} after ${count(seen)} images`;
      });
      words.textContent = `${count(wanted)} images`;
      slider.setAttribute('aria-valuetext', words.textContent);
    };
    draw();
    return h('section', {class: 'card'}, h('h2', {}, 'Grids through time'),
      h('div', {class: 'row'}, slider, words), h('div', {class: 'pictures'}, names.map((name, index) => h('figure', {}, names.length > 1 ? h('figcaption', {}, h('span', {class: `key key-${index}`}, name)) : null, pictures[index]))));
  }

  plots(names) {
    const found = names.map((name) => ({...this.data.get(name).metrics, ...this.data.get(name).stats}));
    const titles = [...new Set(found.flatMap((one) => Object.keys(one)))];
    const rank = (title) => { const at = FIRST.findIndex((pattern) => pattern.test(title)); return at < 0 ? FIRST.length : at; };
    titles.sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
    const usual = titles.filter((title) => rank(title) < FIRST.length), shown = this.more ? titles : usual;
    const plots = shown.map((title) => chart(title, names.map((name, index) => ({name, points: found[index][title] ?? []}))));
    const legend = names.length > 1 ? h('p', {class: 'legend'}, names.map((name, index) => h('span', {class: `key key-${index}`}, name))) : null;
    return h('section', {class: 'card'}, h('h2', {}, 'Curves'), legend, h('div', {class: 'plots'}, plots),
      titles.length > usual.length ? h('button', {class: 'quiet link', onclick: () => { this.more = !this.more; this.showDetail(); }},
        this.more ? 'Show fewer' : `Show ${titles.length - usual.length} more`) : null,
      titles.length ? null : h('p', {class: 'quiet'}, 'Nothing is logged yet.'));
  }

  difference(recipe, run, other) {
    if (!recipe.difference?.length) return h('p', {class: 'quiet'}, 'The recipes are equal.');
    return h('div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Differences of the recipes'}, h('table', {},
      h('thead', {}, h('tr', {}, ['Key', run, other].map((text) => h('th', {scope: 'col'}, text)))),
      h('tbody', {}, recipe.difference.map(({key, one, other: two}) => h('tr', {}, h('th', {scope: 'row'}, key), h('td', {}, one ?? '–'), h('td', {}, two ?? '–'))))));
  }
}
