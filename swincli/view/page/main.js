// The page: parts put together, tabs, theme, keyboard, news of the program.

import {$, api, count, failed, h, nameOf, notice, save} from './dom.js';
import {Controls} from './controls.js';
import {Grid} from './grid.js';
import {Link} from './link.js';
import {Photo} from './photo.js';
import {Picture} from './picture.js';
import {Runs} from './runs.js';
import {Store, lookText} from './state.js';
import {Walk} from './walk.js';

const store = new Store();
const link = new Link();
const picture = new Picture(store, link);
const grid = new Grid(store, link);
const controls = new Controls(store, link);
picture.heardText = (words) => controls.heardText(words);
const walk = new Walk(store, link, picture);
const photo = new Photo(store);
const runs = new Runs(store, openModel);

// The model

function opened(model) {
  $('explore').classList.toggle('without', !model);
  if (!model) {
    $('model').textContent = 'no model yet';
    $('caption').textContent = 'There is no model yet. Choose one of a run under Runs.';
    return;
  }
  store.know(model.identity);
  document.title = `${model.name} – swincli view`;
  $('model').textContent = `${model.name} · ${model.size} px · ${count(model.images_seen)} images`;
  $('model').title = `${model.path} (${model.identity}), on ${model.device}`;
  picture.open(model);
  grid.open();
  controls.open(model);
  walk.open(model);
  photo.open(model);
}

function checkLink() {
  const isOther = store.linked && store.identity && store.linked !== store.identity;
  notice('linked', isOther ? `This link was made with another model (${store.linked.slice(0, 12)}), so its pictures look different here.` : null, {kind: 'warn'});
}
store.addEventListener('link', checkLink);

async function openModel(request) {
  notice('opening', 'Opening the model …');
  try {
    await api('/api/open', {method: 'POST', body: JSON.stringify(request)});
    notice('file', null);
    notice('linked', null);
    if (request.run) store.update({tab: 'explore'});
  } catch (error) {
    failed(error);
  }
  notice('opening', null);
}

const REPLACED = {
  replaced: 'The file of this model was replaced. You see the one from before.',
  gone: 'The file of this model is gone. What you see is still in memory.',
};

function fileChanged(change) {
  const action = change === 'replaced' ? {label: 'Reload', run: () => openModel({})} : null;
  notice('file', change ? REPLACED[change] : null, {action, kind: 'warn'});
}

link.addEventListener('news', ({detail}) => {
  if (detail.event === 'model') opened(detail.facts);
  if (detail.event === 'file') fileChanged(detail.change);
  if (detail.event === 'worker') {
    notice('worker', detail.trouble, {kind: 'bad'});
    if (!detail.trouble) link.dispatchEvent(new Event('open')); // everything is asked for again
  }
  if (detail.event === 'error') failed(detail);
});
link.addEventListener('lost', () => notice('link', 'The connection to swincli is lost. Trying again …', {kind: 'warn'}));
link.addEventListener('open', () => notice('link', null));

// Tabs

function showTab() {
  for (const name of ['explore', 'runs']) {
    const on = store.state.tab === name;
    $(name).hidden = !on;
    $(`tab-${name}`).setAttribute('aria-selected', on);
    $(`tab-${name}`).tabIndex = on ? 0 : -1;
  }
  if (store.state.tab === 'explore') grid.measure();
}

for (const name of ['explore', 'runs']) {
  $(`tab-${name}`).addEventListener('click', () => store.update({tab: name}));
  $(`tab-${name}`).addEventListener('keydown', (event) => {
    if (!['ArrowLeft', 'ArrowRight'].includes(event.key)) return;
    const other = name === 'explore' ? 'runs' : 'explore';
    store.update({tab: other});
    $(`tab-${other}`).focus();
  });
}

let tab = null;
store.addEventListener('change', () => {
  if (tab !== store.state.tab) showTab();
  tab = store.state.tab;
  $('undo').disabled = !store.past.length;
  $('redo').disabled = !store.future.length;
});

// Tools

const THEMES = ['auto', 'light', 'dark'], WORDS = {auto: 'as the system', light: 'light', dark: 'dark'};

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $('theme').setAttribute('aria-label', `Theme: ${WORDS[theme]}`);
  $('theme').title = `Theme: ${WORDS[theme]} (t)`;
  try { localStorage.setItem('theme', theme); } catch { /* private windows may keep nothing */ }
}
try { setTheme(THEMES.includes(localStorage.getItem('theme')) ? localStorage.getItem('theme') : 'auto'); } catch { setTheme('auto'); }

async function share() {
  store.remember();
  const url = `${location.origin}/#${store.text()}`;
  history.replaceState(null, '', `#${store.text()}`);
  try {
    await navigator.clipboard.writeText(url);
    notice('share', 'The link is copied. It opens this picture with this model.', {seconds: 4});
  } catch {
    notice('share', 'The address of this page is the link.', {seconds: 6});
  }
}

async function download(path, options = {}) {
  try {
    const answer = await api(path, options);
    save(await answer.blob(), nameOf(answer) ?? 'picture.png');
  } catch (error) {
    failed(error);
  }
}

const actions = {
  undo: () => store.undo(),
  redo: () => store.redo(),
  share,
  theme: () => setTheme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length]),
  help: () => $('keys').showModal(),
  random: () => grid.choose(Math.floor(Math.random() * 1_000_000)),
  keep: () => walk.keep(),
  png: () => download(`/api/picture.png?${lookText(store.state.look)}`),
  npz: () => download('/api/latents', {method: 'POST', body: JSON.stringify({looks: [lookText(store.state.look)]})}),
};
for (const [name, run] of Object.entries(actions)) $(name).addEventListener('click', run);

// Keyboard

const KEYS = [
  ['Arrow keys', 'in the grid: another seed; on the picture: another point of attention'],
  ['r', 'a random seed', actions.random], ['k', 'keep the picture', actions.keep],
  ['p', 'play or pause the walk', () => walk.toggle()], ['a', 'attention on or off', () => picture.attend(!picture.attending)],
  ['d', 'download as PNG', actions.png], ['n', 'download its codes', actions.npz],
  ['o', 'project a photograph', () => $('file').click()], ['l', 'copy a link', actions.share],
  ['g', 'go to the grid', () => $('grid').focus()], ['s', 'go to the seed', () => $('seed')?.focus()],
  ['0', 'reset all settings', () => controls.reset()],
  ['1', 'Explore', () => store.update({tab: 'explore'})], ['2', 'Runs', () => store.update({tab: 'runs'})],
  ['t', 'theme: as the system, light, dark', actions.theme], ['?', 'this help', actions.help],
  ['Ctrl Z, Ctrl Shift Z', 'undo, redo'], ['Esc', 'close'],
];
$('keys').append(
  h('h2', {id: 'keys-title'}, 'Keyboard'),
  h('dl', {class: 'keys'}, KEYS.flatMap(([key, words]) => [h('dt', {}, h('kbd', {}, key)), h('dd', {}, words)])),
  h('p', {class: 'quiet'}, 'Click the picture to see where attention looks from there. Drop a photograph anywhere to project it. '
    + 'Click the number beside a slider to reset it. The address of the page always holds what you see.'),
  h('div', {class: 'row end'}, h('button', {class: 'main', onclick: () => $('keys').close()}, 'Close')));

addEventListener('keydown', (event) => {
  const typing = event.target.matches('input:not([type=range]), select, textarea') || document.querySelector('dialog[open]');
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'z' && !typing) {
    event.preventDefault();
    if (event.shiftKey) store.redo();
    else store.undo();
    return;
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'Escape' && picture.attending) picture.attend(false);
  const found = KEYS.find(([key, , run]) => run && key === event.key);
  if (found) {
    event.preventDefault();
    found[2]();
  }
});

// Start

async function start() {
  try {
    const about = await api('/api/about');
    if (!about.model && about.runs && !location.hash) store.state.tab = 'runs';
    opened(about.model);
    checkLink();
    runs.open(about.runs);
    fileChanged(about.change);
    if (about.trouble) notice('worker', about.trouble, {kind: 'bad'});
    store.changed();
  } catch (error) {
    failed(error);
    setTimeout(start, 3000);
  }
}
start();
