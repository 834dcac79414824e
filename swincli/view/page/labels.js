// Controls of a model's attributes: a list for a class or a flag, a slider for a number, a field for several values, and
// one for a text.

import {h} from './dom.js';

const DRAWN = 'drawn by the seed';

// The card of all attributes and the functions that show a state; null without attributes. `slider` makes a slider.
export function labelCard(model, store, slider) {
  const each = model.attributes.filter(({kind}) => kind in ROWS);
  if (!each.length && !model.texts) return {card: null, shows: []};
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
  const texts = model.texts ? textRows(model.texts, store, shows) : [];
  return {card: h('div', {class: 'card'}, h('h2', {}, each.length ? 'Labels' : 'Text'), texts, rows), shows};
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

function textRows({examples, remark}, store, shows) {
  const field = h('input', {
    id: 'text', type: 'text', autocomplete: 'off', placeholder: DRAWN, maxlength: '1000', list: 'texts',
    onchange: () => { store.look({text: field.value.trim()}); store.commit(); },
  });
  shows.push((look) => { if (document.activeElement !== field) field.value = look.text; });
  return [row('text', 'Text', field), h('datalist', {id: 'texts'}, examples.map((value) => h('option', {value}))),
    remark ? h('p', {class: 'quiet'}, remark) : null];
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
