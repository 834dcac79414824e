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
        this.chooseKnown(runs);
        this.showList();
        await this.fetch();
      } catch (error) {
        failed(error, 'runs');
      }
    }
    this.timer = setTimeout(() => this.look(), LOOK);
  }

  // A link may name a run that is not here.
  chooseKnown(runs) {
    const {state} = this.store, known = (name) => runs.some((row) => row.name === name);
    const missing = [state.run, state.other].find((name) => name && !known(name));
    if (missing) notice('missing', `There is no run ${missing} here.`, {kind: 'warn', seconds: 8});
    if (!known(state.run)) state.run = runs[0]?.name ?? '';
    if (!known(state.other)) state.other = '';
  }

  show() {
    if (this.store.state.tab !== 'runs' || !this.root) return;
    const key = this.chosen.join('\n');
    if (key !== this.key) this.look();
  }

  // Curves and grids of the chosen runs, as far as they have changed.
  async fetch() {
    const names = this.chosen;
    this.key = names.join('\n');
    let changed = this.built !== this.key;
    for (const name of names) {
      const query = new URLSearchParams({run: name}), before = this.data.get(name);
      if (before) query.set('mark', before.mark);
      const found = await api(`/api/curves?${query}`);
      if (!found) continue;
      const {grids} = await api(`/api/grids?${new URLSearchParams({run: name})}`);
      this.data.set(name, {...found, grids});
      changed = true;
    }
    if (names.join('\n') !== this.chosen.join('\n')) return; // others were chosen meanwhile
    if (changed) this.showDetail();
    else if (names.length) this.showHeads(names);
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

  // The whole detail for other runs; else only what can have changed, so that nothing is lost under the hand.
  showDetail() {
    const names = this.chosen;
    if (!names.length || !names.every((name) => this.data.has(name))) return;
    if (this.built !== this.key) {
      this.heads = h('div', {class: 'heads'});
      this.curves = h('section', {class: 'card'});
      this.recipes = h('section', {class: 'card'});
      this.pictures = this.gridCard(names);
      this.detail.replaceChildren(this.heads, this.pictures.card, this.curves, this.recipes);
      this.detail.scrollTop = 0;
      this.built = this.key;
      this.showRecipe(names);
    }
    this.showHeads(names);
    this.pictures.update();
    this.plots(names);
  }

  showHeads(names) {
    if (!this.heads.contains(document.activeElement)) this.heads.replaceChildren(...names.map((name, index) => this.head(name, index)));
  }

  async showRecipe([run, other]) {
    const recipe = await api(`/api/recipe?${new URLSearchParams(other ? {run, other} : {run})}`).catch((error) => ({text: error.message}));
    this.recipes.replaceChildren(h('h2', {}, other ? 'Differences of the recipes' : 'Recipe'),
      other ? this.difference(recipe, run, other) : h('pre', {tabindex: '0', 'aria-label': 'Recipe'}, recipe.text));
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

  // Sample grids with a slider through time; those of two runs side by side, that of one beside training images.
  gridCard(names) {
    const words = h('output', {class: 'quiet'}), empty = h('p', {class: 'quiet'}, 'No sample grid yet.');
    const slider = h('input', {
      type: 'range', min: '0', max: '0', id: 'time', 'aria-label': 'Grid after so many images',
      oninput: () => { this.at = +slider.value === all.length - 1 ? null : all[+slider.value]; draw(); },
    });
    const images = names.map(() => h('img', {class: 'time', alt: ''}));
    const figures = names.map((name, index) => h('figure', {}, h('figcaption', {}, names.length > 1 ? h('span', {class: `key key-${index}`}, name) : 'Samples'), images[index]));
    if (names.length === 1) figures.push(this.reals(names[0]));
    const row = h('div', {class: 'row'}, slider, words), pair = h('div', {class: 'pictures'}, figures);
    let all = [];
    const draw = () => {
      const wanted = all[+slider.value];
      names.forEach((name, index) => {
        const {grids} = this.data.get(name);
        const seen = grids.filter((each) => each <= wanted).at(-1) ?? grids[0];
        if (seen === undefined) return;
        const url = `/api/grid.png?${new URLSearchParams({run: name, at: seen})}`;
        if (images[index].getAttribute('src') !== url) images[index].src = url;
        images[index].alt = `Sample grid of ${name} after ${count(seen)} images`;
      });
      words.textContent = `${count(wanted)} images`;
      slider.setAttribute('aria-valuetext', words.textContent);
    };
    const update = () => {
      all = [...new Set(names.flatMap((name) => this.data.get(name)?.grids ?? []))].sort((a, b) => a - b);
      empty.hidden = all.length > 0;
      row.hidden = pair.hidden = !all.length;
      if (!all.length) return;
      slider.max = String(all.length - 1);
      slider.value = String(this.at === null ? all.length - 1 : Math.max(0, all.findIndex((seen) => seen >= this.at)));
      draw();
    };
    return {card: h('section', {class: 'card'}, h('h2', {}, 'Grids through time'), empty, row, pair), update};
  }

  reals(name) {
    const figure = h('figure', {}, h('figcaption', {}, 'Training images'), h('img', {
      class: 'time', alt: `Training images of ${name}`, src: `/api/grid.png?${new URLSearchParams({run: name, at: 'reals'})}`,
      onerror: () => figure.remove(),
    }));
    return figure;
  }

  plots(names) {
    const found = names.map((name) => ({...this.data.get(name).metrics, ...this.data.get(name).stats}));
    const titles = [...new Set(found.flatMap((one) => Object.keys(one)))];
    const rank = (title) => { const at = FIRST.findIndex((pattern) => pattern.test(title)); return at < 0 ? FIRST.length : at; };
    titles.sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
    const usual = titles.filter((title) => rank(title) < FIRST.length), shown = this.more ? titles : usual;
    const plots = shown.map((title) => chart(title, names.map((name, index) => ({name, points: found[index][title] ?? []}))));
    const legend = names.length > 1 ? [h('p', {class: 'legend'}, names.map((name, index) => h('span', {class: `key key-${index}`}, name)))] : [];
    const rest = titles.length - usual.length, hadFocus = this.curves.contains(document.activeElement);
    const more = h('button', {class: 'quiet link', hidden: rest <= 0, onclick: () => { this.more = !this.more; this.plots(names); }},
      this.more ? 'Show fewer' : `Show ${rest} more`);
    this.curves.replaceChildren(h('h2', {}, 'Curves'), ...legend, h('div', {class: 'plots'}, plots), more,
      ...(titles.length ? [] : [h('p', {class: 'quiet'}, 'Nothing is logged yet.')]));
    if (hadFocus) more.focus();
  }

  difference(recipe, run, other) {
    if (!recipe.difference?.length) return h('p', {class: 'quiet'}, 'The recipes are equal.');
    return h('div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Differences of the recipes'}, h('table', {},
      h('thead', {}, h('tr', {}, ['Key', run, other].map((text) => h('th', {scope: 'col'}, text)))),
      h('tbody', {}, recipe.difference.map(({key, one, other: two}) => h('tr', {}, h('th', {scope: 'row'}, key), h('td', {}, one ?? '–'), h('td', {}, two ?? '–'))))));
  }
}
