// Controls of a model's attributes: a list for a class or a flag, a slider for a number, a field for several values; and
// for a text a field, a slider of guidance, and the training captions that are near.

import {h} from './dom.js';

const DRAWN = 'drawn by the seed';

// The card of all attributes (null without any), the functions that show a state, and one that hears what is known of
// the picture's text. `slider` makes a slider.
export function labelCard(model, store, slider) {
  const each = model.attributes.filter(({kind}) => kind in ROWS);
  if (!each.length && !model.texts) return {card: null, shows: [], heardText: () => {}};
  const shows = [];
  const set = (name, value) => {
    const labels = {...store.state.look.labels, [name]: value};
    if (value === '') delete labels[name];
    store.look({labels});
  };
  const rows = each.map((one, index) => ROWS[one.kind](one, {
    id: `label-${index}`, shows, slider,
    get: (look) => look.labels[one.name] ?? '',
    set: (value) => set(one.name, value),
    commit: (value) => { set(one.name, value); store.commit(); },
  }));
  const texts = model.texts ? textRows(model.texts, store, shows, slider) : {rows: [], heard: () => {}};
  const card = h('div', {class: 'card'}, h('h2', {}, each.length ? 'Labels' : 'Text'), texts.rows, rows);
  return {card, shows, heardText: texts.heard};
}

const ROWS = {
  class: (one, tools) => choice(one, one.values, tools),
  flag: (one, tools) => choice(one, ['yes', 'no'], tools),
  number: (one, {slider, get, set}) => slider({
    label: one.name, low: one.low, high: one.high, step: 'any', start: null, title: `${spell(one.low)} to ${spell(one.high)}; the number resets it`,
    words: (value) => (value === null ? 'drawn' : spell(value)),
    get: (look) => (get(look) === '' || !Number.isFinite(+get(look)) ? null : +get(look)),
    set: (_, value) => set(value === null ? '' : within(one, value)),
  }),
  several: (one, {id, shows, get, commit}) => {
    const field = h('input', {
      id, type: 'text', autocomplete: 'off', placeholder: DRAWN, title: `One or more of ${one.values.join(', ')}, with + between them; or none`,
      onchange: () => commit(field.value.trim()),
    });
    shows.push((look) => { if (document.activeElement !== field) field.value = get(look); });
    return row(id, one.name, field);
  },
};

function textRows({examples, remark}, store, shows, slider) {
  const take = (text) => { store.look({text}); store.commit(); };
  const field = h('textarea', {
    id: 'text', rows: '2', autocomplete: 'off', placeholder: DRAWN, maxlength: '1000', onchange: () => take(field.value.trim()),
    onkeydown: (event) => { if (event.key === 'Enter') { event.preventDefault(); take(field.value.trim()); } },
  });
  shows.push((look) => { if (document.activeElement !== field) field.value = look.text; });
  const another = h('button', {class: 'small', 'aria-label': 'A caption of training', title: 'A caption of training', onclick: () => {
    const others = examples.filter((text) => text !== store.state.look.text);
    take(others[Math.floor(Math.random() * others.length)] ?? '');
  }}, '↻');
  const guidance = slider({
    label: 'Guidance', low: 0, high: 6, step: 0.1, start: 1, title: 'Above 1: more of the text, less variety. 0: without the text',
    get: (look) => look.guidance, set: (look, value) => { look.guidance = value; },
  });
  const near = h('div', {class: 'near', 'aria-live': 'polite'});
  const heard = (words) => near.replaceChildren(...(words ? nearRows(words, take) : []));
  const line = h('div', {class: 'row'}, h('label', {for: 'text'}, 'Text'), field, another);
  return {rows: [line, near, guidance, remark ? h('p', {class: 'quiet'}, remark) : null], heard};
}

// The training captions that are most alike to the text, each with its cosine.
function nearRows({nearest, warning}, take) {
  return [...(warning ? [h('p', {class: 'caution'}, `${warning}.`)] : []), h('p', {class: 'quiet'}, 'Closest training captions, with cosines'),
    h('ul', {}, nearest.map(([text, cosine]) => h('li', {},
      h('button', {class: 'quiet link', title: 'Take this text', onclick: () => take(text)}, text), h('span', {class: 'quiet'}, cosine.toFixed(2)))))];
}

function choice(one, values, {id, shows, get, commit}) {
  const known = one.unknown ? [...values, one.unknown] : values;
  const field = h('select', {id, onchange: () => commit(field.value)},
    h('option', {value: ''}, DRAWN), known.map((value) => h('option', {value}, value)));
  shows.push((look) => { field.value = get(look); });
  return row(id, one.name, field);
}

const row = (id, name, field) => h('div', {class: 'row'}, h('label', {for: id}, name), field);
const spell = (value) => String(+value.toPrecision(4));

// A number as the program reads it, from the lowest to the highest one of training.
function within(one, value) {
  const share = (value - one.low) / (one.high - one.low);
  if (share < 1e-4) return String(one.low);
  return share > 1 - 1e-4 ? String(one.high) : String(+value.toPrecision(6));
}
